"""Labelled datasets as collections: parts, groups, packed pictures, and what cannot be taken."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.curation import sets
from data.curation.collection import Collection, Picture
from data.curation.sets import read_collection
from data.errors import FileAccessError, InputError, ShankhaError
from data.images import read_image
from data.provenance import Kind, Provenance


def save(path: Path, value: int = 90, size_wh: tuple[int, int] = (40, 20)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((size_wh[1], size_wh[0], 3), value, np.uint8))
    return path


def cmaterdb(folder: Path) -> Path:
    """Three training pictures, two test pictures of which the first repeats the second of training."""
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    np.savez(folder / "training-images.npz", images=pixels[:3], labels=np.array([3, 1, 2]))
    np.savez(folder / "testing-images.npz", images=pixels[[1, 3]], labels=np.array([1, 0]))
    return folder


def numtadb(folder: Path, labels: tuple[int, ...] = (3, 1, 2)) -> Path:
    folder.mkdir()
    pixels = np.random.default_rng(1).integers(0, 256, (len(labels), 28, 28), dtype=np.uint8)
    source = np.array(["a", "a", "b"][: len(labels)])
    np.savez(folder / "training-abc.npz", x=pixels, y=np.array(labels), source=source)
    return folder


def yolo(folder: Path, labels: dict[str, str]) -> Path:
    for name, text in labels.items():
        save(folder / "images" / f"{name}.png")
        (folder / "labels" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "labels" / f"{name}.txt").write_text(text)
    (folder / "data.yaml").write_text("names: [fish, crab]\ntrain: images/train\nval: images/val\n")
    return folder


def told(picture: Picture) -> tuple[str, str, str, list[str]]:
    return picture.id, picture.part, picture.group, [label.name for label in picture.labels]


def test_packed_digits_get_files_of_their_pixels(tmp_path: Path) -> None:
    collection = read_collection(cmaterdb(tmp_path / "cmaterdb"), "digits", tmp_path / "media")
    assert [told(picture) for picture in collection.pictures] == [
        ("training-images/000000.png", "train", "", ["3"]),
        ("training-images/000001.png", "train", "", ["1"]),
        ("training-images/000002.png", "train", "", ["2"]),
        ("testing-images/000000.png", "test", "", ["1"]),  # the copy stays: it is what a curator looks for
        ("testing-images/000001.png", "test", "", ["0"]),
    ]
    with np.load(tmp_path / "cmaterdb/testing-images.npz") as archive:
        for picture, pixels in zip(collection.pictures[3:], archive["images"], strict=True):
            assert picture.path == tmp_path / "media" / picture.id
            assert picture.size_wh == (32, 32)
            assert np.array_equal(read_image(picture.path), pixels)
    assert collection.pictures[0].labels[0].by == Provenance(kind="source", name="cmaterdb")
    assert (collection.kind, collection.name, collection.problems) == ("digits", "cmaterdb", ())


def test_the_source_is_the_group_where_no_part_cuts_through_it(tmp_path: Path) -> None:
    collection = read_collection(numtadb(tmp_path / "numtadb"), "digits", tmp_path / "media")
    assert [(one.part, one.group) for one in collection.pictures] == [("", f"numtadb-{letter}") for letter in "aab"]


def test_files_that_are_there_are_left_as_they_are(tmp_path: Path) -> None:
    source = cmaterdb(tmp_path / "cmaterdb")
    first = read_collection(source, "digits", tmp_path / "media").pictures[0].path
    first.write_bytes(b"mine")
    read_collection(source, "digits", tmp_path / "media")
    assert first.read_bytes() == b"mine"


def test_one_part_alone(tmp_path: Path) -> None:
    source = cmaterdb(tmp_path / "cmaterdb")
    collection = read_collection(source, "digits", tmp_path / "media", "train")
    assert {picture.part for picture in collection.pictures} == {"train"}
    assert len(list((tmp_path / "media").rglob("*.png"))) == 3
    source = numtadb(tmp_path / "numtadb")
    assert [one.part for one in read_collection(source, "digits", tmp_path / "media", "b").pictures] == [""]


def test_digits_in_class_folders_stay_where_they_are(tmp_path: Path) -> None:
    for part in ("train", "val"):
        save(tmp_path / "digits" / part / "3" / "x.png", size_wh=(11, 7))
    (tmp_path / "digits/train/4").mkdir()
    (tmp_path / "digits/train/4/damaged.png").write_bytes(b"no picture")
    collection = read_collection(tmp_path / "digits", "digits", tmp_path / "media")
    assert [(one.id, one.part, one.size_wh) for one in collection.pictures] == [
        ("train/3/x.png", "train", (11, 7)),
        ("val/3/x.png", "val", (11, 7)),
    ]
    assert [problem.name for problem in collection.problems] == ["train/4/damaged.png"]
    assert not (tmp_path / "media").exists()


def test_nonsense_labels_are_problems_and_the_rest_is_taken(tmp_path: Path) -> None:
    collection = read_collection(numtadb(tmp_path / "numtadb", (3, 99, 2)), "digits", tmp_path / "media")
    assert [one.id for one in collection.pictures] == ["training-abc/000000.png", "training-abc/000002.png"]
    assert [problem.name for problem in collection.problems] == ["training-abc.npz#1"]


def test_boxes_with_their_parts(tmp_path: Path) -> None:
    source = yolo(tmp_path / "reef", {"train/7482_F1_f000001": "1 0.5 0.5 0.5 0.5", "val/b": ""})
    collection = read_collection(source, "detection", tmp_path / "media")
    first, second = collection.pictures
    assert told(first) == ("images/train/7482_F1_f000001.png", "train", "7482", ["crab"])
    assert told(second) == ("images/val/b.png", "val", "", [])
    assert first.labels[0].xyxy is not None
    assert first.labels[0].xyxy.tolist() == [10, 5, 30, 15]
    assert collection.names == ("fish", "crab")


def test_boxes_outside_and_labels_of_missing_pictures_are_problems(tmp_path: Path) -> None:
    source = yolo(tmp_path / "reef", {"train/a": "0 0.5 0.5 0.5 0.5\n0 3 3 0.1 0.1\n0 nan 0.5 0.1 0.1", "val/b": ""})
    (source / "labels/train/gone.txt").write_text("0 0.5 0.5 0.5 0.5")
    (source / "images/train/damaged.png").write_bytes(b"no picture")
    (source / "labels/train/damaged.txt").write_text("0 0.5 0.5 0.5 0.5")
    collection = read_collection(source, "detection", tmp_path / "media")
    assert [len(one.labels) for one in collection.pictures] == [1, 0]
    assert not collection.pictures[0].complete
    assert {problem.name for problem in collection.problems} >= {
        "labels/train/a.txt:2",
        "labels/train/a.txt:3",
        "labels/train/gone.txt",
        "images/train/damaged.png",
    }


def test_pictures_that_coco_names_and_that_are_not_there_are_problems(tmp_path: Path) -> None:
    save(tmp_path / "reef/a.png")
    images = [{"id": n, "file_name": f"{name}.png", "width": 40, "height": 20} for n, name in enumerate("ab")]
    box = {"id": 1, "image_id": 0, "category_id": 1, "bbox": [2, 3, 10, 8], "area": 80, "iscrowd": 0}
    ghost = {**box, "id": 2, "image_id": 77}
    tree = {"images": images, "annotations": [box, ghost], "categories": [{"id": 1, "name": "fish"}]}
    (tmp_path / "reef/labels.json").write_text(json.dumps(tree))
    collection = read_collection(tmp_path / "reef", "detection", tmp_path / "media")
    assert [(one.id, len(one.labels)) for one in collection.pictures] == [("a.png", 1)]
    assert len(collection.problems) == 2


def test_outlines_make_a_segmentation(tmp_path: Path) -> None:
    outline = "0 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75"
    source = yolo(tmp_path / "reef", {"train/a": outline, "val/b": ""})
    collection = read_collection(source, "detection", tmp_path / "media")
    assert collection.kind == "segmentation"
    mask = collection.pictures[0].labels[0].mask
    assert mask is not None
    assert (mask.left, mask.top, mask.inside.shape, bool(mask.inside.all())) == (10, 5, (10, 20), True)


def test_crops_get_the_parts_that_a_training_has_and_the_fish_as_group(tmp_path: Path) -> None:
    for species in ("01_Chromis_chrysura", "Zanclus cornutus"):
        for fish in range(4):
            for frame in range(2):
                save(tmp_path / "crops" / species / f"fish_{fish:04d}_{frame}.png")
    collection = read_collection(tmp_path / "crops", "species", tmp_path / "media")
    assert collection.names == ("Chromis chrysura", "Zanclus cornutus")
    assert {one.part for one in collection.pictures} == {"train", "val", "test"}
    parts_of = {
        one.group: {two.part for two in collection.pictures if two.group == one.group} for one in collection.pictures
    }
    assert len(parts_of) == 8
    assert all(len(parts) == 1 for parts in parts_of.values())
    assert "01_Chromis_chrysura/fish_0000_0.png" in {one.id for one in collection.pictures}


def test_a_source_without_one_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "digits/3").mkdir(parents=True)
    (tmp_path / "digits/3/damaged.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"no readable picture; the first of 1: 3/damaged\.png"):
        read_collection(tmp_path / "digits", "digits", tmp_path / "media")


def test_media_that_cannot_be_written_end_it(tmp_path: Path) -> None:
    (tmp_path / "media").touch()
    with pytest.raises(FileAccessError, match="free space"):
        read_collection(cmaterdb(tmp_path / "cmaterdb"), "digits", tmp_path / "media")


def test_a_full_disk_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        with path.open("wb") as stream:
            stream.write(content[:5])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(FileAccessError, match="No space left"):
        read_collection(cmaterdb(tmp_path / "cmaterdb"), "digits", tmp_path / "media")
    assert not list((tmp_path / "media").rglob("*.png"))


def test_progress_is_told_and_ends_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "_TICK_EVERY", 2)
    heard: list[tuple[int, int]] = []
    read_collection(cmaterdb(tmp_path / "cmaterdb"), "digits", tmp_path / "media", tick=lambda *one: heard.append(one))
    assert heard == [(2, 5), (4, 5), (5, 5)]


@pytest.mark.parametrize(
    ("folder", "kind", "parts", "groups"),
    [
        ("digits/cmaterdb", "digits", {"train": 5000, "test": 1000}, 1),
        ("fish/f4k-species", "species", {"train": 1827, "val": 470, "test": 768}, 1679),
        ("fish/deepfish", "detection", {"train": 3762, "val": 769}, 17),
        ("fish/aquarium", "detection", {"train": 448, "val": 127, "test": 63}, 1),
        ("fish/tank-clip", "detection", {"": 50}, 1),
    ],
)
def test_real_datasets(
    folder: str, kind: Kind, parts: dict[str, int], groups: int, shankha_data: Path, tmp_path: Path
) -> None:
    try:
        collection: Collection = read_collection(shankha_data / folder, kind, tmp_path)
    except ShankhaError as error:
        pytest.fail(str(error))
    assert Counter(picture.part for picture in collection.pictures) == parts
    assert len({picture.group for picture in collection.pictures}) == groups
    assert all(picture.path.is_file() for picture in collection.pictures[::50])
