"""`shankha digits scan`: a folder of filled forms becomes a checked table."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from apps.digits.job import Job, Outcome, not_read, read_pages
from apps.digits.pages import PageRef, find_pages
from apps.digits.reading import SHIPPED_MODEL
from apps.digits.results import FORMS, PROBLEMS, Counts, PageResult, write_tables
from apps.digits.store import OVERLAYS, SUMMARY, Store
from data.errors import FileAccessError, InputError, ShankhaError
from data.files import write_text
from data.forms import load_form
from data.labels import Script
from data.types import PageReading, Problem
from deploy.runtime.artifact import Artifact
from deploy.runtime.spec import DigitSpec

NOTHING_READ: Final = InputError.exit_code


def scan(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="INPUT...", help="Files or folders: PNG, JPEG, BMP, WebP, TIFF of many pages, PDF."),
    ],
    form: Annotated[Path, typer.Option("--form", metavar="FORM.yaml", help="The form's description.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the results; a rerun goes on in it.")],
    model: Annotated[
        Path, typer.Option("--model", metavar="ARTIFACT", help="The model.", show_default="the shipped one")
    ] = SHIPPED_MODEL,
    digits: Annotated[Script, typer.Option("--digits", help="How digits are written in the tables.")] = "latin",
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Read filled forms into tables.

    Writes forms.csv (a row a page), cells.csv (every cell), problems.csv (what a person must look at, and why),
    pages/ (each page with what was read on it) and cells/ (the cells cut out). Pages that cannot be read are listed
    and the others go on; the exit code is 2 only where no page at all could be read.

    Example: shankha digits scan scans/ --form household.yaml --out results/
    """
    job = Job(load_form(form), model, out)
    Artifact.open(model).of(DigitSpec)  # a model that cannot be used is found before any work
    store = job.store()
    found = find_pages(inputs, out)
    store.begin(job.form)
    started = time.perf_counter()
    entries = _read(job, found)
    counts = write_tables(out, job.form, digits, _results(store, entries))
    summary = _summary(job, counts, digits)
    write_text(out / SUMMARY, json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    store.end()
    resumed = sum(entry.outcome.resumed for entry in entries)
    seconds = round(time.perf_counter() - started, 2)
    if as_json:
        typer.echo(json.dumps({**summary, "resumed": resumed, "seconds": seconds}, ensure_ascii=False))
    else:
        typer.echo(_told(counts, out, resumed, seconds))
    if counts.pages["ok"] + counts.pages["review"] == 0:
        raise typer.Exit(NOTHING_READ)


@dataclass(frozen=True)
class _Entry:
    """A page of the input, or a file without one (`page` is None), and what came of it."""

    file: Path
    page: int | None
    outcome: Outcome


def _read(job: Job, found: Sequence[PageRef | ShankhaError]) -> list[_Entry]:
    """Deal with every page, in order; those that cannot be read get a line on stderr at once."""
    entries = []
    console = Console(stderr=True)
    outcomes = read_pages(job, [item for item in found if isinstance(item, PageRef)])
    with contextlib.closing(outcomes), _progress(console) as progress:
        task = progress.add_task("Reading pages", total=len(found))
        for item in found:
            if isinstance(item, PageRef):
                entry = _Entry(item.path, item.index + 1, next(outcomes))
            else:
                entry = _Entry(Path(item.where), None, not_read(Problem.of(item, "unreadable_file")))
            if entry.outcome.failure is not None:
                console.print(_line(entry, entry.outcome.failure), markup=False, highlight=False, soft_wrap=True)
            entries.append(entry)
            progress.advance(task)
    return entries


class _Speed(ProgressColumn):
    """Pages a second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.1f} pages/s")


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Speed(), TimeRemainingColumn())
    return Progress(*columns, console=console)


def _line(entry: _Entry, problem: Problem) -> str:
    where = str(entry.file) + (f", page {entry.page}" if entry.page else "")
    cure = f" {problem.cure[0].upper()}{problem.cure[1:]}." if problem.cure else ""
    return f"{where}: {problem.what}.{cure}"


def _results(store: Store, entries: Sequence[_Entry]) -> Iterator[PageResult]:
    """The pages' readings, from their records, one in memory at a time."""
    first: dict[tuple[str, int | None], Path] = {}
    for entry in entries:
        reading = entry.outcome.unrecorded
        names = entry.outcome.names
        if reading is None and names is not None:
            reading = store.load(names.record)
            twin = first.setdefault((names.content, entry.page), entry.file)
            if reading is not None and reading.status != "failed" and twin != entry.file:
                reading = _marked_as_twin(reading, twin)
        if reading is None:
            raise FileAccessError(store.folder, "changed during the scan", cure="run the same command again")
        yield PageResult(entry.file, entry.page, reading)


def _marked_as_twin(reading: PageReading, twin: Path) -> PageReading:
    what = f"the file is the same as {twin}: its page is counted twice"
    problem = Problem(kind="same_file", what=what, cure="delete one of the two rows if it is the same form")
    return reading.model_copy(update={"status": "review", "problems": (problem, *reading.problems)})


def _summary(job: Job, counts: Counts, digits: Script) -> dict[str, Any]:
    spec = Artifact.open(job.model).of(DigitSpec).spec
    return {
        "form": job.form.form,
        "model": spec.name,
        "accept_threshold": spec.accept_threshold,
        "digits": digits,
        "pages": counts.pages,
        "cells": counts.cells,
        "problems": counts.problems,
    }


def _told(counts: Counts, out: Path, resumed: int, seconds: float) -> str:
    pages, cells = counts.pages, counts.cells
    total, inked = sum(pages.values()), sum(cells.values()) - cells["blank"]
    speed = f" in {seconds:.1f} s ({total / max(seconds, 0.01):.1f} a second)" if not resumed else ""
    lines = [
        f"{total} pages{speed}: {pages['ok']} need nothing, {pages['review']} a look, {pages['failed']} not read.",
        f"{sum(cells.values())} cells: {cells['digit']} digits, {cells['blank']} blank, {cells['struck']} crossed out, "
        f"{cells['doubtful']} doubtful" + (f" ({cells['doubtful'] / inked:.1%} of those with ink)." if inked else "."),
        f"The table is {out / FORMS}; what was read where, in {out / OVERLAYS}.",
    ]
    if resumed:
        lines.insert(1, f"{resumed} of the pages were read before and were not read again.")
    if counts.problems:
        lines.append(f"Next: {out / PROBLEMS} lists {counts.problems} things to look at, and what to do about each.")
    return "\n".join(lines)
