"""Versioned folders: whole or absent, the same for the same, and read back as they were."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.curation import folder as folders
from data.curation.collection import Collection, Kind, Label, Picture
from data.curation.exchange import FORMATS
from data.curation.folder import Made, read_version, settled_parts, torn_groups, write_version
from data.errors import ArgumentError, FileAccessError, InputError
from data.files import sha256_of
from data.readers import read_detections, read_digits
from data.readers.crops import CropSplit, read_crops, read_parts
from data.readers.digitset import Problem
from data.verification import verify
from data.versions import MANIFEST, read_version_file
from tests.data.curation.made import ASHA, collection

KINDS: tuple[Kind, ...] = ("digits", "species", "detection", "segmentation")
EVERY = [(kind, name) for kind in KINDS for name, one in FORMATS.items() if kind in one.kinds]
_TRAINED = {"digits": "classes", "species": "classes", "detection": "yolo", "segmentation": "coco"}


def without_places(found: Collection) -> list[Picture]:
    return [replace(picture, path=Path()) for picture in found.pictures]


def contents(folder: Path) -> dict[str, str]:
    """The hash of every file but the manifest."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST]
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}


@pytest.mark.parametrize(("kind", "target_format"), EVERY)
def test_what_is_written_is_read_back_and_every_file_is_listed(kind: Kind, target_format: str, tmp_path: Path) -> None:
    given = collection(kind, tmp_path / "source")
    written = write_version(given, tmp_path / "set", target_format, Made("shankha curate export bay", "bay"))
    found = read_version(written.folder)
    assert without_places(found) == without_places(given)
    assert (found.name, found.kind, found.names) == (given.name, given.kind, given.names)
    assert all(picture.path.is_file() for picture in found.pictures)
    listed = {file.path: file.sha256 for file in written.version.content.files}
    assert listed == contents(written.folder)
    assert (written.version.version, written.version.parent) == (1, None)
    assert (written.version.command, written.version.source) == ("shankha curate export bay", "bay")


@pytest.mark.parametrize(("kind", "target_format"), EVERY)
def test_the_same_gives_the_same_bytes_but_for_the_time(kind: Kind, target_format: str, tmp_path: Path) -> None:
    given = collection(kind, tmp_path / "source")
    one = write_version(given, tmp_path / "one", target_format)
    other = write_version(given, tmp_path / "other", target_format)
    assert contents(one.folder) == contents(other.folder)
    assert one.version.id == other.version.id
    text = [(made.folder / MANIFEST).read_text().replace(made.version.made, "") for made in (one, other)]
    assert text[0] == text[1]


def test_pictures_are_copies_that_stay_when_the_source_is_edited_in_place(tmp_path: Path) -> None:
    given = collection("detection", tmp_path / "source")
    written = write_version(given, tmp_path / "set", "yolo")
    given.pictures[0].path.write_bytes(b"something else")
    assert verify(written.folder).sound


def test_the_next_version_lies_beside_and_knows_its_parent(tmp_path: Path) -> None:
    given = collection("species", tmp_path / "source")
    first = write_version(given, tmp_path / "reef", "classes")
    before = contents(first.folder)
    right = replace(given.pictures[0], labels=(Label("Nigra", ASHA),))
    changed = replace(given, pictures=(right, *given.pictures[1:]))
    second = write_version(changed, tmp_path / "reef", "classes")
    third = write_version(given, tmp_path / "reef-v2", "classes")
    assert [one.folder.name for one in (first, second, third)] == ["reef", "reef-v2", "reef-v3"]
    assert [one.version.version for one in (first, second, third)] == [1, 2, 3]
    assert second.version.parent is not None
    assert second.version.parent.id == first.version.id
    assert third.version.parent is not None
    assert third.version.parent.id == second.version.id
    assert contents(first.folder) == before
    assert read_version(second.folder).pictures[0].labels[0].by == ASHA


