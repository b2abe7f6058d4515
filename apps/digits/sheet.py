"""A flattened page as paper with something on it: how dark each pixel is against the paper around it."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from apps.digits.register import PIXELS_PER_MM
from data.preprocess import Image

Window = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels; the last two are not part of it."""

_SHRINK: Final = 8
_WINDOW_MM: Final = 9.0
_DARKEST_PAPER: Final = 8


class Sheet:
    """A flattened page, (H, W, 3) BGR, under whatever light: shadows are of the paper, strokes are not."""

    def __init__(self, page: Image) -> None:
        self._grey = np.asarray(cv2.cvtColor(page, cv2.COLOR_BGR2GRAY), np.uint8)
        self._blue = np.ascontiguousarray(page[..., 0])
        self._grey_paper = _paper(self._grey)
        self._blue_paper = _paper(self._blue)

    def ink(self, window: Window) -> Image:
        """Share of the paper's light that is missing, 0 to 255, in grey: every pen is dark in it."""
        return _darkness(self._grey, self._grey_paper, window)

    def printed(self, window: Window) -> Image:
        """The same in blue light, in which the orange of the cell lines is darkest."""
        return _darkness(self._blue, self._blue_paper, window)

    def clip(self, window: Window) -> Window:
        """The part of the window that lies on the page."""
        height, width = self._grey.shape
        return max(0, window[0]), max(0, window[1]), min(width, window[2]), min(height, window[3])


def _paper(channel: Image) -> Image:
    """Brightness of the paper, at an eighth of the resolution: what is narrower than a window lies on it."""
    small_wh = channel.shape[1] // _SHRINK, channel.shape[0] // _SHRINK
    small = cv2.resize(channel, small_wh, interpolation=cv2.INTER_AREA)
    window = round(_WINDOW_MM * PIXELS_PER_MM / _SHRINK) | 1
    closed = cv2.morphologyEx(small, cv2.MORPH_CLOSE, np.ones((window, window), np.uint8))
    return np.asarray(cv2.blur(closed, (5, 5)), np.uint8)


def _darkness(channel: Image, paper: Image, window: Window) -> Image:
    left, top, right, bottom = window
    scale = 1 / _SHRINK
    # The paper's brightness at the same places, between the pixels of its small picture.
    matrix = np.array([[scale, 0, (left + 0.5) * scale - 0.5], [0, scale, (top + 0.5) * scale - 0.5]], np.float64)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size_wh = right - left, bottom - top
    local = cv2.warpAffine(paper, matrix, size_wh, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    smooth = cv2.GaussianBlur(channel[top:bottom, left:right], (3, 3), 0)
    light = cv2.divide(smooth, np.maximum(local, _DARKEST_PAPER), scale=255)
    return np.asarray(255 - light, np.uint8)
