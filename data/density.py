"""How many objects are where: a network's grid of counts over its input, brought into the pixels of the frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from data.frames import FramePreprocessing, place_frame
from data.points import Points, no_points

LEAST_PEAK: Final = 0.25
"""Objects in the 3 x 3 cells around a peak below which it is no point: what is left may be no object at all."""

DensityMap = NDArray[np.float32]
"""(rows, columns) float32 objects in each cell of the network's input, none negative."""


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
    """What is seen where in one frame: `amounts` (M,) float32 of objects at `xy` (M, 2) float32 pixels."""

    xy: Points
    amounts: NDArray[np.float32]

    @property
    def count(self) -> float:
        """All objects together."""
        return float(self.amounts.sum(dtype=np.float64))

    def above(self, least: float) -> Density:
        """The same without what is less than that in one place."""
        return Density(self.xy, np.where(self.amounts < least, 0, self.amounts).astype(np.float32))

    def times(self, factor: float) -> Density:
        """The same with so many times as much everywhere."""
        return Density(self.xy, self.amounts * np.float32(factor))

    @classmethod
    def of_points(cls, xy: Points) -> Density:
        """One object at each point."""
        return cls(xy, np.ones(len(xy), np.float32))


def density_in_frame(cells: DensityMap, frame_wh: tuple[int, int], spec: FramePreprocessing) -> Density:
    """The cells whose middle lies in a frame of that size, and not in the padding around it."""
    inside = _inside(cells, frame_wh, spec)
    rows, columns = np.nonzero(inside)
    middles = np.stack([columns, rows], axis=1).astype(np.float32) + np.float32(0.5)
    return Density(_to_frame(middles, cells, frame_wh, spec), cells[inside])


def counted(cells: DensityMap, frame_wh: tuple[int, int], spec: FramePreprocessing) -> DenseCount:
    """The count and the points of a frame of that size; a map of one cell places nothing."""
    seen = np.where(_inside(cells, frame_wh, spec), cells, 0).astype(np.float32)
    count = float(seen.sum(dtype=np.float64))
    if cells.size == 1:
        return DenseCount(count, no_points())
    return DenseCount(count, _to_frame(peaks(seen, round(count)), cells, frame_wh, spec))


def peaks(cells: DensityMap, most: int) -> Points:
    """Places where a density peaks: (P, 2) float32 x, y in cells from the edge of the first, the highest first.

    A peak is a cell with at least `LEAST_PEAK` objects in the 3 x 3 cells around it, where the density, evened out a
    little, is higher than in its neighbours; of equal ones the first row by row. Its place is the middle of mass of
    those nine cells.

    Args:
        cells: The map.
        most: Greatest number of peaks.
    """
    nine = _of_nine(np.pad(cells.astype(np.float64), 1))
    total = nine.sum(axis=0)
    smooth = np.tensordot(_BLUR, nine, axes=1)
    highest = np.asarray(cv2.dilate(smooth, np.ones((3, 3), np.uint8)))
    rows, columns = np.nonzero((smooth >= highest) & (total >= LEAST_PEAK))
    places: list[tuple[float, float]] = []
    taken = np.zeros(cells.shape, np.bool_)
    for at in np.argsort(-smooth[rows, columns], kind="stable"):
        row, column = int(rows[at]), int(columns[at])
        if len(places) >= most:
            break
        if taken[row, column]:
            continue
        taken[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = True
        mass = nine[:, row, column] / total[row, column]
        places.append((column + 0.5 + float(mass @ _DX), row + 0.5 + float(mass @ _DY)))
    return np.array(places, np.float32).reshape(-1, 2)


_DY: Final = np.repeat([-1.0, 0.0, 1.0], 3)
_DX: Final = np.tile([-1.0, 0.0, 1.0], 3)
_BLUR: Final = np.outer([0.25, 0.5, 0.25], [0.25, 0.5, 0.25]).ravel()


def _of_nine(padded: NDArray[np.float64]) -> NDArray[np.float64]:
    """(9, rows, columns) each cell and its eight neighbours, of a map padded by one."""
    rows, columns = padded.shape[0] - 2, padded.shape[1] - 2
    return np.stack([padded[y : y + rows, x : x + columns] for y in range(3) for x in range(3)])


def _inside(cells: DensityMap, frame_wh: tuple[int, int], spec: FramePreprocessing) -> NDArray[np.bool_]:
    """(rows, columns) whether the middle of a cell lies in the frame; a map of one cell is the whole frame."""
    rows, columns = cells.shape
    x, y = _placed(np.arange(columns) + 0.5, np.arange(rows) + 0.5, cells, frame_wh, spec)
    return np.asarray(((y >= 0) & (y <= frame_wh[1]))[:, None] & ((x >= 0) & (x <= frame_wh[0]))[None])


def _to_frame(places: Points, cells: DensityMap, frame_wh: tuple[int, int], spec: FramePreprocessing) -> Points:
    """(P, 2) places in cells -> in pixels of the frame, held inside it."""
    x, y = _placed(places[:, 0], places[:, 1], cells, frame_wh, spec)
    return np.stack([np.clip(x, 0, frame_wh[0]), np.clip(y, 0, frame_wh[1])], axis=1).astype(np.float32)


def _placed(
    x: NDArray[Any], y: NDArray[Any], cells: DensityMap, frame_wh: tuple[int, int], spec: FramePreprocessing
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Columns and rows of the map, counted from the edge of its first cell -> pixels of the frame."""
    place = place_frame(frame_wh, spec)
    width, height = spec.size_wh[0] / cells.shape[1], spec.size_wh[1] / cells.shape[0]
    return (
        (x * width - place.left_top[0]) / place.scale_xy[0],
        (y * height - place.left_top[1]) / place.scale_xy[1],
    )
