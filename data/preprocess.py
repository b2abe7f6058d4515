"""The one preprocessing of digit images, shared by training, evaluation and the runtime.

A picture of a digit - any size, colour or grey, dark on light or light on dark, loosely or tightly cropped, under
uneven light - becomes a small map of ink: 0 paper, 255 full stroke, the ink's bounding box fitted into the frame.
The numbers live in `DigitPreprocessing` and travel with the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

Image = NDArray[np.uint8]
"""(H, W) grey or (H, W, 3) BGR, uint8."""
Polarity = Literal["dark", "light", "auto"]
"""Whether the ink is darker or lighter than the paper; "auto" finds out."""

_PAPER_WINDOW: Final = 0.6
_PAPER_PAD: Final = 0.31
_SLOPE_GRID: Final = 24
_INK_WEIGHT: Final = 0.02
_SPECK_SHARE: Final = 0.02
_EDGE_BAND: Final = 0.16
_LEAST_LEFT: Final = 0.3


class DigitPreprocessing(BaseModel):
    """Numbers of the preprocessing; part of every digit artifact.

    `size` is the side of the square output in pixels, `margin` the free pixels around the ink in it. `squareness`
    says how far the ink's box is stretched towards a square: 0 keeps its aspect ratio, 1 makes it square.
    `working_side` is the longest side at which ink is looked for. `faintest` is the contrast (grey levels of
    255) below which a picture holds no ink at all. The network sees (value / 255 - mean) / std.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: Annotated[int, Field(ge=8, le=256)] = 32
    margin: Annotated[int, Field(ge=0, le=64)] = 3
    squareness: Annotated[float, Field(ge=0, le=1)] = 0.5
    working_side: Annotated[int, Field(ge=32, le=512)] = 96
    faintest: Annotated[float, Field(ge=0, le=255)] = 14.0
    mean: float = 0.2
    std: Annotated[float, Field(gt=0)] = 0.35


def ink_image(image: Image, spec: DigitPreprocessing, polarity: Polarity = "auto") -> Image:
    """Bring one picture into the network's frame.

    Args:
        image: (H, W) or (H, W, 3) BGR, uint8.
        spec: The numbers of the preprocessing.
        polarity: Whether the ink is dark or light; "auto" decides by the picture.

    Returns:
        (size, size) uint8, 0 paper to 255 ink; all 0 where there is no ink.
    """
    ink = tight_ink(image, spec, polarity)
    return np.zeros((spec.size, spec.size), np.uint8) if ink is None else _fitted(ink, spec)


def tight_ink(image: Image, spec: DigitPreprocessing, polarity: Polarity = "auto") -> Image | None:
    """The picture's ink alone: (h, w) uint8, 0 paper to 255 full stroke, cropped to its box; None where there is none."""
    ink = _ink_map(_shrunk(image, spec.working_side), polarity)
    level = _ink_level(ink, spec.faintest)
    if level is None:
        return None
    threshold, full = level
    (x, y, width, height), litter = _ink_box(ink > threshold)
    if litter is not None:
        ink = np.where(cv2.dilate(litter, np.ones((3, 3), np.uint8)) > 0, np.uint8(0), ink)
    low = 0.35 * threshold
    strength = (ink[y : y + height, x : x + width].astype(np.float32) - low) * (255.0 / max(1.0, full - low))
    return np.clip(np.round(strength), 0, 255).astype(np.uint8)


def ink_batch(images: Sequence[Image], spec: DigitPreprocessing, polarity: Polarity = "auto") -> Image:
    """(N, size, size) uint8 ink maps of the pictures."""
    frames = np.zeros((len(images), spec.size, spec.size), np.uint8)
    for frame, image in zip(frames, images, strict=True):
        frame[:] = ink_image(image, spec, polarity)
    return frames


def network_input(frames: Image, spec: DigitPreprocessing) -> NDArray[np.float32]:
    """(N, 1, size, size) float32, normalised, from (N, size, size) uint8 ink maps."""
    return ((frames.astype(np.float32) / 255.0 - spec.mean) / spec.std)[:, None]


def _shrunk(image: Image, side: int) -> Image:
    longest = max(image.shape[:2])
    if longest <= side:
        return image
    scale = side / longest
    size_wh = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


def _ink_map(image: Image, polarity: Polarity) -> Image:
    """(H, W) uint8: how far each pixel departs from the paper around it, towards the ink's side."""
    if polarity == "auto":
        polarity = "dark" if _ink_is_dark(_grey(image)) else "light"
    if polarity == "light":
        image = 255 - image
    if image.ndim == 2:
        return _darker_than_paper(image)
    channels = [_darker_than_paper(np.ascontiguousarray(image[..., c])) for c in range(3)]
    # Coloured ink is plain in some channels only; the grey of all three drowns it.
    strongest = max(channels, key=lambda channel: float(np.percentile(channel, 98)))
    return np.asarray(cv2.addWeighted(strongest, 0.5, _darker_than_paper(_grey(image)), 0.5, 0), np.uint8)


def _grey(image: Image) -> Image:
    return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)


