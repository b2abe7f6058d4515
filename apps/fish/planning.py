"""What there is to do: which file is which, what the ledger holds of it, and the jobs that are left."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Final

from apps.fish.counts import CountSettings
from apps.fish.decisions import Decision
from apps.fish.detecting import ChapterJob, Model, chapter_key
from apps.fish.footage import ChapterReader, Deployment, FootageProblem, ResumePoint, Sampling
from apps.fish.identity import FileIdentity, identify
from apps.fish.ledger import ChapterState, Ledger
from apps.fish.naming import label_of
from apps.fish.parts.asked import ReadyPart
from apps.fish.parts.found import PartName
from apps.fish.tracking import TrackingSettings
from data.errors import ShankhaError

_METHOD: Final = 4
"""Number of the way results are made of detections: to be raised with every change that makes older results wrong."""


@dataclass(frozen=True)
class PlannedChapter:
    """A chapter file: its label (its path on the disk), what it is and the ledger's key of its detections.

    Where it cannot be read, `error` says why; `arriving` says that it is still being copied, and is left for later.
    """

    path: Path
    label: str
    identity: FileIdentity | None = None
    key: str = ""
    error: ShankhaError | None = None
    arriving: bool = False


@dataclass(frozen=True)
class PlannedDeployment:
    """A deployment and what its chapters are."""

    deployment: Deployment
    chapters: tuple[PlannedChapter, ...]

    @property
    def arriving(self) -> bool:
        """Whether a chapter of it is still being copied."""
        return any(chapter.arriving for chapter in self.chapters)


def plan(
    deployments: Sequence[Deployment], disk: Path, model: Model, sampling: Sampling, arriving: Collection[Path]
) -> list[PlannedDeployment]:
    """Find out what each chapter file is; those in `arriving` are passed over."""

    def planned(path: Path) -> PlannedChapter:
        label = label_of(path, disk)
        if path in arriving:
            return PlannedChapter(path, label, arriving=True)
        try:
            identity = identify(path)
        except ShankhaError as error:
            return PlannedChapter(path, label, error=error)
        return PlannedChapter(path, label, identity, chapter_key(identity.content, model, sampling))

    return [PlannedDeployment(one, tuple(planned(chapter.path) for chapter in one.chapters)) for one in deployments]


@dataclass(frozen=True)
class Task:
    """A job, the chapter and the deployment it is for, seconds of footage, done before and in all as stated, and how
    many segments the ledger holds: of those only the parts of the survey are missing."""

    job: ChapterJob
    chapter: PlannedChapter
    opcode: str
    done: float
    total: float
    known: int = 0


def tasks_left(
    planned: Sequence[PlannedDeployment], ledger: Ledger, sampling: Sampling, parts: Sequence[ReadyPart] = ()
) -> list[Task]:
    """The jobs that the ledger does not hold, in order; of files with the same content one is read.

    A chapter is read again for a part of the survey that has not looked at all of it, from where that part stopped.
    """
    tasks = []
    seen = set()
    for one in planned:
        for chapter in one.chapters:
            if chapter.identity is None or chapter.key in seen:
                continue
            seen.add(chapter.key)
            state = ledger.chapter(chapter.key)
            if state is None or not _holds(state, chapter.identity):
                ledger.begin(chapter.key, chapter.label, chapter.identity.changed_ns)
                state = None
            missing = missing_parts(ledger, chapter.key, state, parts)
            if state is None or state.account is None or missing:
                start = min([state.segments if state else 0, *missing.values()])
                resume = ledger.resume_after(chapter.key, start - 1) if start else None
                names = tuple(part.name for part in parts)
                task = _task(chapter, one.deployment.opcode, start, resume, sampling, names)
                tasks.append(replace(task, known=state.segments if state else 0))
    return tasks


def missing_parts(
    ledger: Ledger, key: str, state: ChapterState | None, parts: Sequence[ReadyPart]
) -> dict[PartName, int]:
    """The parts that have not looked at all segments of a chapter, and at how many each has, from the first on."""
    looked = {part.name: ledger.looked_at(key, part.key) for part in parts} if state else {}
    return {name: segments for name, segments in looked.items() if state and segments < state.segments}


def twins(planned: Sequence[PlannedDeployment]) -> list[FootageProblem]:
    """Files with the same content as one before them."""
    first: dict[str, str] = {}
    problems = []
    for one in planned:
        for chapter in one.chapters:
            earlier = first.setdefault(chapter.key, chapter.label) if chapter.key else chapter.label
            if earlier != chapter.label:
                what = f"the file is the same as {earlier}: its fish are counted twice"
                cure = "remove one of the two and run the same command again"
                problems.append(FootageProblem("same_file", chapter.path, what, cure, one.deployment.opcode))
    return problems


def deployment_key(
    planned: PlannedDeployment,
    states: Sequence[ChapterState | None],
    problems: Sequence[FootageProblem],
    settings: tuple[Model, TrackingSettings, CountSettings],
    parts: Sequence[ReadyPart] = (),
    decisions: Sequence[Decision] = (),
) -> str:
    """What stands for all that decides a deployment's files."""
    one = planned.deployment
    told = [str(_METHOD), version("shankha"), one.opcode, str(one.complete), repr(one.metadata), repr(settings)]
    for chapter, state in zip(planned.chapters, states, strict=True):
        account = state.account.model_dump_json() if state and state.account else ""
        told += [chapter.label, chapter.key, str(state.samples if state else 0), account]
    told += [part.key for part in parts]
    told += [repr((one.fish, one.after)) for one in decisions]
    told += [repr((problem.kind, problem.file.name, problem.what, problem.loss)) for problem in problems]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def _holds(state: ChapterState, identity: FileIdentity) -> bool:
    """Whether what was read is still what the file says: of a damaged file there may be a mended copy."""
    whole = state.account is not None and state.account.complete
    return whole or state.changed_ns == identity.changed_ns


def _task(
    chapter: PlannedChapter,
    opcode: str,
    start: int,
    resume: ResumePoint | None,
    sampling: Sampling,
    parts: tuple[PartName, ...],
) -> Task:
    content = chapter.identity.content if chapter.identity else ""
    job = ChapterJob(chapter.path, content, sampling, start, resume, parts)
    total = 0.0
    # What is wrong with the file will be told by the job.
    with contextlib.suppress(ShankhaError), contextlib.closing(ChapterReader(chapter.path, sampling)) as reader:
        total = reader.account.stated_duration
    return Task(job, chapter, opcode, resume.seconds if resume else 0.0, total)
