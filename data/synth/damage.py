"""Pages that a batch of real scans also holds: torn, blank, half covered, upside down."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Corner = Literal["top left", "top right", "bottom right", "bottom left"]
CORNERS: tuple[Corner, ...] = ("top left", "top right", "bottom right", "bottom left")


def torn_corner(page: Image, corner: Corner, rng: np.random.Generator, share: float = 0.22) -> Image:
    """Tear a corner off, the marker with it; what lay behind it is dark.

    Args:
        page: (H, W, 3) BGR.
        corner: Which one.
        rng: Makes the tear ragged.
        share: How much of the page's width and height is gone along its edges.
    """
    height, width = page.shape[:2]
    steps = np.linspace(0, 1, 25)
    ragged = rng.normal(0, 0.012, steps.size) * width
    x = share * width * (1 - steps) + ragged
    y = share * height * steps + ragged
    x[-1] = y[0] = -1
    if "right" in corner:
        x = width - 1 - x
    if "bottom" in corner:
        y = height - 1 - y
    tip = [width if "right" in corner else -1, height if "bottom" in corner else -1]
    outline = np.concatenate([np.stack([x, y], 1), [tip]]).round().astype(np.int32)
    torn = page.copy()
    cv2.fillPoly(torn, [outline], (48, 46, 45), cv2.LINE_AA)
    return torn


def blank_sheet(page: Image, rng: np.random.Generator) -> Image:
    """An empty sheet of the page's size: paper, a little speckle, nothing else."""
    sheet = np.full(page.shape[:2], 250, np.uint8)
    speckle = rng.normal(0, 2, sheet.shape).round()
    grey = np.clip(sheet + speckle, 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def covered(page: Image, rng: np.random.Generator) -> Image:
    """Lay a dark thing (a hand, a folder) over the lower part, two markers under it."""
    height, width = page.shape[:2]
    top = height * rng.uniform(0.6, 0.75, 2)
    outline = np.array([[-1, top[0]], [width, top[1]], [width, height], [-1, height]]).round().astype(np.int32)
    hidden = page.copy()
    cv2.fillPoly(hidden, [outline], (70, 85, 110), cv2.LINE_AA)
    return hidden


def upside_down(page: Image) -> Image:
    """The page turned by half a turn."""
    return np.ascontiguousarray(np.rot90(page, 2))
