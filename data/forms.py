"""What a form is: fields of digit cells on pages, described in YAML, and where each cell lies on the paper.

All lengths are millimetres from the top left corner of the page; boxes are (x, y, width, height).
The printed page carries four ArUco markers (dictionary 5x5_1000), one a corner, clockwise from the top left,
the heading between the upper two and a QR code between the lower two.
Their ids say which form, which layout and which page it is (`marker_ids`), so a page of another form, or of
an older version of this one, is never read as this one.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from data.errors import ConfigurationError, validation_faults
from data.files import read_yaml

MM_PER_INCH: Final = 25.4
PAGE_SIZES: Final[dict[str, tuple[float, float]]] = {
    "A3": (297.0, 420.0),
    "A4": (210.0, 297.0),
    "A5": (148.0, 210.0),
    "letter": (215.9, 279.4),
    "legal": (215.9, 355.6),
}
MARGIN_MM: Final = 10.0
MARKER_MM: Final = 12.0
TITLE_MM: Final = 18.0
"""Height of the heading's band (title, note, how to write) below the top markers' upper edge."""
QUIET_MM: Final = 4.0
"""Free paper between a marker and the heading or any other print."""
ROW_GAP_MM: Final = 4.0
LABEL_GAP_MM: Final = 3.0
COLUMN_GAP_MM: Final = 8.0
MARKER_VALUES: Final = 250
"""ids of the dictionary a corner may carry; the corner itself is the id modulo 4."""

Box = tuple[float, float, float, float]
"""x, y, width, height in millimetres."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FormField(_Strict):
    """One field: a label and a row of digit cells.

    `at` is the top left corner of the first cell (mm); without it the field takes the next free row.
    `minimum` and `maximum` bound the number, `pattern` (a regular expression over Latin digits, blanks left out)
    must match all of it, `required` fields must not be empty, `fixed_length` fields fill all cells or none.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,39}$")]
    label: Annotated[str, Field(min_length=1, max_length=80)]
    cells: Annotated[int, Field(ge=1, le=40)]
    at: tuple[float, float] | None = None
    page: Annotated[int, Field(ge=1)] | None = None
    required: bool = False
    fixed_length: bool = False
    minimum: int | None = None
    maximum: int | None = None
    pattern: str | None = None

    @field_validator("pattern")
    @classmethod
    def _pattern_compiles(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"{value!r} is no regular expression ({error})") from error
        return value

    @model_validator(mode="after")
    def _bounds_in_order(self) -> FormField:
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum} is above maximum {self.maximum}")
        return self


class Form(_Strict):
    """A form as its YAML describes it. `page` is a name (A4, letter, ...) or width and height in mm."""

    form: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
    title: Annotated[str, Field(min_length=1, max_length=120)]
    page: Literal["A3", "A4", "A5", "letter", "legal"] | tuple[float, float] = "A4"
    cell_size: tuple[float, float] = (8.0, 10.0)
    columns: Annotated[int, Field(ge=1, le=4)] = 1
    note: Annotated[str, Field(max_length=200)] = ""
    fields: Annotated[tuple[FormField, ...], Field(min_length=1)]

    @property
    def page_size(self) -> tuple[float, float]:
        """Width and height of the paper in mm."""
        return PAGE_SIZES[self.page] if isinstance(self.page, str) else self.page

    @model_validator(mode="after")
    def _sizes_make_sense(self) -> Form:
        width, height = self.page_size
        if min(width, height) < 100 or max(width, height) > 600:
            raise ValueError(f"page of {width:g} x {height:g} mm; 100 to 600 mm a side can be printed and read")
        cell_width, cell_height = self.cell_size
        if min(self.cell_size) < 4 or max(self.cell_size) > 30:
            raise ValueError(f"cell_size {cell_width:g} x {cell_height:g} mm; 4 to 30 mm a side can be read")
        names = [field.name for field in self.fields]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"field name {twice[0]!r} is used twice")
        return self


@dataclass(frozen=True)
class Cell:
    """One digit cell on the paper. `position` counts from 0 at the left of its field."""

    field: str
    position: int
    box: Box


@dataclass(frozen=True)
class FieldPlace:
    """A field on its page: the label's box and its cells, left to right."""

    field: FormField
    label: Box
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class PageLayout:
    """Where everything lies on one page (number from 1) of a form.

    `markers` are the boxes of the four ArUco markers and `marker_ids` their ids, clockwise from the top left.
    """

    form: str
    number: int
    size: tuple[float, float]
    places: tuple[FieldPlace, ...]
    markers: tuple[Box, Box, Box, Box]
    marker_ids: tuple[int, int, int, int]

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All cells of the page in reading order of the form's description."""
        return tuple(itertools.chain.from_iterable(place.cells for place in self.places))

    @property
    def heading(self) -> Box:
        """The band between the upper markers that holds the title."""
        left = MARGIN_MM + MARKER_MM + QUIET_MM
        return left, MARGIN_MM, self.size[0] - 2 * left, TITLE_MM

    @property
    def code(self) -> Box:
        """The square in the middle between the lower markers that holds the QR code."""
        side = MARKER_MM
        return (self.size[0] - side) / 2, self.size[1] - MARGIN_MM - side, side, side


