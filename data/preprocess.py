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

_PAPER_PAD: Final = 0.25
_SPECK_SHARE: Final = 0.02


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
    ink = _ink_map(_shrunk(image, spec.working_side), polarity)
    level = _ink_level(ink, spec.faintest)
    if level is None:
        return np.zeros((spec.size, spec.size), np.uint8)
    threshold, full = level
    box = _ink_box(ink > threshold)
    return _fitted(ink, box, (0.35 * threshold, full), spec)


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
    """Paper's local brightness less the pixel's. The closing's window is wider than any stroke."""
    window = max(3, round(0.6 * max(grey.shape)) | 1)
    pad = round(_PAPER_PAD * max(grey.shape)) + 2
    padded = cv2.copyMakeBorder(grey, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=float(_paper_level(grey)))
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (window, window))
    paper = cv2.blur(cv2.morphologyEx(padded, cv2.MORPH_CLOSE, kernel), (window // 2 | 1, window // 2 | 1))
    inner = paper[pad : pad + grey.shape[0], pad : pad + grey.shape[1]]
    return np.asarray(cv2.subtract(inner, grey), np.uint8)


def _paper_level(grey: Image) -> int:
    """Brightness of the paper: the lighter side of Otsu's threshold, its median."""
    threshold, _ = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    lighter = grey[grey > threshold]
    return int(np.median(lighter)) if lighter.size else int(np.median(grey))


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


def _ink_box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """x, y, width, height around the ink, specks left out."""
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[1:count, cv2.CC_STAT_AREA]
    kept = stats[1:count][areas >= max(1.0, _SPECK_SHARE * areas.sum())]
    left, top = kept[:, cv2.CC_STAT_LEFT].min(), kept[:, cv2.CC_STAT_TOP].min()
    right = (kept[:, cv2.CC_STAT_LEFT] + kept[:, cv2.CC_STAT_WIDTH]).max()
    bottom = (kept[:, cv2.CC_STAT_TOP] + kept[:, cv2.CC_STAT_HEIGHT]).max()
    return int(left), int(top), int(right - left), int(bottom - top)


def _fitted(
    ink: Image, box: tuple[int, int, int, int], levels: tuple[float, float], spec: DigitPreprocessing
) -> Image:
    """The box's ink, stretched over its levels, centred in the frame."""
    x, y, width, height = box
    inner = spec.size - 2 * spec.margin
    longest = max(width, height)
    # A stroke's box of one side only says nothing of its aspect: never stretch beyond four times.
    stretch = np.minimum(4.0, (longest / np.array([width, height], float)) ** spec.squareness)
    fit_w, fit_h = np.maximum(1, np.round(inner * np.array([width, height]) * stretch / longest)).astype(int)
    scale_x, scale_y = fit_w / width, fit_h / height
    left, top = (spec.size - fit_w) / 2, (spec.size - fit_h) / 2
    low, full = levels
    strength = np.clip((ink.astype(np.float32) - low) * (255.0 / max(1.0, full - low)), 0, 255)
    if scale_x < 1 or scale_y < 1:
        patch = cv2.resize(strength[y : y + height, x : x + width], (int(fit_w), int(fit_h)), interpolation=cv2.INTER_AREA)
        frame = np.zeros((spec.size, spec.size), np.float32)
        frame[int(top) : int(top) + int(fit_h), int(left) : int(left) + int(fit_w)] = patch
    else:
        matrix = np.array(
            [[scale_x, 0, left - scale_x * (x - 0.5) - 0.5], [0, scale_y, top - scale_y * (y - 0.5) - 0.5]], np.float64
        )
        frame = cv2.warpAffine(strength, matrix, (spec.size, spec.size), flags=cv2.INTER_CUBIC)
    return np.clip(np.round(frame), 0, 255).astype(np.uint8)
