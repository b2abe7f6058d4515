"""Scores of detections against boxes: COCO's metrics, precision and recall at a threshold, calibration, counts.

Average precision is COCO's: 101 points of recall, at most 100 detections of a class in a picture, areas in pixels of
the picture. It is NaN where there are no boxes to find. Where pictures are not exhaustively labelled, a right
detection of an unlabelled thing counts as wrong, so precision and average precision are lower bounds there.

Where masks are given, overlaps and areas are those of masks; a labelled object without a mask is taken for its box.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from numpy.typing import NDArray

from data.boxes import areas, to_xywh
from data.detections import Detections
from data.masks import area
from data.matching import MOST_DETECTIONS, RIGHT_FROM, MaskRows, as_many, match, truth_masks
from data.readers.detectionset import DetectionSet
from data.rle import rle

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

SIZES: Final = {
    "tiny": (0.0, 16.0**2),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
"""Areas of boxes in square pixels. Small, medium and large are COCO's; "tiny" is the smaller part of small."""
OVERLAPS: Final = tuple(overlap / 100 for overlap in range(50, 100, 5))
"""Overlaps (IoU) that COCO averages over."""
BOOTSTRAP_DRAWS: Final = 500

_ALL: Final = (0.0, 1e10)
_RECALLS: Final = np.linspace(0.0, 1.0, 101)
_AT_HALF: Final = 0


@dataclass(frozen=True)
class AveragePrecision:
    """COCO's metrics of some boxes: at IoU 0.5, averaged over IoU 0.5 to 0.95, and the average recall over these."""

    boxes: int
    map50: float
    map50_95: float
    recall: float


@dataclass(frozen=True)
class DetectionScores:
    """COCO's metrics of a set: of all boxes, by size of box (see `SIZES`), and by camera site (where more than one)."""

    pictures: int
    overall: AveragePrecision
    sizes: dict[str, AveragePrecision]
    sites: dict[str, AveragePrecision]

    @property
    def map50(self) -> float:
        """Mean average precision at IoU 0.5."""
        return self.overall.map50

    @property
    def map50_95(self) -> float:
        """Mean average precision over IoU 0.5 to 0.95."""
        return self.overall.map50_95


@dataclass(frozen=True)
class Curves:
    """How precise the detections of C classes are at the overlaps of `OVERLAPS` (T) and COCO's 101 levels of recall.

    `precision` and `scores`, the least score that reaches the recall, are (T, C, 101), `recall` of all detections is
    (T, C); -1 for a class without boxes.
    """

    precision: Floats
    scores: Floats
    recall: Floats


@dataclass(frozen=True)
class Judged:
    """D detections of N pictures, the surest first, each of them right or not.

    `scores` (D,) float32, `right` (D,), `labels` (D,), `pictures` (D,) index of the detection's picture; `truth` (N, C)
    counts the boxes of each picture by class.
    """

    scores: NDArray[np.float32]
    right: Bools
    labels: NDArray[np.int64]
    pictures: NDArray[np.int64]
    truth: NDArray[np.int64]

    @property
    def boxes(self) -> int:
        """All boxes there are to find."""
        return int(self.truth.sum())


@dataclass(frozen=True)
class OperatingPoint:
    """Detections from a score up: how many are right and wrong, and how many boxes are missed."""

    threshold: float
    right: int
    wrong: int
    missed: int

    @property
    def precision(self) -> float:
        """Right share of the detections; NaN without any."""
        return _share(self.right, self.right + self.wrong)

    @property
    def recall(self) -> float:
        """Found share of the boxes; NaN without any."""
        return _share(self.right, self.right + self.missed)

    @property
    def f1(self) -> float:
        """Harmonic mean of the two: 2 right / (2 right + wrong + missed)."""
        return _share(2 * self.right, 2 * self.right + self.wrong + self.missed)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def score_detections(
    truth: DetectionSet, found: Sequence[Detections], masks: MaskRows | None = None
) -> DetectionScores:
    """COCO's metrics.

    Args:
        truth: N pictures with boxes.
        found: What was detected in each of them, labels counting into `truth.names`.
        masks: The detections' masks, where they are to be scored and not the boxes.

    Raises:
        ValueError: There are not as many answers as pictures.
    """
    as_many(truth, found)
    whole = _coco(truth, found, masks)
    sites = np.unique(truth.sites)
    return DetectionScores(
        pictures=len(truth),
        overall=whole[0],
        sizes=dict(zip(SIZES, whole[1:], strict=True)),
        sites={str(site): _of_site(truth, found, masks, site) for site in sites} if len(sites) > 1 else {},
    )


