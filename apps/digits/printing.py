"""Printing a blank form: the page that `data.forms` lays out, as a PDF to be printed at 100 %.

Only what must survive a scan is dark: the markers, the QR code and the text. The cells are drawn in a light
orange that a pen's ink always outweighs and that the red channel of a scan hardly sees.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Final, Literal

import cv2
import numpy as np
import segno
import typer
from fontTools.ttLib import TTFont
from fpdf import FPDF
from fpdf.enums import PathPaintRule
from fpdf.prefs import ViewerPreferences
from numpy.typing import NDArray

from data.errors import ConfigurationError
from data.files import write_bytes
from data.forms import MARGIN_MM, MARKER_MM, QUIET_MM, Box, FieldPlace, Form, PageLayout, lay_out, load_form

FONTS: Final = Path(__file__).parents[1] / "fonts"
HOW_TO_WRITE: Final = "প্রতি ঘরে একটি অঙ্ক লিখুন, কালো বা নীল কলমে  ·  One digit per box, in black or blue pen"
CELL_COLOUR: Final = (255, 192, 140)
CELL_LINE_MM: Final = 0.3

_INK: Final = (25, 25, 25)
_GREY: Final = (110, 110, 110)
_LEADER: Final = (205, 205, 205)
_MM_PER_POINT: Final = 25.4 / 72
_FAMILIES: Final = (("bengali", "NotoSansBengali"), ("latin", "NotoSans"))
_STYLES: Final[tuple[tuple[Literal["", "B"], str], ...]] = (("", "Regular"), ("B", "Bold"))
_NO_OWN_GLYPH: Final = "\u200b\u200c\u200d"
# The same form gives the same bytes on every day: printed copies can be compared by their hash.
_MADE: Final = datetime(2026, 1, 1, tzinfo=UTC)


def new_form(
    form: Annotated[Path, typer.Argument(metavar="FORM.yaml", help="The form's description.")],
    pdf: Annotated[Path, typer.Option("--pdf", help="Where to write the blank form.")],
) -> None:
    """Print a blank form that `shankha digits scan` can read.

    Example: shankha digits new-form household.yaml --pdf blank.pdf
    """
    description = load_form(form)
    print_form(description, pdf)
    pages = lay_out(description)
    cells = sum(len(page.cells) for page in pages)
    width, height = description.page_size
    typer.echo(
        f"{pdf}: {len(pages)} {'page' if len(pages) == 1 else 'pages'} of {width:g} x {height:g} mm, {cells} cells. "
        f"Print at 100 % (no 'fit to page'), one-sided. Keep {form}: the scan needs it."
    )


def print_form(form: Form, pdf: Path) -> None:
    """Write the form's blank pages.

    Raises:
        ConfigurationError: A text holds a character that no shipped font has, or does not fit its place.
        FileAccessError: The PDF cannot be written.
    """
    _check_characters(form)
    pages = lay_out(form)
    document = _open_document(form)
    for page in pages:
        document.add_page(format=page.size)
        _draw_page(document, form, page, len(pages))
    write_bytes(pdf, bytes(document.output()))


@cache
def _known_characters() -> frozenset[str]:
    known: set[str] = set(_NO_OWN_GLYPH)
    for _, file in _FAMILIES:
        with TTFont(FONTS / f"{file}-Regular.ttf", lazy=True) as font:
            known.update(map(chr, font.getBestCmap()))
    return frozenset(known)


def _check_characters(form: Form) -> None:
    texts = [("title", form.title), ("note", form.note)]
    texts += [(f"label of field {field.name!r}", field.label) for field in form.fields]
    for where, text in texts:
        for character in _clean(text):
            if character not in _known_characters():
                raise ConfigurationError(
                    f"form {form.form}",
                    f"{where} holds {character!r} (U+{ord(character):04X}), which the shipped fonts lack",
                    expected="Bengali or Latin letters",
                    cure="write it otherwise",
                )


def _clean(text: str) -> str:
    return " ".join(text.split())


def _open_document(form: Form) -> FPDF:
    document = FPDF(unit="mm", format=form.page_size)
    document.set_auto_page_break(False)
    document.set_margin(0)
    document.c_margin = 0
    document.set_creation_date(_MADE)
    document.set_title(_clean(form.title))
    document.set_creator("shankha")
    document.set_lang("bn")
    document.viewer_preferences = ViewerPreferences(display_doc_title=True, print_scaling="None")
    for family, file in _FAMILIES:
        for style, name in _STYLES:
            document.add_font(family, style, FONTS / f"{file}-{name}.ttf")
    document.set_fallback_fonts(["latin"])
    document.set_font("bengali", size=10)
    document.set_text_shaping(True)
    return document


def _draw_page(document: FPDF, form: Form, page: PageLayout, pages: int) -> None:
    for box, number in zip(page.markers, page.marker_ids, strict=True):
        _draw_modules(document, box, _marker_modules(number))
    _draw_modules(document, page.code, _code_modules(f"shankha:{form.form}:{page.number}:{pages}"))
    _draw_heading(document, form, page)
    _draw_foot(document, form, page, pages)
    for place in page.places:
        _draw_label(document, form, place)
        _draw_cells(document, place)


def _marker_modules(number: int) -> NDArray[np.bool_]:
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_1000)
    side = dictionary.markerSize + 2
    return np.array(cv2.aruco.generateImageMarker(dictionary, number, side) == 0, bool)


def _code_modules(text: str) -> NDArray[np.bool_]:
    # The least correction gives the largest modules; segno adds what correction the size allows anyway.
    return np.array([list(row) for row in segno.make(text, error="l", micro=False).matrix], bool)


def _draw_modules(document: FPDF, box: Box, dark: NDArray[np.bool_]) -> None:
    """Draw dark modules as one vector path: no blur at any scale, no hairlines between neighbours."""
    x, y, width, height = box
    rows, columns = dark.shape
    step_x, step_y = width / columns, height / rows
    with document.new_path() as path:
        path.style.fill_color = "#000000"
        path.style.stroke_color = None
        path.style.paint_rule = PathPaintRule.FILL_NONZERO
        for row, line in enumerate(dark):
            for start, end in _runs(line):
                path.rectangle(x + start * step_x, y + row * step_y, (end - start) * step_x, step_y)


def _runs(line: NDArray[np.bool_]) -> Iterable[tuple[int, int]]:
    """Start and end of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], line.astype(np.int8), [0]])))
    return zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _draw_heading(document: FPDF, form: Form, page: PageLayout) -> None:
    x, y, width, _ = page.heading
    title = _Text(form.title, 18, 9, bold=True, align="C")
    if form.note:
        _draw_text(document, (x, y, width, 8.0), title)
        _draw_text(document, (x, y + 8.2, width, 5.6), _Text(form.note, 9.5, 5.5, colour=_GREY, align="C"))
    else:
        _draw_text(document, (x, y, width, 12.0), title)
    _draw_text(document, (x, y + 14.0, width, 4.0), _Text(HOW_TO_WRITE, 8, 5, colour=_GREY, align="C"))


