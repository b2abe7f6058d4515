"""From a detector's raw candidates to detections: keep the surest of those that overlap."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.boxes import Boxes, ious
from data.detections import Detections

MOST_OVERLAP: Final = 0.6
"""IoU from which two boxes are one fish, where an artifact does not say otherwise."""
MOST_CANDIDATES: Final = 1000
MOST_DETECTIONS: Final = 300
"""As COCO's practice allows and more than any frame of fish needs."""


def suppressed(
    xyxy: Boxes, scores: NDArray[np.float32], least_score: float, most_overlap: float = MOST_OVERLAP
) -> Detections:
    """Greedy non-maximum suppression, each class by itself (Felzenszwalb et al. 2010).

    Args:
        xyxy: (A, 4) float32 candidates.
        scores: (A, C) float32, a score for every class.
        least_score: Candidates below are dropped first.
        most_overlap: IoU from which the less sure of two boxes of one class is dropped.

    Returns:
        At most `MOST_DETECTIONS`, the surest first; of equals the one that came first.
    """
    return with_candidates(xyxy, scores, least_score, most_overlap)[0]


def with_candidates(
    xyxy: Boxes, scores: NDArray[np.float32], least_score: float, most_overlap: float = MOST_OVERLAP
) -> tuple[Detections, NDArray[np.int64]]:
    """The detections of `suppressed`, and which of the A candidates each of them was."""
    candidate, label = np.nonzero(scores >= least_score)
    score = scores[candidate, label]
    order = np.argsort(-score, kind="stable")[:MOST_CANDIDATES]
    found = Detections(xyxy[candidate[order]], score[order], label[order].astype(np.int64))
    overlapping = (ious(found.xyxy, found.xyxy) > most_overlap) & (found.labels[:, None] == found.labels[None])
    kept = np.ones(len(found), bool)
    for index in range(len(found)):
        if kept[index]:
            kept[index + 1 :] &= ~overlapping[index, index + 1 :]
    chosen = np.flatnonzero(kept)[:MOST_DETECTIONS]
    return found.select(chosen), candidate[order][chosen]
