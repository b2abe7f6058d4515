"""The numbers of a deployment: MaxN, MeanCount, first arrival, MaxN per minute, individuals by track, line crossings.

`docs/counts.md` defines each, with its source. All are per species, over the samples of one period of the deployment;
every species that the detector knows is reported, also where it was never seen. Where no sample was looked at, a
number is None, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from apps.fish.individuals import Fragmentation, Individuals, confirmed_tracks, highest_scores, individuals
from apps.fish.lines import Crossing, Direction, Line, crossings
from apps.fish.records import Observations, Samples, TrackedObservations
from apps.fish.tracking import doubles
from data.errors import ArgumentError

_ROUNDING: Final = 1e-6
"""Seconds: what a timestamp may be off and still lie at the edge that it is meant for."""


class CountSettings(BaseModel):
    """What is counted.

    `threshold`: the score from which a fish is counted. `confirmed_after`: a track with fewer sightings is no
    individual and crosses no line; see `confirmed_tracks`. `lines`: lines whose crossings are counted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold: Annotated[float, Field(ge=0, le=1)]
    confirmed_after: Annotated[int, Field(ge=1)] = 3
    fragmentation: Fragmentation = Fragmentation()
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True)
class Period:
    """The part of a deployment that counts, in its seconds: from `start` (on the seabed) to `end`, itself excluded.

    Raises:
        ArgumentError: It starts before the deployment, or ends before it starts.
    """

    start: float = 0.0
    end: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start) and self.start >= 0):
            raise ArgumentError("period", f"starts at {self.start:g} s", expected="0 s of the deployment or later")
        if self.end is not None and not (math.isfinite(self.end) and self.end > self.start):
            raise ArgumentError(
                "period", f"ends at {self.end:g} s", expected=f"an end after its start at {self.start:g} s"
            )

    def holds(self, samples: Samples) -> NDArray[np.bool_]:
        """(S,) bool: the samples within the period."""
        held = samples.seconds >= self.start - _ROUNDING
        if self.end is not None:
            held &= samples.seconds < self.end - _ROUNDING
        return np.asarray(held, np.bool_)


@dataclass(frozen=True)
class Sighting:
    """A sample and when it is: `sample` is its position in the deployment's samples, `seconds` since period start."""

    sample: int
    seconds: float


@dataclass(frozen=True)
class SpeciesCounts:
    """The numbers of one species.

    `max_n` and the first sample that reaches it (None where it is 0); `mean_count` over all samples of the period;
    `first_arrival`: the first sample with one; `max_n_per_minute`: for every minute from period start, None where no
    sample was looked at.
    """

    species: str
    max_n: int | None
    max_n_at: Sighting | None
    mean_count: float | None
    first_arrival: Sighting | None
    max_n_per_minute: tuple[int | None, ...]
    individuals: Individuals


@dataclass(frozen=True)
class LineCount:
    """How often one species crossed a line in one direction."""

    line: Line
    species: str
    direction: Direction
    count: int


@dataclass(frozen=True)
class DeploymentCounts:
    """All numbers of one deployment: `samples` looked at within the period, the species in the detector's order, the
    line counts by line, species and direction, every single crossing with the sample that shows it, and the numbers of
    the tracks that are confirmed within the period."""

    period: Period
    samples: int
    species: tuple[SpeciesCounts, ...]
    line_counts: tuple[LineCount, ...]
    crossings: tuple[Crossing, ...]
    confirmed: frozenset[int]


def count(
    tracked: TrackedObservations, period: Period, settings: CountSettings, size_wh: tuple[int, int]
) -> DeploymentCounts:
    """Count the fish of one deployment.

    Args:
        tracked: All of its chapters, joined, then tracked.
        period: The part that counts.
        settings: What is counted.
        size_wh: The frame's size, width first; for lines in fractions of it.

    Raises:
        ArgumentError: A line leaves the frame.
    """
    settled = settle(tracked)
    held = period.holds(settled.observations.samples)
    within = settled.select_samples(held)
    positions = np.flatnonzero(held)
    counts = counts_per_sample(within.observations, settings.threshold)
    clock = _Clock(within.observations.samples.seconds - period.start, positions, period)
    confirmed = confirmed_tracks(within, settings.confirmed_after, settings.threshold)
    species = tuple(
        _of_species(name, counts[:, label], clock, _individuals(within, confirmed, label, counts[:, label], settings))
        for label, name in enumerate(within.observations.names)
    )
    # From here on tracks and samples have the numbers that they have in the whole deployment.
    numbers = np.zeros(within.count + 1, np.int64)
    numbers[within.tracks] = settled.tracks[held[settled.observations.sample]]
    kept = frozenset(numbers[confirmed].tolist())
    found = (crossing for line in settings.lines for crossing in crossings(settled, line, size_wh))
    crossed = tuple(crossing for crossing in found if crossing.track in kept and held[crossing.sample])
    lines = _line_counts(settled, crossed, settings, size_wh)
    return DeploymentCounts(period, len(positions), species, lines, crossed, kept)


