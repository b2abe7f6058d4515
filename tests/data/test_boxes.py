from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from data.boxes import Boxes, areas, clipped, from_xywh, ious, no_boxes, to_xywh

# Whole pixels: sums and products are exact in float32.
corners = hnp.arrays(np.float32, st.tuples(st.integers(0, 6), st.just(4)), elements=st.integers(-200, 400))


@st.composite
def boxes(draw: st.DrawFn) -> Boxes:
    """Boxes that are not inside out; some have no area."""
    raw = draw(corners)
    return np.concatenate([np.minimum(raw[:, :2], raw[:, 2:]), np.maximum(raw[:, :2], raw[:, 2:])], axis=1)


def test_no_boxes_are_boxes() -> None:
    assert (no_boxes().shape, no_boxes().dtype) == ((0, 4), np.float32)
    assert areas(no_boxes()).shape == (0,)
    assert ious(no_boxes(), np.ones((3, 4), np.float32)).shape == (0, 3)
    assert clipped(no_boxes(), (10, 10)).shape == from_xywh(no_boxes()).shape == to_xywh(no_boxes()).shape == (0, 4)


def test_hand_computed_cases() -> None:
    one = np.array([[0, 0, 10, 10]], np.float32)
    others = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [5, 5, 15, 15], [10, 0, 20, 10], [2, 2, 4, 4]], np.float32)
    assert ious(one, others)[0].tolist() == pytest.approx([1, 50 / 150, 25 / 175, 0, 4 / 100])
    assert areas(others).tolist() == [100, 100, 100, 100, 4]
    assert areas(np.array([[10, 0, 0, 10], [0, 0, 0, 5]], np.float32)).tolist() == [0, 0]
    assert clipped(np.array([[-5, 3, 20, 30]], np.float32), (16, 9)).tolist() == [[0, 3, 16, 9]]


@given(boxes(), boxes())
def test_ious_are_symmetric_and_between_nought_and_one(one: Boxes, other: Boxes) -> None:
    found = ious(one, other)
    assert found.shape == (len(one), len(other))
    assert found.dtype == np.float32
    assert ((found >= 0) & (found <= 1)).all()
    assert np.array_equal(found, ious(other, one).T)


@given(boxes())
def test_a_box_is_itself_and_no_other(some: Boxes) -> None:
    found = ious(some, some)
    assert np.array_equal(np.diagonal(found), (areas(some) > 0).astype(np.float32))
    same = (some[:, None] == some[None]).all(axis=2) & (areas(some) > 0)[:, None]
    assert np.array_equal(found == 1, same)


@given(boxes(), boxes(), st.integers(-50, 50), st.sampled_from([0.5, 2.0, 4.0]))
def test_ious_do_not_change_with_place_or_scale(one: Boxes, other: Boxes, shift: int, scale: float) -> None:
    moved = ious((one + shift) * np.float32(scale), (other + shift) * np.float32(scale))
    assert moved == pytest.approx(ious(one, other), abs=1e-6)


@given(boxes(), boxes())
def test_ious_count_pixels(one: Boxes, other: Boxes) -> None:
    """Against a count of the pixels of a mask, right and bottom excluded."""
    for a in one[:2]:
        for b in other[:2]:
            masks = np.zeros((2, 620, 620), np.bool_)
            for mask, (left, top, right, bottom) in zip(masks, (a, b), strict=True):
                mask[int(top) + 210 : int(bottom) + 210, int(left) + 210 : int(right) + 210] = True
            union = np.count_nonzero(masks.any(axis=0))
            expected = np.count_nonzero(masks.all(axis=0)) / union if union else 0.0
            assert ious(a[None], b[None])[0, 0] == pytest.approx(expected, abs=1e-6)


@given(boxes())
def test_width_and_height_there_and_back(some: Boxes) -> None:
    xywh = to_xywh(some)
    assert (xywh[:, 2:] >= 0).all()
    assert np.array_equal(from_xywh(xywh), some)
    assert np.array_equal(xywh[:, 2] * xywh[:, 3], areas(some))


@given(boxes(), st.integers(1, 300), st.integers(1, 300))
def test_clipped_boxes_lie_in_the_picture(some: Boxes, width: int, height: int) -> None:
    cut = clipped(some, (width, height))
    assert (cut >= 0).all()
    assert (cut[:, ::2] <= width).all()
    assert (cut[:, 1::2] <= height).all()
    inside = (some >= 0).all(axis=1) & (some[:, 2] <= width) & (some[:, 3] <= height)
    assert np.array_equal(cut[inside], some[inside])
    assert np.array_equal(clipped(cut, (width, height)), cut)
    assert (areas(cut) <= areas(some)).all()
