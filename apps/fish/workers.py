"""Detecting chapters in a few processes; a chapter that ends its process harms no other."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from typing import Final, TypeAlias

import cv2

from apps.faults import as_shankha_error
from apps.fish.detecting import ChapterJob, DetectorSource, detect_chapter
from apps.fish.footage import ChapterAccount
from apps.fish.overlap import ahead
from apps.fish.parts.looking import Lookers, PartSource
from apps.fish.segments import Segment
from apps.processes import give_back_memory, interrupts_held, live_for_parent
from data.errors import InputError, ShankhaError

_ROOM: Final = 4
"""Segments that a worker may be ahead of the parent, which writes tables meanwhile."""
_PATIENCE: Final = 10.0
"""Seconds that a worker is given to end by itself."""

Outcome: TypeAlias = Segment | ChapterAccount | ShankhaError
"""A part of a chapter; at its end the account of it, or why it could not be read on."""


Recall: TypeAlias = Callable[[int, int], tuple[Segment, ...]]


@dataclass(frozen=True)
class Models:
    """What a worker loads: the detector, and the parts of the survey."""

    source: DetectorSource
    parts: tuple[PartSource, ...] = ()


@dataclass(frozen=True)
class _Unusable:
    """The detector could not be loaded."""

    error: ShankhaError


@dataclass(frozen=True)
class _Task:
    """A job and its position; `crashed` since its last segment."""

    position: int
    job: ChapterJob
    crashed: bool = False


def detect_chapters(
    jobs: Sequence[ChapterJob], models: Models, workers: int, recall: Recall
) -> Generator[tuple[int, Outcome], None, None]:
    """Do the jobs, the first ones first, and give what comes of them as it comes, with the job's position.

    The parts of one chapter come in order, its account or error last. A job whose process ends unasked is taken up once
    more where its last segment ended; where that ends too, once more without the parts of the survey.

    Args:
        jobs: What is to be done.
        models: What each worker loads.
        workers: How many there may be.
        recall: Gives the segments that are known already, from a number on, of the job at a position.

    Raises:
        ShankhaError: The detector cannot be loaded.
    """
    left = deque(_Task(position, job) for position, job in enumerate(jobs))
    crew: list[_Worker] = []
    try:
        while left or any(worker.task for worker in crew):
            while left and (worker := _idle(crew, models, workers)):
                worker.give(left.popleft(), recall)
            busy = {worker.pipe: (worker, worker.task) for worker in crew if worker.task}
            for pipe in wait(list(busy)):
                yield from _news(*busy[pipe], left)  # type: ignore[index]
            for worker in [worker for worker in crew if worker.gone]:
                worker.end()
                crew.remove(worker)
        for worker in crew:
            worker.dismiss()
    finally:
        for worker in crew:
            worker.end()


class _Worker:
    """A process with a detector, and the task that it is at."""

    def __init__(self, models: Models) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, models), daemon=True)
        with interrupts_held():
            self.process.start()
        theirs.close()
        self.task: _Task | None = None
        self.gone = False

    def give(self, task: _Task, recall: Recall) -> None:
        """Set it to work; a process that has ended meanwhile shows when its news are taken."""
        self.task = task
        known = recall(task.position, task.job.number) if task.job.parts else ()
        with contextlib.suppress(OSError):
            self.pipe.send(replace(task.job, known=known))

    def dismiss(self) -> None:
        """Let an idle worker end by itself."""
        with contextlib.suppress(OSError):
            self.pipe.send(None)
        self.process.join(_PATIENCE)

    def end(self) -> None:
        """End it, whatever it is at."""
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _idle(crew: list[_Worker], models: Models, workers: int) -> _Worker | None:
    """A worker without a task, a new one where there may be more."""
    free = next((worker for worker in crew if worker.task is None), None)
    if free is None and len(crew) < workers:
        free = _Worker(models)
        crew.append(free)
    return free


def _news(worker: _Worker, task: _Task, left: deque[_Task]) -> Generator[tuple[int, Outcome], None, None]:
    """Take one message of a worker, or learn that it has ended: its task is then tried once more, or given up."""
    try:
        message = worker.pipe.recv()
    except (EOFError, OSError):
        worker.gone, worker.task = True, None
        if not task.crashed:
            left.appendleft(replace(task, crashed=True))
        elif task.job.parts:
            left.appendleft(replace(task, job=replace(task.job, parts=())))
        else:
            yield task.position, _crash(task.job)
        return
    if isinstance(message, _Unusable):
        raise message.error
    if isinstance(message, Segment):
        job = replace(task.job, number=message.number + 1, resume=message.resume)
        worker.task = replace(task, job=job, crashed=False)
    else:
        worker.task = None
    yield task.position, message


def _crash(job: ChapterJob) -> ShankhaError:
    cure = "play the file to see whether it is sound; where it is, run the same command again with fewer --workers"
    return InputError(job.path, "its reading crashed or ran out of memory", cure=cure)


def _work(pipe: Connection, models: Models) -> None:
    """What a worker process does."""
    live_for_parent()
    cv2.setNumThreads(1)
    try:
        detector = models.source.load()
        lookers = Lookers(models.parts, detector)
    except Exception as error:
        pipe.send(_Unusable(as_shankha_error(error)))
        return
    while (job := pipe.recv()) is not None:
        try:
            with contextlib.closing(ahead(detect_chapter(job, detector, lookers), _ROOM)) as outcomes:
                for outcome in outcomes:
                    pipe.send(outcome)
                    give_back_memory()
        # Whatever a file does, the next one may be sound.
        except Exception as error:
            pipe.send(as_shankha_error(error))
