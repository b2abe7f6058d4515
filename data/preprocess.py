"""The one preprocessing of digit images, shared by training, evaluation and the runtime.

A picture of a digit - any size, colour or grey, dark on light or light on dark, loosely or tightly cropped, under
uneven light - becomes a small map of ink: 0 paper, 255 full stroke, the ink's bounding box fitted into the frame.
The numbers live in `DigitPreprocessing` and travel with the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

Image = NDArray[np.uint8]
"""(H, W) grey or (H, W, 3) BGR, uint8."""
Box = tuple[int, int, int, int]
"""x, y, width, height in pixels."""
Mask = NDArray[np.bool_]
Polarity = Literal["dark", "light", "auto"]
"""Whether the ink is darker or lighter than the paper; "auto" finds out."""

_PAPER_WINDOW: Final = 0.6
_PAPER_PAD: Final = 0.31
_NARROW_WINDOW: Final = 0.3
_SMALL_SIDE: Final = 40
"""Below so many pixels strokes are too coarse to be told from straight lines and shadows."""
_SHADED_FRAME: Final = 0.3
_STROKES_FRAME: Final = 0.1
_SLOPE_GRID: Final = 24
_INK_WEIGHT: Final = 0.02
_SPECK_SHARE: Final = 0.02
_EDGE_BAND: Final = 0.16
_LEAST_LEFT: Final = 0.3
_LINE_LENGTH: Final = 0.92
_LINE_WIDTH: Final = 0.1
_POLARITY_SIDE: Final = 48
_POLARITY_WINDOWS: Final = (0.1, 0.15, 0.25)
_ZOOM_BELOW: Final = 0.35
_ZOOM_ROOM: Final = 0.5


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
    return np.zeros((spec.size, spec.size), np.uint8) if ink is None else fit_ink(ink, spec)


def tight_ink(image: Image, spec: DigitPreprocessing, polarity: Polarity = "auto") -> Image | None:
    """The picture's ink alone: (h, w) uint8, 0 paper to 255 full stroke, cropped to its box; None without ink."""
    small = _shrunk(image, spec.working_side)
    if polarity == "auto":
        polarity = "dark" if _ink_is_dark(_grey(small)) else "light"
    found = _found(small, spec, polarity)
    if found is None:
        return None
    strength, box = found
    if small.shape != image.shape and max(box[2:]) < _ZOOM_BELOW * spec.working_side:
        # A small digit in a large picture: now that it is found, look at it closely.
        closer = _found(_shrunk(_around(image, box, max(small.shape[:2])), spec.working_side), spec, polarity)
        strength, box = found if closer is None else closer
    x, y, width, height = box
    return strength[y : y + height, x : x + width]


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


def _around(image: Image, box: Box, side: int) -> Image:
    """The part of the picture around a box that was found in its copy of that longest side."""
    scale = max(image.shape[:2]) / side
    x, y, width, height = box
    room = _ZOOM_ROOM * max(width, height) + 1
    left, top = max(0, int((x - room) * scale)), max(0, int((y - room) * scale))
    return image[top : int((y + height + room) * scale) + 1, left : int((x + width + room) * scale) + 1]


def _found(image: Image, spec: DigitPreprocessing, polarity: Polarity) -> tuple[Image, Box] | None:
    """(H, W) uint8 strength of the ink, 0 paper to 255 full stroke, and the digit's box in it; None without ink."""
    ink = _ink_map(image, polarity)
    level = _ink_level(ink, spec.faintest)
    if level is None:
        return None
    threshold, full = level
    low = 0.35 * threshold
    lines = _lines(ink > low, ink > threshold)
    if lines is not None:
        ink = np.where(lines, np.uint8(0), ink)
    box, litter = _ink_box(ink > threshold)
    if litter is not None:
        ink = np.where(cv2.dilate(litter, np.ones((3, 3), np.uint8)) > 0, np.uint8(0), ink)
    strength = (ink.astype(np.float32) - low) * (255.0 / max(1.0, full - low))
    return np.clip(np.round(strength), 0, 255).astype(np.uint8), box


def _ink_map(image: Image, polarity: Polarity) -> Image:
    """(H, W) uint8: how far each pixel departs from the paper around it, towards the ink's side."""
    if polarity == "light":
        image = 255 - image
    ink = _strongest(image, _darker_than_paper)
    frame = _frame(ink) > 0.1 * int(ink.max())
    if max(ink.shape) < _SMALL_SIDE or _longest_run(frame) < _SHADED_FRAME * frame.size:
        return ink
    # So long a run of ink along the frame is either a tight crop's or none, but a shadow, whose edge is no stroke.
    narrow = _strongest(image, _darker_than_near)
    strokes = _frame(narrow) > 0.2 * int(narrow.max())
    return narrow if strokes.sum() < _STROKES_FRAME * frame.sum() else ink


