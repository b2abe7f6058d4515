"""Points: (P, 2) float32 arrays `xy` in pixels of their picture, one point an object; and sets of pictures with them.

Whoever has boxes has points: the middles of the boxes. A person who only clicked on every fish writes a CSV file with
the columns picture, x, y (see `read_points`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.boxes import Boxes

Points = NDArray[np.float32]
"""(P, 2) float32: x, y."""


def no_points() -> Points:
    """(0, 2) float32."""
    return np.zeros((0, 2), np.float32)


def centres(xyxy: Boxes) -> Points:
    """(N, 4) boxes -> (N, 2) their middles."""
    return np.asarray((xyxy[:, :2] + xyxy[:, 2:]) / 2, np.float32)


@dataclass(frozen=True)
class DenseCount:
    """How many objects a counter sees in one frame.

    `count` is the sum of its density, not a whole number. `points` (P, 2) float32 xy in pixels of the frame are where
    the density peaks, the surest first; never more than the count rounded, fewer where objects blend into one peak,
    and none from a counter that only counts.
    """

    count: float
    points: Points


@dataclass(frozen=True)
class Density:
    """Where in one frame a counter sees how much: `amounts` (M,) float32 of objects at `xy` (M, 2) float32 pixels."""

    xy: Points
    amounts: NDArray[np.float32]

    @property
    def count(self) -> float:
        """All objects together."""
        return float(self.amounts.sum(dtype=np.float64))

    @classmethod
    def of_points(cls, xy: Points) -> Density:
        """One object at each point."""
        return cls(xy, np.ones(len(xy), np.float32))
