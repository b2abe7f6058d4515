"""Where each cell lies on the flattened page: the printed cell lines correct what paper curl has moved.

The lines are also the witness of the registration, apart from the markers: where a cell's lines are not seen,
the paper is torn, covered or folded, or the page was found in the wrong place, and the cell is in doubt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.digits.register import PIXELS_PER_MM, Registration
from apps.digits.sheet import Sheet
from data.forms import Box, Cell, FieldPlace

Floats = NDArray[np.floating]

LEAST_LINE: Final = 0.02
"""Mean contrast, as a share of the paper's brightness, from which lines are taken as seen."""

LOST: Final = "its printed lines cannot be seen: torn, covered or folded"

_REACH_MM: Final = 3.0
_STEP: Final = 0.5
_SIDE_STEP: Final = 6
_NEIGHBOURS: Final = 2
_SLOPES: Final = np.linspace(-0.06, 0.06, 9)
_STRETCHES: Final = np.linspace(-0.03, 0.03, 5)
_INK: Final = 0.3
"""Darkness of ink, above that of any printed line."""
_HIDDEN_SHARE: Final = 0.6
_FAINT_SHARE: Final = 0.35


@dataclass(frozen=True)
class CellPlace:
    """A cell and its box in pixels of the flattened page; `doubt` says why it cannot be trusted, if so."""

    cell: Cell
    box: Box
    doubt: str = ""


@dataclass(frozen=True)
class _Lines:
    """How well thin lines show around one field: profiles of contrast, as shares of the paper's brightness.

    `rows` is (cells, shifts, 2): at the top and bottom line of each cell, moved by each of the `shifts` (pixels);
    `columns` is (cells + 1, shifts): at the lines down, left to right. NaN where ink hides the line.
    """

    shifts: Floats
    rows: Floats
    columns: Floats


def locate_cells(found: Registration, sheet: Sheet) -> tuple[list[list[CellPlace]], float]:
    """Find every field's cells on the flattened page.

    Returns:
        The cells of each field, in the layout's order; and the typical contrast of the cell lines, which is below
        `LEAST_LINE` where they cannot be seen at all (then no cell is moved or doubted for its lines).
    """
    fields = [_find_lines(sheet, place) for place in found.layout.places]
    edges = [_edges(lines, moves) for lines, moves in fields]
    typical = float(np.nanmedian(np.concatenate([np.append(edge.ravel(), 0.0) for edge in edges])))
    visible = typical >= LEAST_LINE
    located = []
    for place, (_, moves), edge in zip(found.layout.places, fields, edges, strict=True):
        row = []
        for cell, move, contrasts in zip(place.cells, moves, edge, strict=True):
            x, y, width, height = _pixels(cell.box)
            dx, dy = move if visible else (0.0, 0.0)
            lost = visible and _is_lost(contrasts, _FAINT_SHARE * typical)
            row.append(_judged(found, CellPlace(cell, (x + float(dx), y + float(dy), width, height), LOST * lost)))
        located.append(row)
    return located, typical


def _is_lost(contrasts: Floats, least: float) -> bool:
    """Whether no line is seen, or more than one is missing that ink does not hide."""
    seen = contrasts[~np.isnan(contrasts)]
    missing = int((seen < least).sum())
    return missing > 1 or missing == len(seen)


def _pixels(box: Box) -> Box:
    """The box in pixels, named by their centres."""
    x, y, width, height = (value * PIXELS_PER_MM for value in box)
    return x - 0.5, y - 0.5, width, height


def _find_lines(sheet: Sheet, place: FieldPlace) -> tuple[_Lines, Floats]:
    """The field's lines, and how far each cell is moved: (cells, 2) pixels, x and y."""
    boxes = np.array([_pixels(cell.box) for cell in place.cells])
    width, height = boxes[0, 2:]
    reach = min(_REACH_MM * PIXELS_PER_MM, 0.4 * min(width, height))
    shifts = np.arange(-reach, reach + _STEP, _STEP).astype(np.float32)
    margin = round(reach) + 2 * _SIDE_STEP
    left, top = np.round(boxes[0, :2]).astype(int) - margin
    right, bottom = np.round(boxes[-1, :2] + boxes[-1, 2:]).astype(int) + margin
    window = sheet.clip((int(left), int(top), int(right), int(bottom)))
    printed = sheet.printed(window).astype(np.float32) / 255
    ink = sheet.ink(window) > 255 * _INK
    boxes[:, :2] -= window[:2]
    rows = _rows(_ridges(printed.T, ink.T), boxes, shifts)
    down = _best_moves(np.nan_to_num(rows).mean(2), shifts, _SLOPES * width)
    columns = _columns(_ridges(printed, ink), boxes, down, shifts)
    filled = np.nan_to_num(columns)
    right_moves = _best_moves(0.5 * (filled[:-1] + filled[1:]), shifts, _STRETCHES * width)
    return _Lines(shifts, rows, columns), np.stack([right_moves, down], 1)


