"""Crops of fish by species: names, fish, parts that never share one, and everything that can be wrong with a folder."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import ArgumentError, FileAccessError, InputError
from data.readers.crops import PARTS, CropSplit, fish_of, read_crops, read_parts, species_name, teachable
from data.splits import hold_out_groups


def picture(path: Path, grey: int = 128) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((20, 30, 3), grey, np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for species, fish in (("01_Alpha_beta", 8), ("02_Gamma_delta", 4), ("Epsilon zeta", 2)):
        for trajectory in range(fish):
            for frame in range(3):
                picture(tmp_path / species / f"fish_{trajectory:012d}_{frame:05d}.png")
    return tmp_path


@pytest.mark.parametrize(
    ("folder_name", "name"),
    [
        ("03_Chromis_chrysura", "Chromis chrysura"),
        ("Chromis chrysura", "Chromis chrysura"),
        ("18_Scaridae", "Scaridae"),
        ("7-snapper", "snapper"),
        ("2024", "2024"),
        ("12 bream", "bream"),
    ],
)
def test_species_are_named_after_their_folders(folder_name: str, name: str) -> None:
    assert species_name(folder_name) == name


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("fish_000000019596_03647.jpg", "fish_000000019596_03648.jpg", True),
        ("fish_000000019596_03647.jpg", "fish_000001979596_03648.jpg", False),
        ("GX010001_track12_0007.jpg", "GX010001_track12_0031.jpg", True),
        ("GX010001_track12_0007.jpg", "GX010002_track12_0007.jpg", False),
        ("IMG_0001.jpg", "IMG_0002.jpg", False),
        ("fish-a/1.jpg", "fish-a/2.jpg", True),
        ("fish-a/1.jpg", "fish-b/1.jpg", False),
        ("1.jpg", "fish-a/1.jpg", False),
    ],
)
def test_pictures_of_one_fish_are_told_by_their_names(one: str, other: str, same: bool) -> None:
    species = Path("crops/01_Alpha")
    assert (fish_of(species / one, species) == fish_of(species / other, species)) is same


def test_parts_share_no_fish_and_hold_every_species_that_has_enough(folder: Path) -> None:
    crops = read_crops(folder)
    assert crops.names == ("Alpha beta", "Gamma delta", "Epsilon zeta")
    parts = {part: crops.part(part, CropSplit()) for part in PARTS}
    fish = [set(part.groups) for part in parts.values()]
    assert not any(one & other for one, other in combinations(fish, 2))
    assert sum(len(part) for part in parts.values()) == len(crops) == 42
    assert set(parts["train"].labels) == set(parts["test"].labels) == {0, 1, 2}
    assert set(parts["val"].labels) == {0, 1}
    with pytest.raises(ArgumentError, match="'dev' is no part"):
        crops.part("dev", CropSplit())


def test_parts_do_not_move_when_other_species_come_or_go(folder: Path) -> None:
    before = set(read_crops(folder, "test").files)
    picture(folder / "00_Another" / "fish_1_1.png")
    assert before <= set(read_crops(folder, "test").files)
    assert read_crops(folder, "test", CropSplit(seed=1)).files.tolist() != sorted(before)


def test_folders_of_parts_are_taken_as_they_are(tmp_path: Path) -> None:
    for number in range(6):
        picture(tmp_path / "train" / "a" / f"{number}.png")
        picture(tmp_path / "train" / "b" / f"{number}.png")
    picture(tmp_path / "test" / "b" / "9.png")
    assert read_crops(tmp_path).files.tolist() == ["b/9.png"]
    parts = read_parts(tmp_path, CropSplit())
    assert list(parts) == ["train", "val", "test"]
    assert len(parts["train"]) + len(parts["val"]) == 12
    with pytest.raises(ArgumentError, match="no split 'val'"):
        read_crops(tmp_path, "val")


def test_bad_items_are_told_and_the_rest_goes_on(folder: Path) -> None:
    (folder / "05_Empty").mkdir()
    (folder / "06_Notes").mkdir()
    (folder / "06_Notes" / "notes.txt").write_text("none yet")
    (folder / "loose.png").write_bytes(b"x")
    crops = read_crops(folder)
    assert [(one.name, one.why) for one in crops.problems] == [
        ("05_Empty", "holds no picture: this species is left out"),
        ("06_Notes", "holds no picture: this species is left out"),
    ]
    assert {one.name for one in crops.left_out} == {"06_Notes/notes.txt", "loose.png"}
    assert len(crops) == 42


def test_species_of_too_few_readable_pictures_are_left_out_and_told(folder: Path) -> None:
    picture(folder / "Lonely" / "1.png")
    crops = read_crops(folder)
    readable = np.ones(len(crops), np.bool_)
    readable[np.flatnonzero(crops.labels == crops.names.index("Epsilon zeta"))[1:]] = False
    names, problems = teachable(crops, readable)
    assert names == ("Alpha beta", "Gamma delta")
    assert [one.name for one in problems] == ["Epsilon zeta", "Lonely"]
    assert all("has 1 of the 2 readable pictures that are needed" in one.why for one in problems)


def test_a_file_that_is_no_picture_is_an_error_of_its_own(folder: Path) -> None:
    path = folder / "01_Alpha_beta" / "fish_000000000000_00000.png"
    path.write_bytes(b"no picture")
    crops = read_crops(folder)
    with pytest.raises(InputError, match="is no picture"):
        crops.read(crops.files.tolist().index("01_Alpha_beta/fish_000000000000_00000.png"))


def test_folders_without_species_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="is no folder"):
        read_crops(tmp_path / "none")
    with pytest.raises(InputError, match="holds no pictures"):
        read_crops(tmp_path)
    picture(tmp_path / "01_Alpha" / "1.png")
    picture(tmp_path / "02_Alpha" / "1.png")
    with pytest.raises(InputError, match="two folders of 'Alpha'"):
        read_crops(tmp_path)


def test_grey_pictures_become_colour(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    cv2.imwrite(str(tmp_path / "a" / "1.png"), np.full((8, 9), 77, np.uint8))
    assert read_crops(tmp_path).read(0).shape == (8, 9, 3)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=60), st.floats(0.05, 0.95), st.integers(0, 9))
def test_held_out_groups_are_whole_and_of_every_class_that_has_two(
    examples: list[tuple[int, int]], share: float, seed: int
) -> None:
    labels = np.array([label for label, _ in examples], np.int64)
    groups = np.array([f"{label}-{group}" for label, group in examples], np.str_)
    kept, held = hold_out_groups(labels, groups, share, seed)
    assert sorted([*kept, *held]) == list(range(len(examples)))
    assert not set(groups[kept]) & set(groups[held])
    for label in np.unique(labels):
        own = len(np.unique(groups[labels == label]))
        held_own = len(np.unique(groups[held][labels[held] == label]))
        assert held_own == min(max(1, round(share * own)), own - 1)
    order = np.random.default_rng(seed).permutation(len(examples))
    again = hold_out_groups(labels[order], groups[order], share, seed)[1]
    assert set(groups[order][again]) == set(groups[held])


def test_the_share_held_out_is_a_share() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        hold_out_groups([0], ["a"], 1.0)