def test_nothing_is_written_where_nothing_has_changed(tmp_path: Path) -> None:
    given = collection("digits", tmp_path / "source")
    first = write_version(given, tmp_path / "set", "classes")
    again = write_version(given, tmp_path / "set", "classes")
    assert first.fresh
    assert not again.fresh
    assert again.folder == first.folder
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set", "source"]


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "photos"
    target.mkdir()
    (target / "mine.txt").write_text("keep")
    with pytest.raises(FileAccessError, match=r"photos: exists already, and is no dataset folder.*--to"):
        write_version(collection("digits", tmp_path / "source"), target, "classes")
    assert [path.name for path in target.iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    assert (
        write_version(collection("digits", tmp_path / "source"), tmp_path / "set", "classes").folder == tmp_path / "set"
    )


def test_pictures_that_cannot_be_used_are_left_out_and_listed(tmp_path: Path) -> None:
    given = collection("detection", tmp_path / "source")
    gone, broken, resized = (given.pictures[number] for number in (0, 4, 8))
    gone.path.unlink()
    broken.path.write_bytes(b"no picture")
    cv2.imwrite(str(resized.path), np.zeros((20, 20, 3), np.uint8))
    told = replace(given, problems=(Problem("p99.png", "has no label that can be used"),))
    written = write_version(told, tmp_path / "set", "coco")
    left_out = {one.id: one.why for one in written.version.content.left_out}
    assert set(left_out) == {gone.id, broken.id, resized.id, "p99.png"}
    assert left_out[resized.id] == "is 20 x 20 pixels, where its labels were made for 48 x 40"
    assert len(written.version.content.pictures) == len(given) - 3
    assert {problem.name for problem in read_version(written.folder).problems} == set(left_out)


def test_nothing_to_write_is_an_error_and_no_folder(tmp_path: Path) -> None:
    given = collection("species", tmp_path / "source")
    bare = replace(given, pictures=tuple(replace(one, labels=()) for one in given.pictures))
    with pytest.raises(InputError, match=r"holds no picture that can be written; the first of 12: .* has no label"):
        write_version(bare, tmp_path / "set", "classes")
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("target_format", "line"), [("pascal", "there is no format 'pascal'"), ("yolo", "yolo cannot hold digits")]
)
def test_a_format_that_does_not_suit_is_refused(target_format: str, line: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=line):
        write_version(collection("digits", tmp_path / "source"), tmp_path / "set", target_format)


