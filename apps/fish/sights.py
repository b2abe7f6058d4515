"""Where every fish of a deployment is at any time: at a sample as it was seen, between samples on the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from apps.fish.colours import colours_of
from apps.fish.counts import settle
from apps.fish.drawing import Box, Mark
from apps.fish.records import Observations
from apps.fish.results import DeploymentResult
from data.masks import polygons

NEAR_THRESHOLD: Final = 0.1
"""A detection whose score misses the threshold by less is shown, as one that is not counted."""
_LONGEST_GAP: Final = 1.0
"""Seconds without a sighting within which a fish is taken to have swum straight on."""
_SAME: Final = 1e-4
_NEAR: Final = 0.5
"""Pixels that an outline may be drawn off."""


@dataclass(frozen=True, eq=False)
class _Path:
    """One track, or what stays of a detection without one: times within the file, boxes, scores; one species.

    `outlines` are the positions of the detections' outlines, -1 for none.
    """

    track: int
    species: int
    seconds: NDArray[np.float64]
    xyxy: NDArray[np.float64]
    scores: NDArray[np.float64]
    outlines: tuple[int, ...]


class Sights:
    """What is seen in one chapter of a deployment, as it was counted: one species for each fish.

    Args:
        result: The deployment.
        chapter: Position of the chapter.
        window: Seconds within the chapter's file, from and to: nothing outside of it is asked for.
    """

    def __init__(self, result: DeploymentResult, chapter: int, window: tuple[float, float]) -> None:
        self.threshold = result.settings.threshold
        tracked = settle(result.records.tracked)
        self._colours = colours_of(tracked, result.counts)
        seen = tracked.observations
        samples = seen.samples
        self._times = samples.file_seconds[samples.chapter == chapter]
        times = samples.file_seconds[seen.sample]
        near = (times >= window[0] - 2 * _LONGEST_GAP) & (times <= window[1] + 2 * _LONGEST_GAP)
        shown = np.float32(max(0.0, self.threshold - NEAR_THRESHOLD))
        near &= (samples.chapter[seen.sample] == chapter) & (seen.scores >= shown)
        rows = np.flatnonzero(near)
        self._outlines = result.outlines
        self._drawn: dict[int, tuple[NDArray[np.float64], ...]] = {}
        outlined = self._outlined(result.records.tracked.observations, set(seen.sample[rows].tolist()))
        self._paths: list[_Path] = []
        for track in np.unique(tracked.tracks[rows]):
            mine = rows[tracked.tracks[rows] == track]
            for group in [mine] if track else [np.array([row]) for row in mine]:
                path = _Path(
                    int(track),
                    int(seen.labels[group[0]]),
                    times[group],
                    seen.xyxy[group].astype(np.float64),
                    seen.scores[group].astype(np.float64),
                    tuple(outlined.get(seen.identity(row), -1) for row in group.tolist()),
                )
                self._paths.append(path)

    def at(self, seconds: float) -> list[Mark]:
        """The marks of a frame at that time within the file."""
        return [mark for path in self._paths for mark in self._of(path, seconds)]

    def _of(self, path: _Path, seconds: float) -> Iterator[Mark]:
        after = int(np.searchsorted(path.seconds, seconds - _SAME))
        if after < len(path.seconds) and path.seconds[after] <= seconds + _SAME:
            yield self._mark(path, path.xyxy[after], after)
        elif path.track and 0 < after < len(path.seconds):
            start, end = path.seconds[after - 1], path.seconds[after]
            if end - start > self._gap(start):
                return
            part = (seconds - start) / (end - start)
            box = path.xyxy[after - 1] * (1 - part) + path.xyxy[after] * part
            yield self._mark(path, box, after - 1)
        elif after and seconds < self._next_sample(path.seconds[after - 1]):
            # Seen for the last time: it stays until the next sample does not show it.
            yield self._mark(path, path.xyxy[after - 1], after - 1)

    def _gap(self, start: float) -> float:
        return max(_LONGEST_GAP, self._next_sample(start) - start + _SAME)

    def _next_sample(self, seconds: float) -> float:
        after = int(np.searchsorted(self._times, seconds + _SAME))
        return float(self._times[after]) - _SAME if after < len(self._times) else seconds

    def _outlined(self, seen: Observations, samples: set[int]) -> dict[tuple[int, bytes], int]:
        """The positions of the outlines in those samples, by what their detections are known by."""
        if self._outlines is None:
            return {}
        rows = self._outlines.row.tolist()
        return {seen.identity(row): at for at, row in enumerate(rows) if int(seen.sample[row]) in samples}

    def _outline(self, path: _Path, sighting: int, box: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        """The outline of that sighting, moved along with the box."""
        position = path.outlines[sighting]
        if self._outlines is None or position < 0:
            return ()
        if position not in self._drawn:
            self._drawn[position] = polygons(self._outlines.mask(position), _NEAR)
        seen = path.xyxy[sighting]
        scale = (box[2:] - box[:2]) / np.maximum(seen[2:] - seen[:2], 1)
        return tuple((part - seen[:2]) * scale + box[:2] for part in self._drawn[position])

    def _mark(self, path: _Path, box: NDArray[np.float64], sighting: int) -> Mark:
        score = float(path.scores[sighting])
        counted = np.float32(score) >= np.float32(self.threshold)
        left, top, right, bottom = (float(edge) for edge in box)
        corners: Box = (left, top, right, bottom)
        text = f"{path.track} · {score:.2f}" if path.track else f"{score:.2f}"
        colour, outline = self._colours[path.species], self._outline(path, sighting, box)
        return Mark(corners, text, path.species, colour, bool(counted), outline)
