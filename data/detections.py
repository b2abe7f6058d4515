"""What a detector says about one picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.boxes import Boxes, no_boxes


@dataclass(frozen=True)
class Detections:
    """N detections of one picture, the surest first.

    `xyxy` (N, 4) float32 in pixels of that picture, `scores` (N,) float32 the calibrated probability that the box
    is right, `labels` (N,) int64 counting into the names of the detector's artifact.
    """

    xyxy: Boxes
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def none(cls) -> Detections:
        """Nothing was found."""
        return cls(no_boxes(), np.zeros(0, np.float32), np.zeros(0, np.int64))

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Detections:
        """The chosen detections, in that order."""
        return Detections(self.xyxy[chosen], self.scores[chosen], self.labels[chosen])
