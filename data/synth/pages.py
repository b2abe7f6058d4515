"""Filling a blank page with digits whose truth is known.

Any digit pictures will do - real ones or those of `data.synth.handwriting` - as a `Drawer`: a function from a value
to a picture of it. The ink is laid on by multiplying, so the printed lines and the paper show through.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from data.files import write_text
from data.forms import Cell, FieldPlace, PageLayout
from data.labels import DIGIT_CLASSES, LATIN, NOT_A_DIGIT, in_script
from data.synth import marks
from data.synth.handwriting import Hand, write_digit

Image = NDArray[np.uint8]
Strength = NDArray[np.floating | np.integer]
Drawer = Callable[[int, np.random.Generator], Image]
"""Gives a picture of the digit 0 to 9: (H, W) uint8, dark ink on light paper, any size, any margin."""

TRUTH_COLUMNS: Final = ("page", "field", "position", "value")
_INKS_BGR: Final = ((35, 30, 30), (60, 45, 40), (150, 62, 22), (120, 40, 28), (170, 85, 40), (95, 90, 88))


@dataclass(frozen=True)
class CellTruth:
    """What was put into a cell: a digit 0 to 9, None for nothing, `NOT_A_DIGIT` for a digit struck out."""

    field: str
    position: int
    value: int | None


@dataclass(frozen=True)
class FilledPage:
    """A page (H, W, 3 BGR uint8) and what each of its cells holds, in the layout's order."""

    image: Image
    truth: tuple[CellTruth, ...]


@dataclass(frozen=True)
class Filling:
    """How carefully people fill forms, as shares of the cells (`short` of the fields).

    `blank` cells stay empty, `short` fields leave cells empty at the left, `struck` digits are crossed out,
    `smeared` ones wiped but legible, `straying` ones cross the border of their cell.
    """

    blank: float = 0.03
    short: float = 0.2
    struck: float = 0.02
    smeared: float = 0.01
    straying: float = 0.05


@dataclass(frozen=True)
class PageInk:
    """One page's pen and manner: colour, and the digits' height as a share of the cell's, with its spread."""

    colour_bgr: tuple[int, int, int]
    height: float
    height_spread: float
    place_spread: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> PageInk:
        """A new pen: mostly black or blue, sometimes pencil grey."""
        return cls(
            colour_bgr=_INKS_BGR[rng.integers(len(_INKS_BGR))],
            height=float(rng.uniform(0.55, 0.8)),
            height_spread=float(rng.uniform(0.02, 0.07)),
            place_spread=float(rng.uniform(0.02, 0.06)),
        )


def fill_page(
    blank: Image,
    layout: PageLayout,
    draw_digit: Drawer,
    rng: np.random.Generator,
    answers: Mapping[str, str] | None = None,
    filling: Filling = Filling(),
) -> FilledPage:
    """Write digits into the cells of a blank page.

    Args:
        blank: (H, W, 3) BGR, the printed page at any resolution, nothing cut off.
        layout: Where its cells are.
        draw_digit: Gives the digits' pictures.
        rng: Decides everything else.
        answers: What to write, by field: digits of either script, a space for an empty cell, short ones filled up
            with spaces at the left. Fields not named get random digits.
        filling: How carefully the page is filled; `blank` and `short` concern random digits only.

    Raises:
        ValueError: An answer holds another character, or more of them than its field has cells.
    """
    page = blank.copy()
    ink = PageInk.draw(rng)
    truth: list[CellTruth] = []
    for place in layout.places:
        answer = (answers or {}).get(place.field.name)
        values = _random_values(place, filling, rng) if answer is None else _values_of(place, answer)
        for cell, value in zip(place.cells, values, strict=True):
            kept = value
            if value is not None:
                struck = rng.random() < filling.struck
                picture = _marked(draw_digit(value, rng), struck, rng.random() < filling.smeared, rng)
                _write(page, _box_px(page, layout, cell), picture, ink, rng, rng.random() < filling.straying)
                kept = NOT_A_DIGIT if struck else value
            truth.append(CellTruth(cell.field, cell.position, kept))
    return FilledPage(page, tuple(truth))


def drawn_from(images: Sequence[Image], labels: Sequence[int] | NDArray[np.integer]) -> Drawer:
    """Pictures picked at random among given ones.

    Args:
        images: (H, W) or (H, W, 3) uint8, dark ink on light paper.
        labels: The value of each.
    """
    by_value = [np.flatnonzero(np.asarray(labels) == value) for value in range(10)]

    def draw(value: int, rng: np.random.Generator) -> Image:
        if not len(by_value[value]):
            raise ValueError(f"no picture of the digit {value} was given")
        image = images[int(rng.choice(by_value[value]))]
        return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)

    return draw


def written_by(hand: Hand) -> Drawer:
    """Digits written by one synthetic hand."""

    def draw(value: int, rng: np.random.Generator) -> Image:
        return write_digit(value, hand, rng, height=72)

    return draw


