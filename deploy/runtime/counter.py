"""Counting objects in frames with an artifact that gives their density: for schools too dense for boxes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from data.density import DenseCount, Density, DensityMap, counted, density_in_frame
from data.frames import FramePreprocessing
from data.preprocess import Image
from deploy.runtime.artifact import Artifact
from deploy.runtime.looking import Look, check_numbers, look_with
from deploy.runtime.spec import ArtifactSpec, CountingSpec

__all__ = ["DenseCount", "DenseCounter"]


class DenseCounter:
    """Counts fish (or what else it learnt) in frames.

    Args:
        artifact: An opened counting artifact.
        threads: Threads of the network; everything else runs in the calling thread.
        look: How frames are shown to the network, where that is shared with another task.

    Raises:
        InputError: It is for another task, the model cannot be loaded, or does not map frames to a density as its
            spec says.
    """

    def __init__(self, artifact: Artifact[ArtifactSpec], threads: int = 1, look: Look | None = None) -> None:
        self.artifact = artifact.of(CountingSpec)
        self._look = look or look_with(artifact.session(threads), self.artifact)

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
        for frame, answer in zip(frames, self._look(frames), strict=True):
            check_numbers(answer, self.artifact)
            cells = answer[0] * np.float32(scale)
            cells = np.where(cells < spec.least_density, np.float32(0), cells)
            told.append((cells, (frame.shape[1], frame.shape[0]), spec.preprocessing))
        return told