def _strongest(image: Image, darkness: Callable[[Image], Image]) -> Image:
    grey = _grey(image)
    if image.ndim == 2:
        return darkness(grey)
    channels = cv2.split(image)
    if all(np.array_equal(channel, grey) for channel in channels):
        return darkness(grey)
    # Coloured ink is plain in some channels only; the grey of all three drowns it.
    strongest = max((np.asarray(channel, np.uint8) for channel in channels), key=_contrast)
    return np.asarray(cv2.addWeighted(darkness(strongest), 0.5, darkness(grey), 0.5, 0), np.uint8)


def _contrast(channel: Image) -> int:
    """Grey levels between the paper, brighter than nine in ten pixels, and the darkest hundredth."""
    counted = np.bincount(channel.ravel(), minlength=256).cumsum()
    dark, light = np.searchsorted(counted, [0.01 * channel.size, 0.9 * channel.size])
    return int(light - dark)


def _frame(picture: NDArray[Any]) -> NDArray[Any]:
    """The pixels along the picture's four sides, once around."""
    return np.concatenate([picture[0], picture[:, -1], picture[-1, ::-1], picture[::-1, 0]])


def _longest_run(around: Mask) -> int:
    """Length of the longest run of true values in a ring."""
    if around.all():
        return around.size
    gaps = np.flatnonzero(~around)
    return int(np.diff(gaps, append=gaps[0] + around.size).max()) - 1


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


def _darker_than_near(grey: Image) -> Image:
    """Paper's brightness near each pixel less the pixel's: a closing hardly wider than strokes leaves shadows alone."""
    window = max(3, round(_NARROW_WINDOW * max(grey.shape)) | 1)
    padded = cv2.copyMakeBorder(grey, window, window, window, window, cv2.BORDER_REPLICATE)
    near = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_RECT, (window, window)))
    return np.asarray(cv2.subtract(near, padded)[window:-window, window:-window], np.uint8)


def _light_slope(grey: Image) -> NDArray[np.float32]:
    """(H, W) brightness of the paper as a plane: least squares in which what lies below, the ink, hardly counts."""
    rows, columns = grey.shape
    step_y, step_x = -(-rows // _SLOPE_GRID), -(-columns // _SLOPE_GRID)
    sample = grey[::step_y, ::step_x].astype(np.float64)
    terms = _plane_terms(rows, columns, step_y, step_x)
    values = sample.ravel()
    weights = np.where(values >= np.percentile(values, 60), 1.0, _INK_WEIGHT)
    plane: NDArray[np.floating[Any]] = np.zeros(3)
    for _ in range(4):
        weighted = terms * weights[:, None]
        plane = np.linalg.solve(weighted.T @ terms + 1e-3 * np.eye(3), weighted.T @ values)
        weights = np.where(values >= terms @ plane - 2.0, 1.0, _INK_WEIGHT)
    slopes = plane[1] * np.arange(rows, dtype=np.float32)[:, None] / rows, plane[2] * np.arange(columns) / columns
    return np.asarray(plane[0] + slopes[0] + slopes[1], np.float32)


@lru_cache(maxsize=512)
def _plane_terms(rows: int, columns: int, step_y: int, step_x: int) -> NDArray[np.float64]:
    """(N, 3): one, height and width of each pixel of the grid, as shares of the picture's."""
    y, x = np.mgrid[0:rows:step_y, 0:columns:step_x]
    return np.stack([np.ones(y.size), y.ravel() / rows, x.ravel() / columns], axis=1)


def _ink_is_dark(grey: Image) -> bool:
    """Tell ink from paper: ink covers less, is thinner, touches the frame less, and stands out from what is near."""
    grey = _shrunk(grey, _POLARITY_SIDE)
    threshold, _ = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    dark = (grey <= threshold).astype(np.uint8)
    light = 1 - dark
    votes = (0.5 - float(dark.mean())) + (0.5 - float(_frame(dark).mean()))
    votes += 0.5 * (_thickness(light) - _thickness(dark))
    return float(np.clip(votes, -1, 1)) + 2 * _standing_out(grey) > 0


def _standing_out(grey: Image) -> float:
    """-1 to 1: how much more a closing fills than an opening takes away; the edge of a shadow counts for neither."""
    side = max(grey.shape)
    room = side // 3 + 1
    padded = cv2.copyMakeBorder(grey, room, room, room, room, cv2.BORDER_REPLICATE)
    level = float(padded.sum(dtype=np.int64))
    filled = taken = 0.0
    for share in _POLARITY_WINDOWS:
        window = max(3, round(share * side) | 1)
        element = cv2.getStructuringElement(cv2.MORPH_RECT, (window, window))
        filled += float(cv2.morphologyEx(padded, cv2.MORPH_CLOSE, element).sum(dtype=np.int64)) - level
        taken += level - float(cv2.morphologyEx(padded, cv2.MORPH_OPEN, element).sum(dtype=np.int64))
    return (filled - taken) / max(1.0, filled + taken)


def _thickness(mask: Image) -> float:
    """Greatest distance from inside the mask to its outside, the frame left open, as a share of the frame's side."""
    side = max(mask.shape)
    padded = cv2.copyMakeBorder(mask, side, side, side, side, cv2.BORDER_REPLICATE)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 3)
    inner = distance[side : side + mask.shape[0], side : side + mask.shape[1]]
    return min(1.0, float(inner.max()) / float(side))


