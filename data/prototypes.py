"""Masks out of prototypes and coefficients, at the frame's own resolution (Bolya et al.: YOLACT, 2019)."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from data.boxes import Boxes
from data.frames import FramePlacement
from data.masks import Mask, from_picture, nothing, without_holes

Floats = NDArray[np.float32]

_MARGIN: Final = 2
"""Prototype pixels taken along around a box, so that nothing at its edge is read from beyond the crop."""


def decoded_masks(
    coefficients: Floats, prototypes: Floats, xyxy: Boxes, placement: FramePlacement, stride: int
) -> tuple[Mask, ...]:
    """The mask of each box: where the weighted sum of the prototypes is above 0, within the box; holes are filled.

    Args:
        coefficients: (D, P) float32, the weights of each box's mask.
        prototypes: (P, h, w) float32, maps of the network's input.
        xyxy: (D, 4) boxes in frame pixels, cut at the frame's edges.
        placement: Where the frame lies in the network's input.
        stride: Input pixels a prototype pixel.

    Returns:
        D masks in frame pixels; one without pixels where nothing of its box is above 0.
    """
    return tuple(_decoded(*one, prototypes, placement, stride) for one in zip(coefficients, xyxy, strict=True))


def _decoded(
    weights: Floats, box: NDArray[np.float32], prototypes: Floats, placement: FramePlacement, stride: int
) -> Mask:
    left, top = (int(side) for side in np.floor(box[:2] + 0.5))
    right, bottom = (int(side) for side in np.ceil(box[2:] - 0.5))
    if right <= left or bottom <= top:
        return nothing()
    # A frame pixel's middle in prototype pixels, counted from the middle of the first.
    scale = np.array(placement.scale_xy) / stride
    offset = np.array(placement.left_top) / stride - 0.5
    size_wh = np.array(prototypes.shape[:0:-1])
    low = np.clip(np.floor(box[:2] * scale + offset) - _MARGIN, 0, size_wh - 1).astype(int)
    high = np.clip(np.ceil(box[2:] * scale + offset) + _MARGIN + 1, low + 1, size_wh).astype(int)
    crop = prototypes[:, low[1] : high[1], low[0] : high[0]]
    sums = np.tensordot(weights, crop, axes=1).astype(np.float32)
    start = (np.array([left, top]) + 0.5) * scale + offset - low
    matrix = np.array([[scale[0], 0, start[0]], [0, scale[1], start[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    grown = cv2.warpAffine(sums, matrix, (right - left, bottom - top), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return without_holes(from_picture(grown > 0, left, top))