def load_form(path: Path) -> Form:
    """Read and check a form's YAML.

    Raises:
        FileAccessError: The file cannot be read.
        ConfigurationError: It is no YAML, has unknown keys, or describes an impossible page (overlaps included).
    """
    tree = read_yaml(path, "a form: keys such as form, title, fields")
    try:
        form = Form.model_validate(tree)
    except ValidationError as error:
        raise ConfigurationError(path, validation_faults(error), cure="mend the form's description") from error
    try:
        lay_out(form)
    except ValueError as error:
        raise ConfigurationError(path, str(error), cure="mend the form's description") from error
    return form


def lay_out(form: Form) -> tuple[PageLayout, ...]:
    """Place every field of the form.

    Fields with `at` lie where they say (page 1 unless `page` says otherwise). The others flow down in `columns`
    columns, label to the left of the cells, over as many pages as they need.

    Raises:
        ValueError: Cells overlap each other or what else is printed, or reach out of the page.
    """
    placed: dict[int, list[FieldPlace]] = {}
    flow = _Flow(form)
    for field in form.fields:
        if field.at is not None:
            number, place = field.page or 1, _place_at(form, field, field.at)
        else:
            number, place = flow.next(field)
        placed.setdefault(number, []).append(place)
    missing = set(range(1, max(placed) + 1)) - set(placed)
    if missing:
        raise ValueError(f"page {min(missing)} has no field")
    fingerprint = _fingerprint(form, placed)
    pages = tuple(_page(form, number, tuple(placed[number]), fingerprint) for number in sorted(placed))
    for page in pages:
        _check_page(page)
    return pages


def _cells_at(form: Form, field: FormField, x: float, y: float) -> tuple[Cell, ...]:
    width, height = form.cell_size
    return tuple(Cell(field.name, i, (x + i * width, y, width, height)) for i in range(field.cells))


def _place_at(form: Form, field: FormField, at: tuple[float, float]) -> FieldPlace:
    x, y = at
    label_height = 5.0
    label = (x, y - label_height - 0.5, max(form.cell_size[0] * field.cells, 40.0), label_height)
    return FieldPlace(field, label, _cells_at(form, field, x, y))


