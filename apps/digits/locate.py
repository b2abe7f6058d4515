"""Where each cell lies on the flattened page: the printed cell lines correct what paper curl has moved.

The lines are also the witness of the registration, apart from the markers: where a cell's lines are not seen,
the paper is torn, covered or folded, or the page was found in the wrong place, and the cell is in doubt.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.digits.register import PIXELS_PER_MM, Registration
from data.forms import Box, Cell, FieldPlace
from data.preprocess import Image

Floats = NDArray[np.float32]

LEAST_LINE: Final = 0.02
"""Mean contrast, as a share of the paper's brightness, from which lines are taken as seen."""

_REACH_MM: Final = 3.0
_CELLS_A_PIECE: Final = 4
_SIDE_STEP: Final = 6
_RIDGE_BOUNDS: Final = (-0.05, 0.4)
_INK: Final = 0.5
_HIDDEN_SHARE: Final = 0.6
_FAINT_SHARE: Final = 0.35


@dataclass(frozen=True)
class CellPlace:
    """A cell and its box in pixels of the flattened page; `doubt` says why it cannot be trusted, if so."""

    cell: Cell
    box: Box
    doubt: str = ""


@dataclass(frozen=True)
class FieldLines:
    """Maps around one field's cells, its top left pixel at `origin` (x, y): contrast of lines across and down,
    and the darkness of whatever lies there, all as shares of the paper's brightness."""

    place: FieldPlace
    origin: tuple[int, int]
    across: Floats
    down: Floats
    dark: Floats


@dataclass(frozen=True)
class _Piece:
    """Shift of a few cells, in pixels, at the x of their middle; `contrast` of their lines."""

    x: float
    shift: tuple[float, float]
    contrast: float


def locate_cells(found: Registration) -> tuple[list[list[CellPlace]], float]:
    """Find every field's cells on the flattened page.

    Returns:
        The cells of each field, in the layout's order; and the typical contrast of the cell lines, which is below
        `LEAST_LINE` where they cannot be seen at all (then no cell is moved or doubted for its lines).
    """
    fields = [_field_lines(found.page, place) for place in found.layout.places]
    pieces = [_pieces(field) for field in fields]
    contrasts = [piece.contrast for row in pieces for piece in row]
    typical = float(np.median(contrasts))
    if typical < LEAST_LINE:
        return [[_judged(found, CellPlace(cell, _pixels(cell.box))) for cell in f.place.cells] for f in fields], typical
    least = _FAINT_SHARE * typical
    located = []
    for field, row in zip(fields, pieces, strict=True):
        places = _moved(field.place, [piece for piece in row if piece.contrast >= least])
        located.append([_judged(found, _with_lines(field, place, least)) for place in places])
    return located, typical


def _pixels(box: Box) -> Box:
    """The box in pixels, named by their centres."""
    x, y, width, height = (value * PIXELS_PER_MM for value in box)
    return x - 0.5, y - 0.5, width, height


def _field_lines(page: Image, place: FieldPlace) -> FieldLines:
    margin = round((_REACH_MM + 1.5) * PIXELS_PER_MM)
    first, last = _pixels(place.cells[0].box), _pixels(place.cells[-1].box)
    left, top = max(0, round(first[0]) - margin), max(0, round(first[1]) - margin)
    right, bottom = round(last[0] + last[2]) + margin, round(last[1] + last[3]) + margin
    part = page[top:bottom, left:right]
    # The printed orange is darkest in blue; a pen of any colour is dark in grey.
    blue = _darkness(part[..., 0])
    dark = _darkness(np.asarray(cv2.cvtColor(part, cv2.COLOR_BGR2GRAY), np.uint8))
    return FieldLines(place, (left, top), _ridges(blue.T).T, _ridges(blue), dark)


def _darkness(channel: Image) -> Floats:
    paper = max(8.0, float(np.percentile(channel[::4, ::4], 75)))
    return np.asarray(1.0 - channel.astype(np.float32) / paper, np.float32)


def _ridges(dark: Floats) -> Floats:
    """How much darker each pixel's column is than both sides of it: thin lines down, not edges or broad ink."""
    middle = cv2.blur(np.ascontiguousarray(dark), (3, 1))
    ridges = np.zeros_like(middle)
    step = _SIDE_STEP
    ridges[:, step:-step] = middle[:, step:-step] - np.maximum(middle[:, : -2 * step], middle[:, 2 * step :])
    return np.clip(ridges, *_RIDGE_BOUNDS)


