"""One round of a survey: detect what the ledger does not hold, then join, track, count and write each deployment."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from rich.console import Console

from apps.fish.counting import ReadChapter, result_of
from apps.fish.counts import CountSettings
from apps.fish.decisions import Decision, History
from apps.fish.detecting import ChangedError, DetectorSource, Model
from apps.fish.footage import ChapterAccount, Deployment, FootageProblem, Sampling
from apps.fish.ledger import ChapterState, Ledger
from apps.fish.naming import SUMMARY
from apps.fish.parts.asked import AskedParts, ReadyPart, left_out, problems_of
from apps.fish.parts.found import LeftOut, PartName
from apps.fish.parts.reading import KeptPart
from apps.fish.planning import (
    PlannedChapter,
    PlannedDeployment,
    Task,
    deployment_key,
    missing_parts,
    plan,
    tasks_left,
    twins,
)
from apps.fish.progress import SurveyProgress
from apps.fish.publishing import Results
from apps.fish.report.survey_files import folders_of
from apps.fish.report.writing import write_report
from apps.fish.results import DeploymentResult
from apps.fish.segments import Segment
from apps.fish.tracking import TrackingSettings
from apps.fish.workers import Models, Outcome, detect_chapters
from data.errors import ArgumentError, InputError, ShankhaError
from data.files import write_text

Status: TypeAlias = Literal["complete", "incomplete", "failed", "waiting"]
"""All footage read; some of it; none; still being copied."""
STATUSES: Final[tuple[Status, ...]] = ("complete", "incomplete", "failed", "waiting")


@dataclass(frozen=True)
class SurveySettings:
    """What is surveyed and how; `source` is where the detector comes from, `parts` what else was asked for."""

    disk: Path
    source: DetectorSource
    sampling: Sampling
    counting: CountSettings
    tracking: TrackingSettings
    workers: int
    parts: AskedParts = field(default_factory=AskedParts)


@dataclass
class Round:
    """What came of a round: the status of each deployment in order, problems, and what was there before.

    `seconds` of footage were read in this and earlier rounds, `new_seconds` in this one. `without` lists, for each part
    that was asked for, the deployments that go without it.
    """

    statuses: dict[str, Status] = field(default_factory=dict)
    problems: list[FootageProblem] = field(default_factory=list)
    chapters: int = 0
    samples: int = 0
    seconds: float = 0.0
    new_seconds: float = 0.0
    resumed: int = 0
    without: dict[PartName, list[str]] = field(default_factory=dict)

    def count(self, status: Status) -> int:
        """Deployments of that status."""
        return list(self.statuses.values()).count(status)


class Survey:
    """Rounds over a disk into one folder of results."""

    def __init__(self, settings: SurveySettings, model: Model, ledger: Ledger, results: Results, console: Console):
        self.settings = settings
        self.model = model
        self.ledger = ledger
        self.results = results
        self.console = console
        if settings.parts.ready:
            ledger.make_room_for_looks()
        self._said: set[FootageProblem] = set()

    def say(self, problem: FootageProblem) -> None:
        """Tell a problem at once, and once only."""
        if problem not in self._said:
            self._said.add(problem)
            self.tell(str(problem))

    def tell(self, line: str) -> None:
        """Show a line on stderr."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def round(
        self, found: Sequence[Deployment], problems: Sequence[FootageProblem], arriving: Collection[Path] = ()
    ) -> Round:
        """Deal with all that was found; files in `arriving` are left for a later round.

        Raises:
            FileAccessError: The results cannot be written. What is done is kept.
            InputError: The history of a review is damaged, or of another survey.
        """
        settings = self.settings
        history = History(self.results.folder)
        history.refuse_another_survey([one.opcode for one in found])
        self.results.begin()
        planned = plan(found, settings.disk, self.model, settings.sampling, arriving)
        told = [*problems, *problems_of(settings.parts.left_out), *twins(planned)]
        running = _Running(self, planned, told, history.settled())
        running.detect()
        for opcode in self.ledger.deployments():
            if opcode not in running.outcome.statuses:
                self.results.withdraw(opcode)
                what = f"the deployment {opcode} is not on the disk any more: its results are removed"
                cure = "bring it back and run the same command again: what was detected in it is kept"
                running.outcome.problems.append(FootageProblem("gone", settings.disk, what, cure))
        return self._conclude(running.outcome, planned)

    def _conclude(self, outcome: Round, planned: Sequence[PlannedDeployment]) -> Round:
        """Write the tables of all deployments, in the order of the disk."""
        order = [one.deployment.opcode for one in planned]
        outcome.statuses = {opcode: outcome.statuses[opcode] for opcode in order}
        position = {opcode: at for at, opcode in enumerate(order)}
        outcome.problems.sort(key=lambda problem: position.get(problem.opcode, -1))
        written = [opcode for opcode in order if outcome.statuses[opcode] in {"complete", "incomplete"}]
        self.results.write_joined(written)
        self.results.write_problems(outcome.problems, self.settings.disk)
        summary = json.dumps(self.summary(outcome), indent=1, ensure_ascii=False)
        write_text(self.results.folder / SUMMARY, f"{summary}\n")
        write_report(self.results.folder, folders_of(self.results.folder, written), unfinished=False)
        self.results.end()
        return outcome

    def summary(self, outcome: Round) -> dict[str, Any]:
        """The numbers of a round, the same however often it was interrupted."""
        counting = self.settings.counting
        found = {
            "model": self.model.name,
            "every": str(self.settings.sampling),
            "threshold": counting.threshold,
            "lines": [str(line) for line in counting.lines],
            "deployments": {status: outcome.count(status) for status in STATUSES},
            "chapters": outcome.chapters,
            "samples": outcome.samples,
            "footage_seconds": round(outcome.seconds, 3),
            "problems": len(outcome.problems),
        }
        if not self.settings.parts.names:
            return found
        models = {part.name: part.model.name for part in self.settings.parts.ready}
        return found | {
            "parts": {
                name: {"model": models.get(name), "deployments_without": outcome.without.get(name, [])}
                for name in self.settings.parts.names
            }
        }


