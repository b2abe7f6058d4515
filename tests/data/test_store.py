from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from data.catalogue import Dataset, RemoteFile, dataset_named
from data.download import Retries
from data.errors import FileAccessError, InputError
from data.readers import Problem, read_digits
from data.store import FOLDER_VARIABLE, MANIFEST, default_root, obtain, read_manifest
from data.verification import verify
from tests.data.webserver import Site, served

QUICK = Retries(attempts=2, pause=0.0)


def hash_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def archive(tmp_path: Path) -> bytes:
    """A zip of class folders: three digits."""
    path = tmp_path / "packed.zip"
    with zipfile.ZipFile(path, "w") as bundle:
        for digit in range(3):
            picture = tmp_path / "picture.png"
            Pillow.fromarray(np.full((9, 9), 40 * digit, np.uint8)).save(picture)
            bundle.write(picture, f"{digit}/picture.png")
    return path.read_bytes()


@pytest.fixture
def site(archive: bytes) -> Iterator[Site]:
    with served(Site(archive)) as site:
        yield site


def dataset(site: Site | None = None, **changes: object) -> Dataset:
    files = [{"name": "set.zip", "address": site.address if site else "https://example.org/set.zip"}]
    entry = {
        "name": "set",
        "area": "digits",
        "title": "A set",
        "tasks": ["classification"],
        "contents": "three pictures",
        "licence": "CC0",
        "citation": "nobody",
        "homepage": "https://example.org",
        "access": "free",
        "reader": "digits",
        "files": files,
    }
    return Dataset.model_validate(entry | changes)


def with_hash(site: Site, sha256: str) -> Dataset:
    return dataset(site, files=[RemoteFile(name="set.zip", address=site.address, sha256=sha256)])