def _darker_than_paper(grey: Image) -> Image:
    """Paper's local brightness less the pixel's: first the light's slope is taken out, then a closing finds the paper.

    The closing's window is wider than any stroke. Around the picture lies plain paper, so that a stroke along the
    edge of a tight crop is a stroke too.
    """
    side = max(grey.shape)
    window, pad = max(3, round(_PAPER_WINDOW * side) | 1), round(_PAPER_PAD * side) + 1
    level = _light_slope(grey)
    flat = np.clip(grey - level + 255.0, 0, 255).astype(np.uint8)
    padded = cv2.copyMakeBorder(flat, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=255)
    paper = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_RECT, (window, window)))
    paper = cv2.blur(paper, (window // 3 | 1, window // 3 | 1))[pad : pad + grey.shape[0], pad : pad + grey.shape[1]]
    return np.asarray(cv2.subtract(paper, flat), np.uint8)


def _light_slope(grey: Image) -> NDArray[np.float32]:
    """(H, W) brightness of the paper as a plane: least squares in which what lies below, the ink, hardly counts."""
    rows, columns = grey.shape
    step_y, step_x = -(-rows // _SLOPE_GRID), -(-columns // _SLOPE_GRID)
    sample = grey[::step_y, ::step_x].astype(np.float64)
    y, x = np.mgrid[0:rows:step_y, 0:columns:step_x]
    terms = np.stack([np.ones(sample.size), y.ravel() / rows, x.ravel() / columns], axis=1)
    values = sample.ravel()
    weights = np.where(values >= np.percentile(values, 60), 1.0, _INK_WEIGHT)
    plane = np.zeros(3)
    for _ in range(4):
        weighted = terms * weights[:, None]
        plane = np.linalg.solve(weighted.T @ terms + 1e-3 * np.eye(3), weighted.T @ values)
        weights = np.where(values >= terms @ plane - 2.0, 1.0, _INK_WEIGHT)
    slopes = plane[1] * np.arange(rows, dtype=np.float32)[:, None] / rows, plane[2] * np.arange(columns) / columns
    return (plane[0] + slopes[0] + slopes[1]).astype(np.float32)


def _ink_is_dark(grey: Image) -> bool:
    """Tell ink from paper: ink covers less, is thinner, and touches the frame less."""
    threshold, _ = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    dark = (grey <= threshold).astype(np.uint8)
    light = 1 - dark
    share = float(dark.mean())
    edge = np.concatenate([dark[0], dark[-1], dark[:, 0], dark[:, -1]])
    votes = (0.5 - share) + (0.5 - float(edge.mean())) + 0.5 * (_thickness(light) - _thickness(dark))
    return votes > 0


def _thickness(mask: Image) -> float:
    """Greatest distance from inside the mask to its outside, the frame left open, as a share of the frame's side."""
    side = max(mask.shape)
    padded = cv2.copyMakeBorder(mask, side, side, side, side, cv2.BORDER_REPLICATE)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 3)
    inner = distance[side : side + mask.shape[0], side : side + mask.shape[1]]
    return min(1.0, float(inner.max()) / side)


def _ink_level(ink: Image, faintest: float) -> tuple[float, float] | None:
    """Threshold between paper and ink, and the level of a full stroke; None where there is no ink."""
    threshold, _ = cv2.threshold(ink, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    strokes = ink[ink > threshold]
    if strokes.size < 3:
        return None
    full = float(np.median(strokes))
    return None if full < faintest else (float(threshold), full)


def _ink_box(mask: NDArray[np.bool_]) -> tuple[tuple[int, int, int, int], Image | None]:
    """x, y, width, height around the digit, and a mask of what is left out of it, if anything.

    Left out are specks, and ink that touches the frame and lies in the band along it: a cell's border, a neighbour's
    stroke. Where little else would remain, all of it is the digit.
    """
    count, marked, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count == 2:
        x, y, width, height = (int(value) for value in stats[1, :4])
        return (x, y, width, height), None
    left, top, width, height, area = stats[1:count].T
    right, bottom = left + width, top + height
    rows, columns = mask.shape
    near_x, near_y = _EDGE_BAND * columns, _EDGE_BAND * rows
    litter = ((left == 0) & (right <= near_x)) | ((right == columns) & (left >= columns - near_x))
    litter |= ((top == 0) & (bottom <= near_y)) | ((bottom == rows) & (top >= rows - near_y))
    inner = ~litter
    # A digit that itself reaches the frame on two sides is tightly cropped: what lies along the edge is part of it.
    reached = [(left[inner] == 0), (right[inner] == columns), (top[inner] == 0), (bottom[inner] == rows)]
    if area[inner].sum() < _LEAST_LEFT * area.sum() or sum(bool(side.any()) for side in reached) >= 2:
        litter[:] = False
    kept = ~litter & (area >= _SPECK_SHARE * area[~litter].sum())
    box = left[kept].min(), top[kept].min(), right[kept].max(), bottom[kept].max()
    mask_of_litter = np.isin(marked, 1 + np.flatnonzero(litter)).astype(np.uint8) if litter.any() else None
    return (int(box[0]), int(box[1]), int(box[2] - box[0]), int(box[3] - box[1])), mask_of_litter


def _fitted(ink: Image, spec: DigitPreprocessing) -> Image:
    """Tight ink, stretched towards a square and centred in the frame."""
    height, width = ink.shape
    inner = spec.size - 2 * spec.margin
    longest = max(width, height)
    # A box of a single stroke says nothing of a digit's aspect: never stretch it beyond four times.
    stretch = np.minimum(4.0, (longest / np.array([width, height], float)) ** spec.squareness)
    fit_w, fit_h = (int(side) for side in np.maximum(1, np.round(inner * np.array([width, height]) * stretch / longest)))
    shrinks = fit_w < width or fit_h < height
    patch = cv2.resize(ink, (fit_w, fit_h), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    left, top = (spec.size - fit_w) // 2, (spec.size - fit_h) // 2
    frame = np.zeros((spec.size, spec.size), np.uint8)
    frame[top : top + fit_h, left : left + fit_w] = patch
    return frame