def _of_site(truth: DetectionSet, found: Sequence[Detections], masks: MaskRows | None, site: str) -> AveragePrecision:
    here = np.flatnonzero(truth.sites == site)
    own = None if masks is None else [masks[int(i)] for i in here]
    return _coco(truth.select(here), [found[int(i)] for i in here], own)[0]


def _coco(truth: DetectionSet, found: Sequence[Detections], masks: MaskRows | None) -> list[AveragePrecision]:
    """Metrics over all areas, then over each of `SIZES`."""
    ranges = [_ALL, *SIZES.values()]
    true_masks = None if masks is None else truth_masks(truth)
    sides = [areas(boxes) for boxes in truth.xyxy]
    if true_masks is not None:
        sides = [np.array([area(mask) for mask in own], np.float32) for own in true_masks]
    counts = [sum(int(np.count_nonzero((low <= one) & (one <= high))) for one in sides) for low, high in ranges]
    if not truth.boxes:
        return [AveragePrecision(0, math.nan, math.nan, math.nan)] * len(ranges)
    evaluation = _evaluated(truth, found, (masks, true_masks), dict(zip(["all", *SIZES], ranges, strict=True)))
    # (IoU, recall, class, area) and (IoU, class, area); -1 where a class has no box of that area.
    precision = np.asarray(evaluation.eval["precision"], np.float64)[..., 0]
    recall = np.asarray(evaluation.eval["recall"], np.float64)[..., 0]
    return [
        AveragePrecision(count, _mean(precision[_AT_HALF, ..., n]), _mean(precision[..., n]), _mean(recall[..., n]))
        for n, count in enumerate(counts)
    ]


def _evaluated(
    truth: DetectionSet,
    found: Sequence[Detections],
    masks: tuple[MaskRows | None, MaskRows | None],
    ranges: Mapping[str, tuple[float, float]],
) -> Any:
    """COCO's evaluation, accumulated over areas; `masks` are those found and the true ones."""
    answers = [Detections(boxes, np.ones(len(boxes), np.float32), labels) for boxes, labels in _truth(truth)]
    kind = "bbox" if masks[0] is None else "segm"
    evaluation = COCOeval_faster(_dataset(truth, answers, masks[1]), _dataset(truth, found, masks[0]), kind)
    evaluation.params.maxDets = [MOST_DETECTIONS]
    evaluation.params.areaRng = [list(one) for one in ranges.values()]
    evaluation.params.areaRngLbl = list(ranges)
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation


def precision_curves(truth: DetectionSet, found: Sequence[Detections], masks: MaskRows | None = None) -> Curves:
    """COCO's curves of all C classes; arguments and errors as `score_detections`."""
    as_many(truth, found)
    shape = len(OVERLAPS), len(truth.names)
    if not truth.boxes:
        return Curves(
            np.full((*shape, len(_RECALLS)), -1.0), np.full((*shape, len(_RECALLS)), -1.0), np.full(shape, -1.0)
        )
    true_masks = None if masks is None else truth_masks(truth)
    told = _evaluated(truth, found, (masks, true_masks), {"all": _ALL}).eval
    precision, scores = (np.asarray(told[key], np.float64)[..., 0, 0].swapaxes(1, 2) for key in ("precision", "scores"))
    return Curves(precision, scores, np.asarray(told["recall"], np.float64)[..., 0, 0])


