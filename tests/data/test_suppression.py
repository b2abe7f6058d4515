from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.boxes import ious
from data.suppression import MOST_DETECTIONS, suppressed


def column(*scores: float) -> np.ndarray:
    return np.array(scores, np.float32)[:, None]


BOXES = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 30, 30]], np.float32)


def test_the_surest_of_overlapping_boxes_is_kept() -> None:
    found = suppressed(BOXES, column(0.5, 0.9, 0.3), 0.1)
    assert found.xyxy.tolist() == [BOXES[1].tolist(), BOXES[2].tolist()]
    assert found.scores == pytest.approx([0.9, 0.3])


def test_boxes_of_two_classes_do_not_suppress_each_other() -> None:
    found = suppressed(BOXES[:2], np.array([[0.9, 0.0], [0.0, 0.8]], np.float32), 0.1)
    assert found.labels.tolist() == [0, 1]


def test_weak_boxes_are_dropped_and_nothing_is_no_error() -> None:
    assert len(suppressed(BOXES, column(0.05, 0.01, 0.02), 0.1)) == 0
    assert len(suppressed(np.zeros((0, 4), np.float32), np.zeros((0, 1), np.float32), 0.1)) == 0


def test_of_equals_the_first_is_kept() -> None:
    shifted = np.repeat(BOXES[:1], 3, axis=0) + np.array([[0], [0.5], [1]], np.float32)
    found = suppressed(shifted, column(0.5, 0.5, 0.5), 0)
    assert found.xyxy.tolist() == [BOXES[0].tolist()]


def test_no_more_than_the_limit() -> None:
    corners = np.stack([np.arange(400) * 20, np.zeros(400)], axis=1).astype(np.float32)
    found = suppressed(np.concatenate([corners, corners + 10], axis=1), np.full((400, 1), 0.5, np.float32), 0.1)
    assert len(found) == MOST_DETECTIONS


@given(st.integers(0, 2**32 - 1), st.integers(0, 40))
def test_kept_boxes_overlap_little_and_dropped_ones_overlap_a_surer_one(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 30, (count, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 20, (count, 2))], axis=1).astype(np.float32)
    scores = rng.random((count, 1)).astype(np.float32)
    found = suppressed(boxes, scores, 0.0, 0.5)
    among = ious(found.xyxy, found.xyxy)
    assert (among[~np.eye(len(found), dtype=bool)] <= 0.5).all()
    for box, score in zip(boxes, scores[:, 0], strict=True):
        overlap = ious(box[None], found.xyxy)[0]
        assert ((overlap > 0.5) & (found.scores >= score)).any() or (found.xyxy == box).all(axis=1).any()
