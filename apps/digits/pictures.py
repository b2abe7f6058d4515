"""Pictures for audit: the page with what was read in every cell, and the cells cut out side by side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

import cv2
import numpy as np

from apps.digits.locate import CellPlace
from apps.digits.register import PIXELS_PER_MM
from apps.pictures import BENGALI_FONT, LATIN_FONT, letters
from data.labels import BENGALI
from data.preprocess import Image
from data.types import CellReading, CellState, SourceBox

COLOURS_BGR: Final[dict[CellState, tuple[int, int, int]]] = {
    "digit": (60, 140, 20),
    "blank": (150, 150, 150),
    "struck": (190, 40, 150),
    "doubtful": (30, 30, 225),
}
_NAMES: Final[dict[CellState, str]] = {
    "digit": "sure",
    "blank": "blank",
    "struck": "crossed out or no digit",
    "doubtful": "to check",
}
_READING_MM: Final = 3.6
_MARGIN_MM: Final = 1.0


def draw_overlay(page: Image, places: Sequence[CellPlace], cells: Sequence[CellReading]) -> Image:
    """The page with each cell's box in the colour of its state and its reading below, ready to be looked at."""
    picture = page.copy()
    for place, cell in zip(places, cells, strict=True):
        colour = COLOURS_BGR[cell.state]
        x, y, width, height = place.box
        corner = round(x), round(y)
        cv2.rectangle(picture, corner, (round(x + width), round(y + height)), colour, 2 if cell.state == "blank" else 3)
        glyph = _sign(cell.state, cell.value)
        if glyph is not None:
            middle = round(x + width / 2) - glyph.shape[1] // 2
            _stamp(picture, glyph, (middle, round(y + height) + 3), colour)
    _draw_legend(picture)
    return picture


@cache
def _sign(state: CellState, value: int | None) -> Image | None:
    """What stands below a cell: its digit, with a question mark where it is to be checked; a cross for no digit."""
    size = round(_READING_MM * PIXELS_PER_MM)
    if state == "struck":
        return letters("×", size, LATIN_FONT)
    parts = [] if value is None else [letters(BENGALI[value], size, BENGALI_FONT)]
    if state == "doubtful":
        parts.append(letters("?", size, LATIN_FONT))
    if not parts:
        return None
    height = max(part.shape[0] for part in parts)
    return np.hstack([np.pad(part, ((height - part.shape[0], 0), (0, 2))) for part in parts])


def _stamp(picture: Image, glyph: Image, corner: tuple[int, int], colour: tuple[int, int, int]) -> None:
    """Set the glyph on a pale ground with its top left at `corner`, as far as it lies in the picture."""
    pad = 2
    height, width = glyph.shape[0] + 2 * pad, glyph.shape[1] + 2 * pad
    left = min(max(0, corner[0] - pad), picture.shape[1] - width)
    top = min(max(0, corner[1] - pad), picture.shape[0] - height)
    if left < 0 or top < 0:
        return
    ground = picture[top : top + height, left : left + width]
    pale = ground.astype(np.float32) * 0.25 + 255 * 0.75
    cover = np.pad(glyph, pad)[..., None].astype(np.float32) / 255
    ground[:] = np.round(pale * (1 - cover) + np.array(colour, np.float32) * cover).astype(np.uint8)


def _draw_legend(picture: Image) -> None:
    x, size = round(12 * PIXELS_PER_MM), round(3.2 * PIXELS_PER_MM)
    for state, name in _NAMES.items():
        cv2.rectangle(picture, (x, 12), (x + size, 12 + size), COLOURS_BGR[state], 3)
        glyph = letters(name, size, LATIN_FONT)
        _stamp(picture, glyph, (x + size + 10, 12 + (size - glyph.shape[0]) // 2), (60, 60, 60))
        x += size + glyph.shape[1] + 40


def crop_sheet(page: Image, fields: Sequence[Sequence[CellPlace]]) -> tuple[Image, list[SourceBox]]:
    """All cells cut out with a little of their surroundings, a row a field.

    Returns:
        The picture (H, W, 3) BGR, and each cell's place in it, field by field.
    """
    margin = _MARGIN_MM * PIXELS_PER_MM
    width, height = (round(side + 2 * margin) for side in fields[0][0].box[2:])
    gap = 4
    columns = max(len(places) for places in fields)
    sheet = np.full((len(fields) * (height + gap), columns * (width + gap), 3), 255, np.uint8)
    boxes = []
    for row, places in enumerate(fields):
        for column, place in enumerate(places):
            left, top = round(place.box[0] - margin), round(place.box[1] - margin)
            x, y = column * (width + gap), row * (height + gap)
            _copy(page, (left, top), sheet[y : y + height, x : x + width])
            boxes.append((x, y, width, height))
    return sheet, boxes


def ink_sheet(sheet: Image, inks: Sequence[Image | None], boxes: Sequence[SourceBox]) -> Image:
    """What the network was shown of each cell: its own ink in the middle of its place, white where a cell is blank.

    Args:
        sheet: The picture of cells, for its size.
        inks: (h, w) uint8 of each cell, dark on white, None where it is blank; what is larger than its place is shrunk.
        boxes: The cells' places in the picture of cells.

    Returns:
        (H, W) uint8.
    """
    drawn = np.full(sheet.shape[:2], 255, np.uint8)
    for ink, (left, top, width, height) in zip(inks, boxes, strict=True):
        if ink is None:
            continue
        scale = min(1.0, width / ink.shape[1], height / ink.shape[0])
        size = max(1, int(ink.shape[1] * scale)), max(1, int(ink.shape[0] * scale))
        small = ink if scale == 1 else cv2.resize(ink, size, interpolation=cv2.INTER_AREA)
        x, y = left + (width - size[0]) // 2, top + (height - size[1]) // 2
        drawn[y : y + size[1], x : x + size[0]] = small
    return drawn


def _copy(page: Image, corner: tuple[int, int], target: Image) -> None:
    """Fill the target from the page at the corner; what lies off the page stays as it is."""
    left, top = corner
    x0, y0 = max(0, left), max(0, top)
    part = page[y0 : max(y0, top + target.shape[0]), x0 : max(x0, left + target.shape[1])]
    target[y0 - top : y0 - top + part.shape[0], x0 - left : x0 - left + part.shape[1]] = part
