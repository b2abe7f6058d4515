"""What a reading is: cells, problems and pages, as they are stored and passed from stage to stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from data.errors import ShankhaError

CellState = Literal["digit", "blank", "struck", "doubtful"]
"""A sure digit; an empty cell; ink that is no digit (crossed out, smeared); what a person must look at."""
PageStatus = Literal["ok", "review", "failed"]
"""Nothing to look at; some cells or fields to look at; not read at all."""
Confidence = Annotated[float, Field(ge=0, le=1)]
SourceBox = tuple[int, int, int, int]
"""x, y, width, height in pixels of the picture of cells."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CellReading(_Strict):
    """What one cell says.

    `position` counts from 0 at the left of the field. `value` is the likeliest digit and `runner_up` the second,
    each with its calibrated probability; both are None for a blank cell. `note` says why a cell is doubtful.
    `crop` is the cell's place in the page's picture of cells.
    """

    field: str
    position: Annotated[int, Field(ge=0)]
    state: CellState
    value: Annotated[int, Field(ge=0, le=9)] | None = None
    confidence: Confidence | None = None
    runner_up: Annotated[int, Field(ge=0, le=9)] | None = None
    runner_up_confidence: Confidence | None = None
    note: str = ""
    crop: SourceBox


class Problem(_Strict):
    """Something that a person must see: what it is, and what to do. `position` counts from 0; None is the whole."""

    kind: str
    what: str
    cure: str = ""
    field: str = ""
    position: int | None = None

    @classmethod
    def of(cls, error: ShankhaError, kind: str) -> Problem:
        """The error without its file's name."""
        what = f"{error.found}; expected {error.expected}" if error.expected else error.found
        return cls(kind=kind, what=what, cure=error.cure)


class PageReading(_Strict):
    """One page, read or failed. `form_page` counts from 1; None where the page was not recognised.

    `values` holds what each of the page's fields says, in Latin digits, a character a cell (see
    `apps.digits.reading.field_text`).
    `overlay` and `crops` are paths inside the result folder; empty where there is no picture.
    """

    status: PageStatus
    form_page: int | None = None
    values: dict[str, str] = {}
    cells: tuple[CellReading, ...] = ()
    problems: tuple[Problem, ...] = ()
    overlay: str = ""
    crops: str = ""
