"""Where each cell lies on the flattened page: the printed cell lines correct what paper curl has moved.

The lines are also the witness of the registration, apart from the markers: where a cell's lines are not seen,
the paper is torn, covered or folded, or the page was found in the wrong place, and the cell is in doubt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.digits.register import PIXELS_PER_MM, Registration
from apps.digits.sheet import Sheet, Window
from data.forms import Box, Cell, FieldPlace, PageLayout

Floats = NDArray[np.floating]

LEAST_LINE: Final = 0.02
"""Mean contrast, as a share of the paper's brightness, from which lines are taken as seen."""

DISPLACED: Final = "the lines of its row cannot be found: the paper is bent too much, torn or covered"
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
_JUMP_MM: Final = 0.8
_ROUNDS: Final = 3
_LEAST_SINGULAR: Final = 1e-3
_FAINT_SHARE: Final = 0.35
_MISSING_SHARE: Final = 0.4
_BEYOND_SHARE: Final = 0.5


@dataclass(frozen=True)
class CellPlace:
    """A cell and its box in pixels of the flattened page; `doubt` says why it cannot be trusted, if so."""

    cell: Cell
    box: Box
    doubt: str = ""


@dataclass(frozen=True)
class _Lines:
    """Where one field's cells were found, and the contrast of their printed lines as shares of the paper's brightness.

    `moves` is (cells, 2), pixels right and down from where the layout has them; `edges` (cells, 4), the lines at the
    top, bottom, left and right; `beyond` (2,), where one more line would be at the left and at the right of the row.
    NaN where ink hides the line.
    """

    moves: Floats
    edges: Floats
    beyond: Floats


Bend = Callable[[Box], Floats]
"""Gives for a box in mm how far it is moved: (2,) pixels right and down."""


def locate_cells(found: Registration, sheet: Sheet) -> tuple[list[list[CellPlace]], float]:
    """Find every field's cells on the flattened page.

    Returns:
        The cells of each field, in the layout's order; and the typical contrast of the cell lines, which is below
        `LEAST_LINE` where they cannot be seen at all (then no cell is moved or doubted for its lines).
    """
    places = found.layout.places
    fields = [_find_lines(sheet, place, found.layout) for place in places]
    edges = np.concatenate([field.edges.ravel() for field in fields])
    typical = float(np.nanmedian(np.append(edges, 0.0)))
    if typical < LEAST_LINE:
        return [
            [_judged(found, CellPlace(cell, _pixels(cell.box))) for cell in place.cells] for place in places
        ], typical
    lost = [_is_displaced(field, typical) for field in fields]
    for _ in range(_ROUNDS):
        if not any(lost) or all(lost):
            break
        bend = _bend(found.layout, fields, lost)
        for index in np.flatnonzero(lost):
            fields[index] = _find_lines(sheet, places[index], found.layout, bend)
            lost[index] = _is_displaced(fields[index], typical)
    located = [
        [_judged(found, cell) for cell in _settled(place, field, gone, typical)]
        for place, field, gone in zip(places, fields, lost, strict=True)
    ]
    return located, typical


def _settled(place: FieldPlace, field: _Lines, gone: bool, typical: float) -> Iterator[CellPlace]:
    """The field's cells where they were found, in doubt where the row or the cell's own lines were not."""
    for cell, (dx, dy), contrasts in zip(place.cells, field.moves, field.edges, strict=True):
        x, y, width, height = _pixels(cell.box)
        doubt = DISPLACED if gone else LOST if _is_lost(contrasts, _FAINT_SHARE * typical) else ""
        yield CellPlace(cell, (x + float(dx), y + float(dy), width, height), doubt)


def _bend(layout: PageLayout, fields: Sequence[_Lines], lost: Sequence[bool]) -> Bend:
    """How far the paper's bend moves each place, from the rows that were found: a quadratic in x and y that leaves
    the markers where they are. It tells where to look for rows that have moved further than they are looked for."""
    where, moves = [_middle(box) for box in layout.markers], [np.zeros(2)] * len(layout.markers)
    for place, field, gone in zip(layout.places, fields, lost, strict=True):
        if not gone:
            where += [_middle(cell.box) for cell in place.cells]
            moves += list(field.moves)
    size = np.array(layout.size)
    weights = np.linalg.lstsq(_terms(np.array(where) / size), np.array(moves), rcond=_LEAST_SINGULAR)[0]
    return lambda box: _terms(np.array([_middle(box)]) / size)[0] @ weights


def _middle(box: Box) -> Floats:
    return np.array([box[0] + box[2] / 2, box[1] + box[3] / 2])


def _terms(points: Floats) -> Floats:
    """(N, 6) terms of a quadratic, the page's middle being 0."""
    x, y = points[:, 0] - 0.5, points[:, 1] - 0.5
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], 1)


def _is_displaced(field: _Lines, typical: float) -> bool:
    """Whether the row was found beside its true place: its cells lie apart, many of its lines down cannot be seen where
    they should be, or there is one more line beside the row, which then lies a whole cell away.

    Cells without lines above and below say nothing: they are torn off or covered.
    """
    faint: NDArray[np.bool_] = np.less(field.edges, _FAINT_SHARE * typical)
    there = np.asarray(~faint[:, :2].all(1))
    steps = np.diff(field.moves, axis=0)[there[:-1] & there[1:]]
    if (np.abs(steps) > _JUMP_MM * PIXELS_PER_MM).any():
        return True
    down = faint[there, 2:][~np.isnan(field.edges[there, 2:])]
    if len(down) and down.mean() > _MISSING_SHARE:
        return True
    return bool((np.nan_to_num(field.beyond) > _BEYOND_SHARE * typical).any())


