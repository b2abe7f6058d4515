"""How far a survey is, on stderr: in seconds of footage, for the whole and for each deployment at work."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from apps.fish import planning


class SurveyProgress:
    """Bars for the tasks of a survey; a context manager.

    Args:
        console: Where it is shown.
        tasks: What is to be done.
    """

    def __init__(self, console: Console, tasks: Sequence[planning.Task]) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), _Footage(), _Speed(), TimeRemainingColumn())
        self._bars = Progress(*columns, console=console)
        self._totals: dict[str, float] = {}
        self._done: dict[str, float] = {}
        self._single: dict[str, TaskID] = {}
        for task in tasks:
            self._totals[task.opcode] = self._totals.get(task.opcode, 0.0) + max(task.total - task.done, 0.0)
            self._done[task.opcode] = 0.0
        self._all = self._bars.add_task("All footage", total=sum(self._totals.values()))

    def __enter__(self) -> SurveyProgress:
        self._bars.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def advance(self, opcode: str, seconds: float) -> None:
        """So many seconds more of the deployment's footage are done."""
        self._done[opcode] += seconds
        if opcode not in self._single:
            self._single[opcode] = self._bars.add_task(opcode, total=self._totals[opcode])
        self._bars.update(self._single[opcode], completed=self._done[opcode])
        self._bars.update(self._all, completed=sum(self._done.values()))

    def end(self, opcode: str) -> None:
        """The deployment is done with: whatever its files had stated, nothing of it is left."""
        if opcode in self._totals:
            self._done[opcode] = self._totals[opcode]
            self._bars.update(self._all, completed=sum(self._done.values()))
        if opcode in self._single:
            self._bars.remove_task(self._single.pop(opcode))


class _Footage(ProgressColumn):
    """Footage done, of what there is."""

    def render(self, task: Task) -> Text:
        done, total = (timedelta(seconds=round(seconds)) for seconds in (task.completed, task.total or 0))
        return Text(f"{done} of {total}")


class _Speed(ProgressColumn):
    """Seconds of footage a second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.1f}x")
