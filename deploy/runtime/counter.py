"""Counting objects in frames with an artifact that gives their density: for schools too dense for boxes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from data.density import DenseCount, Density, DensityMap, counted, density_in_frame
from data.errors import InputError
from data.frames import FramePreprocessing, check_frames, fit_frame, frames_input
from data.preprocess import Image
from deploy.runtime.artifact import Artifact
from deploy.runtime.detector import BATCH
from deploy.runtime.spec import ArtifactSpec, CountingSpec

__all__ = ["DenseCount", "DenseCounter"]


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
        return [counted(*told) for told in self._told(frames)]

    def densities(self, frames: Sequence[Image]) -> list[Density]:
        """Where in each frame how much is seen, cell by cell; arguments and errors as `count`."""
        return [density_in_frame(*told) for told in self._told(frames)]

    def _told(self, frames: Sequence[Image]) -> list[tuple[DensityMap, tuple[int, int], FramePreprocessing]]:
        """For each frame the objects in each cell of the network's input, the frame's size, and how it lies there."""
        spec = self.artifact.spec
        scale = spec.scales[spec.models.index(self.artifact.choice)]
        told = []
        for start in range(0, len(frames), BATCH):
            batch = frames[start : start + BATCH]
            check_frames(batch, start)
            fitted = np.stack([fit_frame(frame, spec.preprocessing) for frame in batch])
            (raw,) = self._session.run(frames_input(fitted, spec.preprocessing))
            if not np.isfinite(raw).all():
                path = self.artifact.folder / self.artifact.choice.file
                raise InputError(path, "answers with what is no number", cure="export the artifact again")
            cells = raw * np.float32(scale)
            cells = np.where(cells < spec.least_density, np.float32(0), cells)
            told += [(own, frame.shape[1::-1], spec.preprocessing) for own, frame in zip(cells, batch, strict=True)]
        return told