def _is_lost(contrasts: Floats, least: float) -> bool:
    """Whether no line is seen, or more than one is missing that ink does not hide."""
    seen = contrasts[~np.isnan(contrasts)]
    missing = int((seen < least).sum())
    return missing > 1 or missing == len(seen)


def _pixels(box: Box) -> Box:
    """The box in pixels, named by their centres."""
    x, y, width, height = (value * PIXELS_PER_MM for value in box)
    return x - 0.5, y - 0.5, width, height


def _unbent(_: Box) -> Floats:
    return np.zeros(2)


def _find_lines(sheet: Sheet, place: FieldPlace, layout: PageLayout, bend: Bend = _unbent) -> _Lines:
    """Look for the field's lines around where the layout, moved by the `bend`, has them."""
    start = np.array([bend(cell.box) for cell in place.cells])
    boxes = np.array([_pixels(cell.box) for cell in place.cells])
    boxes[:, :2] += start
    width, height = boxes[0, 2:]
    reach = min(_REACH_MM * PIXELS_PER_MM, 0.4 * min(width, height))
    shifts = np.arange(-reach, reach + _STEP, _STEP).astype(np.float32)
    window = _window(sheet, boxes, round(reach) + 2 * _SIDE_STEP)
    printed = sheet.printed(window).astype(np.float32) / 255
    ink = sheet.ink(window) > 255 * _INK
    boxes[:, :2] -= window[:2]
    rows = _rows(_ridges(printed.T, ink.T), boxes, shifts)
    down = _best_moves(np.nan_to_num(rows).mean(2), shifts, _SLOPES * width)
    columns = _columns(_ridges(printed, ink), boxes, down, shifts)
    filled = np.nan_to_num(columns[1:-1])
    right = _best_moves(0.5 * (filled[:-1] + filled[1:]), shifts, _STRETCHES * width)
    moves = np.stack([right, down], 1)
    outer = np.array([_contrast(columns[0], shifts, right[0]), _contrast(columns[-1], shifts, right[-1])])
    beyond = np.where(_has_neighbours(place, layout), 0.0, outer)
    return _Lines(start + moves, _edges(rows, columns[1:-1], shifts, moves), beyond)


def _window(sheet: Sheet, boxes: Floats, margin: int) -> Window:
    """Pixels around the boxes and one more at each end of the row, as far as they lie on the page."""
    around = np.array([boxes[0, 2] + margin, margin])
    left, top = np.floor(boxes[:, :2].min(0) - around).astype(int)
    right, bottom = np.ceil((boxes[:, :2] + boxes[:, 2:]).max(0) + around).astype(int)
    return sheet.clip((int(left), int(top), int(right), int(bottom)))


def _has_neighbours(place: FieldPlace, layout: PageLayout) -> NDArray[np.bool_]:
    """(2,) whether cells of another field lie less than two cells away at the left, and at the right."""
    x, y, width, height = place.cells[0].box
    end = x + width * len(place.cells)
    others = [cell.box for cell in layout.cells if cell.field != place.field.name]
    beside = [box for box in others if box[1] < y + height and y < box[1] + box[3]]
    left = any(x - 2 * width < box[0] + box[2] <= x for box in beside)
    return np.array([left, any(end <= box[0] < end + 2 * width for box in beside)])


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
    """(cells + 3, shifts): at the lines down, and one more at each end."""
    width = boxes[0, 2]
    ends = np.concatenate([boxes[:1, 0] - width, boxes[:, 0], boxes[-1:, 0] + width, boxes[-1:, 0] + 2 * width])
    columns = np.empty((len(ends), len(shifts)), np.float32)
    reach = int(shifts[-1]) + 2
    for line, x in enumerate(ends):
        cell = min(max(0, line - 1), len(boxes) - 1)
        y, first = boxes[cell, 1] + down[cell], max(0, round(x) - reach)
        part = ridges[
            max(0, round(y) + 4) : max(0, round(y + boxes[cell, 3]) - 3), first : max(0, round(x) + reach + 1)
        ]
        if part.size:
            columns[line] = np.interp(x + shifts, first + np.arange(part.shape[1]), _profile(part), 0, 0)
        else:
            columns[line] = 0
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


def _edges(rows: Floats, columns: Floats, shifts: Floats, moves: Floats) -> Floats:
    """(cells, 4) contrast of each cell's lines: top, bottom, left, right."""
    edges = np.empty((len(moves), 4), np.float32)
    for cell, (dx, dy) in enumerate(moves):
        across = [_contrast(rows[cell, :, side], shifts, dy) for side in (0, 1)]
        edges[cell] = [*across, *(_contrast(columns[line], shifts, dx) for line in (cell, cell + 1))]
    return edges


def _contrast(profile: Floats, shifts: Floats, move: float) -> float:
    """The profile's highest value within a pixel and a half of the move; NaN where ink hides it."""
    near = profile[np.abs(shifts - move) <= 1.5]
    return float("nan") if np.isnan(near).any() else float(near.max())


def _judged(found: Registration, place: CellPlace) -> CellPlace:
    """The place, in doubt where it reaches out of the picture."""
    x, y, width, height = place.box
    corners = np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]], np.float64) + 0.5
    source = cv2.perspectiveTransform(corners[None] / PIXELS_PER_MM, found.to_source)[0]
    if (source < -1).any() or (source > np.array(found.source_wh)).any():
        return CellPlace(place.cell, place.box, "it lies outside the picture")
    return place
