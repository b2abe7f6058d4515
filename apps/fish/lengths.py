"""How long fish are, from their outlines and a scale: the middle one of a track's lengths.

`docs/counts.md` says what such lengths are worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from apps.fish.counts import settle
from apps.fish.results import DeploymentResult

CLASS_MM: Final = 10
"""Width of a length class."""


@dataclass(frozen=True)
class FishLength:
    """A track, or with `track` 0 a detection without one, and how long it is.

    `rows` are its outlined detections; `outlines` of them are not cut by the frame's edge, and measured: `pixels` is
    the middle one of their lengths (None where there is none), `mm` the same by the scale, where there is one.
    """

    track: int
    label: int
    rows: NDArray[np.int64]
    outlines: int
    area: float
    pixels: float | None
    mm: float | None


@dataclass(frozen=True)
class LengthClass:
    """How many fish of a species' MaxN are from `low` mm to below `low` + CLASS_MM long; None: not to be measured."""

    species: str
    low: int | None
    count: int


def scale_of(result: DeploymentResult) -> float | None:
    """Millimetres a pixel, where the metadata say so."""
    return result.deployment.metadata.mm_per_pixel if result.deployment.metadata else None


def fish_lengths(result: DeploymentResult) -> list[FishLength]:
    """Every fish that has an outline: tracks by their number, then detections without one."""
    if result.outlines is None or not len(result.outlines):
        return []
    tracked = result.records.tracked
    of_outline = tracked.tracks[result.outlines.row]
    order = np.argsort(of_outline, kind="stable")
    numbers, starts = np.unique(of_outline[order], return_index=True)
    groups = dict(zip(numbers.tolist(), np.split(order, starts[1:]), strict=True))
    single = groups.pop(0, np.zeros(0, np.int64))
    labels = _settled_labels(result)
    found = [_length(result, track, at, labels[track]) for track, at in sorted(groups.items())]
    return [*found, *(_length(result, 0, np.array([at]), None) for at in single)]


def length_classes(result: DeploymentResult) -> list[LengthClass]:
    """The lengths of the fish that make each species' MaxN, so that no fish counts twice; rising, unmeasured last."""
    lengths = fish_lengths(result)
    of_track = {one.track: one.mm for one in lengths if one.track}
    known = result.records.tracked.observations.identity
    single = {known(int(one.rows[0])): one.mm for one in lengths if not one.track}
    settled = settle(result.records.tracked)
    seen = settled.observations
    found = []
    for label, species in enumerate(result.counts.species):
        if species.max_n_at is None:
            continue
        counted = (seen.sample == species.max_n_at.sample) & (seen.labels == label)
        counted &= seen.scores >= np.float32(result.settings.threshold)
        mm = [
            of_track.get(int(settled.tracks[at])) if settled.tracks[at] else single.get(seen.identity(int(at)))
            for at in np.flatnonzero(counted)
        ]
        lows = sorted(int(length // CLASS_MM) * CLASS_MM for length in mm if length is not None)
        found += [LengthClass(species.species, low, lows.count(low)) for low in dict.fromkeys(lows)]
        if len(lows) < len(mm):
            found.append(LengthClass(species.species, None, len(mm) - len(lows)))
    return found


def _length(result: DeploymentResult, track: int, positions: NDArray[np.int64], label: int | None) -> FishLength:
    outlines = result.outlines
    if outlines is None:
        raise ValueError("there are no outlines")
    rows = outlines.row[positions]
    whole = positions[~outlines.cut[positions]]
    pixels = float(np.median(outlines.length[whole])) if len(whole) else None
    scale = scale_of(result)
    return FishLength(
        track,
        int(result.records.tracked.observations.labels[rows[0]]) if label is None else label,
        rows,
        len(whole),
        float(np.median(outlines.area[whole if len(whole) else positions])),
        pixels,
        pixels * scale if pixels is not None and scale is not None else None,
    )


def _settled_labels(result: DeploymentResult) -> dict[int, int]:
    settled = settle(result.records.tracked)
    return dict(zip(settled.tracks.tolist(), settled.observations.labels.tolist(), strict=True))
