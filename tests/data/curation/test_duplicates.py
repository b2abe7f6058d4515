from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.curation.duplicates import Duplicates, find_duplicates
from data.errors import InputError
from data.preprocess import Image
from data.readers.crops import read_crops

Change = Callable[[Image], Image]


def scene(seed: int, side: int = 90) -> Image:
    """A picture like no other: blobs and strokes in colours."""
    rng = np.random.default_rng(seed)
    picture = np.full((side, side, 3), rng.integers(60, 200, 3), np.uint8)
    for _ in range(12):
        centre, axes = rng.integers(0, side, 2).tolist(), rng.integers(3, side // 3, 2).tolist()
        colour = rng.integers(0, 255, 3).tolist()
        cv2.ellipse(picture, centre, axes, float(rng.integers(180)), 0, 360, colour, int(rng.choice([-1, 1, 2])))
    return cv2.GaussianBlur(picture, (0, 0), 0.7)


def crop(image: Image) -> Image:
    height, width = image.shape[:2]
    return image[height // 12 : -height // 10, width // 20 : -width // 15]


def jpeg(image: Image) -> Image:
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 55])[1], cv2.IMREAD_UNCHANGED)


def brighter(image: Image) -> Image:
    return np.clip(image.astype(np.float32) * 1.15 + 12, 0, 255).astype(np.uint8)


def smaller(image: Image) -> Image:
    return cv2.resize(image, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)


def grey(image: Image) -> Image:
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def everything(image: Image) -> Image:
    return jpeg(brighter(smaller(crop(image))))


def found(pictures: list[Image]) -> Duplicates:
    return find_duplicates(pictures.__getitem__, len(pictures))


@pytest.mark.parametrize("side", [32, 90])
@pytest.mark.parametrize("change", [crop, jpeg, brighter, smaller, grey, everything])
def test_a_changed_copy_is_found_among_others_and_nothing_else(change: Change, side: int) -> None:
    pictures = [scene(seed, side) for seed in range(25)]
    told = found([*pictures, change(pictures[7]), change(pictures[19])])
    assert told.pairs.tolist() == [[7, 25], [19, 26]]
    assert not told.exact.any()
    assert (told.likeness > 0.955).all()
    assert told.first().tolist() == [-1] * 25 + [7, 19]


def test_exact_copies_are_told_from_near_ones_and_grey_is_grey() -> None:
    one, other = scene(1), scene(2)
    in_one_channel = grey(other)
    pictures = [one, other, one.copy(), in_one_channel, cv2.merge([in_one_channel] * 3), jpeg(one), one.copy()]
    told = found(pictures)
    assert told.pairs.tolist() == [[0, 2], [0, 5], [0, 6], [1, 3], [3, 4]]
    assert told.exact.tolist() == [True, False, True, False, True]
    assert told.first().tolist() == [-1, -1, 0, 1, 3, 0, 0]
    assert told.groups().tolist() == [0, 1, 0, 1, 1, 0, 0]


def test_the_same_pixels_in_another_shape_are_no_copy() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), 200)
    assert not found([stripes.reshape(20, 20), stripes.reshape(10, 40)]).exact.any()


def test_even_pictures_are_alike_only_if_equal() -> None:
    dark, light = np.full((40, 40), 10, np.uint8), np.full((40, 40), 200, np.uint8)
    assert found([dark, light, dark.copy(), np.full((40, 41), 10, np.uint8)]).pairs.tolist() == [[0, 2]]


@pytest.mark.parametrize("change", [lambda p: p[:, ::-1], lambda p: 255 - p, lambda p: cv2.rotate(p, cv2.ROTATE_180)])
def test_a_mirrored_negative_or_turned_picture_is_another(change: Change) -> None:
    pictures = [scene(seed) for seed in range(8)]
    assert not len(found([*pictures, np.ascontiguousarray(change(pictures[3]))]).pairs)