def _draw_foot(document: FPDF, form: Form, page: PageLayout, pages: int) -> None:
    left = MARGIN_MM + MARKER_MM + QUIET_MM
    width = page.code[0] - QUIET_MM - left
    y = page.code[1] + page.code[3] - 4.0
    right = page.code[0] + page.code[2] + QUIET_MM
    _draw_text(document, (left, y, width, 4.0), _Text(form.form, 7, 4, colour=_GREY))
    _draw_text(document, (right, y, width, 4.0), _Text(f"{page.number} / {pages}", 7, 4, colour=_GREY, align="R"))


def _draw_label(document: FPDF, form: Form, place: FieldPlace) -> None:
    label = f"{_clean(place.field.label)} *" if place.field.required else place.field.label
    x, y, width, height = place.label
    beside = place.cells[0].box[1] == y
    limit = (x, y, width, min(height, form.cell_size[1]))
    end = _draw_text(document, limit, _Text(label, 11 if beside else 9.5, 5, valign="middle" if beside else "bottom"))
    if beside and x + width - end > 8:
        _draw_leader(document, end + 2, x + width + 1, y + height / 2 + 1.2)


def _draw_leader(document: FPDF, start: float, end: float, y: float) -> None:
    """A dotted line that leads the eye from a short label to its cells."""
    document.set_draw_color(*_LEADER)
    document.set_line_width(0.2)
    document.set_dash_pattern(dash=0.2, gap=1.2)
    document.line(start, y, end, y)
    document.set_dash_pattern()


def _draw_cells(document: FPDF, place: FieldPlace) -> None:
    document.set_draw_color(*CELL_COLOUR)
    document.set_line_width(CELL_LINE_MM)
    for cell in place.cells:
        document.rect(*cell.box)


@dataclass(frozen=True)
class _Text:
    """A text and how to set it; sizes in points, shrunk from `size` down to `smallest` to fit."""

    text: str
    size: float
    smallest: float
    bold: bool = False
    colour: tuple[int, int, int] = _INK
    align: Literal["L", "C", "R"] = "L"
    valign: Literal["middle", "bottom"] = "middle"


def _draw_text(document: FPDF, box: Box, text: _Text) -> float:
    """Set the text inside the box, in several lines where it needs them; gives the right end of its last line."""
    x, y, width, height = box
    lines, size = _fit(document, text, width, height)
    document.set_font("bengali", "B" if text.bold else "", size)
    document.set_text_color(*text.colour)
    line_height = _line_height(size)
    spare = height - len(lines) * line_height
    top = y + (spare / 2 if text.valign == "middle" else spare)
    for number, line in enumerate(lines):
        document.set_xy(x, top + number * line_height)
        document.cell(width, line_height, line, align=text.align)
    return x + document.get_string_width(lines[-1])


def _line_height(size: float) -> float:
    return 1.25 * size * _MM_PER_POINT


def _fit(document: FPDF, text: _Text, width: float, height: float) -> tuple[list[str], float]:
    """Lines and size (points) at which the text fits; the largest that does."""
    words = _clean(text.text).split(" ")
    size = text.size
    while size >= text.smallest:
        document.set_font("bengali", "B" if text.bold else "", size)
        lines = _wrapped(document, words, width)
        fits = len(lines) * _line_height(size) <= height + 0.01
        if fits and all(document.get_string_width(line) <= width + 0.01 for line in lines):
            return lines, size
        size -= 0.5
    raise ConfigurationError(
        _clean(text.text),
        f"is too long for its place of {width:.0f} x {height:.0f} mm",
        cure="shorten it, use fewer cells or columns, or a larger page",
    )


def _wrapped(document: FPDF, words: list[str], width: float) -> list[str]:
    lines = [words[0]]
    for word in words[1:]:
        longer = f"{lines[-1]} {word}"
        if document.get_string_width(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