def _pieces(field: FieldLines) -> list[_Piece]:
    cells = field.place.cells
    count = -(-len(cells) // _CELLS_A_PIECE)
    bounds = np.linspace(0, len(cells), count + 1).round().astype(int)
    return [_piece(field, cells[a:b]) for a, b in itertools.pairwise(bounds)]


def _piece(field: FieldLines, cells: Sequence[Cell]) -> _Piece:
    boxes = [_pixels(cell.box) for cell in cells]
    left, top = boxes[0][0] - field.origin[0], boxes[0][1] - field.origin[1]
    width, height = boxes[0][2], boxes[0][3]
    right = left + width * len(boxes)
    reach = min(_REACH_MM * PIXELS_PER_MM, 0.4 * min(width, height))
    profile = field.across[:, max(0, round(left + 4)) : max(1, round(right - 4))].mean(1)
    dy, rows = _best_shift(profile, np.array([top, top + height]), reach)
    inner = field.down[max(0, round(top + dy + 4)) : max(1, round(top + dy + height - 4))]
    if inner.size == 0:
        return _Piece((left + right) / 2 + field.origin[0], (0.0, 0.0), 0.0)
    dx, columns = _best_shift(inner.mean(0), left + width * np.arange(len(boxes) + 1.0), reach)
    return _Piece((left + right) / 2 + field.origin[0], (dx, dy), min(rows, columns))


def _best_shift(profile: Floats, lines: NDArray[np.floating], reach: float) -> tuple[float, float]:
    """Shift within `reach` at which the profile is highest on the lines, to a fraction of a pixel; its mean there."""
    shifts = np.arange(-reach, reach + 0.25, 0.5)
    places = np.arange(len(profile))
    samples = np.interp((lines[None] + shifts[:, None]).ravel(), places, profile, left=0, right=0)
    contrast = samples.reshape(len(shifts), len(lines)).mean(1)
    score = contrast * (1 - 0.25 * (shifts / reach) ** 2)
    best = int(score.argmax())
    shift = float(shifts[best])
    if 0 < best < len(shifts) - 1:
        before, here, after = score[best - 1 : best + 2]
        bend = before - 2 * here + after
        shift += 0.25 * (before - after) / bend if bend < 0 else 0.0
    return shift, float(contrast[best])


def _moved(place: FieldPlace, pieces: Sequence[_Piece]) -> list[CellPlace]:
    """The field's cells, shifted as its pieces say: evenly, or along a straight line through several pieces."""
    boxes = [_pixels(cell.box) for cell in place.cells]
    if not pieces:
        return [CellPlace(cell, box) for cell, box in zip(place.cells, boxes, strict=True)]
    xs = np.array([piece.x for piece in pieces])
    shifts = np.array([piece.shift for piece in pieces])
    line = np.polyfit(xs, shifts, 1) if len(pieces) > 1 else np.stack([[0.0, 0.0], shifts[0]])
    moved = []
    for cell, (x, y, width, height) in zip(place.cells, boxes, strict=True):
        dx, dy = line[0] * (x + width / 2) + line[1]
        moved.append(CellPlace(cell, (x + float(dx), y + float(dy), width, height)))
    return moved


def _with_lines(field: FieldLines, place: CellPlace, least: float) -> CellPlace:
    """The place, in doubt unless at least three of its lines are seen, those hidden under ink left out."""
    seen = [contrast for contrast in _edge_contrasts(field, place.box) if contrast is not None]
    faint = sum(contrast < least for contrast in seen)
    if len(seen) >= 2 and faint > 1:
        return CellPlace(place.cell, place.box, "its printed lines cannot be seen: torn, covered or folded")
    return place


def _edge_contrasts(field: FieldLines, box: Box) -> list[float | None]:
    """Contrast of the four lines; None where ink hides a line."""
    x, y = box[0] - field.origin[0], box[1] - field.origin[1]
    left, top, right, bottom = round(x), round(y), round(x + box[2]), round(y + box[3])
    if left < 2 or top < 2 or right + 2 >= field.dark.shape[1] or bottom + 2 >= field.dark.shape[0]:
        return [0.0] * 4
    inner_x, inner_y = slice(left + 4, right - 3), slice(top + 4, bottom - 3)
    edges = [(field.across, field.dark, row, inner_x) for row in (top, bottom)]
    edges += [(field.down.T, field.dark.T, column, inner_y) for column in (left, right)]
    return [_line_contrast(ridges[at - 1 : at + 2, along], dark[at, along]) for ridges, dark, at, along in edges]


def _line_contrast(ridges: Floats, dark: Floats) -> float | None:
    clear = dark < _INK
    if clear.mean() < 1 - _HIDDEN_SHARE:
        return None
    return float(ridges[:, clear].mean(1).max())


def _judged(found: Registration, place: CellPlace) -> CellPlace:
    """The place, in doubt where it reaches out of the picture."""
    x, y, width, height = place.box
    corners = np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]], np.float64) + 0.5
    source = cv2.perspectiveTransform(corners[None] / PIXELS_PER_MM, found.to_source)[0]
    if (source < -1).any() or (source > np.array(found.source_wh)).any():
        return CellPlace(place.cell, place.box, "it lies outside the picture")
    return place
