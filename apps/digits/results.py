"""The tables of a scan - forms.csv, cells.csv, problems.csv - and its summary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from apps.spreadsheets import harmless, spreadsheet
from data.forms import Form, lay_out
from data.labels import Script, in_script
from data.types import CellReading, PageReading, PageStatus, Problem

FORMS: Final = "forms.csv"
CELLS: Final = "cells.csv"
PROBLEMS: Final = "problems.csv"

FORM_COLUMNS: Final = ("file", "page", "form_page", "status")
CELL_COLUMNS: Final = (
    "file",
    "page",
    "form_page",
    "field",
    "position",
    "value",
    "confidence",
    "runner_up",
    "runner_up_confidence",
    "state",
    "note",
    "crop",
    "crop_box",
)
PROBLEM_COLUMNS: Final = ("file", "page", "field", "value", "kind", "problem", "what_to_do", "picture")


@dataclass(frozen=True)
class PageResult:
    """A page of the input, `page` counting from 1, and what was read on it; `page` is None for a whole file."""

    file: Path
    page: int | None
    reading: PageReading


@dataclass
class Counts:
    """How much was read, and how much is left to a person."""

    pages: dict[PageStatus, int] = field(default_factory=lambda: {"ok": 0, "review": 0, "failed": 0})
    cells: dict[str, int] = field(default_factory=lambda: {"digit": 0, "blank": 0, "struck": 0, "doubtful": 0})
    problems: int = 0

    def add(self, reading: PageReading) -> None:
        """Count one more page."""
        self.pages[reading.status] += 1
        self.problems += len(reading.problems)
        for cell in reading.cells:
            self.cells[cell.state] += 1


def write_tables(folder: Path, form: Form, script: Script, results: Iterator[PageResult]) -> Counts:
    """Write the three tables, each whole or not at all, one page in memory at a time.

    Args:
        folder: The folder of results.
        form: The form; its fields are the columns of forms.csv.
        script: How digits are written.
        results: The pages in order.

    Raises:
        FileAccessError: The folder cannot be written.
    """
    counts = Counts()
    fields = [place.field.name for layout in lay_out(form) for place in layout.places]
    with (
        spreadsheet(folder / FORMS, (*FORM_COLUMNS, *fields)) as forms,
        spreadsheet(folder / CELLS, CELL_COLUMNS) as cells,
        spreadsheet(folder / PROBLEMS, PROBLEM_COLUMNS) as problems,
    ):
        for result in results:
            page = result.reading
            counts.add(page)
            where = [harmless(result.file.as_posix()), result.page or ""]
            values = {name: in_script(text, script) for name, text in page.values.items()}
            form_page = page.form_page or ""
            forms.writerow([*where, form_page, page.status, *(values.get(name, "") for name in fields)])
            cells.writerows([*where, form_page, *_cell_row(cell, page, script)] for cell in page.cells)
            problems.writerows([*where, *_problem_row(problem, page, values)] for problem in page.problems)
    return counts


def _cell_row(cell: CellReading, page: PageReading, script: Script) -> list[object]:
    answers = [(cell.value, cell.confidence), (cell.runner_up, cell.runner_up_confidence)]
    # The likeliest digits of a crossed-out cell mean nothing.
    answers = [(None, None), (None, None)] if cell.state == "struck" else answers
    likeliest = [part for answer in answers for part in _shown(*answer, script)]
    place = [cell.field, cell.position + 1]
    return [*place, *likeliest, cell.state, cell.note, page.crops, " ".join(map(str, cell.crop))]


def _shown(value: int | None, confidence: float | None, script: Script) -> tuple[str, str]:
    if value is None or confidence is None:
        return "", ""
    return in_script(str(value), script), f"{confidence:.4f}"


def _problem_row(problem: Problem, page: PageReading, values: dict[str, str]) -> list[object]:
    value = values.get(problem.field, "")
    return [problem.field, value, problem.kind, problem.what, problem.cure, page.overlay]
