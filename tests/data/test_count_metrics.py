from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.boxes import no_boxes
from data.count_metrics import (
    CLIP_FRAMES,
    count_errors,
    counts_at,
    error_of_sites,
    grid_error,
    maxn_thresholds,
    score_counts,
    trusted_from,
)
from data.density import Density
from data.detections import Detections
from data.readers import DetectionSet
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


def clips_of(fish: int, frames: int, clips: int) -> DetectionSet:
    """The first clip from site a, the others from site b; so many fish in every frame."""
    names = np.repeat([f"{number}" for number in range(clips)], frames)
    sites = np.where(names == "0", "a", "b")
    return replace(detection_set([[BOX] * fish] * (frames * clips)), clips=names, sites=sites)


def test_thresholds_of_maxn_leave_out_the_false_box_of_one_frame() -> None:
    truth = clips_of(1, CLIP_FRAMES, 1)
    found = [seen(0.8)] * (CLIP_FRAMES - 1) + [seen(0.8, 0.405)]
    assert maxn_thresholds(truth, found) == pytest.approx(np.arange(41, 81) / 100)


def test_thresholds_of_maxn_weigh_sites_and_not_clips() -> None:
    """Site a wants a low one; of the two clips of site b one wants a high one, and that is half a site."""
    truth = clips_of(1, CLIP_FRAMES, 3)
    low, doubled, right = ([seen(*scores)] * CLIP_FRAMES for scores in ((0.305,), (0.9, 0.505), (0.9,)))
    assert maxn_thresholds(truth, low + doubled + right) == pytest.approx(np.arange(1, 31) / 100)
    assert maxn_thresholds(truth, right + doubled + doubled) == pytest.approx(np.arange(51, 91) / 100)


def test_thresholds_that_err_nearly_alike_are_all_told() -> None:
    """One missed fish of eleven clips more is no difference."""
    truth = clips_of(3, CLIP_FRAMES, 12)
    one_site = replace(truth, sites=np.full(len(truth), "a"))
    unsure, one_short = [seen(0.9, 0.9, 0.505)] * CLIP_FRAMES, [seen(0.9, 0.9)] * CLIP_FRAMES
    assert maxn_thresholds(one_site, unsure + one_short * 11) == pytest.approx(np.arange(1, 91) / 100)
    assert maxn_thresholds(truth, unsure + one_short * 11) == pytest.approx(np.arange(1, 51) / 100)


def test_pictures_that_are_no_clip_have_no_thresholds_of_maxn() -> None:
    truth = clips_of(1, CLIP_FRAMES - 1, 3)
    assert not len(maxn_thresholds(truth, [seen(0.9)] * len(truth)))


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


def test_every_abundance_counts_alike_in_the_balanced_error() -> None:
    scores = count_errors(np.array([0, 0, 0, 12]), np.array([1, 1, 1, 7]))
    assert scores.overall.mae == 2.0
    assert scores.balanced_mae == pytest.approx((1 + 5) / 2)
    assert math.isnan(count_errors(np.zeros(0, int), np.zeros(0, int)).balanced_mae)


def test_perfect_counts_and_none() -> None:
    assert count_errors(np.array([3, 0]), np.array([3, 0])).overall.exact == 1.0
    assert math.isnan(count_errors(np.zeros(0, int), np.zeros(0, int)).overall.mae)
    with pytest.raises(ValueError, match="1 counts against 2"):
        count_errors(np.zeros(2, int), np.zeros(1, int))


def test_counts_need_be_no_whole_numbers() -> None:
    scores = count_errors(np.array([2, 3]), np.array([2.4, 1.6]))
    assert scores.overall.mae == pytest.approx(0.9)
    assert scores.overall.bias == pytest.approx(-0.5)
    assert (scores.overall.exact, scores.overall.within_one) == (0.5, 1.0)


def test_every_site_weighs_the_same_and_in_it_every_abundance() -> None:
    true, counted = np.array([0, 0, 0, 12, 1, 1]), np.array([1.0, 1.0, 1.0, 6.0, 1.0, 1.5])
    sites = np.array(["reef"] * 4 + ["sand"] * 2)
    assert error_of_sites(true, counted, sites) == pytest.approx(((1 + 6) / 2 + 0.25) / 2)
    assert math.isnan(error_of_sites(true[:0], counted[:0], sites[:0]))


