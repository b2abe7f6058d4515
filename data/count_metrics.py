"""Counts of things per picture, against the true ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.density import Density
from data.detections import Detections
from data.points import Points
from data.readers.detectionset import DetectionSet

Counts = NDArray[np.int64]
Amounts = NDArray[np.int64] | NDArray[np.float64]
"""(N,) counts, or sums of a density, which are no whole numbers."""

BINS: Final = ((0, 0), (1, 1), (2, 4), (5, 9), (10, None))
"""True counts that are told of together, from and to; None is open."""

CLIP_FRAMES: Final = 10
"""Frames of the shortest clip that has a MaxN worth the name."""

ALIKE: Final = 0.1
"""By which share errors may differ that a few clips do not tell apart."""

LEVELS: Final = (0.0, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2)
"""Densities of a cell below which it may be background."""


@dataclass(frozen=True)
class CountError:
    """How counts differ from the true ones: NaN without pictures.

    `mean` is the mean true count, `mae` the mean absolute error, `bias` the mean of counted minus true, `exact` and
    `within_one` the shares of pictures counted right, and wrong by one at most, after rounding.
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

    @property
    def balanced_mae(self) -> float:
        """The mean of the bins' mean absolute errors: few crowded pictures weigh as much as many with a fish or two."""
        filled = [one.mae for one in self.bins.values() if one.pictures]
        return float(np.mean(filled)) if filled else math.nan


def counts_at(found: Sequence[Detections], threshold: float) -> Counts:
    """(N,) detections from `threshold` up in each picture, whatever their class."""
    return np.array([np.count_nonzero(one.scores >= threshold) for one in found], np.int64)


def score_counts(truth: DetectionSet, found: Sequence[Detections], threshold: float) -> CountScores:
    """Compare counts of detections with counts of boxes, picture by picture.

    Raises:
        ValueError: There are not as many answers as pictures.
    """
    return count_errors(np.array([len(boxes) for boxes in truth.xyxy], np.int64), counts_at(found, threshold))


def count_errors(true: Counts, counted: Amounts) -> CountScores:
    """Compare counts (N,) with the true ones (N,): of pictures, clips, or whatever was counted.

    Raises:
        ValueError: They differ in number.
    """
    if len(true) != len(counted):
        raise ValueError(f"{len(counted)} counts against {len(true)}: expected as many")
    bins = {_bin_name(low, high): _in_bin(true, low, high) for low, high in BINS}
    return CountScores(_error(true, counted), {name: _error(true[one], counted[one]) for name, one in bins.items()})


def maxn_thresholds(truth: DetectionSet, found: Sequence[Detections]) -> NDArray[np.float64]:
    """The scores to count from, in hundredths, at which the MaxN of clips errs least, every site weighing the same.

    The greatest count of many frames takes up every false box, so that it needs surer ones than single frames do.
    Held-out clips are few: thresholds that err up to `ALIKE` more than the best one are no worse, and belong to the
    answer. It is empty without a clip of `CLIP_FRAMES` frames.

    Args:
        truth: The boxes, all of them labelled.
        found: What was found in each picture.
    """
    every = (np.flatnonzero(truth.clips == clip) for clip in np.unique(truth.clips))
    clips = [held for held in every if len(held) >= CLIP_FRAMES]
    if not clips:
        return np.zeros(0)
    true = np.array([max(len(truth.xyxy[int(i)]) for i in held) for held in clips])
    sites = np.array([truth.sites[held[0]] for held in clips])
    thresholds: NDArray[np.float64] = np.arange(1, 100) / 100
    errors = np.array([np.abs(_max_n(found, clips, float(threshold)) - true) for threshold in thresholds])
    of_sites = np.mean([errors[:, sites == site].mean(axis=1) for site in np.unique(sites)], axis=0)
    alike: NDArray[np.bool_] = of_sites <= of_sites.min() * (1 + ALIKE) + 1e-9
    return thresholds[alike]


def _max_n(found: Sequence[Detections], clips: Sequence[NDArray[np.int64]], threshold: float) -> Counts:
    counted = counts_at(found, threshold)
    return np.array([counted[held].max() for held in clips])


def _bin_name(low: int, high: int | None) -> str:
    if high is None:
        return f"{low}+"
    return f"{low}" if low == high else f"{low}-{high}"


def _error(true: Counts, counted: Amounts) -> CountError:
    if not len(true):
        return CountError(0, *[math.nan] * 5)
    off = counted - true
    rounded = np.abs(np.rint(counted) - true)
    shares = float(np.mean(rounded == 0)), float(np.mean(rounded <= 1))
    return CountError(len(true), float(true.mean()), float(np.abs(off).mean()), float(off.mean()), *shares)