def test_a_fish_that_moved_before_the_same_reef_makes_another_picture() -> None:
    reef = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (90, 90), np.uint8), (0, 0), 2)
    here, there = reef.copy(), reef.copy()
    cv2.ellipse(here, (25, 45), (16, 8), 0, 0, 360, 220, -1)
    cv2.ellipse(there, (62, 45), (16, 8), 0, 0, 360, 220, -1)
    assert not len(found([here, there]).pairs)


def test_what_cannot_be_read_is_told_and_repeats_nothing() -> None:
    pictures = [scene(1), scene(2), scene(1)]

    def read(index: int) -> Image:
        if index == 1:
            raise InputError(Path("b.png"), "is damaged")
        return pictures[index]

    heard: list[int] = []
    told = find_duplicates(read, 3, "abc".__getitem__, heard.append)
    assert [(problem.name, problem.why) for problem in told.problems] == [("b", "is damaged")]
    assert told.pairs.tolist() == [[0, 2]]
    assert heard == [1, 2, 3]


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_pictures_repeat_nothing(count: int) -> None:
    told = found([scene(0)] * count)
    assert told.pairs.shape == (0, 2)
    assert told.groups().tolist() == list(range(count))


@settings(max_examples=60, deadline=None)
@given(st.sets(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=14))
def test_groups_join_whatever_is_linked_by_way_of_others(links: set[tuple[int, int]]) -> None:
    pairs = np.array(sorted((min(link), max(link)) for link in links if link[0] != link[1]), np.int64).reshape(-1, 2)
    told = Duplicates(12, pairs, np.zeros(len(pairs), np.bool_), np.ones(len(pairs), np.float32))
    reach = np.eye(12, dtype=bool)
    reach[pairs[:, 0], pairs[:, 1]] = reach[pairs[:, 1], pairs[:, 0]] = True
    for _ in range(4):
        reach = reach @ reach
    assert told.groups().tolist() == reach.argmax(axis=1).tolist()
    firsts = [min((a for a, b in pairs.tolist() if b == picture), default=-1) for picture in range(12)]
    assert told.first().tolist() == firsts


def test_the_seven_test_digits_that_repeat_training_digits_are_found(shankha_data: Path) -> None:
    folder = shankha_data / "digits" / "cmaterdb"
    training = np.load(folder / "training-images.npz")["images"]
    test = np.load(folder / "testing-images.npz")["images"]
    told = found([*training, *test])
    across = (told.pairs[:, 0] < len(training)) & (told.pairs[:, 1] >= len(training)) & told.exact
    assert sorted((told.pairs[across, 1] - len(training)).tolist()) == [41, 79, 258, 288, 471, 758, 862]


def test_planted_copies_of_fish_are_found_and_different_fish_are_not_confused(shankha_data: Path) -> None:
    crops = read_crops(shankha_data / "fish" / "f4k-species", "test")
    alone = [crops.read(int(np.flatnonzero(crops.groups == fish)[0])) for fish in np.unique(crops.groups)][:200]
    told = found([*alone, *(everything(picture) for picture in alone[::5])])
    planted = {(5 * number, len(alone) + number) for number in range(len(alone[::5]))}
    right = planted & {tuple(pair) for pair in told.pairs.tolist()}
    assert len(right) >= 0.9 * len(planted)
    assert len(right) >= 0.95 * len(told.pairs)


def test_small_strokes_in_empty_cells_are_compared_as_closely_as_large_ones() -> None:
    def cell(seed: int, left: int = 8, top: int = 9) -> Image:
        grown = np.cumsum(np.random.default_rng(seed).normal(size=(7, 2)), axis=0)
        points = (grown - grown.min(axis=0)) / np.ptp(grown, axis=0) * 10 + (left, top)
        picture = np.zeros((28, 28), np.uint8)
        cv2.polylines(picture, [np.round(points * 16).astype(np.int32)], False, 255, 1, cv2.LINE_AA, 4)
        return picture

    moved = np.roll(cell(4), (3, 5), (0, 1))
    told = found([*(cell(seed) for seed in range(40)), moved])
    assert told.pairs.tolist() == [[4, 40]]
