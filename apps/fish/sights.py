"""Where every fish of a deployment is at any time: at a sample as it was seen, between samples on the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from apps.fish.counts import settle
from apps.fish.drawing import Box, Mark
from apps.fish.results import DeploymentResult

NEAR_THRESHOLD: Final = 0.1
"""A detection whose score misses the threshold by less is shown, as one that is not counted."""
_LONGEST_GAP: Final = 1.0
"""Seconds without a sighting within which a fish is taken to have swum straight on."""
_SAME: Final = 1e-4


@dataclass(frozen=True, eq=False)
class _Path:
    """One track, or what stays of a detection without one: times within the file, boxes, scores; one species."""

    track: int
    species: int
    seconds: NDArray[np.float64]
    xyxy: NDArray[np.float64]
    scores: NDArray[np.float64]


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
        seen = tracked.observations
        samples = seen.samples
        self._times = samples.file_seconds[samples.chapter == chapter]
        times = samples.file_seconds[seen.sample]
        near = (times >= window[0] - 2 * _LONGEST_GAP) & (times <= window[1] + 2 * _LONGEST_GAP)
        shown = np.float32(max(0.0, self.threshold - NEAR_THRESHOLD))
        near &= (samples.chapter[seen.sample] == chapter) & (seen.scores >= shown)
        rows = np.flatnonzero(near)
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
                )
                self._paths.append(path)

    def at(self, seconds: float) -> list[Mark]:
        """The marks of a frame at that time within the file."""
        return [mark for path in self._paths for mark in self._of(path, seconds)]

    def _of(self, path: _Path, seconds: float) -> Iterator[Mark]:
        after = int(np.searchsorted(path.seconds, seconds - _SAME))
        if after < len(path.seconds) and path.seconds[after] <= seconds + _SAME:
            yield self._mark(path, path.xyxy[after], float(path.scores[after]))
        elif path.track and 0 < after < len(path.seconds):
            start, end = path.seconds[after - 1], path.seconds[after]
            if end - start > self._gap(start):
                return
            part = (seconds - start) / (end - start)
            box = path.xyxy[after - 1] * (1 - part) + path.xyxy[after] * part
            yield self._mark(path, box, float(path.scores[after - 1]))
        elif after and seconds < self._next_sample(path.seconds[after - 1]):
            # Seen for the last time: it stays until the next sample does not show it.
            yield self._mark(path, path.xyxy[after - 1], float(path.scores[after - 1]))

    def _gap(self, start: float) -> float:
        return max(_LONGEST_GAP, self._next_sample(start) - start + _SAME)

    def _next_sample(self, seconds: float) -> float:
        after = int(np.searchsorted(self._times, seconds + _SAME))
        return float(self._times[after]) - _SAME if after < len(self._times) else seconds

    def _mark(self, path: _Path, box: NDArray[np.float64], score: float) -> Mark:
        counted = np.float32(score) >= np.float32(self.threshold)
        left, top, right, bottom = (float(edge) for edge in box)
        corners: Box = (left, top, right, bottom)
        text = f"{path.track} · {score:.2f}" if path.track else f"{score:.2f}"
        return Mark(corners, text, path.species, bool(counted))
