"""Counts of things per picture, against the true ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.detections import Detections
from data.readers.detectionset import DetectionSet

Counts = NDArray[np.int64]

BINS: Final = ((0, 0), (1, 1), (2, 4), (5, 9), (10, None))
"""True counts that are told of together, from and to; None is open."""


@dataclass(frozen=True)
class CountError:
    """How counts differ from the true ones: NaN without pictures.

    `mean` is the mean true count, `mae` the mean absolute error, `bias` the mean of counted minus true, `exact` and
    `within_one` the shares of pictures counted right, and wrong by one at most.
    """

    pictures: int
    mean: float
    mae: float
    bias: float
    exact: float
    within_one: float


@dataclass(frozen=True)
class CountScores:
    """Errors of counts over all pictures, and by true count ("0", "1", "2-4", "5-9", "10+")."""

    overall: CountError
    bins: dict[str, CountError]


def counts_at(found: Sequence[Detections], threshold: float) -> Counts:
    """(N,) detections from `threshold` up in each picture, whatever their class."""
    return np.array([np.count_nonzero(one.scores >= threshold) for one in found], np.int64)


def score_counts(truth: DetectionSet, found: Sequence[Detections], threshold: float) -> CountScores:
    """Compare counts of detections with counts of boxes, picture by picture.

    Raises:
        ValueError: There are not as many answers as pictures.
    """
    return count_errors(np.array([len(boxes) for boxes in truth.xyxy], np.int64), counts_at(found, threshold))


def count_errors(true: Counts, counted: Counts) -> CountScores:
    """Compare counts (N,) with the true ones (N,): of pictures, clips, or whatever was counted.

    Raises:
        ValueError: They differ in number.
    """
    if len(true) != len(counted):
        raise ValueError(f"{len(counted)} counts against {len(true)}: expected as many")
    bins = {_bin_name(low, high): (true >= low) & (true <= (math.inf if high is None else high)) for low, high in BINS}
    return CountScores(_error(true, counted), {name: _error(true[one], counted[one]) for name, one in bins.items()})


def _bin_name(low: int, high: int | None) -> str:
    if high is None:
        return f"{low}+"
    return f"{low}" if low == high else f"{low}-{high}"


def _error(true: Counts, counted: Counts) -> CountError:
    if not len(true):
        return CountError(0, *[math.nan] * 5)
    off = counted - true
    distance = np.abs(off)
    shares = float(np.mean(distance == 0)), float(np.mean(distance <= 1))
    return CountError(len(true), float(true.mean()), float(distance.mean()), float(off.mean()), *shares)
