"""Lines across the picture, and fish that cross them.

A crossing is counted for a track when the fish's middle has gone from clearly on one side of the line to clearly on the
other, through the drawn piece of the line. Clearly means farther away than a quarter of the box's shorter side (see
`MARGIN`), so that a fish that hovers on the line, or a box that trembles, is not counted again and again. A fish that
returns is counted once each way; one that swims around the end of the line is not counted.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from apps.fish.records import TrackedObservations
from data.errors import ArgumentError

MARGIN: Final = 0.25
"""Of a box's shorter side: how far beyond the line its middle must be."""
_SMALLEST_MARGIN: Final = 1.0
_EXPECTED: Final = "x1,y1,x2,y2 in pixels of the frame, or in fractions of it (all of them 0 to 1), such as 0.5,0,0.5,1"

Direction = Literal["leftwards", "rightwards", "upwards", "downwards"]
Point = NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """A piece of line from (x1, y1) to (x2, y2), in pixels of the frame, or in fractions of its size.

    Raises:
        ArgumentError: It has no length, or leaves the frame.
    """

    x1: float
    y1: float
    x2: float
    y2: float
    fractions: bool

    def __post_init__(self) -> None:
        ends = np.array([self.x1, self.y1, self.x2, self.y2])
        if not np.isfinite(ends).all() or (ends < 0).any() or (self.fractions and (ends > 1).any()):
            raise ArgumentError(f"line {self}", "lies outside the frame", expected=_EXPECTED)
        if np.array_equal(ends[:2], ends[2:]):
            raise ArgumentError(f"line {self}", "has no length", expected="two different points")

    def __str__(self) -> str:
        return ",".join(f"{end:g}" for end in (self.x1, self.y1, self.x2, self.y2))

    @classmethod
    def parse(cls, text: str) -> Line:
        """A line as written on the command line; all four numbers from 0 to 1 are fractions, else pixels.

        Raises:
            ArgumentError: Not four numbers, no length, or outside the frame.
        """
        number = r"\s*(\d+(?:\.\d*)?|\.\d+)\s*"
        found = re.fullmatch(",".join([number] * 4), text, re.ASCII)
        if not found:
            raise ArgumentError(f"line {text!r}", "is not four numbers", expected=_EXPECTED)
        x1, y1, x2, y2 = (float(part) for part in found.groups())
        return cls(x1, y1, x2, y2, fractions=max(x1, y1, x2, y2) <= 1)

    def in_pixels(self, size_wh: tuple[int, int]) -> tuple[Point, Point]:
        """Both ends, (2,) float64 pixels of a frame of that size.

        Raises:
            ArgumentError: The line leaves the frame.
        """
        scale = np.array(size_wh if self.fractions else (1, 1), np.float64)
        first, last = np.array([self.x1, self.y1]) * scale, np.array([self.x2, self.y2]) * scale
        if (np.maximum(first, last) > size_wh).any():
            width, height = size_wh
            raise ArgumentError(f"line {self}", f"leaves the frame of {width} x {height} pixels", expected=_EXPECTED)
        return first, last

    def directions(self, size_wh: tuple[int, int]) -> tuple[Direction, Direction]:
        """The two ways across, the left or upward one first: a line steeper than 45 degrees is crossed sideways."""
        first, last = self.in_pixels(size_wh)
        across, down = np.abs(last - first)
        return ("leftwards", "rightwards") if down >= across else ("upwards", "downwards")


@dataclass(frozen=True)
class Crossing:
    """One fish crosses a line: `sample` is the position of the first sample that sees it clearly on the other side."""

    line: Line
    track: int
    sample: int
    direction: Direction


def crossings(tracked: TrackedObservations, line: Line, size_wh: tuple[int, int]) -> tuple[Crossing, ...]:
    """Every crossing of the line, by sample, then track.

    Args:
        tracked: Fish to be counted; what belongs to no track crosses nothing.
        line: The line.
        size_wh: The frame's size, width first.

    Raises:
        ArgumentError: The line leaves the frame.
    """
    first, last = line.in_pixels(size_wh)
    backwards, forwards = line.directions(size_wh)
    seen = tracked.observations
    order = np.argsort(tracked.tracks, kind="stable")
    edges = np.searchsorted(tracked.tracks[order], np.arange(1, tracked.count + 2))
    found = []
    for number, (start, stop) in enumerate(itertools.pairwise(edges), 1):
        rows = order[start:stop]
        for row, sign in _passages(seen.xyxy[rows].astype(np.float64), first, last):
            found.append(Crossing(line, number, int(seen.sample[rows[row]]), forwards if sign > 0 else backwards))
    return tuple(sorted(found, key=lambda crossing: (crossing.sample, crossing.track)))


def _passages(xyxy: NDArray[np.float64], first: Point, last: Point) -> list[tuple[int, int]]:
    """Where the boxes (K, 4) of one track have clearly passed the line: (row, +1 right- or downwards, or -1)."""
    middles = (xyxy[:, :2] + xyxy[:, 2:]) / 2
    along, normal = last - first, _normal(first, last)
    distance = (middles - first) @ normal
    margin = np.maximum((xyxy[:, 2:] - xyxy[:, :2]).min(axis=1) * MARGIN, _SMALLEST_MARGIN)
    clear = np.flatnonzero(np.abs(distance) > margin)
    through = np.zeros(len(middles))  # +1 or -1 where the path to the next row runs through the piece of line
    for row in np.flatnonzero(np.diff(distance >= 0)):
        part = distance[row] / (distance[row] - distance[row + 1])
        point = middles[row] + part * (middles[row + 1] - middles[row])
        if 0 <= (point - first) @ along <= along @ along:
            through[row] = 1 if distance[row] < distance[row + 1] else -1
    passages = []
    for before, after in itertools.pairwise(clear):
        if (distance[before] > 0) != (distance[after] > 0) and through[before:after].sum():
            passages.append((int(after), 1 if through[before:after].sum() > 0 else -1))
    return passages


def _normal(first: Point, last: Point) -> Point:
    """Of length 1, pointing right across a line steeper than 45 degrees, else down."""
    across, down = last - first
    normal = np.array([down, -across]) / np.hypot(across, down)
    return normal if normal[0 if abs(down) >= abs(across) else 1] > 0 else -normal
