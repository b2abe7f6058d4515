from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.boxes import no_boxes
from data.count_metrics import count_errors, counts_at, score_counts
from data.detections import Detections
from tests.data.pictures import detection_set

BOX = (10.0, 10.0, 40.0, 40.0)


def seen(*scores: float) -> Detections:
    count = len(scores)
    boxes = np.tile(np.array(BOX, np.float32), (count, 1)) if count else no_boxes()
    return Detections(boxes, np.array(scores, np.float32), np.zeros(count, np.int64))


def test_a_hand_computed_case() -> None:
    scores = count_errors(np.array([0, 1, 1, 3, 12]), np.array([1, 1, 0, 5, 8]))
    assert scores.overall.mae == pytest.approx((1 + 0 + 1 + 2 + 4) / 5)
    assert scores.overall.bias == pytest.approx((1 + 0 - 1 + 2 - 4) / 5)
    assert (scores.overall.mean, scores.overall.exact, scores.overall.within_one) == pytest.approx((3.4, 0.2, 0.6))
    assert {name: (one.pictures, one.bias) for name, one in scores.bins.items() if one.pictures} == {
        "0": (1, 1.0),
        "1": (2, -0.5),
        "2-4": (1, 2.0),
        "10+": (1, -4.0),
    }
    assert math.isnan(scores.bins["5-9"].mae)


def test_detections_count_from_the_threshold_up() -> None:
    found = [seen(0.9, 0.5, 0.49), seen()]
    assert counts_at(found, 0.5).tolist() == [2, 0]
    scores = score_counts(detection_set([[BOX], []]), found, 0.5)
    assert (scores.overall.mae, scores.bins["0"].mae, scores.bins["1"].bias) == (0.5, 0.0, 1.0)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=40))
def test_bins_add_up_to_the_whole(counts: list[tuple[int, int]]) -> None:
    true, counted = (np.array(part) for part in zip(*counts, strict=True))
    scores = count_errors(true, counted)
    filled = [one for one in scores.bins.values() if one.pictures]
    assert sum(one.pictures for one in filled) == len(true)
    for part in ("mae", "bias", "mean", "exact", "within_one"):
        weighted = sum(getattr(one, part) * one.pictures for one in filled) / len(true)
        assert weighted == pytest.approx(getattr(scores.overall, part))
    assert abs(scores.overall.bias) <= scores.overall.mae + 1e-9


def test_perfect_counts_and_none() -> None:
    assert count_errors(np.array([3, 0]), np.array([3, 0])).overall.exact == 1.0
    assert math.isnan(count_errors(np.zeros(0, int), np.zeros(0, int)).overall.mae)
    with pytest.raises(ValueError, match="1 counts against 2"):
        count_errors(np.zeros(2, int), np.zeros(1, int))