class _Flow:
    """Gives fields without `at` the next free place: down a column, then the next column, then the next page."""

    def __init__(self, form: Form) -> None:
        self.form = form
        width, height = form.page_size
        self.top = MARGIN_MM + max(MARKER_MM, TITLE_MM) + 4.0
        self.bottom = height - MARGIN_MM - MARKER_MM - 3.0
        gaps = COLUMN_GAP_MM * (form.columns - 1)
        self.column_width = (width - 2 * MARGIN_MM - gaps) / form.columns
        self.number, self.column, self.y = 1, 0, self.top

    def next(self, field: FormField) -> tuple[int, FieldPlace]:
        """Page number and place of the field."""
        if field.page is not None and field.page != self.number:
            if field.page < self.number:
                raise ValueError(f"field {field.name!r} asks for page {field.page} after page {self.number} has begun")
            self.number, self.column, self.y = field.page, 0, self.top
        width, height = self.form.cell_size
        if self.y + height > self.bottom:
            self._next_column()
        cells_width = field.cells * width
        label_width = self.column_width - cells_width - LABEL_GAP_MM
        if label_width < 15.0:
            raise ValueError(
                f"field {field.name!r}: {field.cells} cells of {width:g} mm and a label do not fit a column "
                f"of {self.column_width:g} mm"
            )
        x = MARGIN_MM + self.column * (self.column_width + COLUMN_GAP_MM)
        place = FieldPlace(
            field,
            (x, self.y, label_width, height),
            _cells_at(self.form, field, x + label_width + LABEL_GAP_MM, self.y),
        )
        self.y += height + ROW_GAP_MM
        return self.number, place

    def _next_column(self) -> None:
        self.y = self.top
        self.column += 1
        if self.column == self.form.columns:
            self.column = 0
            self.number += 1


def _page(form: Form, number: int, places: tuple[FieldPlace, ...], fingerprint: str) -> PageLayout:
    width, height = form.page_size
    right, bottom = width - MARGIN_MM - MARKER_MM, height - MARGIN_MM - MARKER_MM
    corners = ((MARGIN_MM, MARGIN_MM), (right, MARGIN_MM), (right, bottom), (MARGIN_MM, bottom))
    boxes = [(x, y, MARKER_MM, MARKER_MM) for x, y in corners]
    ids = _marker_ids(fingerprint, number)
    return PageLayout(form.form, number, (width, height), places, (boxes[0], boxes[1], boxes[2], boxes[3]), ids)


def _fingerprint(form: Form, placed: dict[int, list[FieldPlace]]) -> str:
    """A text that differs whenever a printed page of one layout must not be read as the other."""
    parts = [form.form, f"{form.page_size}"]
    for number in sorted(placed):
        for place in placed[number]:
            parts += [f"{number}:{cell.field}:{cell.position}:{cell.box}" for cell in place.cells]
    return "\n".join(parts)


def _marker_ids(fingerprint: str, number: int) -> tuple[int, int, int, int]:
    digest = hashlib.sha256(f"{fingerprint}\npage {number}".encode()).digest()
    values = [int.from_bytes(digest[4 * i : 4 * i + 4], "big") % MARKER_VALUES for i in range(4)]
    return values[0] * 4, values[1] * 4 + 1, values[2] * 4 + 2, values[3] * 4 + 3


def _check_page(page: PageLayout) -> None:
    width, height = page.size
    for one, other in itertools.combinations(page.cells, 2):
        if _overlap(one.box, other.box):
            raise ValueError(
                f"cell {one.position + 1} of field {one.field!r} overlaps cell {other.position + 1} "
                f"of field {other.field!r} on page {page.number}"
            )
    reserved = [(_grown(marker, 2.0), "a corner marker") for marker in page.markers]
    reserved += [(page.heading, "the title"), (_grown(page.code, 2.0), "the QR code at the foot of the page")]
    reserved += [(place.label, f"the label of field {place.field.name!r}") for place in page.places]
    for cell in page.cells:
        x, y, w, h = cell.box
        if x < 3 or y < 3 or x + w > width - 3 or y + h > height - 3:
            raise ValueError(f"cell {cell.position + 1} of field {cell.field!r} reaches out of page {page.number}")
        for box, what in reserved:
            if _overlap(cell.box, box):
                raise ValueError(f"cell {cell.position + 1} of field {cell.field!r} covers {what}")


def _grown(box: Box, by: float) -> Box:
    return box[0] - by, box[1] - by, box[2] + 2 * by, box[3] + 2 * by


def _overlap(one: Box, other: Box) -> bool:
    slack = 1e-6
    return (
        one[0] + one[2] > other[0] + slack
        and other[0] + other[2] > one[0] + slack
        and one[1] + one[3] > other[1] + slack
        and other[1] + other[3] > one[1] + slack
    )
