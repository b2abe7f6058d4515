"""Counting objects in frames with an artifact that gives their density: for schools too dense for boxes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from data.errors import InputError
from data.frames import check_frames, fit_frame, frames_input, place_frame
from data.points import DenseCount, Density, Points, no_points
from data.preprocess import Image
from deploy.runtime.artifact import Artifact
from deploy.runtime.detector import BATCH
from deploy.runtime.spec import ArtifactSpec, CountingSpec

LEAST_PEAK: Final = 0.25
"""Objects in the 3 x 3 cells around a peak below which it is no point: what is left may be no object at all."""

_Map = NDArray[np.float32]


class DenseCounter:
    """Counts fish (or what else it learnt) in frames.

    Args:
        artifact: An opened counting artifact.
        threads: Threads of the network; everything else runs in the calling thread.

    Raises:
        InputError: It is for another task, the model cannot be loaded, or does not map frames to a density as its
            spec says.
    """

    def __init__(self, artifact: Artifact[ArtifactSpec], threads: int = 1) -> None:
        self.artifact = artifact.of(CountingSpec)
        self._session = artifact.session(threads)

    @property
    def dense_from(self) -> float:
        """The count from which it is to be trusted more than boxes; infinite where it never is."""
        wanted = self.artifact.spec.dense_from
        return math.inf if wanted is None else wanted

    @property
    def localizes(self) -> bool:
        """Whether it says where objects are, or only how many."""
        return self.artifact.spec.grid_wh != (1, 1)

    def count(self, frames: Sequence[Image]) -> list[DenseCount]:
        """How many objects each frame shows, and where.

        Args:
            frames: N frames (H, W, 3) BGR uint8, of any sizes. N may be 0.

        Raises:
            InputError: A frame is no picture, or the network answers with what is no number.
        """
        return [self._counted(frame, density) for frame, density in zip(frames, self._maps(frames), strict=True)]

    def densities(self, frames: Sequence[Image]) -> list[Density]:
        """Where in each frame how much is seen: the cells of the network's grid; arguments and errors as `count`."""
        return [self._spread(frame, density) for frame, density in zip(frames, self._maps(frames), strict=True)]

    def _maps(self, frames: Sequence[Image]) -> list[_Map]:
        """(rows, columns) objects in each cell of the network's input, for each frame."""
        spec = self.artifact.spec
        maps: list[_Map] = []
        for start in range(0, len(frames), BATCH):
            batch = frames[start : start + BATCH]
            check_frames(batch, start)
            fitted = np.stack([fit_frame(frame, spec.preprocessing) for frame in batch])
            (raw,) = self._session.run(frames_input(fitted, spec.preprocessing))
            if not np.isfinite(raw).all():
                path = self.artifact.folder / self.artifact.choice.file
                raise InputError(path, "answers with what is no number", cure="export the artifact again")
            maps += list(np.where(raw < max(spec.least_density, 0), 0, raw * spec.count_scale).astype(np.float32))
        return maps

    def _counted(self, frame: Image, density: _Map) -> DenseCount:
        inside = self._inside(frame)
        seen = np.where(inside, density, 0).astype(np.float32)
        count = float(seen.sum(dtype=np.float64))
        if not self.localizes:
            return DenseCount(count, no_points())
        return DenseCount(count, self._in_frame(frame, peaks(seen, round(count))))

    def _spread(self, frame: Image, density: _Map) -> Density:
        inside = self._inside(frame)
        rows, columns = np.nonzero(inside)
        cells = np.stack([columns, rows], axis=1).astype(np.float32) + np.float32(0.5)
        return Density(self._in_frame(frame, cells), density[inside])

    def _inside(self, frame: Image) -> NDArray[np.bool_]:
        """(rows, columns) whether the middle of a cell lies in the frame, and not in the padding around it."""
        columns, rows = self.artifact.spec.grid_wh
        x, y = self._placed(frame, np.arange(columns) + 0.5, np.arange(rows) + 0.5)
        height, width = frame.shape[:2]
        return np.asarray(((y >= 0) & (y <= height))[:, None] & ((x >= 0) & (x <= width))[None])

    def _in_frame(self, frame: Image, cells: Points) -> Points:
        """(P, 2) places in cells of the grid -> in pixels of the frame, held inside it."""
        x, y = self._placed(frame, cells[:, 0], cells[:, 1])
        height, width = frame.shape[:2]
        return np.stack([np.clip(x, 0, width), np.clip(y, 0, height)], axis=1).astype(np.float32)

    def _placed(
        self, frame: Image, x: NDArray[np.floating[Any]], y: NDArray[np.floating[Any]]
    ) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
        """Columns and rows of the grid, counted from the edge of its first cell -> pixels of the frame."""
        spec = self.artifact.spec
        place = place_frame((frame.shape[1], frame.shape[0]), spec.preprocessing)
        sides = [size / cells for size, cells in zip(spec.preprocessing.size_wh, spec.grid_wh, strict=True)]
        return (
            (x * sides[0] - place.left_top[0]) / place.scale_xy[0],
            (y * sides[1] - place.left_top[1]) / place.scale_xy[1],
        )


def peaks(density: _Map, most: int) -> Points:
    """Places where a density peaks: (P, 2) float32 x, y in cells from the edge of the first, the highest first.

    A peak is a cell with at least `LEAST_PEAK` objects in the 3 x 3 cells around it, of which no other such sum within
    them is larger; of equal ones the first row by row. Its place is the middle of mass of those cells.

    Args:
        density: (rows, columns) objects in each cell, none negative.
        most: Greatest number of peaks.
    """
    padded = np.pad(density.astype(np.float64), 1)
    around = _of_nine(padded)
    total = around.sum(axis=0)
    highest = np.asarray(cv2.dilate(total, np.ones((3, 3), np.uint8)))
    rows, columns = np.nonzero((total >= highest) & (total >= LEAST_PEAK))
    order = np.argsort(-total[rows, columns], kind="stable")
    places: list[tuple[float, float]] = []
    taken = np.zeros(density.shape, np.bool_)
    for at in order:
        row, column = int(rows[at]), int(columns[at])
        if len(places) >= most:
            break
        if taken[row, column]:
            continue
        taken[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = True
        mass = around[:, row, column] / total[row, column]
        places.append((column + 0.5 + float(mass @ _DX), row + 0.5 + float(mass @ _DY)))
    return np.array(places, np.float32).reshape(-1, 2)


_DY: Final = np.repeat([-1.0, 0.0, 1.0], 3)
_DX: Final = np.tile([-1.0, 0.0, 1.0], 3)


def _of_nine(padded: NDArray[np.float64]) -> NDArray[np.float64]:
    """(9, rows, columns) each cell's nine neighbours, itself among them, of a map padded by one."""
    rows, columns = padded.shape[0] - 2, padded.shape[1] - 2
    return np.stack([padded[y : y + rows, x : x + columns] for y in range(3) for x in range(3)])
