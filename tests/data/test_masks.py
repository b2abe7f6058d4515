from __future__ import annotations

import math

import numpy as np
import pytest
from faster_coco_eval.core import mask as coco_mask
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from data.masks import (
    INSIDE,
    Mask,
    area,
    boxes_around,
    coarse_picture,
    fitted,
    from_picture,
    from_polygons,
    length,
    mask_iou,
    mask_ious,
    nothing,
    outlined,
    polygons,
    semantic,
    without,
    without_holes,
)
from data.rle import from_rle, packed, rle, unpacked

SQUARE = np.array([[2.0, 3.0], [8.0, 3.0], [8.0, 7.0], [2.0, 7.0]])
BOWTIE = np.array([[0.0, 0.0], [10.0, 10.0], [10.0, 0.0], [0.0, 10.0]])

pictures = npst.arrays(np.bool_, npst.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14))


def size_of(picture: np.ndarray) -> tuple[int, int]:
    return picture.shape[1], picture.shape[0]


def disc(radius: float, middle: tuple[float, float], size_wh: tuple[int, int]) -> Mask:
    angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    return from_polygons([np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius + middle], size_wh)


@given(pictures)
def test_pixels_go_through_a_mask_unchanged(picture: np.ndarray) -> None:
    mask = from_picture(picture)
    assert area(mask) == np.count_nonzero(picture)
    assert np.array_equal(semantic([mask], size_of(picture)) == INSIDE, picture)
    if picture.any():
        assert mask.inside.any(axis=0)[[0, -1]].all()
        assert mask.inside.any(axis=1)[[0, -1]].all()
    else:
        assert mask == nothing()


@given(pictures)
def test_run_lengths_are_those_of_coco(picture: np.ndarray) -> None:
    found = rle(from_picture(picture), size_of(picture))
    right = coco_mask.encode(np.asfortranarray(picture.astype(np.uint8)))["counts"]
    assert found["size"] == list(picture.shape)
    assert found["counts"] == (right.decode() if isinstance(right, bytes) else right)


@given(pictures)
def test_run_lengths_tell_the_same_mask(picture: np.ndarray) -> None:
    mask, size_wh = from_picture(picture), size_of(picture)
    text = rle(mask, size_wh)["counts"]
    assert from_rle(text, size_wh) == mask
    assert from_rle(text.encode(), size_wh) == mask
    assert from_rle(unpacked(text), size_wh) == mask


@given(st.lists(st.integers(0, 10**7), max_size=30))
def test_numbers_go_through_the_text_of_run_lengths(lengths: list[int]) -> None:
    assert unpacked(packed(lengths)) == lengths