def truth_csv(pages: Iterable[tuple[str, Sequence[CellTruth]]]) -> str:
    """The truth of pages as CSV: page, field, position (from 0), value (0-9, nothing, or not_a_digit)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(TRUTH_COLUMNS)
    for page, cells in pages:
        for cell in cells:
            value = "" if cell.value is None else DIGIT_CLASSES[cell.value]
            writer.writerow((page, cell.field, cell.position, value))
    return text.getvalue()


def write_truth(path: Path, pages: Iterable[tuple[str, Sequence[CellTruth]]]) -> None:
    """Write `truth_csv` to a file, whole or not at all."""
    write_text(path, truth_csv(pages))


def _random_values(place: FieldPlace, filling: Filling, rng: np.random.Generator) -> list[int | None]:
    count = len(place.cells)
    values: list[int | None] = [int(value) for value in rng.integers(0, 10, count)]
    empty = rng.random(count) < filling.blank
    if rng.random() < filling.short:
        empty[: rng.integers(0, count)] = True
    return [None if gone else value for value, gone in zip(values, empty, strict=True)]


def _values_of(place: FieldPlace, answer: str) -> list[int | None]:
    text = in_script(answer, "latin").rjust(len(place.cells))
    if len(text) > len(place.cells) or not set(text) <= set(LATIN + " "):
        raise ValueError(f"answer {answer!r} does not fit the {len(place.cells)} cells of field {place.field.name!r}")
    return [None if character == " " else int(character) for character in text]


def _marked(picture: Image, struck: bool, smeared: bool, rng: np.random.Generator) -> Image:
    """The digit with what befell it, enlarged first so that fine lines stay fine."""
    if not struck and not smeared:
        return picture
    scale = max(1.0, 64 / max(picture.shape))
    larger = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    pad = max(larger.shape) // 4
    padded = cv2.copyMakeBorder(larger, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=float(picture.max()))
    grey = np.asarray(padded, np.uint8)
    return marks.strike_out(grey, rng) if struck else marks.smear(grey, rng)


def _box_px(page: Image, layout: PageLayout, cell: Cell) -> tuple[float, float, float, float]:
    scale_x, scale_y = page.shape[1] / layout.size[0], page.shape[0] / layout.size[1]
    x, y, width, height = cell.box
    return x * scale_x, y * scale_y, width * scale_x, height * scale_y


def _write(
    page: Image,
    box: tuple[float, float, float, float],
    picture: Image,
    ink: PageInk,
    rng: np.random.Generator,
    straying: bool,
) -> None:
    """Lay one digit's ink into its cell (box in pixels)."""
    x, y, width, height = box
    strength = _strength(picture)
    tall = height * np.clip(ink.height + rng.normal(0, ink.height_spread), 0.35, 0.92)
    scale = min(tall / strength.shape[0], 0.92 * width / strength.shape[1])
    size = max(3, round(strength.shape[1] * scale)), max(3, round(strength.shape[0] * scale))
    laid = cv2.resize(strength, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    if scale > 1.2:  # an enlarged small picture shows its pixels as steps
        laid = cv2.GaussianBlur(laid, (0, 0), 0.35 * scale)
    middle = np.array([x + width / 2, y + height / 2])
    shift = rng.normal(0, ink.place_spread, 2) * (width, height)
    room = np.maximum(0, (np.array([width, height]) - size) / 2 - 1)
    shift = np.clip(shift, -room, room)
    if straying:
        axis = int(rng.random() < 0.35)
        shift[axis] = rng.choice((-1, 1)) * (room[axis] + rng.uniform(0.02, 0.2) * (width, 0.7 * height)[axis])
    left, top = np.round(middle + shift - np.array(size) / 2).astype(int)
    darkness = np.clip(rng.normal(1.0, 0.05), 0.85, 1.1)
    _multiply(page, laid * np.float32(darkness), int(left), int(top), ink.colour_bgr)


def _strength(picture: Image) -> NDArray[np.float32]:
    """How inky each pixel is, 0 to 1, cropped to the ink."""
    darkest, lightest, _, _ = cv2.minMaxLoc(picture)
    if lightest <= darkest:
        return np.zeros((3, 3), np.float32)
    _, mask = cv2.threshold(picture, 0.5 * (darkest + lightest), 255, cv2.THRESH_BINARY_INV)
    x, y, width, height = cv2.boundingRect(mask)
    inked = picture[max(0, y - 1) : y + height + 1, max(0, x - 1) : x + width + 1].astype(np.float32)
    return np.asarray(np.clip((lightest - inked) / (lightest - darkest), 0, 1), np.float32)


def _multiply(page: Image, strength: Strength, left: int, top: int, colour: tuple[int, int, int]) -> None:
    """Blend ink of the colour into the page where it lies on it."""
    height, width = strength.shape
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(page.shape[1], left + width), min(page.shape[0], top + height)
    if x1 <= x0 or y1 <= y0:
        return
    part = np.clip(strength[y0 - top : y1 - top, x0 - left : x1 - left, None], 0, 1)
    kept = 1 - part * (1 - np.array(colour, np.float32) / 255)
    page[y0:y1, x0:x1] = np.round(page[y0:y1, x0:x1] * kept).astype(np.uint8)
