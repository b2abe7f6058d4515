"""What is written is read again: for every format, what it can hold comes back."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.curation.collection import Collection, Kind, Label, Picture, Provenance
from data.curation.exchange import FORMATS, Library, format_of
from data.masks import Mask, fitted, without_holes
from data.readers.npz import read_cmaterdb
from tests.data.curation.exchange.reef import FISH, SIZE_WH, differences, made, picture_file

CASES = [(name, kind) for name, one in FORMATS.items() for kind in sorted(one.kinds)]
LOSES = {"yolo": {"by", "confidence", "track", "complete", "tags", "group"}, "classes": {"by", "confidence", "group"}}
"""What a format cannot hold."""
NEAR = {"yolo": 0.001, "coco": 0.002}


def read_back(name: str, collection: Collection, folder: Path) -> Collection:
    FORMATS[name].write(collection, folder)
    return by_places(name, collection, FORMATS[name].read(folder))


def by_places(name: str, collection: Collection, again: Collection) -> Collection:
    """What was read, under the ids that its pictures had before."""
    ids = {place.as_posix(): one for one, place in FORMATS[name].places(collection).items()}
    ids |= {place.name: one for one, place in FORMATS[name].places(collection).items()}
    pictures = tuple(
        Picture(ids.get(one.id, one.id), one.path, one.size_wh, one.labels, one.part, one.group, one.complete, one.tags)
        for one in again.pictures
    )
    return Collection(again.name, again.kind, again.names, pictures, again.problems)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_what_is_written_comes_back(name: str, kind: Kind, tmp_path: Path) -> None:
    collection = made(kind, tmp_path / "reef")
    FORMATS[name].write(collection, tmp_path / "out")
    again = by_places(name, collection, FORMATS[name].read(tmp_path / "out"))
    loses = LOSES.get(name, set()) | ({"part", "group", "complete", "tags"} if name in {"viame", "dive"} else set())
    if name == "yolo" and kind == "segmentation":
        loses |= {"mask"}  # a box that nobody outlined comes back as its corners
    assert differences(collection, again, near=NEAR.get(name, 0.006), without=loses) == []
    assert again.kind == kind
    assert set(again.names) >= {label.name for picture in collection.pictures for label in picture.labels}
    assert again.problems == ()


@pytest.mark.parametrize(("name", "kind"), [case for case in CASES if case[0] != "classes"])
def test_labels_come_back_without_their_pictures(name: str, kind: Kind, tmp_path: Path) -> None:
    """As tools send them back; the pictures are found by their names among those that are known."""
    collection = made(kind, tmp_path / "reef")
    FORMATS[name].write(collection, tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "images")
    (tmp_path / "out" / "cvat.zip").unlink(missing_ok=True)
    again = FORMATS[name].read(tmp_path / "out", Library(collection.pictures))
    labelled = {picture.id for picture in collection.pictures if picture.labels}
    assert labelled <= {picture.id for picture in again.pictures}
    said = {picture.id: len(picture.labels) for picture in again.pictures}
    assert all(said.get(picture.id, 0) == len(picture.labels) for picture in collection.pictures)
    own = {picture.id: picture.path for picture in collection.pictures}
    assert all(picture.path == own[picture.id] for picture in again.pictures)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_same_collection_gives_the_same_bytes(name: str, kind: Kind, tmp_path: Path) -> None:
    collection = made(kind, tmp_path / "reef")
    for folder in ("one", "two"):
        FORMATS[name].write(collection, tmp_path / folder)
    one, two = (
        {p.relative_to(tmp_path / f): p.read_bytes() for p in (tmp_path / f).rglob("*") if p.is_file()}
        for f in ("one", "two")
    )
    assert one == two
    assert not [path for path in one if path.name.startswith(".")]


@pytest.mark.parametrize(("name", "kind"), [case for case in CASES if case[0] != "classes"])
def test_a_folder_says_of_which_format_it_is(name: str, kind: Kind, tmp_path: Path) -> None:
    FORMATS[name].write(made(kind, tmp_path / "reef"), tmp_path / "out")
    found = format_of(tmp_path / "out")
    assert found is not None
    assert found.name == name


def test_every_picture_of_two_with_one_name_keeps_its_own_labels(tmp_path: Path) -> None:
    collection = made("detection", tmp_path / "reef")
    for name in ("coco", "yolo", "cvat", "label-studio", "viame", "dive"):
        again = read_back(name, collection, tmp_path / name)
        content = {one.path.read_bytes(): len(one.labels) for one in again.pictures}
        assert all(content[one.path.read_bytes()] == len(one.labels) for one in collection.pictures)


SIDES = st.integers(0, 400).map(lambda quarters: quarters / 8)


@st.composite
def masks(draw: st.DrawFn) -> Mask:
    height, width = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    cells = draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
    inside = np.array(cells, np.bool_).reshape(height, width)
    inside[draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))] = True
    left, top = draw(st.integers(0, SIZE_WH[0] - width)), draw(st.integers(0, SIZE_WH[1] - height))
    return without_holes(fitted(Mask(left, top, inside)))


@st.composite
def labels(draw: st.DrawFn) -> Label:
    by = draw(st.sampled_from([Provenance(kind="source", name="reef"), Provenance(kind="model", name="m, 1")]))
    track = draw(st.integers(0, 3))
    name, sure = draw(st.sampled_from(FISH)), draw(st.none() | st.integers(0, 99).map(lambda share: share / 100))
    if draw(st.booleans()):
        mask = draw(masks())
        return Label(name, by, mask.xyxy, mask, sure, track)
    left, top = draw(st.integers(0, 60)), draw(st.integers(0, 40))
    width, height = draw(st.integers(1, 64 - left)), draw(st.integers(1, 48 - top))
    return Label(name, by, np.array([left, top, left + width, top + height], np.float32), None, sure, track)


def distinct(found: list[Label]) -> tuple[Label, ...]:
    """No two boxes of a picture at one place: readers take the second for a slip."""
    kept = {}
    for label in found:
        assert label.xyxy is not None
        kept[label.name, tuple(np.round(label.xyxy))] = label
    return tuple(kept.values())


@pytest.mark.parametrize("name", ["coco", "cvat", "label-studio", "viame", "dive", "yolo"])
@settings(max_examples=15)
@given(said=st.lists(st.lists(labels(), max_size=4).map(distinct), min_size=1, max_size=3))
def test_whatever_is_said_comes_back(name: str, said: list[tuple[Label, ...]]) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        pictures = tuple(
            Picture(f"p{number}.png", picture_file(folder / f"p{number}.png", number), SIZE_WH, own)
            for number, own in enumerate(said)
        )
        outlined = any(label.mask is not None for own in said for label in own)
        collection = Collection("reef", "segmentation" if outlined else "detection", FISH, pictures)
        FORMATS[name].write(collection, folder / "out")
        again = by_places(name, collection, FORMATS[name].read(folder / "out"))
        loses = LOSES.get(name, set())
        if name == "yolo" and outlined:
            loses = loses | {"mask"}
            assert _masks(collection) <= _masks(again)
        assert differences(collection, again, near=NEAR.get(name, 0.006), without=loses) == []


def _masks(collection: Collection) -> set[tuple[str, Mask]]:
    return {(one.id, label.mask) for one in collection.pictures for label in one.labels if label.mask is not None}


@pytest.fixture(scope="module")
def luderick(shankha_data: Path) -> Collection:
    whole = FORMATS["coco"].read(shankha_data / "fish" / "luderick")
    return whole.select(range(0, len(whole), 120))


@pytest.mark.parametrize("name", ["coco", "cvat", "label-studio", "viame", "dive", "yolo"])
def test_polygons_that_people_drew_come_back(name: str, luderick: Collection, tmp_path: Path) -> None:
    again = read_back(name, luderick, tmp_path)
    masks = {(one.id, label.name): label.mask for one in luderick.pictures for label in one.labels if label.mask}
    found = {one.id: [label.mask for label in one.labels] for one in again.pictures}
    assert len(masks) > 20
    assert all(mask in found[item] for (item, _), mask in masks.items())


@pytest.mark.parametrize("name", ["coco", "cvat", "label-studio", "viame", "dive", "yolo"])
def test_boxes_of_an_aquarium_come_back(name: str, shankha_data: Path, tmp_path: Path) -> None:
    aquarium = FORMATS["yolo"].read(shankha_data / "fish" / "aquarium")
    assert (len(aquarium), {one.part for one in aquarium.pictures}) == (638, {"train", "val", "test"})
    aquarium = aquarium.select(range(0, len(aquarium), 40))
    again = read_back(name, aquarium, tmp_path)
    loses = {"part", "group", "complete", "by"} if name in {"viame", "dive", "yolo"} else set()
    assert differences(aquarium, again, near=0.006, without=loses) == []


@pytest.mark.parametrize("name", ["classes", "cvat", "label-studio"])
def test_crops_of_fish_keep_their_species_and_their_fish(name: str, shankha_data: Path, tmp_path: Path) -> None:
    crops = FORMATS["classes"].read(shankha_data / "fish" / "f4k-species")
    assert (len(crops), len(crops.names), crops.kind) == (3065, 23, "species")
    crops = crops.select(range(0, len(crops), 60))
    again = read_back(name, crops, tmp_path)
    species = {one.path.read_bytes(): one.labels[0].name for one in again.pictures}
    assert all(species[one.path.read_bytes()] == one.labels[0].name for one in crops.pictures)
    fish = {one.path.read_bytes(): one.group.rpartition("/")[2] for one in again.pictures}
    assert all(fish[one.path.read_bytes()] == one.group.rpartition("/")[2] for one in crops.pictures)


@pytest.mark.parametrize("name", ["classes", "cvat", "label-studio"])
def test_digits_of_cmaterdb_come_back(name: str, shankha_data: Path, tmp_path: Path) -> None:
    packed = read_cmaterdb(shankha_data / "digits" / "cmaterdb", "test")
    pictures = []
    for index in range(0, len(packed), 50):
        path = tmp_path / "cells" / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), packed.read(index))
        label = Label(str(packed.labels[index]), Provenance(kind="source", name="cmaterdb"))
        pictures.append(Picture(f"cells/{index}.png", path, (32, 32), (label,), "test"))
    collection = Collection("cmaterdb", "digits", made("digits", tmp_path / "d").names, tuple(pictures))
    again = read_back(name, collection, tmp_path / "out")
    assert again.kind == "digits"
    digit = {one.path.read_bytes(): one.labels[0].name for one in again.pictures}
    assert [digit[one.path.read_bytes()] for one in pictures] == [one.labels[0].name for one in pictures]
    assert {one.part for one in again.pictures} == {"test"}
