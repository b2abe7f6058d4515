"""How many fish came by: which tracks stand for a fish, and how many individuals they tell of; see `docs/counts.md`.

A tracker follows what the detector says, right or wrong. Two kinds of tracks are no further fish and can be told from
fish by their whole life: a second box on a fish that another track has already, and a thing that never moves.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from apps.fish.records import TrackedObservations
from data.boxes import Boxes, areas

_QUANTILE_95: Final = 1.959964
_COVERED: Final = 0.5
"""Share of the smaller of two boxes from which the weaker track's may be on the same fish."""
_COVERED_SIGHTINGS: Final = 0.5
"""Share of its sightings from which a track so covered is a double."""
_STILL_SECONDS: Final = 3.0
"""A track that lasted so long has had the time to move."""
_STILL: Final = 0.5
"""The way, in sizes of its box (the root of the area), that a fish moves in that time at the least."""


class Fragmentation(BaseModel):
    """How confirmed tracks relate to individuals, measured by `benchmarks/tracking.py` on footage with known truth.

    `ratio`: individuals for each track (geometric mean over clips); `spread`: standard deviation of its logarithm
    from clip to clip.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    ratio: Annotated[float, Field(gt=0, le=10)] = 1.18
    spread: Annotated[float, Field(ge=0, le=3)] = 0.41


@dataclass(frozen=True)
class Individuals:
    """How many came by, from `tracks`, the number of confirmed tracks; `low` to `high` is meant to hold the truth in 95
    of 100 clips like those that fragmentation was measured on. A fish that leaves and returns is counted again."""

    tracks: int
    estimate: float
    low: float
    high: float


def individuals(scores: NDArray[np.float64], max_n: int, fragmentation: Fragmentation) -> Individuals:
    """The estimate from the highest scores (T,) of confirmed tracks; at least `max_n` fish were there at once.

    The highest score of a track is taken for the probability that it is a fish: it is one if any of its boxes is right.
    What fragmentation and what doubtful tracks leave open are independent, and so added as squares.
    """
    if not len(scores):
        return Individuals(0, float(max_n), float(max_n), float(max_n))
    ratio, expected = fragmentation.ratio, math.fsum(scores)  # whatever the order of the tracks
    most_ratio = ratio * math.exp(_QUANTILE_95 * fragmentation.spread)
    least_ratio = ratio**2 / most_ratio
    doubt = ratio * _QUANTILE_95 * math.sqrt(math.fsum(scores * (1 - scores)))
    estimate = ratio * expected
    low = estimate - math.hypot(estimate - least_ratio * expected, doubt)
    high = estimate + math.hypot(most_ratio * expected - estimate, doubt)
    low, estimate, high = (max(float(max_n), number) for number in (low, estimate, min(high, most_ratio * len(scores))))
    return Individuals(len(scores), estimate, low, high)


def confirmed_tracks(tracked: TrackedObservations, sightings: int, threshold: float) -> NDArray[np.bool_]:
    """(tracks + 1,) bool by track number: the tracks that stand for a fish.

    Each was seen in at least so many samples, in one of them with a score from which a fish is counted, is no second
    box on a fish of another track, and moved if it had the time to.
    """
    seen = np.bincount(tracked.tracks, minlength=tracked.count + 1)
    often = seen >= sightings
    often[0] = False
    counted = highest_scores(tracked) >= np.float32(threshold)
    return np.asarray(often & counted & ~_doubled(tracked, often) & ~_still(tracked), np.bool_)


def mean_scores(tracked: TrackedObservations) -> NDArray[np.float64]:
    """(tracks + 1,) mean score of each track's observations, by track number."""
    size = tracked.count + 1
    sums = np.bincount(tracked.tracks, tracked.observations.scores.astype(np.float64), size)
    return np.asarray(sums / np.maximum(np.bincount(tracked.tracks, minlength=size), 1), np.float64)


def highest_scores(tracked: TrackedObservations) -> NDArray[np.float64]:
    """(tracks + 1,) highest score of each track's observations, by track number; 0 where there is none."""
    highest = np.zeros(tracked.count + 1, np.float32)
    np.maximum.at(highest, tracked.tracks, tracked.observations.scores)
    return highest.astype(np.float64)


def _doubled(tracked: TrackedObservations, often: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(tracks + 1,) bool: tracks of which most boxes lie on those of better tracks, that have more scores to add up."""
    observations = tracked.observations
    rows = np.flatnonzero(often[tracked.tracks])
    weight = np.bincount(tracked.tracks, observations.scores.astype(np.float64), tracked.count + 1)
    covered = np.zeros(tracked.count + 1, np.int64)
    edges = np.searchsorted(observations.sample[rows], np.arange(len(observations.samples) + 1))
    for start, stop in itertools.pairwise(edges.tolist()):
        if stop - start > 1:
            tracks = tracked.tracks[rows[start:stop]]
            better = weight[tracks][:, None] < weight[tracks][None]
            on_it = _smaller_covered(observations.xyxy[rows[start:stop]]) >= _COVERED
            covered[tracks] += (better & on_it).any(axis=1)
    sightings = np.bincount(tracked.tracks, minlength=tracked.count + 1)
    return np.asarray((covered > 0) & (covered >= _COVERED_SIGHTINGS * sightings), np.bool_)


def _smaller_covered(xyxy: Boxes) -> NDArray[np.float32]:
    """(N, N) the overlap of every two boxes, as a share of the smaller."""
    sides = np.minimum(xyxy[:, None, 2:], xyxy[None, :, 2:]) - np.maximum(xyxy[:, None, :2], xyxy[None, :, :2])
    size = areas(xyxy)
    smaller = np.minimum(size[:, None], size[None])
    return np.asarray(sides.clip(0).prod(axis=2) / np.maximum(smaller, np.finfo(np.float32).tiny), np.float32)


def _still(tracked: TrackedObservations) -> NDArray[np.bool_]:
    """(tracks + 1,) bool: tracks that had the time to move and did not."""
    observations = tracked.observations
    seconds = observations.samples.seconds[observations.sample]
    centre = (observations.xyxy[:, :2] + observations.xyxy[:, 2:]) / 2
    shape = (tracked.count + 1, 3)
    least, most = np.full(shape, np.inf), np.full(shape, -np.inf)
    places = np.concatenate([centre, seconds[:, None]], axis=1)
    np.minimum.at(least, tracked.tracks, places)
    np.maximum.at(most, tracked.tracks, places)
    seen = np.bincount(tracked.tracks, minlength=shape[0])
    size = np.bincount(tracked.tracks, np.sqrt(areas(observations.xyxy)), shape[0]) / np.maximum(seen, 1)
    went, lasted = np.hypot(*(most - least)[:, :2].T), (most - least)[:, 2]
    return np.asarray((lasted >= _STILL_SECONDS) & (went < _STILL * size), np.bool_)
