"""All fish of a deployment together: counted by boxes, and by points in the samples that are too dense for boxes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from apps.fish.counts import Sighting, settle
from apps.fish.results import DeploymentResult


@dataclass(frozen=True)
class DenseCounts:
    """Counts of all species together, over the samples of the period.

    `max_n_boxes` and `mean_boxes` are by boxes in every sample. Samples in which the counter says `dense_from` (None:
    never) or more are `dense`; `max_n` and `mean` are by points in those, and by boxes in the others. `max_n_points` is
    the most counted by points in a dense sample. Each sighting is the first that reaches its MaxN, None where that is
    0 or there is no such sample; `used` says what `max_n` was counted by.
    """

    samples: int
    dense: int
    dense_from: float | None
    max_n_boxes: int | None
    boxes_at: Sighting | None
    max_n_points: int | None
    points_at: Sighting | None
    max_n: int | None
    at: Sighting | None
    used: Literal["boxes", "points"]
    mean_boxes: float | None
    mean: float | None


def dense_counts(result: DeploymentResult) -> DenseCounts | None:
    """The counts; None where nothing was counted by points."""
    if result.dense is None:
        return None
    settled = settle(result.records.tracked).observations
    samples = settled.samples
    positions = np.flatnonzero(result.counts.period.holds(samples))
    seconds = samples.seconds - result.counts.period.start
    boxes = np.bincount(settled.above(result.settings.threshold).sample, minlength=len(samples))[positions]
    points = np.zeros(len(samples), np.float64)
    points[result.dense.sample] = result.dense.count
    points = points[positions]
    dense = points >= result.dense.dense_from
    rounded = np.floor(points + 0.5).astype(np.int64)
    used = np.where(dense, rounded, boxes)

    def first(counts: NDArray[np.int64]) -> Sighting | None:
        if not counts.any():
            return None
        at = int(positions[int(counts.argmax())])
        return Sighting(at, max(0.0, float(seconds[at])))

    none = not len(positions)
    at = first(used)
    return DenseCounts(
        len(positions),
        int(dense.sum()),
        result.dense.dense_from if math.isfinite(result.dense.dense_from) else None,
        None if none else int(boxes.max()),
        first(boxes),
        int(rounded[dense].max()) if dense.any() else None,
        first(np.where(dense, rounded, 0)),
        None if none else int(used.max()),
        at,
        "points" if at is not None and dense[int(used.argmax())] else "boxes",
        None if none else float(boxes.mean()),
        None if none else float(np.where(dense, points, boxes).mean()),
    )