def settle(tracked: TrackedObservations) -> TrackedObservations:
    """One species for each fish: a track's is the one that its scores speak for most; of two boxes of different species
    on one fish only the surer stays."""
    seen = tracked.observations
    if not len(seen) or len(seen.names) == 1:
        return tracked
    votes = np.zeros((tracked.count + 1, len(seen.names)))
    np.add.at(votes, (tracked.tracks, seen.labels), seen.scores.astype(np.float64))
    labels = np.where(tracked.tracks > 0, votes.argmax(axis=1)[tracked.tracks], seen.labels)
    settled = Observations(seen.samples, seen.sample, seen.xyxy, seen.scores, labels.astype(np.int64), seen.names)
    # A tracked box is never a double: doubles are kept from the tracker.
    return TrackedObservations(settled, tracked.tracks).select(~doubles(seen) | (tracked.tracks > 0))


def counts_per_sample(observations: Observations, threshold: float) -> NDArray[np.int64]:
    """(S, species) int64: how many of each species stand in each sample, from that score on."""
    counts = np.zeros((len(observations.samples), len(observations.names)), np.int64)
    counted = observations.above(threshold)
    np.add.at(counts, (counted.sample, counted.labels), 1)
    return counts


@dataclass(frozen=True)
class _Clock:
    """Samples of a period: `seconds` (P,) since its start, `positions` (P,) among all samples of the deployment."""

    seconds: NDArray[np.float64]
    positions: NDArray[np.int64]
    period: Period

    def sighting(self, index: int) -> Sighting:
        return Sighting(int(self.positions[index]), max(0.0, float(self.seconds[index])))

    @property
    def minute(self) -> NDArray[np.int64]:
        """(P,) the minute of each sample, from 0."""
        return np.maximum(np.floor((self.seconds + _ROUNDING) / 60), 0).astype(np.int64)

    @property
    def minutes(self) -> int:
        """How many minutes there are: of the period, or where it has no end, up to the last sample."""
        if self.period.end is not None:
            return math.ceil((self.period.end - self.period.start - _ROUNDING) / 60)
        return int(self.minute[-1]) + 1 if len(self.seconds) else 0


def _of_species(species: str, counts: NDArray[np.int64], clock: _Clock, individuals: Individuals) -> SpeciesCounts:
    per_minute: list[int | None] = [None] * clock.minutes
    for minute in np.unique(clock.minute):
        per_minute[minute] = int(counts[clock.minute == minute].max())
    if not len(counts):
        return SpeciesCounts(species, None, None, None, None, tuple(per_minute), individuals)
    seen = np.flatnonzero(counts)
    return SpeciesCounts(
        species,
        int(counts.max()),
        clock.sighting(int(counts.argmax())) if len(seen) else None,
        float(counts.mean()),
        clock.sighting(int(seen[0])) if len(seen) else None,
        tuple(per_minute),
        individuals,
    )


def _individuals(
    within: TrackedObservations,
    confirmed: NDArray[np.bool_],
    label: int,
    counts: NDArray[np.int64],
    settings: CountSettings,
) -> Individuals:
    labels = np.zeros(within.count + 1, np.int64)
    labels[within.tracks] = within.observations.labels
    mine = np.flatnonzero(confirmed & (labels == label))
    return individuals(highest_scores(within)[mine], int(counts.max(initial=0)), settings.fragmentation)


def _line_counts(
    settled: TrackedObservations, crossed: Sequence[Crossing], settings: CountSettings, size_wh: tuple[int, int]
) -> tuple[LineCount, ...]:
    names = settled.observations.names
    species = dict(zip(settled.tracks.tolist(), settled.observations.labels.tolist(), strict=True))
    keys = [(crossing.line, species[crossing.track], crossing.direction) for crossing in crossed]
    return tuple(
        LineCount(line, name, direction, keys.count((line, label, direction)))
        for line in settings.lines
        for label, name in enumerate(names)
        for direction in line.directions(size_wh)
    )