def everything(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


# Getting


def test_a_dataset_is_fetched_unpacked_and_recorded(site: Site, archive: bytes, tmp_path: Path) -> None:
    root = tmp_path / "root"
    steps: list[str] = []
    obtained = obtain(dataset(site), root, watch=lambda step: (steps.append(step), lambda *_: None)[1])
    assert obtained.fresh
    assert obtained.folder == root / "digits" / "set"
    assert everything(root) == {
        f"digits/set/{name}" for name in ("0/picture.png", "1/picture.png", "2/picture.png")
    } | {f"digits/set/{MANIFEST}"}
    (origin,) = obtained.manifest.origins
    assert (origin.sha256, origin.bytes, origin.known) == (hash_of(archive), len(archive), False)
    assert origin.source == site.address
    assert obtained.manifest == read_manifest(obtained.folder)
    assert [file.path for file in obtained.manifest.files] == ["0/picture.png", "1/picture.png", "2/picture.png"]
    assert steps == ["set.zip", "unpacking set.zip", "hashing"]
    assert read_digits(obtained.folder).labels.tolist() == [0, 1, 2]


def test_a_dataset_that_is_there_is_left_alone(site: Site, tmp_path: Path) -> None:
    obtain(dataset(site), tmp_path)
    site.asked.clear()
    again = obtain(dataset(site), tmp_path)
    assert not again.fresh
    assert site.asked == []


def test_a_folder_of_someone_elses_is_left_alone(site: Site, tmp_path: Path) -> None:
    (tmp_path / "digits" / "set").mkdir(parents=True)
    (tmp_path / "digits" / "set" / "mine.txt").write_text("mine")
    with pytest.raises(FileAccessError, match="was not filled by"):
        obtain(dataset(site), tmp_path)
    assert everything(tmp_path / "digits") == {"set/mine.txt"}
    assert site.asked == []


def test_a_known_hash_is_checked(site: Site, archive: bytes, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has the hash"):
        obtain(with_hash(site, "0" * 64), tmp_path / "a", retries=QUICK)
    assert everything(tmp_path / "a") == set()
    assert obtain(with_hash(site, hash_of(archive)), tmp_path / "b").manifest.origins[0].known


def test_a_broken_download_leaves_no_folder_and_is_taken_up_again(site: Site, tmp_path: Path) -> None:
    root = tmp_path / "root"
    site.drops = [100, 0, 0]
    with pytest.raises(FileAccessError):
        obtain(dataset(site), root, retries=QUICK)
    assert not (root / "digits").exists()
    site.drops.clear()
    site.asked.clear()
    assert obtain(dataset(site), root).fresh
    assert site.ranges_asked == ["bytes=100-"]
    assert not (root / ".downloads" / "set").exists()


def test_an_evil_archive_leaves_no_folder(site: Site, tmp_path: Path) -> None:
    evil = tmp_path / "evil.zip"
    with zipfile.ZipFile(evil, "w") as bundle:
        bundle.writestr("0/fine.png", b"x")
        bundle.writestr("../../evil.txt", b"x")
    site.content = evil.read_bytes()
    root = tmp_path / "root"
    with pytest.raises(InputError, match="leads out"):
        obtain(dataset(site), root)
    assert list((root / "digits").iterdir()) == []
    assert not (root / "evil.txt").exists()


def test_an_account_is_asked_for_with_what_to_do(tmp_path: Path) -> None:
    needs = dataset(files=[], access="account", how="sign in and download it into a folder.")
    with pytest.raises(FileAccessError) as caught:
        obtain(needs, tmp_path)
    assert "Sign in and download it into a folder; then run `shankha data get set --from FOLDER`" in str(caught.value)
    assert caught.value.exit_code == 5


def test_the_real_entries_need_no_web_with_a_mirror(shankha_data: Path, tmp_path: Path) -> None:
    for mirror in (shankha_data, shankha_data / "digits" / "cmaterdb"):
        root = tmp_path / mirror.name
        folder = obtain(dataset_named("cmaterdb"), root, mirror=mirror).folder
        assert folder == root / "digits" / "cmaterdb"
        assert (len(read_digits(folder, "train")), len(read_digits(folder, "test"))) == (5000, 993)
    assert len(read_digits(obtain(dataset_named("numtadb"), tmp_path, mirror=shankha_data).folder)) == 44_359


def test_a_mirror_is_only_read(tmp_path: Path, archive: bytes) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "set.zip").write_bytes(archive)
    (mirror / "unasked.txt").write_text("x")
    obtained = obtain(dataset(), tmp_path / "root", mirror=mirror)
    assert everything(mirror) == {"set.zip", "unasked.txt"}
    assert read_digits(obtained.folder).labels.tolist() == [0, 1, 2]
    assert obtained.manifest.origins[0].source == str(mirror / "set.zip")


def test_a_mirror_of_a_dataset_without_a_list_gives_all_it_has(tmp_path: Path, archive: bytes) -> None:
    mirror = tmp_path / "downloads"
    (mirror / "9").mkdir(parents=True)
    (mirror / "set.zip").write_bytes(archive)
    Pillow.fromarray(np.zeros((5, 5), np.uint8)).save(mirror / "9" / "nine.png")
    (mirror / ".DS_Store").write_text("x")
    needs = dataset(files=[], access="request", how="write to them")
    folder = obtain(needs, tmp_path / "root", mirror=mirror).folder
    assert everything(folder) == {"0/picture.png", "1/picture.png", "2/picture.png", "9/nine.png", MANIFEST}


def test_a_mirror_with_a_wrong_or_missing_file(tmp_path: Path, site: Site) -> None:
    mirror = tmp_path / "mirror"
    with pytest.raises(FileAccessError, match="is no folder"):
        obtain(dataset(), tmp_path / "root", mirror=mirror)
    mirror.mkdir()
    with pytest.raises(InputError, match=r"has no set\.zip"):
        obtain(dataset(), tmp_path / "root", mirror=mirror)
    (mirror / "set.zip").write_bytes(b"something else")
    with pytest.raises(InputError, match="has the hash"):
        obtain(with_hash(site, "0" * 64), tmp_path / "root", mirror=mirror)
    with pytest.raises(InputError, match="damaged or cut short"):
        obtain(dataset(), tmp_path / "root", mirror=mirror)
    assert everything(tmp_path / "root") == set()
    assert everything(mirror) == {"set.zip"}


def test_two_archives_with_one_file_are_refused(tmp_path: Path, archive: bytes) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    for name in ("a.zip", "b.zip"):
        (mirror / name).write_bytes(archive)
    needs = dataset(files=[], access="request", how="write to them")
    with pytest.raises(InputError, match="is there already"):
        obtain(needs, tmp_path / "root", mirror=mirror)
    assert everything(tmp_path / "root") == set()


def test_the_default_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    assert default_root() == tmp_path
    monkeypatch.delenv(FOLDER_VARIABLE)
    assert default_root().name == "datasets"
    assert "shankha" in default_root().parts


# Verifying


@pytest.fixture
def cmaterdb(shankha_data: Path, tmp_path: Path) -> Path:
    return obtain(dataset_named("cmaterdb"), tmp_path / "root", mirror=shankha_data).folder


def test_a_sound_folder(cmaterdb: Path) -> None:
    findings = verify(cmaterdb)
    assert findings.sound
    assert (findings.dataset, findings.files, findings.contents.examples) == ("cmaterdb", 2, 5993)
    assert len(findings.contents.left_out) == 7


def test_missing_changed_and_extra_files_are_each_listed(cmaterdb: Path) -> None:
    (cmaterdb / "training-images.npz").unlink()
    content = bytearray((cmaterdb / "testing-images.npz").read_bytes())
    content[5000] ^= 1
    (cmaterdb / "testing-images.npz").write_bytes(content)
    (cmaterdb / "stray").mkdir()
    (cmaterdb / "stray" / "file.txt").write_text("x")
    findings = verify(cmaterdb)
    assert not findings.sound
    assert findings.missing == ("training-images.npz",)
    assert findings.changed == (Problem("testing-images.npz", "has another content"),)
    assert findings.extra == ("stray/file.txt",)
    assert "is missing" in findings.contents.unreadable[0].why


def test_a_cut_file_is_told_by_its_length(cmaterdb: Path) -> None:
    (cmaterdb / "testing-images.npz").write_bytes(b"x" * 10)
    (problem,) = verify(cmaterdb).changed
    assert problem.why == "has 10 bytes, not 98,295"


def test_the_catalogues_hash_is_compared(cmaterdb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = dataset_named("cmaterdb")
    changed = entry.files[0].model_copy(update={"sha256": "0" * 64})
    told = entry.model_copy(update={"files": (changed, *entry.files[1:])})
    monkeypatch.setattr("data.verification.load_catalogue", lambda: (told,))
    (problem,) = verify(cmaterdb).changed
    assert problem.name == "training-images.npz"
    assert "not the catalogue's 000" in problem.why


def test_a_folder_filled_by_hand_is_read(tmp_path: Path, archive: bytes) -> None:
    folder = tmp_path / "mine"
    (tmp_path / "set.zip").write_bytes(archive)
    shutil.unpack_archive(tmp_path / "set.zip", folder)
    findings = verify(folder)
    assert findings.sound
    assert (findings.dataset, findings.files, findings.contents.examples) == (None, 0, 3)
    (folder / "1" / "picture.png").write_bytes(b"")
    (problem,) = verify(folder).contents.unreadable
    assert problem.name == "1/picture.png"
    for part in ("train", "test"):
        shutil.copytree(folder / "2", tmp_path / "parts" / part / "2")
    assert verify(tmp_path / "parts").contents.examples == 2


def test_a_folder_of_boxes_is_read_too(tmp_path: Path) -> None:
    for split, site in (("train", "1001"), ("val", "2002")):
        (tmp_path / "images" / split).mkdir(parents=True)
        (tmp_path / "labels" / split).mkdir(parents=True)
        Pillow.new("RGB", (40, 20)).save(tmp_path / "images" / split / f"{site}_A_f000001.png")
        (tmp_path / "labels" / split / f"{site}_A_f000001.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    contents = verify(tmp_path).contents
    assert (contents.examples, contents.boxes, contents.sites, contents.unreadable) == (2, 2, ("1001", "2002"), ())
    path = tmp_path / "images" / "val" / "2002_A_f000001.png"
    path.write_bytes(path.read_bytes()[:60])
    (tmp_path / "labels" / "train" / "1001_A_f000001.txt").write_text("0 0.5 0.5 0.2\n")
    findings = verify(tmp_path)
    assert not findings.sound
    named = [problem.name for problem in findings.contents.unreadable]
    assert named == ["labels/train/1001_A_f000001.txt:1", "images/val/2002_A_f000001.png"]


def test_what_cannot_be_verified(tmp_path: Path, cmaterdb: Path) -> None:
    with pytest.raises(FileAccessError, match="is no folder"):
        verify(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"holds no shankha-data\.json, and is no folder of digits .* of detections"):
        verify(tmp_path / "empty")
    manifest = json.loads((cmaterdb / MANIFEST).read_text())
    (cmaterdb / MANIFEST).write_text(json.dumps(manifest | {"format_version": 99}))
    with pytest.raises(InputError, match="no manifest of a dataset"):
        verify(cmaterdb)