def grid_error(true: Sequence[Points], seen: Sequence[Density], sizes_wh: NDArray[np.int64], level: int) -> float:
    """GAME(L), the grid average mean absolute error (Guerrero-Gomez-Olmedo et al., 2015); NaN without pictures.

    Each picture is cut into 4 ** level equal parts; the absolute errors of the parts are summed, and the sums averaged
    over the pictures. Level 0 is the mean absolute error; from there up a fish seen in the wrong place costs twice.

    Args:
        true: N arrays of points.
        seen: What was counted where in the same N pictures.
        sizes_wh: (N, 2) width and height of each picture in pixels.
        level: 0 or more.

    Raises:
        ValueError: They differ in number, or the level is negative.
    """
    if not len(true) == len(seen) == len(sizes_wh) or level < 0:
        raise ValueError(f"{len(seen)} counts of {len(sizes_wh)} pictures against {len(true)}, at level {level}")
    sides = 2**level
    sums = []
    for points, density, size in zip(true, seen, sizes_wh, strict=True):
        off = _in_parts(density, size, sides) - _in_parts(Density.of_points(points), size, sides)
        sums.append(float(np.abs(off).sum()))
    return float(np.mean(sums)) if sums else math.nan


def _in_parts(density: Density, size_wh: NDArray[np.int64], sides: int) -> NDArray[np.float64]:
    """(sides * sides,) objects in each part of a picture, row by row."""
    column, row = np.clip(np.floor(density.xy * sides / size_wh), 0, sides - 1).astype(np.int64).T
    parts = np.bincount(row * sides + column, weights=density.amounts, minlength=sides * sides)
    return parts.astype(np.float64)


def error_of_sites(true: Counts, counted: Amounts, sites: NDArray[np.str_]) -> float:
    """The mean over the sites of their balanced error, as every new place will be a site of its own; NaN without any.

    Where one site alone has schools, a mean over all pictures or all abundances is mostly of that site: it is least
    for a counter that takes every place for such a one.

    Args:
        true: (N,) true counts.
        counted: (N,) counts of the same pictures.
        sites: (N,) the site of each picture.
    """
    return float(_weights(true, sites) @ np.abs(counted - true)) if len(true) else math.nan


def _weights(true: Counts, sites: NDArray[np.str_]) -> NDArray[np.float64]:
    """(N,) what each picture weighs: every site alike, of each every abundance, of that every picture; 1 in all."""
    weights = np.zeros(len(true))
    every = np.unique(sites)
    for site in every:
        bins = [(sites == site) & _in_bin(true, low, high) for low, high in BINS]
        filled = [held for held in bins if held.any()]
        for held in filled:
            weights[held] = 1 / (len(every) * len(filled) * held.sum())
    return weights


def _in_bin(true: Counts, low: int, high: int | None) -> NDArray[np.bool_]:
    return np.asarray((true >= low) & (true <= (math.inf if high is None else high)))


def background(true: Counts, seen: Sequence[Density], sites: NDArray[np.str_]) -> float:
    """The density below which a cell is best taken for background: of `LEVELS` the one of the least `error_of_sites`.

    A faint rest in a thousand empty cells adds up to fish that are not there. Of equal levels the lowest.

    Args:
        true: (N,) true counts.
        seen: What is seen where in the same pictures.
        sites: (N,) the site of each.
    """
    counts = (np.array([one.above(level).count for one in seen], np.float64) for level in LEVELS)
    return LEVELS[int(np.argmin([error_of_sites(true, own, sites) for own in counts]))]


def trusted_from(true: Counts, dense: Amounts, boxes: Amounts, sites: NDArray[np.str_]) -> float:
    """The dense count from which it errs less than counting boxes: infinite where it never does.

    Of all rules "from a dense count of t up take it, else the boxes" the one of the least `error_of_sites`; of equal
    ones the highest t.

    Args:
        true: (N,) true counts.
        dense: (N,) counts of the same pictures by a density.
        boxes: (N,) counts of boxes.
        sites: (N,) the site of each picture.
    """
    order = np.argsort(-dense, kind="stable")
    gains = np.cumsum((_weights(true, sites) * (np.abs(boxes - true) - np.abs(dense - true)))[order])
    last = np.append(np.diff(dense[order]) != 0, True)  # equal dense counts are taken together
    gains = np.where(last, gains, -math.inf)
    if not len(order) or gains.max() <= 0:
        return math.inf
    return float(dense[order][int(gains.argmax())])
