"""Axis-aligned boxes: (N, 4) float32 arrays `xyxy` of left, top, right, bottom in pixels, right and bottom excluded."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]
"""(N, 4) float32: left, top, right, bottom."""


def no_boxes() -> Boxes:
    """(0, 4) float32."""
    return np.zeros((0, 4), np.float32)


def areas(xyxy: Boxes) -> NDArray[np.float32]:
    """(N,) areas in square pixels; 0 for a box that is inside out."""
    sides = np.clip(xyxy[:, 2:] - xyxy[:, :2], 0, None)
    return np.asarray(sides[:, 0] * sides[:, 1], np.float32)


def ious(one: Boxes, other: Boxes) -> NDArray[np.float32]:
    """(N, M) intersection over union of every box with every other; 0 where both are empty."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    sides = np.clip(high - low, 0, None)
    shared = sides[..., 0] * sides[..., 1]
    union = areas(one)[:, None] + areas(other)[None] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0), np.float32)


def clipped(xyxy: Boxes, size_wh: tuple[int, int]) -> Boxes:
    """The boxes cut at the edges of a picture of that size."""
    limits = np.array([*size_wh, *size_wh], np.float32)
    return np.clip(xyxy, 0, limits).astype(np.float32)


def from_xywh(xywh: NDArray[Any]) -> Boxes:
    """(N, 4) left, top, width, height -> xyxy."""
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1).astype(np.float32)


def to_xywh(xyxy: Boxes) -> Boxes:
    """xyxy -> (N, 4) left, top, width, height."""
    return np.concatenate([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]], axis=1)
