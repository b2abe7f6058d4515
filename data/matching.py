"""Which labelled box each detection takes, as COCO has it; or which mask, where masks are given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.boxes import ious
from data.detections import Detections
from data.masks import Mask, mask_ious
from data.readers.detectionset import DetectionSet

MaskRows = Sequence[Sequence[Mask]]
"""The masks of each picture, one for each of its detections."""

MOST_DETECTIONS: Final = 100
"""Detections of one class in one picture that are looked at, the surest first."""
RIGHT_FROM: Final = 0.5
"""Overlap (IoU) from which a detection is right."""


@dataclass(frozen=True)
class Matched:
    """Which boxes of one picture its detections take.

    `chosen` (D,) are the detections that are looked at, by class and the surest first; `boxes` (D,) the box that each
    takes, -1 for none, and `overlaps` (D,) float32 by how much, 0 without a box.
    """

    chosen: NDArray[np.int64]
    boxes: NDArray[np.int64]
    overlaps: NDArray[np.float32]


def match(
    truth: DetectionSet, found: Sequence[Detections], overlap: float = RIGHT_FROM, masks: MaskRows | None = None
) -> list[Matched]:
    """Which box each detection takes in each picture; see `data.detection_metrics.judge`."""
    as_many(truth, found)
    if masks is None:
        overlaps = [ious(one.xyxy, boxes) for one, boxes in zip(found, truth.xyxy, strict=True)]
    else:
        overlaps = [mask_ious(one, other) for one, other in zip(masks, truth_masks(truth), strict=True)]
    answers = zip(found, overlaps, truth.labels, strict=True)
    return [_matched(one, shared, labels, overlap) for one, shared, labels in answers]


def _matched(found: Detections, overlaps: NDArray[np.float32], labels: NDArray[np.int64], overlap: float) -> Matched:
    chosen: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    boxes: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    for label in np.unique(found.labels):
        mine, theirs = np.flatnonzero(found.labels == label), np.flatnonzero(labels == label)
        mine = mine[np.argsort(-found.scores[mine], kind="stable")][:MOST_DETECTIONS]
        chosen.append(mine)
        taken = _taken_in_turn(overlaps[np.ix_(mine, theirs)], overlap)
        boxes.append(np.append(theirs, -1)[taken])
    detections, places = np.concatenate(chosen), np.concatenate(boxes)
    shared = np.where(places >= 0, np.pad(overlaps, ((0, 0), (0, 1)))[detections, places], np.float32(0))
    return Matched(detections, places, shared.astype(np.float32))


def _taken_in_turn(overlaps: NDArray[np.float32], overlap: float) -> NDArray[np.int64]:
    """(D, B) overlaps of detections, the surest first, with boxes -> (D,) the box that each gets, -1 for none."""
    taken = np.full(len(overlaps), -1, np.int64)
    left = overlaps.copy()
    for i in np.flatnonzero(overlaps.max(axis=1, initial=-1.0) >= overlap):
        best = left.shape[1] - 1 - int(left[i, ::-1].argmax())
        if left[i, best] >= overlap:
            taken[i] = best
            left[:, best] = -1.0
    return taken


def truth_masks(truth: DetectionSet) -> list[tuple[Mask, ...]]:
    """The masks of each picture's boxes; where there is none, the whole pixels of the box."""
    rows = truth.masks or [(None,) * len(boxes) for boxes in truth.xyxy]
    return [
        tuple(_box_mask(box) if mask is None else mask for mask, box in zip(own, boxes, strict=True))
        for own, boxes in zip(rows, truth.xyxy, strict=True)
    ]


def _box_mask(box: NDArray[np.float32]) -> Mask:
    left, top, right, bottom = (int(side) for side in np.round(box))
    return Mask(left, top, np.ones((max(0, bottom - top), max(0, right - left)), np.bool_))


def as_many(truth: DetectionSet, found: Sequence[Detections]) -> None:
    """Raise ValueError where there are not as many answers as pictures."""
    if len(truth) != len(found):
        raise ValueError(f"{len(found)} answers for {len(truth)} pictures")