SQUARE = np.array([[100, 100]])


def at(*points: tuple[float, float]) -> np.ndarray:
    return np.array(points, np.float32).reshape(-1, 2)


def test_grid_error_by_hand() -> None:
    """Two fish, one seen in its place and one in the opposite corner."""
    true, density = [at((10, 10), (90, 10))], [Density(at((12, 12), (10, 90)), np.array([0.8, 1.0], np.float32))]
    assert grid_error(true, density, SQUARE, 0) == pytest.approx(0.2)
    assert grid_error(true, density, SQUARE, 1) == pytest.approx(2.2)
    assert grid_error(true, [Density.of_points(at())], SQUARE, 2) == 2.0


def test_grid_error_takes_the_far_edge_in() -> None:
    assert grid_error([at((100, 100))], [Density.of_points(at((99, 99)))], SQUARE, 3) == 0.0


def test_grid_error_of_nothing_and_of_too_little() -> None:
    assert math.isnan(grid_error([], [], np.zeros((0, 2), int), 1))
    for level, seen_there in ((-1, [Density.of_points(at())]), (1, [])):
        with pytest.raises(ValueError, match="level"):
            grid_error([at()], seen_there, SQUARE, level)


_POINTS = st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), max_size=12).map(lambda points: at(*points))


@given(_POINTS, _POINTS, st.integers(0, 3))
def test_grid_error_never_falls_with_the_level(true: np.ndarray, found: np.ndarray, level: int) -> None:
    one, two = (grid_error([true], [Density.of_points(found)], SQUARE, step) for step in (level, level + 1))
    assert abs(len(true) - len(found)) <= one + 1e-9
    assert one <= two + 1e-9
    assert two <= len(true) + len(found)
    assert grid_error([true], [Density.of_points(true)], SQUARE, level) == 0


SITE = np.array(["reef"] * 30)


def test_a_counter_is_trusted_from_where_it_errs_less() -> None:
    true, boxes = np.array([0, 1, 4, 12, 20]), np.array([0, 1, 4, 6, 5])
    dense = np.array([0.6, 1.9, 4.4, 10.5, 18.0])
    assert trusted_from(true, dense, boxes, SITE[:5]) == 10.5
    assert trusted_from(true, true.astype(float), boxes, SITE[:5]) == 12.0
    assert trusted_from(true, dense, true, SITE[:5]) == math.inf
    assert trusted_from(np.zeros(0, int), np.zeros(0), np.zeros(0, int), SITE[:0]) == math.inf


def test_a_site_of_many_pictures_does_not_outvote_the_others_in_where_a_counter_is_trusted() -> None:
    """Twenty frames of one place gain by a count of 2; two other places, of a frame each, lose by it."""
    true = np.array([2] * 20 + [2, 2, 9])
    dense = np.array([2.0] * 20 + [4.0, 4.0, 9.0])
    boxes = np.array([1] * 20 + [2, 2, 5])
    sites = np.array(["a"] * 20 + ["b", "c", "c"])
    assert trusted_from(true, dense, boxes, sites) == 9.0
    assert trusted_from(true, dense, boxes, np.array(["a"] * 23)) == 2.0


_ROWS = st.lists(st.tuples(*[st.integers(0, 30)] * 3, st.sampled_from(["a", "b", "c"])), min_size=1, max_size=30)


@given(_ROWS)
def test_no_other_rule_errs_less(rows: list[tuple[int, int, int, str]]) -> None:
    true, dense, boxes, sites = (np.array(part) for part in zip(*rows, strict=True))

    def error(least: float) -> float:
        return error_of_sites(true, np.where(dense >= least, dense, boxes), sites)

    best = trusted_from(true, dense.astype(float), boxes, sites)
    assert error(best) == pytest.approx(min(error(least) for least in (*dense.tolist(), math.inf)), abs=1e-9)
