from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.archive import Limits, is_archive, unpack, unpack_into
from data.errors import FileAccessError, InputError

FILES = {"a.txt": b"one", "deep/er/b.bin": bytes(range(256)) * 40, "deep/empty": b"", "০/৩.png": b"three"}
MODES = {".zip": "", ".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz", ".tar.bz2": "w:bz2", ".tar.xz": "w:xz"}


def packed(path: Path, files: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
            for name, content in files.items():
                bundle.writestr(name, content)
        return path
    mode = next(mode for suffix, mode in MODES.items() if path.name.endswith(suffix))
    with tarfile.open(path, mode) as bundle:  # type: ignore[call-overload]
        for name, content in files.items():
            add(bundle, name, content)
    return path


def add(bundle: tarfile.TarFile, name: str, content: bytes = b"", **fields: object) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for field, value in fields.items():
        setattr(member, field, value)
    bundle.addfile(member, io.BytesIO(content))


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def nothing_left(folder: Path, archive: Path) -> bool:
    """Whether the archive alone is in the folder, and nothing was written beside it."""
    return {path.name for path in folder.iterdir()} == {archive.name} and not (folder.parent / "evil").exists()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder inside another, so that what climbs out is seen."""
    folder = tmp_path / "inside"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("suffix", MODES)
def test_every_kind_unpacks_to_the_same_files(place: Path, suffix: str) -> None:
    archive = packed(place / f"set{suffix}", FILES)
    heard: list[int] = []
    unpack(archive, place / "set", tick=lambda done, _: heard.append(done))
    assert tree(place / "set") == FILES
    assert heard[-1] == sum(map(len, FILES.values()))
    assert stat.S_IMODE((place / "set").stat().st_mode) == 0o755


EVIL = ["/evil", "../evil", "a/../../evil", "..", "C:/evil", "..\\evil", "a/b/../../../evil", "/"]


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
@pytest.mark.parametrize("name", EVIL)
def test_paths_that_lead_out_are_refused(place: Path, suffix: str, name: str) -> None:
    archive = packed(place / f"set{suffix}", {"fine": b"x", name: b"evil"})
    with pytest.raises(InputError, match="leads out of its folder"):
        unpack(archive, place / "set")
    assert nothing_left(place, archive)


@given(st.lists(st.sampled_from(["..", ".", "a", "b", "", "/"]), min_size=1, max_size=8).map("/".join))
@settings(max_examples=80, deadline=None)
def test_no_path_ever_leaves_the_folder(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    outer = tmp_path_factory.mktemp("outer")
    (outer / "inside").mkdir()
    archive = packed(outer / "set.tar", {name: b"content"})
    try:
        unpack(archive, outer / "inside" / "set")
    except (InputError, FileAccessError):
        pass
    else:
        assert list(tree(outer / "inside" / "set").values()) == [b"content"]
    assert {path.name for path in outer.iterdir()} == {"inside", "set.tar"}
    assert {path.name for path in (outer / "inside").iterdir()} <= {"set"}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("target", ["/etc/passwd", "../../evil", "../../../../etc/passwd", "nowhere", "link"])
def test_links_that_lead_out_or_nowhere_are_refused(place: Path, kind: bytes, target: str) -> None:
    archive = place / "set.tar"
    with tarfile.open(archive, "w") as bundle:
        add(bundle, "a.txt", b"one")
        add(bundle, "deep/link", type=kind, linkname=target)
    with pytest.raises(InputError, match="leads"):
        unpack(archive, place / "set")
    assert nothing_left(place, archive)


def test_writing_through_a_link_is_impossible(place: Path) -> None:
    outside = place.parent / "outside"
    outside.mkdir()
    archive = place / "set.tar"
    with tarfile.open(archive, "w") as bundle:
        add(bundle, "door", type=tarfile.SYMTYPE, linkname="rooms")
        add(bundle, "door/evil", b"evil")
    with pytest.raises(InputError):
        unpack(archive, place / "set")
    assert nothing_left(place, archive)
    assert list(outside.iterdir()) == []


def test_links_inside_become_copies(place: Path) -> None:
    archive = place / "set.tar.gz"
    with tarfile.open(archive, "w:gz") as bundle:
        add(bundle, "deep/chain", type=tarfile.SYMTYPE, linkname="../soft")
        add(bundle, "soft", type=tarfile.SYMTYPE, linkname="deep/er/b.bin")
        add(bundle, "deep/er/b.bin", b"content")
        add(bundle, "hard", type=tarfile.LNKTYPE, linkname="deep/er/b.bin")
    unpack(archive, place / "set")
    assert tree(place / "set") == dict.fromkeys(["deep/chain", "soft", "deep/er/b.bin", "hard"], b"content")
    assert not any(path.is_symlink() for path in (place / "set").rglob("*"))


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_are_refused(place: Path, kind: bytes) -> None:
    archive = place / "set.tar"
    with tarfile.open(archive, "w") as bundle:
        add(bundle, "device", type=kind)
    with pytest.raises(InputError, match="neither a file nor a folder"):
        unpack(archive, place / "set")
    assert nothing_left(place, archive)


def test_a_link_in_a_zip_is_refused(place: Path) -> None:
    archive = place / "set.zip"
    member = zipfile.ZipInfo("link")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "w") as bundle:
        bundle.writestr(member, "/etc/passwd")
    with pytest.raises(InputError, match="neither a file nor a folder"):
        unpack(archive, place / "set")
    assert nothing_left(place, archive)


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".tar.xz"])
def test_bombs_are_refused(place: Path, suffix: str) -> None:
    archive = packed(place / f"set{suffix}", {f"{n}": bytes(1_000_000) for n in range(5)})
    with pytest.raises(InputError, match="times its own size"):
        unpack(archive, place / "set", limits=Limits(small_bytes=500_000, ratio=20))
    with pytest.raises(InputError, match="unpacks to"):
        unpack(archive, place / "set", limits=Limits(total_bytes=3_000_000))
    assert nothing_left(place, archive)
    unpack(archive, place / "set")


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_too_many_files_are_refused(place: Path, suffix: str) -> None:
    archive = packed(place / f"set{suffix}", {f"{n}": b"" for n in range(11)})
    with pytest.raises(InputError, match="more than 10 files"):
        unpack(archive, place / "set", limits=Limits(files=10))
    assert nothing_left(place, archive)


@pytest.mark.parametrize("suffix", MODES)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9])
def test_a_cut_archive_leaves_nothing(place: Path, suffix: str, share: float) -> None:
    archive = packed(place / f"set{suffix}", FILES)
    archive.write_bytes(archive.read_bytes()[: int(archive.stat().st_size * share)])
    if suffix == ".tar" and share == 0.9:  # in the padding, behind the mark of the end
        unpack(archive, place / "set")
        assert tree(place / "set") == FILES
        return
    with pytest.raises(InputError, match="damaged or cut short"):
        unpack(archive, place / "set")
    assert nothing_left(place, archive)


def test_a_tar_cut_between_two_members_is_noticed(place: Path) -> None:
    archive = packed(place / "set.tar", {"a": b"x" * 512, "b": b"y" * 512})
    archive.write_bytes(archive.read_bytes()[:1024])
    with pytest.raises(InputError, match="mark of its end is missing"):
        unpack(archive, place / "set")


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".tar.bz2", ".tar.xz"])
def test_changed_content_is_noticed(place: Path, suffix: str) -> None:
    archive = packed(place / f"set{suffix}", {"a": bytes(range(256)) * 200})
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 0x55
    archive.write_bytes(content)
    with pytest.raises(InputError):
        unpack(archive, place / "set")
    assert nothing_left(place, archive)


def test_a_locked_zip(place: Path) -> None:
    archive = packed(place / "set.zip", {"a": b"x"})
    content = bytearray(archive.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + offset] |= 1
    archive.write_bytes(content)
    with pytest.raises(InputError, match="locked"):
        unpack(archive, place / "set")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_one_name_twice_is_refused(place: Path, suffix: str) -> None:
    archive = place / f"set{suffix}"
    opened: Callable[..., object] = zipfile.ZipFile if suffix == ".zip" else tarfile.open
    with opened(archive, "w") as bundle:  # type: ignore[attr-defined]
        for content in (b"one", b"two"):
            bundle.writestr("a", content) if suffix == ".zip" else add(bundle, "a", content)
    with pytest.raises(InputError, match="twice"):
        unpack(archive, place / "set")
    assert nothing_left(place, archive)


def test_a_full_folder_is_left_alone(place: Path) -> None:
    archive = packed(place / "set.zip", FILES)
    (place / "set").mkdir()
    unpack(archive, place / "set")
    with pytest.raises(FileAccessError, match="exists already"):
        unpack(archive, place / "set")
    assert tree(place / "set") == FILES


def test_unpacking_over_a_file_is_refused(place: Path) -> None:
    (place / "set").mkdir()
    (place / "set" / "a.txt").write_bytes(b"mine")
    with pytest.raises(InputError, match="is there already"):
        unpack_into(packed(place / "set.zip", FILES), place / "set")
    assert (place / "set" / "a.txt").read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["a.7z", "a.rar", "a.npz", "zip"])
def test_other_kinds_are_no_archives(place: Path, name: str) -> None:
    assert not is_archive(Path(name))
    (place / name).write_bytes(b"x")
    with pytest.raises(InputError, match="no archive that can be unpacked"):
        unpack(place / name, place / "set")


def test_a_missing_archive(place: Path) -> None:
    with pytest.raises(FileAccessError):
        unpack(place / "none.zip", place / "set")
    assert list(place.iterdir()) == []
