from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.boxes import clipped, ious, no_boxes
from data.detection_metrics import (
    SIZES,
    Judged,
    average_precision,
    best_f1,
    bootstrap_map50,
    judge,
    operating_point,
    precision_curves,
    score_detections,
)
from data.detections import Detections
from data.masks import Mask, from_picture
from data.matching import match, truth_masks
from data.readers import DetectionSet
from tests.data.pictures import SIZE_WH, detection_set

FISH = (100.0, 100.0, 150.0, 140.0)
FAR = (400.0, 200.0, 450.0, 240.0)


def found(boxes: Sequence[Sequence[float]], scores: Sequence[float], labels: Sequence[int] | None = None) -> Detections:
    xyxy = np.array(boxes, np.float32) if len(boxes) else no_boxes()
    return Detections(xyxy, np.array(scores, np.float32), np.array(labels or [0] * len(boxes), np.int64))


def perfect(truth: DetectionSet) -> list[Detections]:
    return [
        Detections(boxes, np.full(len(boxes), 0.9, np.float32), labels)
        for boxes, labels in zip(truth.xyxy, truth.labels, strict=True)
    ]


@st.composite
def sets(draw: st.DrawFn) -> tuple[DetectionSet, list[Detections]]:
    """Pictures with boxes of two classes, and detections near them and elsewhere, every score its own."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(1, 8))

    def boxes(number: int) -> np.ndarray:
        low = rng.uniform(0, 250, (number, 2))
        return np.concatenate([low, low + rng.uniform(6, 100, (number, 2))], axis=1).astype(np.float32)

    truth = detection_set(
        [boxes(int(rng.integers(0, 6))) for _ in range(count)],
        sites=[f"site {n}" for n in rng.integers(0, 3, count)],
        clips=[f"clip {n}" for n in rng.integers(0, 4, count)],
        names=("fish", "crab"),
    )
    labels = tuple(rng.integers(0, 2, len(one)) for one in truth.xyxy)
    truth = replace(truth, labels=labels)
    answers = []
    for own, kinds in zip(truth.xyxy, labels, strict=True):
        near = rng.permutation(len(own))[: rng.integers(0, len(own) + 1)]
        wrong = boxes(int(rng.integers(0, 5)))
        xyxy = np.concatenate([own[near] + rng.normal(0, 5, (len(near), 4)), wrong]).astype(np.float32)
        xyxy[:, 2:] = np.maximum(xyxy[:, 2:], xyxy[:, :2] + 2)
        kind = np.concatenate([kinds[near], rng.integers(0, 2, len(wrong))])
        answers.append(Detections(xyxy, rng.uniform(0.01, 1, len(xyxy)).astype(np.float32), kind))
    return truth, answers


# COCO's metrics


def test_perfect_detections_score_one() -> None:
    truth = detection_set([[FISH, FAR], [], [(0, 0, 10, 10)]], sites=["A", "A", "B"])
    scores = score_detections(truth, perfect(truth))
    assert (scores.map50, scores.map50_95, scores.overall.recall) == (1.0, 1.0, 1.0)
    assert {site: (one.boxes, one.map50) for site, one in scores.sites.items()} == {"A": (2, 1.0), "B": (1, 1.0)}


def test_no_detections_score_nought() -> None:
    truth = detection_set([[FISH], []])
    scores = score_detections(truth, [Detections.none()] * 2)
    assert (scores.map50, scores.map50_95, scores.overall.recall) == (0.0, 0.0, 0.0)
    assert scores.sites == {}


def test_without_boxes_there_is_nothing_to_score() -> None:
    truth = detection_set([[], []])
    scores = score_detections(truth, [found([FISH], [0.9]), Detections.none()])
    assert scores.pictures == 2
    assert math.isnan(scores.map50)
    assert all(one.boxes == 0 and math.isnan(one.map50_95) for one in scores.sizes.values())


def test_a_hand_computed_case() -> None:
    """Right at 0.9, wrong at 0.8, right at 0.7, of three boxes: precisions 1, 1/2, 2/3 at recalls 1/3, 1/3, 2/3."""
    truth = detection_set([[FISH, FAR], [FISH]])
    answers = [found([FISH, (300, 10, 330, 40)], [0.9, 0.8]), found([FISH], [0.7])]
    expected = (34 * 1.0 + 33 * (2 / 3)) / 101
    scores = score_detections(truth, answers)
    assert scores.map50 == pytest.approx(expected)
    assert scores.map50_95 == pytest.approx(expected)
    assert scores.overall.recall == pytest.approx(2 / 3)


def test_overlap_decides_how_far_up_a_box_is_right() -> None:
    """A box 50 x 40 found 50 x 32: an overlap of 0.8, right at 0.5 to 0.8, which is 7 of 10 steps."""
    truth = detection_set([[FISH]])
    answers = [found([(100, 100, 150, 132.1)], [0.9])]
    assert score_detections(truth, answers).map50 == pytest.approx(1.0)
    assert score_detections(truth, answers).map50_95 == pytest.approx(0.7)


def test_sizes_are_of_the_boxes_not_of_the_pictures() -> None:
    sides = {"tiny": 10, "small": 25, "medium": 60, "large": 120}
    boxes = [(10, 10, 10 + side, 10 + side) for side in sides.values()]
    truth = detection_set([[box] for box in boxes])
    only_medium = [found([box], [0.9]) if 32 < box[2] - 10 < 96 else Detections.none() for box in boxes]
    scores = score_detections(truth, only_medium)
    assert list(scores.sizes) == list(SIZES)
    assert {name: one.boxes for name, one in scores.sizes.items()} == {"tiny": 1, "small": 2, "medium": 1, "large": 1}
    assert {name: one.map50 for name, one in scores.sizes.items()} == {"tiny": 0, "small": 0, "medium": 1, "large": 0}


def test_classes_are_told_apart() -> None:
    truth = detection_set([[FISH, FAR]], labels=[[0, 1]], names=("fish", "crab"))
    answers = [found([FISH, FAR], [0.9, 0.8], [0, 0])]
    assert score_detections(truth, answers).map50 == pytest.approx(0.5)


def test_as_many_answers_as_pictures() -> None:
    truth = detection_set([[FISH]])
    for function in (score_detections, judge):
        with pytest.raises(ValueError, match="0 answers for 1 pictures"):
            function(truth, [])


@settings(max_examples=30)
@given(sets(), st.integers(0, 100))
def test_the_order_of_pictures_does_not_matter(made: tuple[DetectionSet, list[Detections]], seed: int) -> None:
    truth, answers = made
    order = np.random.default_rng(seed).permutation(len(truth))
    one, other = score_detections(truth, answers), score_detections(truth.select(order), [answers[i] for i in order])
    assert astuple(one.overall) == pytest.approx(astuple(other.overall), nan_ok=True)
    assert one.sites.keys() == other.sites.keys()
    for site in one.sites:
        assert one.sites[site].map50 == pytest.approx(other.sites[site].map50, nan_ok=True)


@settings(max_examples=60)
@given(sets())
def test_our_matching_gives_cocos_average_precision(made: tuple[DetectionSet, list[Detections]]) -> None:
    truth, answers = made
    judged = judge(truth, answers)
    by_class = [
        average_precision(judged.right[judged.labels == label], int(judged.truth[:, label].sum()))
        for label in range(len(truth.names))
    ]
    known = [value for value in by_class if not math.isnan(value)]
    expected = float(np.mean(known)) if known else math.nan
    assert score_detections(truth, answers).map50 == pytest.approx(expected, nan_ok=True)


# Right and wrong


@settings(max_examples=60)
@given(sets())
def test_no_box_is_taken_twice_and_right_ones_overlap(made: tuple[DetectionSet, list[Detections]]) -> None:
    truth, answers = made
    judged = judge(truth, answers)
    assert len(judged.scores) == sum(len(one) for one in answers)
    assert (np.diff(judged.scores) <= 0).all()
    for picture in range(len(truth)):
        mine = judged.pictures == picture
        assert sorted(judged.scores[mine].tolist()) == sorted(answers[picture].scores.tolist())
        for label in range(2):
            right = np.count_nonzero(judged.right[mine & (judged.labels == label)])
            possible = ious(
                truth.xyxy[picture][truth.labels[picture] == label],
                answers[picture].xyxy[answers[picture].labels == label],
            )
            assert right <= np.count_nonzero((possible >= 0.5).any(axis=1))
            assert (right > 0) == bool((possible >= 0.5).any())


def test_a_second_detection_of_one_fish_is_wrong() -> None:
    judged = judge(detection_set([[FISH]]), [found([FISH, FISH], [0.6, 0.8])])
    assert judged.scores.tolist() == pytest.approx([0.8, 0.6])
    assert judged.right.tolist() == [True, False]


def test_the_surer_takes_the_box_it_overlaps_most() -> None:
    left, right = (100, 100, 140, 140), (110, 100, 150, 140)
    judged = judge(detection_set([[left, right]]), [found([right, left], [0.9, 0.8])])
    assert judged.right.tolist() == [True, True]


def test_only_the_surest_hundred_count() -> None:
    many = found([FAR] * 100 + [FISH], [0.9] * 100 + [0.1])
    assert not judge(detection_set([[FISH]]), [many]).right.any()
    assert score_detections(detection_set([[FISH]]), [many]).map50 == 0.0


def test_points_of_operation() -> None:
    judged = judge(detection_set([[FISH, FAR], []]), [found([FISH], [0.8]), found([FAR], [0.4])])
    high, low = operating_point(judged, 0.8), operating_point(judged, 0.4)
    assert (high.right, high.wrong, high.missed) == (1, 0, 1)
    assert (high.precision, high.recall, high.f1) == (1.0, 0.5, pytest.approx(2 / 3))
    assert (low.precision, low.recall, low.f1) == (0.5, 0.5, 0.5)
    nothing = operating_point(judged, 0.9)
    assert math.isnan(nothing.precision)
    assert (nothing.recall, nothing.f1) == (0.0, 0.0)


@given(
    st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.3, 0.5, 0.9]), st.booleans()), max_size=30),
    st.integers(0, 5),
)
def test_the_best_threshold_is_the_best_of_all(answers: list[tuple[float, bool]], missed: int) -> None:
    scores = np.array([score for score, _ in answers], np.float32)
    right = np.array([is_right for _, is_right in answers], np.bool_)
    boxes = int(right.sum()) + missed
    best = best_f1(scores, right, boxes)
    if not right.any():
        assert (best.threshold, best.right, best.wrong, best.missed) == (1.0, 0, 0, boxes)
        return

    def f1(threshold: float) -> float:
        counted = right[scores >= threshold]
        return 2 * counted.sum() / (len(counted) + boxes)

    assert best.f1 == pytest.approx(max(f1(score) for score in scores))
    assert best.f1 == pytest.approx(f1(best.threshold))
    assert all(f1(score) < best.f1 for score in scores if score > best.threshold)


# The interval


def judged_by_clip(shares: Sequence[float], pictures: int = 5) -> tuple[Judged, np.ndarray]:
    """Clips of so many pictures, one fish each, that share of which is found."""
    boxes = [[FISH]] * pictures * len(shares)
    answers = [
        found([FISH] if n < round(share * pictures) else [FAR], [0.9 - 0.001 * n])
        for share in shares
        for n in range(pictures)
    ]
    clips = np.repeat([f"clip {n}" for n in range(len(shares))], pictures)
    return judge(detection_set(boxes), answers), clips


def test_the_interval_holds_the_value_and_narrows_with_more_clips() -> None:
    few, few_clips = judged_by_clip([0.2, 1.0, 0.6, 0.8])
    many, many_clips = judged_by_clip([0.2, 1.0, 0.6, 0.8] * 8)
    widths = []
    for judged, clips in ((few, few_clips), (many, many_clips)):
        low, high = bootstrap_map50(judged, clips)
        assert 0 <= low <= average_precision(judged.right, judged.boxes) <= high <= 1
        widths.append(high - low)
    assert widths[1] < 0.6 * widths[0]


def test_drawing_a_clip_twice_is_having_it_twice() -> None:
    judged, clips = judged_by_clip([0.2, 0.8])
    weights = np.where(clips[judged.pictures] == "clip 0", 1.0, 3.0)
    once, _ = judged_by_clip([0.2, 0.8, 0.8, 0.8])
    assert average_precision(judged.right, 20, weights) == pytest.approx(average_precision(once.right, 20), abs=0.01)


def test_equal_clips_have_no_spread_and_one_clip_no_interval() -> None:
    judged, clips = judged_by_clip([1.0, 1.0, 1.0])
    assert bootstrap_map50(judged, clips) == (1.0, 1.0)
    assert bootstrap_map50(judged, np.full(len(clips), "same")) is None
    assert bootstrap_map50(judge(detection_set([[], []]), [Detections.none()] * 2), np.array(["a", "b"])) is None
    assert bootstrap_map50(judged, clips, seed=1) == bootstrap_map50(judged, clips, seed=1)


def test_pictures_of_any_size_are_taken() -> None:
    truth = detection_set([[(0, 0, *SIZE_WH)]])
    assert score_detections(truth, perfect(truth)).sizes["large"].map50 == 1.0


def rectangles(detections: Sequence[Detections]) -> list[tuple[Mask, ...]]:
    """Masks that are the whole boxes, which lie on whole pixels."""
    return [
        tuple(from_picture(np.ones((int(b - t), int(r - x))), int(x), int(t)) for x, t, r, b in one.xyxy)
        for one in detections
    ]


@settings(max_examples=40)
@given(sets())
def test_masks_that_fill_their_boxes_score_as_boxes(case: tuple[DetectionSet, list[Detections]]) -> None:
    plain, detections = case
    truth = replace(plain, xyxy=tuple(np.round(boxes) for boxes in plain.xyxy))
    whole = [replace(one, xyxy=clipped(np.round(one.xyxy), SIZE_WH)) for one in detections]
    masks = rectangles(whole)
    boxes, same = score_detections(truth, whole).overall, score_detections(truth, whole, masks).overall
    assert astuple(boxes) == pytest.approx(astuple(same), nan_ok=True)
    by_box, by_mask = judge(truth, whole), judge(truth, whole, masks=masks)
    assert by_box.right.tolist() == by_mask.right.tolist()


def test_masks_decide_where_they_differ_from_boxes() -> None:
    left, top, right, bottom = (int(side) for side in FISH)
    mask = from_picture(np.tri(bottom - top, right - left), left, top)
    truth = replace(detection_set([[FISH]]), masks=((mask,),))
    detections = perfect(truth)
    assert score_detections(truth, detections, [(mask,)]).map50_95 == pytest.approx(1.0)
    thin = Mask(left, top, mask.inside[:8, :8])
    assert score_detections(truth, detections, [(thin,)]).map50 == 0
    assert score_detections(truth, detections).map50 == pytest.approx(1.0)
    assert not judge(truth, detections, masks=[(thin,)]).right.any()
    assert truth_masks(truth) == [(mask,)]
    assert truth_masks(detection_set([[FISH]]))[0][0].inside.all()


def test_curves_average_to_the_scores():
    truth = detection_set([[FISH, FAR], [FISH], []])
    boxes = [[FISH, clipped(np.array([FAR], np.float32) + 6, SIZE_WH)[0]], [FAR], [FISH]]
    found = [
        Detections(
            np.array(own, np.float32), np.linspace(0.9, 0.5, len(own), dtype=np.float32), np.zeros(len(own), int)
        )
        for own in boxes
    ]
    curves, scores = precision_curves(truth, found), score_detections(truth, found)
    assert curves.precision.shape == curves.scores.shape == (10, 1, 101)
    assert curves.precision.mean() == pytest.approx(scores.map50_95)
    assert curves.precision[0].mean() == pytest.approx(scores.map50)
    assert curves.recall.mean() == pytest.approx(scores.overall.recall)
    assert (precision_curves(detection_set([[]]), [Detections.none()]).precision == -1).all()


def test_a_match_tells_the_box_and_by_how_much():
    truth = detection_set([[FISH, FAR]])
    xyxy = np.array([FAR, FAR, FISH], np.float32)
    (matched,) = match(truth, [Detections(xyxy, np.array([0.9, 0.8, 0.7], np.float32), np.zeros(3, np.int64))])
    assert matched.chosen.tolist() == [0, 1, 2]
    assert matched.boxes.tolist() == [1, -1, 0]
    assert matched.overlaps.tolist() == [1, 0, 1]