def _ridges(printed: Floats, ink: NDArray[np.bool_]) -> Floats:
    """How much darker each pixel is than the paper on both sides of it, left and right; NaN where there is ink."""
    middle = np.asarray(cv2.blur(np.ascontiguousarray(printed), (3, 1)), np.float32)
    ridges = np.zeros_like(middle)
    step = _SIDE_STEP
    ridges[:, step:-step] = middle[:, step:-step] - np.maximum(middle[:, : -2 * step], middle[:, 2 * step :])
    near = cv2.dilate(np.ascontiguousarray(ink, np.uint8), np.ones((1, 2 * step + 3), np.uint8))
    ridges[near > 0] = np.nan
    return ridges


def _profile(ridges: Floats) -> Floats:
    """Mean of each column, NaN where ink hides most of it."""
    clear = ~np.isnan(ridges)
    count = clear.sum(0)
    total = np.where(clear, ridges, 0).sum(0)
    return np.where(count >= (1 - _HIDDEN_SHARE) * len(ridges), total / np.maximum(count, 1), np.nan).astype(np.float32)


def _rows(ridges: Floats, boxes: Floats, shifts: Floats) -> Floats:
    """(cells, shifts, 2) from ridges with x and y exchanged."""
    rows = np.empty((len(boxes), len(shifts), 2), np.float32)
    for cell, (x, y, width, height) in enumerate(boxes):
        profile = _profile(ridges[max(0, round(x) + 4) : round(x + width) - 3])
        for side, line in enumerate((y, y + height)):
            rows[cell, :, side] = np.interp(line + shifts, np.arange(len(profile)), profile, 0, 0)
    return rows


def _columns(ridges: Floats, boxes: Floats, down: Floats, shifts: Floats) -> Floats:
    """(cells + 1, shifts)."""
    ends = np.append(boxes[:, 0], boxes[-1, 0] + boxes[-1, 2])
    columns = np.empty((len(ends), len(shifts)), np.float32)
    reach = int(shifts[-1]) + 2
    for line, x in enumerate(ends):
        cell = min(line, len(boxes) - 1)
        y, first = boxes[cell, 1] + down[cell], max(0, round(x) - reach)
        profile = _profile(ridges[max(0, round(y) + 4) : round(y + boxes[cell, 3]) - 3, first : round(x) + reach + 1])
        columns[line] = np.interp(x + shifts, first + np.arange(len(profile)), profile, 0, 0)
    return columns


def _best_moves(contrast: Floats, shifts: Floats, slopes: Floats) -> Floats:
    """(cells,) shift of each cell, in pixels, at which its lines and those of its neighbours show best.

    The neighbours may be shifted more or less by one of the `slopes` (pixels a cell): curled paper leaves rows
    slanted. `contrast` is (cells, shifts).
    """
    cells, count = contrast.shape
    offsets = np.round(slopes / _STEP).astype(int)
    pad = int(np.abs(offsets).max()) * _NEIGHBOURS
    padded = np.pad(contrast, ((0, 0), (pad, pad)))
    prior = 1 - 0.25 * (shifts / shifts[-1]) ** 2
    moves = np.empty(cells, np.float32)
    for cell in range(cells):
        near = range(max(0, cell - _NEIGHBOURS), min(cells, cell + _NEIGHBOURS + 1))
        starts = [[pad + offset * (other - cell) for other in near] for offset in offsets]
        score = np.array([[padded[o, s : s + count] for o, s in zip(near, row, strict=True)] for row in starts]).mean(1)
        moves[cell] = _peak((score * prior).max(0), shifts)
    return moves


def _peak(score: Floats, shifts: Floats) -> float:
    """Shift of the highest score, to a fraction of a step."""
    best = int(score.argmax())
    if score[best] < LEAST_LINE / 2:
        return 0.0
    if not 0 < best < len(score) - 1:
        return float(shifts[best])
    before, here, after = score[best - 1 : best + 2]
    bend = before - 2 * here + after
    return float(shifts[best]) + (0.5 * _STEP * float((before - after) / bend) if bend < 0 else 0.0)


def _edges(lines: _Lines, moves: Floats) -> Floats:
    """(cells, 4) contrast of each cell's lines - top, bottom, left, right - within a pixel and a half of its box."""
    edges = np.empty((len(moves), 4), np.float32)
    for cell, (dx, dy) in enumerate(moves):
        near_y, near_x = (np.abs(lines.shifts - move) <= 1.5 for move in (dy, dx))
        profiles = [*lines.rows[cell][near_y].T, lines.columns[cell][near_x], lines.columns[cell + 1][near_x]]
        edges[cell] = [np.nan if np.isnan(profile).any() else profile.max() for profile in profiles]
    return edges


def _judged(found: Registration, place: CellPlace) -> CellPlace:
    """The place, in doubt where it reaches out of the picture."""
    x, y, width, height = place.box
    corners = np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]], np.float64) + 0.5
    source = cv2.perspectiveTransform(corners[None] / PIXELS_PER_MM, found.to_source)[0]
    if (source < -1).any() or (source > np.array(found.source_wh)).any():
        return CellPlace(place.cell, place.box, "it lies outside the picture")
    return place