@pytest.mark.parametrize(
    ("counts", "fault"),
    [
        ("é", "no part of run lengths"),
        ("P" * 40, "no part of run lengths"),
        ("P", "in the middle of a number"),
        ([-1, 101], "whole numbers"),
        ([0.5, 99.5], "whole numbers"),
        ([math.nan], "whole numbers"),
        ([3, 4], "add up to 7, not 10 x 10 pixels"),
        ([], "add up to 0"),
    ],
)
def test_what_is_no_run_lengths_is_refused(counts: str | list[float], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        from_rle(counts, (10, 10))  # type: ignore[arg-type]


def test_a_mask_beyond_the_frame_has_no_run_lengths() -> None:
    with pytest.raises(ValueError, match="leaves the frame of 4 x 4"):
        rle(Mask(2, 2, np.ones((3, 2), np.bool_)), (4, 4))


@given(pictures)
def test_outlines_drawn_again_give_the_mask_with_its_holes_filled(picture: np.ndarray) -> None:
    mask = from_picture(picture)
    outlines = polygons(mask)
    assert from_polygons(outlines, size_of(picture)) == fitted(without_holes(mask))
    assert all(len(one) >= 4 for one in outlines)


def test_parts_that_touch_at_a_corner_have_outlines_of_their_own() -> None:
    assert len(polygons(from_picture(np.eye(3)))) == 3


@given(st.floats(2, 12), st.floats(0, 3))
def test_a_simpler_outline_stays_near(radius: float, tolerance: float) -> None:
    mask = disc(radius, (15, 15), (30, 30))
    exact, simple = polygons(mask), polygons(mask, tolerance)
    assert sum(map(len, simple)) <= sum(map(len, exact))
    for corner in np.concatenate(simple):
        assert np.abs(np.concatenate(exact) - corner).sum(axis=1).min() == 0


def test_a_polygon_takes_the_pixels_whose_middle_it_covers() -> None:
    mask = from_polygons([SQUARE], (20, 20))
    assert (mask.left, mask.top, mask.inside.shape, area(mask)) == (2, 3, (4, 6), 24)
    assert from_polygons([SQUARE[::-1]], (20, 20)) == mask
    assert from_polygons([SQUARE + 0.4], (20, 20)) == mask
    assert from_polygons([SQUARE + 0.6], (20, 20)) == Mask(3, 4, mask.inside)


@given(st.floats(3, 20), st.floats(20, 40), st.floats(20, 40))
def test_the_area_of_a_disc_is_that_of_a_disc(radius: float, x: float, y: float) -> None:
    assert area(disc(radius, (x, y), (60, 60))) == pytest.approx(math.pi * radius**2, abs=3 * radius)


@given(st.floats(-30, 90), st.floats(-30, 90))
def test_what_leaves_the_frame_is_cut_off(x: float, y: float) -> None:
    whole = disc(12, (x + 100, y + 100), (300, 300))
    part = disc(12, (x, y), (60, 60))
    inside = semantic([whole], (300, 300))[100:160, 100:160]
    assert np.array_equal(semantic([part], (60, 60)), inside)


def test_several_polygons_are_one_object() -> None:
    mask = from_polygons([SQUARE, SQUARE + 8, SQUARE + 2], (30, 30))
    assert area(mask) == 24 + 24 + 24 - 8
    assert from_polygons([], (30, 30)) == nothing()


@pytest.mark.parametrize(
    ("corners", "fault"),
    [
        ([], "fewer than three corners"),
        ([SQUARE[:2]], "fewer than three corners"),
        ([np.array([[0.0, 0.0], [1.0, math.inf], [1.0, 0.0]])], "not finite"),
        ([np.array([[0.0, 0.0], [5.0, 5.0], [9.0, 9.0]])], "no area"),
        ([BOWTIE], "crosses itself"),
        ([SQUARE, BOWTIE], "crosses itself"),
        ([SQUARE + 100], "covers no pixel of the picture of 20 x 20"),
        ([SQUARE / 100], "covers no pixel"),
    ],
)
def test_what_outlines_nothing_is_refused(corners: list[np.ndarray], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        outlined(corners, (20, 20))


def test_a_slip_of_the_hand_does_no_harm() -> None:
    slip = np.array([[0, 0], [40, 0], [40, 40], [0, 40], [0, 2], [1, 1], [-1, 1]], np.float64)
    assert area(outlined([slip], (50, 50))) == pytest.approx(1600, abs=5)


@given(st.integers(1, 40), st.integers(1, 40))
def test_a_rectangle_is_as_long_as_its_longer_side(width: int, height: int) -> None:
    found = length(from_picture(np.ones((height, width))))
    longest = max(width, height)
    assert longest - 1e-6 <= found <= math.hypot(width, height) + 1e-6
    if width > 1.5 * height or height > 1.5 * width:
        assert found == pytest.approx(longest)


@given(st.floats(0, math.pi))
def test_length_does_not_depend_on_the_heading(angle: float) -> None:
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    corners = np.array([50 * a * along + 10 * b * across for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))])
    assert length(from_polygons([corners + 70], (140, 140))) == pytest.approx(100, abs=4)


def test_nothing_has_no_length_and_one_pixel_has_one() -> None:
    assert length(nothing()) == 0
    assert length(from_picture(np.ones((1, 1)))) == 1


@given(pictures, pictures)
def test_overlap_is_pixels_of_both_over_pixels_of_either(one: np.ndarray, other: np.ndarray) -> None:
    size = np.maximum(one.shape, other.shape)
    whole = [np.pad(part, [(0, size[0] - part.shape[0]), (0, size[1] - part.shape[1])]) for part in (one, other)]
    either = np.count_nonzero(whole[0] | whole[1])
    expected = np.count_nonzero(whole[0] & whole[1]) / either if either else 0
    masks = from_picture(one), from_picture(other)
    assert mask_iou(*masks) == pytest.approx(expected)
    assert mask_ious([masks[0]], [masks[1], masks[0]])[0, 0] == pytest.approx(expected)
    assert area(without(*masks)) == np.count_nonzero(whole[0] & ~whole[1])


def test_overlaps_of_no_masks_are_an_empty_table() -> None:
    assert mask_ious([], [nothing()]).shape == (0, 1)
    assert mask_ious([nothing()], []).shape == (1, 0)
    assert boxes_around([]).shape == (0, 4)
    assert boxes_around([from_polygons([SQUARE], (20, 20))]).tolist() == [[2, 3, 8, 7]]


def test_a_coarse_picture_shows_what_is_half_covered() -> None:
    mask = from_picture(np.ones((4, 6)), left=4, top=0)
    assert coarse_picture(mask, (16, 8), 4).tolist() == [[0, 1, 1, 0], [0, 0, 0, 0]]