@pytest.mark.parametrize(
    ("trouble", "seen"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt),
        (OSError(errno.ENOSPC, "No space left on device"), FileAccessError),
        (MemoryError(), MemoryError),
    ],
)
@pytest.mark.parametrize("step", ["copy_pictures", "listed", "write_text", "_put"])
def test_what_is_broken_off_leaves_nothing(
    trouble: BaseException, seen: type[BaseException], step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = collection("detection", tmp_path / "source")

    def fail(*_: object, **__: object) -> None:
        raise trouble

    monkeypatch.setattr(folders, step, fail)
    with pytest.raises(seen):
        write_version(given, tmp_path / "sets" / "reef", "yolo")
    assert list((tmp_path / "sets").iterdir()) == []


def test_a_picture_that_vanishes_meanwhile_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = collection("detection", tmp_path / "source")
    monkeypatch.setattr(folders, "check_space", Vanishing(given.pictures[3].path))
    with pytest.raises(FileAccessError, match=r"p03\.png: cannot be read"):
        write_version(given, tmp_path / "sets" / "reef", "yolo")
    assert list((tmp_path / "sets").iterdir()) == []


class Vanishing:
    """Takes a picture away once all were looked at."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, *_: object) -> None:
        self.path.unlink()


def test_a_folder_that_came_into_being_meanwhile_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "set"
    monkeypatch.setattr(folders.os, "sync", lambda: (other.mkdir(), (other / "x").write_text("theirs")))
    with pytest.raises(FileAccessError, match="came into being meanwhile"):
        write_version(collection("digits", tmp_path / "source"), other, "classes")
    assert [path.name for path in other.iterdir()] == ["x"]


def spoil_missing(folder: Path) -> str:
    next(folder.rglob("p01.png")).unlink()
    return "p01.png is missing"


def spoil_changed(folder: Path) -> str:
    path = next(folder.rglob("p01.png"))
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    return "p01.png has another content"


def spoil_size(folder: Path) -> str:
    next(folder.rglob("p01.png")).write_bytes(b"x")
    return "p01.png has 1 bytes, not"


def spoil_extra(folder: Path) -> str:
    (folder / "more.png").write_bytes(b"x")
    return "more.png is not in the manifest"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spoil", [spoil_missing, spoil_changed, spoil_size, spoil_extra])
def test_a_folder_that_differs_is_refused_by_every_reader_and_told_by_verify(
    kind: Kind, spoil: Callable[[Path], str], tmp_path: Path
) -> None:
    folder = write_version(collection(kind, tmp_path / "source"), tmp_path / "set", _TRAINED[kind]).folder
    assert verify(folder).sound
    line = spoil(folder)
    read = {"digits": read_digits, "species": read_crops}.get(kind, read_detections)
    for reading in (lambda: read(folder, "train"), lambda: read_version(folder)):
        with pytest.raises(InputError, match=f"differs from its manifest: .*{line}"):
            reading()
    findings = verify(folder)
    assert not findings.sound
    assert len(findings.missing) + len(findings.changed) + len(findings.extra) == 1


def test_a_manifest_that_was_edited_is_refused(tmp_path: Path) -> None:
    folder = write_version(collection("species", tmp_path / "source"), tmp_path / "set", "classes").folder
    path = folder / MANIFEST
    path.write_text(path.read_text().replace('"part": "val"', '"part": "train"', 1))
    with pytest.raises(InputError, match=r"manifest.json: was changed after it was written"):
        read_version_file(folder)
    path.write_text("{}")
    with pytest.raises(InputError, match="is no manifest of a dataset"):
        read_version_file(folder)
    with pytest.raises(FileAccessError, match="cannot be read"):
        read_version_file(tmp_path)


def test_the_manifest_is_plain_json_an_item_a_line(tmp_path: Path) -> None:
    folder = write_version(collection("detection", tmp_path / "source"), tmp_path / "set", "yolo").folder
    text = (folder / MANIFEST).read_text()
    tree = json.loads(text)
    assert len(tree["content"]["pictures"]) == 12
    assert sum(line.startswith('{"id"') for line in text.splitlines()) == 12
    assert tree["content"]["speakers"][0] == {"kind": "source", "name": "bay", "when": "2026-11-01T10:00:00Z"}


def test_digits_are_read_by_the_groups_of_the_manifest(tmp_path: Path) -> None:
    given = collection("digits", tmp_path / "source")
    folder = write_version(given, tmp_path / "set", "classes").folder
    for part in ("train", "val", "test"):
        own = [picture for picture in given.pictures if picture.part == part]
        digits = read_digits(folder, part)
        assert sorted(digits.groups.tolist()) == sorted(picture.group for picture in own)
        assert sorted(digits.labels.tolist()) == sorted(given.names.index(one.labels[0].name) for one in own)
        assert (digits.problems, digits.left_out) == ((), ())
        assert set(digits.sources.tolist()) == {"set"}


def test_crops_of_one_fish_stay_together_though_their_names_do_not_tell(tmp_path: Path) -> None:
    given = collection("species", tmp_path / "source", parts=("",), count=30)
    folder = write_version(given, tmp_path / "set", "classes").folder
    parts = read_parts(folder, CropSplit())
    groups = [set(parts[name].groups.tolist()) for name in ("train", "val", "test")]
    assert all(groups)
    assert sum(len(own) for own in groups) == len(set.union(*groups))
    assert set.union(*groups) == {picture.group for picture in given.pictures}
    assert parts["train"].left_out == ()


@pytest.mark.parametrize("target_format", ["yolo", "coco"])
def test_boxes_are_read_with_sites_and_what_is_wholly_labelled(target_format: str, tmp_path: Path) -> None:
    given = collection("detection", tmp_path / "source")
    partly = replace(given.pictures[1], complete=False)
    given = replace(given, pictures=(given.pictures[0], partly, *given.pictures[2:]))
    folder = write_version(given, tmp_path / "set", target_format).folder
    found = read_detections(folder, "train")
    own = {Path(picture.id).name: picture for picture in given.pictures if picture.part == "train"}
    assert len(found) == len(own)
    for index, name in enumerate(found.ids.tolist()):
        picture = own[Path(name).name]
        assert (found.sites[index], found.clips[index]) == (picture.group, picture.group)
        assert found.exhaustive[index] == picture.complete
        assert [found.names[label] for label in found.labels[index]] == [label.name for label in picture.labels]
    assert not read_detections(folder, "train", exhaustive=False).exhaustive.any()
    assert read_detections(folder, "train", exhaustive=True).exhaustive.all()


def test_readers_say_what_kind_or_format_a_version_is(tmp_path: Path) -> None:
    boxes = write_version(collection("detection", tmp_path / "source"), tmp_path / "set", "cvat").folder
    with pytest.raises(InputError, match=r"is in the format cvat.*Export it with --format coco"):
        read_detections(boxes)
    with pytest.raises(InputError, match="is a dataset of detection; expected digits"):
        read_digits(boxes)
    with pytest.raises(InputError, match="is a dataset of detection; expected species"):
        read_crops(boxes)


def test_pictures_of_no_part_go_where_their_group_is() -> None:
    def picture(name: str, part: str, group: str) -> Picture:
        return Picture(name, Path(name), (1, 1), part=part, group=group)  # type: ignore[arg-type]

    mixed = Collection(
        "x", "detection", ("fish",), (picture("a", "val", "g"), picture("b", "", "g"), picture("c", "", ""))
    )
    settled, moved = settled_parts(mixed)
    assert [one.part for one in settled.pictures] == ["val", "val", "train"]
    assert moved == 2
    nowhere = replace(mixed, pictures=tuple(replace(one, part="") for one in mixed.pictures))
    assert settled_parts(nowhere) == (nowhere, 0)
    torn = replace(mixed, pictures=(*mixed.pictures, picture("d", "train", "g")))
    assert torn_groups(torn) == ("g",)
    assert torn_groups(mixed) == ()
