"""Points: (P, 2) float32 arrays `xy` in pixels of their picture, one point in the middle of each object.

Whoever has boxes has points. Whoever only clicked on every fish has them too: see `data.readers.points`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from data.boxes import Boxes
from data.readers.detectionset import DetectionSet

Points = NDArray[np.float32]
"""(P, 2) float32: x, y."""


def no_points() -> Points:
    """(0, 2) float32."""
    return np.zeros((0, 2), np.float32)


def middles(xyxy: Boxes) -> Points:
    """(N, 4) boxes -> (N, 2) their middles."""
    return np.asarray((xyxy[:, :2] + xyxy[:, 2:]) / 2, np.float32)


def centres(pictures: DetectionSet) -> tuple[Points, ...]:
    """The middles of the boxes of each picture."""
    return tuple(middles(xyxy) for xyxy in pictures.xyxy)
