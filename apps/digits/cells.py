"""Cutting cells: each cell's own ink, without its printed lines and its neighbours' strokes; none if it is blank."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.digits.locate import CellPlace
from apps.digits.register import PIXELS_PER_MM
from apps.digits.sheet import Sheet
from data.preprocess import Image

OVERFLOW_MM: Final = 2.5
"""How far a digit may reach out of its cell and still be cut whole."""

_LINE_HALF_MM: Final = 0.45
_INK_SHARE: Final = 0.3
_INK_BOUNDS: Final = (30.0, 60.0)
_SPECK_MM2: Final = 0.12
_LEAST_MM2: Final = 0.5
_LEAST_MM: Final = 1.3
_SMALL_MM: Final = 1.9
_DEEP_SHARE: Final = 0.35
_OUTSIDE_SHARE: Final = 0.35
_PAD: Final = 4


@dataclass(frozen=True)
class CutCell:
    """A cell and its ink: (h, w) uint8, dark on white, no more than the digit; None where the cell is blank.

    `doubt` says why it cannot be trusted, if so.
    """

    place: CellPlace
    ink: Image | None
    doubt: str = ""


@dataclass(frozen=True)
class _Strip:
    """The surroundings of one field. `dark` is (h, w) uint8, 0 paper to 255 black, with its first pixel at `origin`;
    `owner` the index of the cell that each pixel lies in, -1 outside; `lines` where cell lines are printed."""

    places: Sequence[CellPlace]
    origin: tuple[int, int]
    dark: Image
    owner: NDArray[np.int16]
    lines: NDArray[np.bool_]


def cut_cells(sheet: Sheet, fields: Sequence[Sequence[CellPlace]]) -> list[CutCell]:
    """Cut the cells of every field out of the flattened page, in the order given."""
    strips = [_strip(sheet, places) for places in fields]
    ink, line = _levels(strips)
    return [cell for strip in strips for cell in _cut(strip, ink, line)]


def _strip(sheet: Sheet, places: Sequence[CellPlace]) -> _Strip:
    boxes = np.array([place.box for place in places])
    margin = OVERFLOW_MM * PIXELS_PER_MM
    left, top = np.floor(boxes[:, :2].min(0) - margin).astype(int)
    right, bottom = np.ceil((boxes[:, :2] + boxes[:, 2:]).max(0) + margin).astype(int)
    window = sheet.clip((int(left), int(top), int(right), int(bottom)))
    origin = window[:2]
    dark = sheet.ink(window)
    owner = np.full(dark.shape, -1, np.int16)
    lines = np.zeros(dark.shape, bool)
    half = round(_LINE_HALF_MM * PIXELS_PER_MM)
    for index, (x0, y0, x1, y1) in enumerate(_bounds(places, origin)):
        owner[y0:y1, x0:x1] = index
        rows, columns = slice(max(0, y0 - half), y1 + half + 1), slice(max(0, x0 - half), x1 + half + 1)
        for y in (y0, y1):
            lines[max(0, y - half) : y + half + 1, columns] = True
        for x in (x0, x1):
            lines[rows, max(0, x - half) : x + half + 1] = True
    return _Strip(places, origin, dark, owner, lines)


def _bounds(places: Sequence[CellPlace], origin: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """Left, top, right and bottom of the cells in pixels of a strip."""
    for place in places:
        x, y, width, height = place.box
        yield (
            round(x) - origin[0],
            round(y) - origin[1],
            round(x + width) - origin[0],
            round(y + height) - origin[1],
        )


def _levels(strips: Sequence[_Strip]) -> tuple[float, float]:
    """Darkness above which a pixel is ink on plain paper, and on a printed line.

    Both follow the page: a dark pen raises the first, so that what shines through from the back stays paper.
    """
    inside = np.concatenate([strip.dark[(strip.owner >= 0) & ~strip.lines] for strip in strips])
    strokes = inside[inside > _INK_BOUNDS[1]]
    pen = float(np.median(strokes)) if strokes.size > 30 * len(strips) else 0.0
    paper = inside[inside < _INK_BOUNDS[1]]
    noise = 5 * float(paper.std()) if paper.size else 0.0
    ink = float(np.clip(max(_INK_SHARE * pen, noise), *_INK_BOUNDS))
    printed = np.concatenate([strip.dark[strip.lines] for strip in strips])
    line = float(np.percentile(printed[printed < 2 * _INK_BOUNDS[1]], 90)) if printed.size else 0.0
    return ink, max(ink, 1.3 * line + 10)


def _cut(strip: _Strip, ink: float, line: float) -> list[CutCell]:
    mask = (strip.dark > ink) & (~strip.lines | (strip.dark > line))
    owner = _owners(strip, mask)
    bounds = list(_bounds(strip.places, strip.origin))
    return [_cut_cell(strip, owner, index, place, bounds[index]) for index, place in enumerate(strip.places)]


def _owners(strip: _Strip, mask: NDArray[np.bool_]) -> NDArray[np.int16]:
    """Index of the cell that each pixel of ink belongs to, -1 where it belongs to none.

    A connected stroke belongs as a whole to the cell that holds most of it; if it reaches deep into another cell
    too, two digits touch, and each cell keeps its side. Strokes that lie mostly outside are of other fields.
    """
    count, found, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    labels = np.asarray(found, np.int32)
    cells = len(strip.places)
    joint = np.bincount((labels * (cells + 1) + strip.owner + 1).ravel(), minlength=count * (cells + 1))
    inside = joint.reshape(count, cells + 1)[:, 1:]
    areas = stats[:, cv2.CC_STAT_AREA]
    table = np.full(count, -1, np.int16)
    speck = _SPECK_MM2 * PIXELS_PER_MM**2
    split = []
    for label in np.flatnonzero((areas >= speck) & (inside.sum(1) > 0)):
        if label == 0:
            continue
        deep = _deep_cells(strip, labels, np.asarray(stats[label], np.int32), int(label), inside[label])
        if len(deep) == 1 and inside[label].sum() >= _OUTSIDE_SHARE * areas[label]:
            table[label] = deep[0]
        elif deep:
            split.append((label, deep))
    owner = table[labels]
    for label, deep in split:
        here = labels == label
        for cell in deep:
            owner[here & (strip.owner == cell)] = cell
    return owner


def _deep_cells(
    strip: _Strip, labels: NDArray[np.int32], stats: NDArray[np.int32], label: int, inside: NDArray[np.intp]
) -> list[int]:
    """Cells that the stroke lies in: the one with most of it, and those that it fills to a good part."""
    x, y, width, height = stats[:4]
    window = slice(y, y + height), slice(x, x + width)
    here = labels[window] == label
    total = int(stats[cv2.CC_STAT_AREA])
    main = int(inside.argmax())
    mostly_inside = inside.sum() >= _OUTSIDE_SHARE * total
    deep = []
    for cell in np.flatnonzero(inside).tolist():
        rows, columns = np.nonzero(here & (strip.owner[window] == cell))
        box = strip.places[cell].box
        wide, high = np.ptp(columns) + 1, np.ptp(rows) + 1
        reaches = wide > _DEEP_SHARE * box[2] if mostly_inside else max(wide / box[2], high / box[3]) > _DEEP_SHARE
        if reaches or (mostly_inside and cell == main):
            deep.append(cell)
    return deep


def _cut_cell(
    strip: _Strip, owner: NDArray[np.int16], index: int, place: CellPlace, bounds: tuple[int, int, int, int]
) -> CutCell:
    margin = round(OVERFLOW_MM * PIXELS_PER_MM)
    left, top = max(0, bounds[0] - margin), max(0, bounds[1] - margin)
    window = slice(top, bounds[3] + margin), slice(left, bounds[2] + margin)
    own = (owner[window] == index).astype(np.uint8)
    area = cv2.countNonZero(own) / PIXELS_PER_MM**2
    if area == 0:
        return CutCell(place, None, place.doubt)
    x, y, width, height = cv2.boundingRect(own)
    longest = max(width, height) / PIXELS_PER_MM
    if area < _LEAST_MM2 and longest < _LEAST_MM:
        return CutCell(place, None, place.doubt)
    around = slice(max(0, y - _PAD), y + height + _PAD), slice(max(0, x - _PAD), x + width + _PAD)
    own, dark, lines = own[around], strip.dark[window][around], strip.lines[window][around]
    # Soft edges of the strokes stay; printed lines and other digits' ink beside them do not.
    edge = (cv2.dilate(own, np.ones((5, 5), np.uint8)) > 0) & (owner[window][around] < 0) & ~lines
    ink = np.where((own > 0) | edge, 255 - dark, 255).astype(np.uint8)
    doubt = place.doubt or ("only a small mark" if longest < _SMALL_MM else "")
    return CutCell(place, ink, doubt)
