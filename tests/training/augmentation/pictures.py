"""Made pictures whose objects can be found again in the pixels."""

from __future__ import annotations

import numpy as np

from data.boxes import Boxes
from data.preprocess import Image
from training.augmentation.windows import LabelledPicture

WATER = (120, 100, 40)


def noise_picture(seed: int = 0, size_wh: tuple[int, int] = (360, 202)) -> Image:
    """Smooth water with texture in it, mean about 100."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 150, (size_wh[1] // 6 + 1, size_wh[0] // 6 + 1, 3))
    return np.repeat(np.repeat(coarse, 6, 0), 6, 1)[: size_wh[1], : size_wh[0]].astype(np.uint8)


def picture_with(
    *boxes: tuple[int, int, int, int],
    size_wh: tuple[int, int] = (360, 202),
    exhaustive: bool = True,
    colour: tuple[int, int, int] = (255, 255, 255),
) -> LabelledPicture:
    """Plain water with a bright rectangle in every box; labels count from 0."""
    image = np.empty((size_wh[1], size_wh[0], 3), np.uint8)
    image[:] = WATER
    for left, top, right, bottom in boxes:
        image[top:bottom, left:right] = colour
    return LabelledPicture(
        image, np.array(boxes, np.float32).reshape(-1, 4), np.arange(len(boxes), dtype=np.int64), exhaustive
    )


def fish_picture(
    box: tuple[int, int, int, int] = (100, 60, 140, 84), colour: tuple[int, int, int] = (255, 255, 255)
) -> LabelledPicture:
    """Plain water with one bright ellipse that fills its box."""
    picture = picture_with(box, colour=WATER)
    left, top, right, bottom = box
    y, x = np.mgrid[top:bottom, left:right] + 0.5
    inside = ((x - (left + right) / 2) / (right - left)) ** 2 + ((y - (top + bottom) / 2) / (bottom - top)) ** 2 <= 0.25
    picture.image[top:bottom, left:right][inside] = colour
    return picture


def bright_box(image: Image, threshold: int = 187) -> Boxes | None:
    """The (1, 4) box of the pixels whose blue, green and red are all bright; None where there are none."""
    rows, columns = np.nonzero(image.min(axis=2) > threshold)
    if not len(rows):
        return None
    return np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
