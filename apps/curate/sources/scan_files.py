"""The results of a scan of forms, read page by page from their tables."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

from apps.curate.sources import CELLS, FORMS
from apps.curate.sources.ledger import UNFINISHED
from apps.curate.sources.tables import table_rows
from data.errors import InputError
from data.labels import digit_of
from data.readers.digitset import Problem
from data.types import CellState

SUMMARY: Final = "summary.json"
_STATES: Final[tuple[CellState, ...]] = ("digit", "blank", "struck", "doubtful")
_AGAIN: Final = "run the same scan command again"
_COLUMNS: Final = frozenset({
    "file", "page", "form_page", "field", "position", "value", "confidence", "runner_up", "runner_up_confidence",
    "state", "note", "crop", "crop_box",
})  # fmt: skip


@dataclass(frozen=True)
class ScannedCell:
    """What was read in a cell: `position` counts from 1 at the left of the field; `value` and `runner_up` are digits
    with their calibrated probabilities, None where there is none; `box` is x, y, width, height in the picture of the
    page's cells."""

    field: str
    position: int
    state: CellState
    value: int | None
    confidence: float | None
    runner_up: int | None
    runner_up_confidence: float | None
    note: str
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class ScannedPage:
    """A page with cells: `page` counts from 1 in its file, `form` names the filled form that it is a page of, `crops`
    is the picture of its cells, below the folder of results."""

    file: str
    page: int
    form: str
    crops: str
    cells: tuple[ScannedCell, ...]


def model_of(results: Path) -> str:
    """The name of the model that read the forms, as the summary tells it."""
    try:
        return str(json.loads((results / SUMMARY).read_bytes())["model"]) or "digits"
    except (OSError, ValueError, KeyError, TypeError):
        return "digits"


def check_finished(results: Path) -> tuple[Problem, ...]:
    """The problem that these are the tables of an earlier scan, if so.

    Raises:
        InputError: There are no tables yet.
    """
    there = all((results / name).is_file() for name in (CELLS, FORMS))
    if not there:
        raise InputError(results, "holds no tables: the scan is not finished", expected=CELLS, cure=_AGAIN)
    if (results / UNFINISHED).is_file():
        why = f"a later scan into this folder is not finished: its tables are those of the one before; {_AGAIN}"
        return (Problem(str(results), why),)
    return ()


def failed_pages(results: Path) -> tuple[Problem, ...]:
    """A problem for each page that could not be read, and has no cells."""
    rows = (row for row in table_rows(results / FORMS) if row.get("status") == "failed")
    return tuple(Problem(_where(row), "was not read: problems.csv says why") for row in rows)


def pages_of(results: Path, problems: list[Problem]) -> Iterator[ScannedPage]:
    """The pages with cells in the order of the table, one in memory at a time.

    Args:
        results: The folder of results.
        problems: Rows that say nonsense, and pages that were scanned twice, are added to it.

    Raises:
        FileAccessError: The table cannot be read.
        InputError: It is no table of cells.
    """
    forms = _Forms()
    seen: set[str] = set()
    for (file, page, crops), rows in groupby(
        _rows(results / CELLS), lambda row: (row["file"], row["page"], row["crop"])
    ):
        own = list(rows)
        form = forms.of(file, _whole(page), _whole(own[0]["form_page"]))
        if crops in seen:
            problems.append(Problem(_where(own[0]), "is the same page as one before it: it is left out"))
            continue
        seen.add(crops)
        cells = []
        for row in own:
            try:
                cells.append(_cell(row))
            except ValueError as error:
                problems.append(Problem(f"{_where(row)}, {row['field']} {row['position']}", f"says nonsense: {error}"))
        yield ScannedPage(file, _whole(page), form, crops, tuple(cells))


class _Forms:
    """Tells which filled form a page belongs to: the pages of one follow each other in a file, rising."""

    def __init__(self) -> None:
        self._file, self._last, self._first = "", 0, 0

    def of(self, file: str, page: int, form_page: int) -> str:
        """The name of the form of the next page: its file, and the page that it begins on."""
        if file != self._file or form_page <= self._last:
            self._file, self._first = file, page
        self._last = form_page
        return f"{file}#{self._first}"


def _rows(path: Path) -> Iterator[dict[str, str]]:
    rows = table_rows(path)
    first = next(rows, None)
    if first is None:
        return
    lacking = sorted(_COLUMNS - first.keys())
    if lacking:
        raise InputError(path, f"lacks the columns {', '.join(lacking)}", expected="the cells of a scan", cure=_AGAIN)
    yield first
    yield from rows


def _cell(row: dict[str, str]) -> ScannedCell:
    state = next((state for state in _STATES if state == row["state"]), None)
    if state is None:
        raise ValueError(f"{row['state']!r} is no state of a cell")
    x, y, width, height = (int(number) for number in row["crop_box"].split())
    value, runner_up = _digit(row["value"]), _digit(row["runner_up"])
    if state == "digit" and value is None:
        raise ValueError("a digit without a value")
    return ScannedCell(
        row["field"],
        int(row["position"]),
        state,
        value,
        _probability(row["confidence"]),
        runner_up,
        _probability(row["runner_up_confidence"]),
        row["note"],
        (x, y, width, height),
    )


def _digit(text: str) -> int | None:
    if not text:
        return None
    found = digit_of(text)
    if found is None or found > 9:
        raise ValueError(f"{text!r} is no digit")
    return found


def _probability(text: str) -> float | None:
    if not text:
        return None
    number = float(text)
    if not (math.isfinite(number) and 0 <= number <= 1):
        raise ValueError(f"{text!r} is no probability")
    return number


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _where(row: dict[str, str]) -> str:
    return f"{row['file']}, page {row['page']}" if row.get("page") else row["file"]
