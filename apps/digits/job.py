"""Reading pages, one after the other in each of a few processes, results in the order of the input."""

from __future__ import annotations

import itertools
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2

from apps.digits.cells import cut_cells
from apps.digits.locate import LEAST_LINE, locate_cells
from apps.digits.pages import PageRef, load_page
from apps.digits.pictures import crop_sheet, draw_overlay, ink_sheet
from apps.digits.reading import Reader, judge_page, read_cells
from apps.digits.register import CORNERS, PageError, Register, Registration
from apps.digits.sheet import Sheet
from apps.digits.store import PageNames, Store, identity_of
from apps.pictures import write_jpeg, write_png
from apps.processes import interrupts_held, live_for_parent
from data.errors import FileAccessError, ShankhaError
from data.files import sha256_of
from data.forms import Form
from data.types import PageReading, Problem
from deploy.runtime.artifact import Artifact
from deploy.runtime.digits import DigitReader
from deploy.runtime.spec import SPEC_FILE

FEW_PAGES: Final = 4
"""Up to so many pages are read at once in this process: starting others takes longer."""
_MOST_PROCESSES: Final = 8
_AHEAD: Final = 3


@dataclass(frozen=True)
class Job:
    """What all pages of a scan share: the form, the model's folder and the folder of results."""

    form: Form
    model: Path
    out: Path

    def store(self) -> Store:
        """The folder of results; the model's spec holds the hashes of all its files."""
        return Store(self.out, identity_of(self.form, sha256_of(self.model / SPEC_FILE)))


@dataclass(frozen=True)
class Outcome:
    """A page that was dealt with: its record, or its reading where it could not be recorded.

    `failure` says why a page was not read; `resumed` whether it had been dealt with before.
    """

    names: PageNames | None
    failure: Problem | None = None
    unrecorded: PageReading | None = None
    resumed: bool = False


def not_read(problem: Problem) -> Outcome:
    """A page that was not read, and of which no record is kept."""
    return Outcome(None, problem, _failed(problem))


class PageWorker:
    """Reads pages of one job."""

    def __init__(self, job: Job) -> None:
        self.store = job.store()
        self.register = Register(job.form)
        self.reader: Reader = DigitReader(Artifact.open(job.model))

    def __call__(self, page: PageRef) -> Outcome:
        """Read one page and keep what it says; a page that cannot be read is kept as a failed one.

        Raises:
            FileAccessError: The results cannot be written.
        """
        try:
            names = self.store.names(page)
        except FileAccessError as error:
            return not_read(Problem.of(error, "unreadable_file"))
        known = self.store.load(names.record)
        reading = known or self._read(page, names)
        if known is None:
            self.store.save(names.record, reading)
        failure = reading.problems[0] if reading.status == "failed" else None
        return Outcome(names, failure, resumed=known is not None)

    def _read(self, page: PageRef, names: PageNames) -> PageReading:
        try:
            picture = load_page(page)
        except ShankhaError as error:
            return _failed(Problem.of(error, "unreadable_file"))
        try:
            found = self.register(picture)
        except PageError as error:
            return _failed(error.problem)
        return self._read_found(found, names)

    def _read_found(self, found: Registration, names: PageNames) -> PageReading:
        sheet = Sheet(found.page)
        fields, contrast = locate_cells(found, sheet)
        cut = cut_cells(sheet, fields)
        crops, boxes = crop_sheet(found.page, fields)
        cells = read_cells(cut, boxes, self.reader)
        values, problems = judge_page(found.layout, cells)
        problems = [*_page_problems(found, contrast), *problems]
        overlay = draw_overlay(found.page, [cell.place for cell in cut], cells)
        write_jpeg(self.store.folder / names.overlay, overlay)
        write_jpeg(self.store.folder / names.crops, crops)
        write_png(self.store.folder / names.ink, ink_sheet(crops, [cell.ink for cell in cut], boxes))
        return PageReading(
            status="review" if problems else "ok",
            form_page=found.layout.number,
            values=values,
            cells=tuple(cells),
            problems=tuple(problems),
            overlay=names.overlay,
            crops=names.crops,
        )


def _failed(problem: Problem) -> PageReading:
    """A page that was not read."""
    return PageReading(status="failed", problems=(problem,))


def _page_problems(found: Registration, contrast: float) -> list[Problem]:
    problems = []
    if found.missing:
        corner = CORNERS[found.missing[0]]
        what = f"the marker of the {corner} corner cannot be seen: torn off, folded, covered or outside the picture"
        cure = "check the cells near that corner in the page's picture, or scan the page again"
        problems.append(Problem(kind="corner_missing", what=what, cure=cure))
    if contrast < LEAST_LINE:
        what = "the printed cell lines cannot be seen, so it is not certain that the digits were found in their cells"
        cure = "check the page's picture; scan in colour or grey, without background removal"
        problems.append(Problem(kind="lines_unseen", what=what, cure=cure))
    return problems


def read_pages(job: Job, pages: Sequence[PageRef], processes: int | None = None) -> Generator[Outcome, None, None]:
    """Read the pages; what comes first in the input comes first out, and few are in memory at a time.

    Raises:
        FileAccessError: The results cannot be written.
    """
    if processes is None:
        processes = min(_MOST_PROCESSES, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2)
    if processes == 1 or len(pages) <= FEW_PAGES:
        yield from map(PageWorker(job), pages)
        return
    left = deque(pages)
    while left:
        yield from _until_a_crash(job, left, processes, ahead=processes * _AHEAD)
        if left:  # a page in flight has ended its process: which one shows when they are read one at a time
            suspects = deque(itertools.islice(left, processes * _AHEAD))
            for outcome in _until_a_crash(job, suspects, 1, ahead=1):
                left.popleft()
                yield outcome
            if suspects:
                left.popleft()
                what, cure = "reading the page crashed or ran out of memory", "scan it again, or at a lower resolution"
                yield not_read(Problem(kind="crashed", what=what, cure=cure))


def _until_a_crash(job: Job, left: deque[PageRef], processes: int, ahead: int) -> Iterator[Outcome]:
    """Read pages and take them off the queue, at most `ahead` in flight, until all are read or a process dies."""
    flying: deque[Future[Outcome]] = deque()
    pool = _pool(job, processes)
    try:
        while left:
            while len(flying) < min(len(left), ahead):
                with interrupts_held():
                    flying.append(pool.submit(_read_in_process, left[len(flying)]))
            outcome = flying.popleft().result()
            left.popleft()
            yield outcome
    except BrokenProcessPool:
        return
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_worker: Callable[[PageRef], Outcome]


def _pool(job: Job, processes: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(processes, mp_context=context, initializer=_start_process, initargs=(job,))


def _start_process(job: Job) -> None:
    """Make this process a page reader that leaves interrupts to its parent and dies with it."""
    global _worker  # noqa: PLW0603  one process reads for one job
    live_for_parent()
    cv2.setNumThreads(1)
    _worker = PageWorker(job)


def _read_in_process(page: PageRef) -> Outcome:
    return _worker(page)