class _Running:
    """A round while it runs."""

    def __init__(
        self,
        survey: Survey,
        planned: Sequence[PlannedDeployment],
        problems: list[FootageProblem],
        settled: Mapping[str, tuple[Decision, ...]],
    ) -> None:
        self.survey = survey
        self.settled = settled
        self.ledger = survey.ledger
        self.outcome = Round(problems=problems)
        self.errors: dict[str, ShankhaError] = {}
        self.part_faults: dict[tuple[str, PartName], ShankhaError] = {}
        for problem in problems:
            self.survey.say(problem)
        self.parts = survey.settings.parts.ready
        self.tasks = tasks_left(planned, self.ledger, survey.settings.sampling, self.parts)
        self.missing = {task.chapter.key for task in self.tasks}
        self.waiting = list(planned)

    def detect(self) -> None:
        """Do all jobs; finish each deployment as soon as nothing of it is left to do."""
        settings = self.survey.settings
        jobs = [task.job for task in self.tasks]
        models = Models(settings.source, tuple(part.source for part in self.parts))
        outcomes = detect_chapters(jobs, models, settings.workers, self._known)
        with contextlib.closing(outcomes), SurveyProgress(self.survey.console, self.tasks) as progress:
            self._finish_ready(progress)
            seen = [task.done for task in self.tasks]
            for position, outcome in outcomes:
                task = self.tasks[position]
                if isinstance(outcome, Segment):
                    progress.advance(task.opcode, float(outcome.file_seconds[-1]) - seen[position])
                    self.outcome.new_seconds += float(outcome.file_seconds[-1]) - seen[position]
                    seen[position] = float(outcome.file_seconds[-1])
                self._keep(task, outcome)
                if not isinstance(outcome, Segment):
                    self._finish_ready(progress)

    def _known(self, position: int, number: int) -> tuple[Segment, ...]:
        """The segments of a task's chapter that are detected already, from that number on."""
        return tuple(self.ledger.segments(self.tasks[position].chapter.key, number))

    def _keep(self, task: Task, outcome: Outcome) -> None:
        key = task.chapter.key
        if isinstance(outcome, Segment):
            looks = {part.key: outcome.looks.get(part.name) for part in self.parts}
            found = {part: look for part, look in looks.items() if isinstance(look, bytes)}
            if outcome.number < task.known:
                self.ledger.add_looks(key, outcome.number, found)
            else:
                self.ledger.add(key, outcome, found)
            for name, look in outcome.looks.items():
                if isinstance(look, ShankhaError):
                    self.part_faults.setdefault((key, name), look)
            return
        self.missing.discard(key)
        if isinstance(outcome, ChapterAccount):
            self.ledger.finish(key, outcome)
            return
        self.errors[key] = outcome
        if isinstance(outcome, ChangedError):
            self.ledger.forget(key)

    def _finish_ready(self, progress: SurveyProgress) -> None:
        for planned in [one for one in self.waiting if not any(part.key in self.missing for part in one.chapters)]:
            self.waiting.remove(planned)
            progress.end(planned.deployment.opcode)
            self.outcome.statuses[planned.deployment.opcode] = self._finish(planned)

    def _finish(self, planned: PlannedDeployment) -> Status:
        opcode = planned.deployment.opcode
        states = [self.ledger.chapter(part.key) if part.key else None for part in planned.chapters]
        self._add_up(states)
        problems = [problem for problem in self.outcome.problems if problem.opcode == opcode]
        problems += self._found_out(planned, states)
        if planned.arriving or not any(state and state.samples for state in states):
            self.survey.results.withdraw(opcode)
            return "waiting" if planned.arriving else "failed"
        settings = self.survey.settings
        left_out = self._left_out(planned, states)
        problems += problems_of(left_out)
        parts = [part for part in self.parts if part.name not in {one.part for one in left_out}]
        models = self.survey.model, settings.tracking, settings.counting
        key = deployment_key(planned, states, problems, models, parts, self._decisions(opcode, parts))
        if self.survey.results.holds(opcode, key):
            self.outcome.resumed += 1
        elif not self._publish(opcode, lambda: self._result(planned, states, problems, parts, left_out), key):
            return "failed"
        lost = not planned.deployment.complete or any(problem.loss for problem in problems)
        return "incomplete" if lost else "complete"

    def _publish(self, opcode: str, counted: Callable[[], DeploymentResult], key: str) -> bool:
        """Count and write; what was counted is given up as soon as it is written."""
        try:
            hidden = self.survey.results.publish(counted(), key)
        except (ArgumentError, InputError) as error:
            self.survey.results.withdraw(opcode)
            problem = FootageProblem.of(error, "not_counted", opcode=opcode)
            self.outcome.problems.append(problem)
            self.survey.say(problem)
            return False
        self.outcome.problems += hidden
        for problem in hidden:
            self.survey.say(problem)
        return True

    def _left_out(self, planned: PlannedDeployment, states: Sequence[ChapterState | None]) -> list[LeftOut]:
        """The parts that this deployment goes without; it is told and kept at once."""
        left = {one.part: one for one in self.survey.settings.parts.left_out}
        for chapter, state in zip(planned.chapters, states, strict=True):
            for name in missing_parts(self.ledger, chapter.key, state, self.parts):
                cure = "run the same command again; where that does not help, with fewer --workers"
                unfinished = InputError(chapter.path, "its reading crashed or was broken off", cure=cure)
                fault = self.part_faults.get((chapter.key, name), unfinished)
                left.setdefault(name, left_out(name, fault))
        for one, problem in zip(left.values(), problems_of([*left.values()]), strict=True):
            self.outcome.without.setdefault(one.part, []).append(planned.deployment.opcode)
            if problem not in self.outcome.problems:
                self.outcome.problems.append(problem)
            self.survey.say(problem)
        return [*left.values()]

    def _result(
        self,
        planned: PlannedDeployment,
        states: Sequence[ChapterState | None],
        problems: Sequence[FootageProblem],
        parts: Sequence[ReadyPart],
        left_out: Sequence[LeftOut],
    ) -> DeploymentResult:
        """What the ledger holds of the deployment, counted; what was read of the ledger is given up again."""
        settings, names = self.survey.settings, self.survey.model.names
        read = [self._read(part, state) for part, state in zip(planned.chapters, states, strict=True) if state]
        kept = [self._kept(part, planned, states) for part in parts]
        result = result_of(planned.deployment, read, names, settings.tracking, settings.counting, problems, kept)
        return replace(result, model=self.survey.model, sampling=settings.sampling, left_out=tuple(left_out))

    def _decisions(self, opcode: str, parts: Sequence[ReadyPart]) -> tuple[Decision, ...]:
        """What people have settled about the deployment's fish; it matters only where fish are named."""
        return self.settled.get(opcode, ()) if any(part.name == "species" for part in parts) else ()

    def _kept(self, part: ReadyPart, planned: PlannedDeployment, states: Sequence[ChapterState | None]) -> KeptPart:
        chapters = [one.key for one, state in zip(planned.chapters, states, strict=True) if state]
        looks = tuple(partial(self.ledger.looks, key, part.key) for key in chapters)
        return KeptPart(part.model, self.ledger.path, looks, self._decisions(planned.deployment.opcode, [part]))

    def _read(self, part: PlannedChapter, state: ChapterState) -> ReadChapter:
        return ReadChapter(part.path, part.label, tuple(self.ledger.segments(part.key)), state.account)

    def _add_up(self, states: Sequence[ChapterState | None]) -> None:
        for state in states:
            if state is not None and (state.account or state.samples):
                self.outcome.chapters += 1
                self.outcome.samples += state.samples
                self.outcome.seconds += state.account.duration if state.account else 0.0

    def _found_out(self, planned: PlannedDeployment, states: Sequence[ChapterState | None]) -> list[FootageProblem]:
        """What reading the chapters has shown; it is told and kept at once."""
        opcode = planned.deployment.opcode
        problems = []
        for part, state in zip(planned.chapters, states, strict=True):
            error = part.error or self.errors.get(part.key)
            if error is not None:
                problems.append(FootageProblem.of(error, "unreadable_file", opcode=opcode))
            elif state is not None and state.account is not None:
                problems += state.account.problems(part.path, opcode)
        self.outcome.problems += problems
        for problem in problems:
            self.survey.say(problem)
        return problems