def _ink_level(ink: Image, faintest: float) -> tuple[float, float] | None:
    """Threshold between paper and ink, and the level of a full stroke; None where there is no ink."""
    threshold, _ = cv2.threshold(ink, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    strokes = ink[ink > threshold]
    if strokes.size < 3:
        return None
    full = float(np.median(strokes))
    return None if full < faintest else (float(threshold), full)


def _lines(faint: Mask, strong: Mask) -> Mask | None:
    """Mask of thin straight lines across the whole picture - a cell's border, ruled paper - save where strokes cross.

    Args:
        faint: Ink with the faintest lines.
        strong: Ink that is surely ink.

    Returns:
        None where there are no lines, or where what remains is too little or reaches several sides of the frame: in a
        tight crop a straight line is a stroke.
    """
    if max(faint.shape) < _SMALL_SIDE:
        return None
    level, rows = _level_lines(faint)
    upright, columns = _level_lines(faint.T)
    lines = level | upright.T
    if not lines.any():
        return None
    # Where two lines cross each is the other's stroke: what then stands alone is no stroke.
    _, marked = cv2.connectedComponents((faint & ~lines).astype(np.uint8))
    lines |= faint & ~np.isin(marked, np.unique(marked[~(rows[:, None] & columns)]))
    left = strong & ~lines
    sides = sum(bool(side.any()) for side in (left[0], left[-1], left[:, 0], left[:, -1]))
    return None if sides > 1 or left.sum() < max(3.0, 0.5 * _LEAST_LEFT * strong.sum()) else lines


def _level_lines(mask: Mask) -> tuple[Mask, Mask]:
    """(H, W) pixels of level lines that no stroke crosses, and (H,) the rows of these lines."""
    height = mask.shape[0]
    reach = 2 if height >= 48 else 1
    thick = cv2.dilate(mask.astype(np.uint8), np.ones((2 * reach + 1, 1), np.uint8))
    lines, rows = np.zeros_like(mask), np.zeros(height, np.bool_)
    covered = np.concatenate([[False], thick.mean(axis=1) >= _LINE_LENGTH, [False]])
    ends = np.flatnonzero(np.diff(covered))
    for top, bottom in zip(ends[::2], ends[1::2], strict=True):
        if bottom - top - 2 * reach > max(2.0, _LINE_WIDTH * height):
            continue
        first, last = max(0, top - 1), min(height, bottom + 1)
        crossed = mask[max(0, first - 1)] if first else np.zeros(mask.shape[1], np.bool_)
        if last < height:
            crossed = crossed | mask[last]
        lines[first:last] = mask[first:last] & ~crossed
        rows[first:last] = True
    return lines, rows


def _ink_box(mask: NDArray[np.bool_]) -> tuple[Box, Image | None]:
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
    # All of a noisy picture may be specks: the largest always stays.
    speck = min(_SPECK_SHARE * area[~litter].sum(), area[~litter].max())
    kept = ~litter & (area >= speck)
    box = left[kept].min(), top[kept].min(), right[kept].max(), bottom[kept].max()
    mask_of_litter = np.isin(marked, 1 + np.flatnonzero(litter)).astype(np.uint8) if litter.any() else None
    return (int(box[0]), int(box[1]), int(box[2] - box[0]), int(box[3] - box[1])), mask_of_litter


def fit_ink(ink: Image, spec: DigitPreprocessing) -> Image:
    """Tight ink (h, w) uint8, stretched towards a square and centred in the frame: (size, size) uint8."""
    height, width = ink.shape
    inner = spec.size - 2 * spec.margin
    longest = max(width, height)
    # A box of a single stroke says nothing of a digit's aspect: never stretch it beyond four times.
    stretch = np.minimum(4.0, (longest / np.array([width, height], float)) ** spec.squareness)
    fit_w, fit_h = (
        int(side) for side in np.maximum(1, np.round(inner * np.array([width, height]) * stretch / longest))
    )
    shrinks = fit_w < width or fit_h < height
    patch = cv2.resize(ink, (fit_w, fit_h), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    left, top = (spec.size - fit_w) // 2, (spec.size - fit_h) // 2
    frame = np.zeros((spec.size, spec.size), np.uint8)
    frame[top : top + fit_h, left : left + fit_w] = patch
    return frame
