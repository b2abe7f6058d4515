"""What people have settled about fish: `review.jsonl` in a folder of results, one decision a line, only ever added to.

A fish is known by the detection that was shown of it: deployment, chapter file, frame and box. Tracks may get other
numbers in a later survey; what was seen in a frame stays. The last decision about a fish counts.
"""

from __future__ import annotations

import datetime
import getpass
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from apps.fish.naming import HISTORY
from apps.fish.records import Observations
from data.errors import InputError
from data.journal import Journal

UNKNOWN_FISH: Final = "unknown"
"""Settled: a fish, of a species that nobody can tell."""
NOT_A_FISH: Final = "not a fish"
OPEN: Final = "open"
"""Not settled: what the model says holds."""
RESERVED: Final = frozenset({UNKNOWN_FISH, NOT_A_FISH, OPEN})
"""Answers that are no names of species."""
LONGEST: Final = 80
"""Characters of a name."""

_CONFIG: Final = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
_SAME: Final = 0.011
"""Pixels by which the sides of the same box differ at most: they are kept to the hundredth."""

Answer = Annotated[str, Field(min_length=1, max_length=LONGEST, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""A name of a species, `UNKNOWN_FISH`, `NOT_A_FISH` or `OPEN`."""
Side = Annotated[float, Field(allow_inf_nan=False)]


class FishKey(BaseModel):
    """A detection of a fish: its deployment, chapter file, frame, and box (pixels: left, top, right, bottom)."""

    model_config = _CONFIG

    opcode: str
    file: str
    frame: Annotated[int, Field(ge=0)]
    xyxy: tuple[Side, Side, Side, Side]


class Decision(BaseModel):
    """A line of the history: when (UTC), by whom, which fish, what held before and what holds now.

    `undo` says that it takes back the decision before it that was not taken back yet.
    """

    model_config = _CONFIG

    time: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    who: str
    fish: FishKey
    before: Annotated[Answer, Field(alias="from")]
    after: Annotated[Answer, Field(alias="to")]
    undo: bool = False

    @field_validator("before", "after")
    @classmethod
    def _says_something(cls, answer: str) -> str:
        if answer != answer.strip():
            raise ValueError("an answer begins or ends with a space")
        return answer


class History:
    """The history of a folder of results; what others add to it meanwhile is seen, too.

    Args:
        folder: The folder of results.

    Raises:
        FileAccessError: It cannot be read.
        InputError: A line of it is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / HISTORY
        self._journal = Journal(self.path, Decision, cure="mend the line, or move the file away and review anew")

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """All that was written and taken back, the oldest first."""
        return self._journal.entries

    def refresh(self) -> None:
        """Read what was added since; errors as above."""
        self._journal.refresh()

    def answer(self, fish: FishKey) -> str:
        """What holds of a fish: the last decision about it."""
        return next((one.after for one in reversed(self.decisions) if one.fish == fish), OPEN)

    def add(self, fish: FishKey, answer: str, *, undo: bool = False) -> Decision:
        """Write a decision; it is on the disk when this returns.

        Raises:
            FileAccessError: It cannot be written; nothing of it is then kept.
            InputError: The history is damaged.
        """
        self.refresh()
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        decision = Decision(time=now, who=_user(), fish=fish, before=self.answer(fish), after=answer, undo=undo)
        self._journal.append(decision)
        return decision

    def undo(self) -> Decision | None:
        """Take back the last decision that still stands; None where there is none. Errors as in `add`."""
        self.refresh()
        standing: list[Decision] = []
        for one in self.decisions:
            if one.undo and standing:
                standing.pop()
            elif not one.undo:
                standing.append(one)
        return self.add(standing[-1].fish, standing[-1].before, undo=True) if standing else None

    def settled(self) -> dict[str, tuple[Decision, ...]]:
        """For every deployment the decisions that hold, the oldest first."""
        last = {one.fish: (number, one) for number, one in enumerate(self.decisions)}
        found: dict[str, list[Decision]] = {}
        for _, one in sorted(last.values(), key=lambda numbered: numbered[0]):
            if one.after != OPEN:
                found.setdefault(one.fish.opcode, []).append(one)
        return {opcode: tuple(decisions) for opcode, decisions in found.items()}

    def refuse_another_survey(self, opcodes: Collection[str]) -> None:
        """Refuse a history of which no fish is of these deployments.

        Raises:
            InputError: It is of another survey.
        """
        of = {one.fish.opcode for one in self.decisions}
        if of and of.isdisjoint(opcodes):
            some = ", ".join(sorted(of)[:3])
            cure = "move it to the results that it belongs to"
            raise InputError(self.path, f"is the history of another survey (of {some})", cure=cure)


def answers_of(seen: Observations, files: Sequence[str], decisions: Iterable[Decision]) -> dict[int, str]:
    """The detections that decisions are about, each with what was settled, the oldest decision first.

    Args:
        seen: The detections of the decisions' deployment.
        files: The names of its chapter files, in order.
        decisions: The decisions that hold, the oldest first; those about what was not seen are left out.

    Returns:
        Rows of the observations, and their answers.
    """
    found: dict[int, str] = {}
    chapters = {name: number for number, name in enumerate(files)}
    for one in decisions:
        here = (seen.samples.chapter == chapters.get(one.fish.file, -1)) & (seen.samples.frame == one.fish.frame)
        for sample in np.flatnonzero(here).tolist():
            low, high = np.searchsorted(seen.sample, [sample, sample + 1]).tolist()
            apart = np.abs(seen.xyxy[low:high].astype(np.float64) - np.array(one.fish.xyxy)).max(axis=1, initial=0.0)
            found |= {low + int(row): one.after for row in np.flatnonzero(apart < _SAME)}
    return found


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "somebody"