def _truth(truth: DetectionSet) -> zip[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    return zip(truth.xyxy, truth.labels, strict=True)


def _mean(values: Floats) -> float:
    known = values[values > -1]
    return float(known.mean()) if known.size else math.nan


def _dataset(truth: DetectionSet, found: Sequence[Detections], masks: MaskRows | None) -> COCO:
    """Detections (or boxes, each of score 1) as COCO's dictionaries; everything is numbered from 1."""
    entries: list[dict[str, Any]] = []
    for picture, one in enumerate(found, 1):
        parts = to_xywh(one.xyxy.astype(np.float32)).tolist(), one.scores.tolist(), one.labels.tolist()
        for number, (xywh, score, label) in enumerate(zip(*parts, strict=True)):
            entry = {"id": len(entries) + 1, "image_id": picture, "category_id": label + 1, "bbox": xywh}
            entries.append(entry | {"area": xywh[2] * xywh[3], "score": score, "iscrowd": 0})
            if masks is not None:
                mask = masks[picture - 1][number]
                entries[-1] |= {"area": area(mask), "segmentation": rle(mask, truth.size_wh(picture - 1))}
    sizes = enumerate(truth.sizes_wh.tolist(), 1)
    images = [{"id": number, "width": width, "height": height} for number, (width, height) in sizes]
    categories = [{"id": number, "name": name} for number, name in enumerate(truth.names, 1)]
    return COCO({"images": images, "annotations": entries, "categories": categories})


def judge(
    truth: DetectionSet, found: Sequence[Detections], overlap: float = RIGHT_FROM, masks: MaskRows | None = None
) -> Judged:
    """Say of every detection whether it is right, as COCO does.

    The surest detection takes the box of its class that it overlaps most, if by `overlap` or more; then the next takes
    of the boxes that are left.

    Raises:
        ValueError: There are not as many answers as pictures.
    """
    parts = [(matched.chosen, matched.boxes >= 0) for matched in match(truth, found, overlap, masks)]
    counts = [np.bincount(labels, minlength=len(truth.names)) for labels in truth.labels]
    kept = [one.select(chosen) for one, (chosen, _) in zip(found, parts, strict=True)]
    scores = np.concatenate([np.zeros(0, np.float32), *(one.scores for one in kept)])
    order = np.argsort(-scores, kind="stable")
    return Judged(
        scores=scores[order],
        right=np.concatenate([np.zeros(0, np.bool_), *(right for _, right in parts)])[order],
        labels=np.concatenate([np.zeros(0, np.int64), *(one.labels for one in kept)])[order],
        pictures=np.repeat(np.arange(len(kept)), [len(one) for one in kept])[order],
        truth=np.array(counts, np.int64).reshape(len(truth), len(truth.names)),
    )


def operating_point(judged: Judged, threshold: float) -> OperatingPoint:
    """What is right, wrong and missed when detections count from `threshold` up."""
    counted = judged.right[judged.scores >= threshold]
    right = int(np.count_nonzero(counted))
    return OperatingPoint(threshold, right, len(counted) - right, judged.boxes - right)


def best_f1(scores: NDArray[np.float32], right: Bools, boxes: int) -> OperatingPoint:
    """The threshold that gives the greatest F1; of equal ones the highest. It is 1 where no detection is right.

    Args:
        scores: (D,) in any order.
        right: (D,) whether each detection is right.
        boxes: How many boxes there are to find.
    """
    order = np.argsort(-scores, kind="stable")
    found, sorted_scores = np.cumsum(right[order]), scores[order]
    if not len(found) or not found[-1]:
        return OperatingPoint(1.0, 0, int(np.count_nonzero(scores >= 1.0)), boxes)
    f1 = 2 * found / (np.arange(1, len(found) + 1) + boxes)
    f1[:-1][sorted_scores[1:] == sorted_scores[:-1]] = -1.0  # a threshold does not cut through equal scores
    best = int(f1.argmax())
    return OperatingPoint(
        float(sorted_scores[best]), int(found[best]), best + 1 - int(found[best]), boxes - int(found[best])
    )


def average_precision(right: Bools, boxes: float, weights: Floats | None = None) -> float:
    """COCO's average precision of detections (D,), the surest first, of `boxes` boxes; NaN without boxes.

    Args:
        right: Whether each detection is right.
        boxes: How many boxes there are to find.
        weights: (D,) how often each detection counts; once each without it.
    """
    if boxes <= 0:
        return math.nan
    weight = np.ones(len(right)) if weights is None else weights
    found, seen = np.cumsum(weight * right), np.cumsum(weight)
    precision = np.divide(found, seen, out=np.zeros(len(right)), where=seen > 0)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(found / boxes, _RECALLS, side="left")
    return float(np.append(best_from_here, 0.0)[places].mean())


def bootstrap_map50(
    judged: Judged, clips: NDArray[np.str_], draws: int = BOOTSTRAP_DRAWS, seed: int = 0
) -> tuple[float, float] | None:
    """95 % interval of mAP50 when whole clips are drawn with replacement; None where there are fewer than two.

    Frames of a clip are nearly the same, so drawing single pictures would make the interval far too narrow.

    Args:
        judged: Detections of N pictures, matched at IoU 0.5.
        clips: (N,) the clip of each picture.
        draws: How often to draw.
        seed: Of the draws.
    """
    names, clip_of = np.unique(clips, return_inverse=True)
    if len(names) < 2:
        return None
    per_clip = np.zeros((len(names), judged.truth.shape[1]), np.int64)
    np.add.at(per_clip, clip_of, judged.truth)
    rng = np.random.default_rng(seed)
    of_class = [judged.labels == label for label in range(judged.truth.shape[1])]
    parts = [(judged.right[mine], clip_of[judged.pictures[mine]]) for mine in of_class]
    values = []
    for _ in range(draws):
        weight = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names)).astype(np.float64)
        boxes = weight @ per_clip
        found = [average_precision(right, boxes[n], weight[where]) for n, (right, where) in enumerate(parts)]
        known = [value for value in found if not math.isnan(value)]
        values += [float(np.mean(known))] if known else []
    if not values:
        return None
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
