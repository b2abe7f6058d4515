"""What people have settled about the names of fish, laid over the results of a survey.

The history (`review.jsonl`) is only read: it stays in the results, and another survey of the same footage follows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from apps.curate.sources.survey_files import Seen, Surveyed
from data.errors import ShankhaError
from data.journal import Journal
from data.provenance import Provenance
from data.readers.digitset import Problem

HISTORY: Final = "review.jsonl"
UNKNOWN: Final = "unknown fish"
"""The label of a fish whose species nobody can tell."""
_ANSWERED_UNKNOWN: Final = "unknown"
_NOT_A_FISH: Final = "not a fish"
_OPEN: Final = "open"
_SAME: Final = 0.011
"""Pixels by which the sides of the same box differ at most: they are kept to the hundredth."""


class _Key(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    opcode: str
    file: str
    frame: int
    xyxy: tuple[float, float, float, float]


class Decision(BaseModel):
    """A line of the history: when (UTC), by whom, which fish, and what holds now."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)

    time: str
    who: str
    fish: _Key
    after: Annotated[str, Field(alias="to")]


def decisions_of(results: Path) -> tuple[tuple[Decision, ...], tuple[Problem, ...]]:
    """The decisions that hold in a folder of results, the oldest first; a damaged history is a problem."""
    try:
        journal = Journal(results / HISTORY, Decision, cure="mend the line, or move the file away")
    except ShankhaError as error:
        return (), (Problem.of(error),)
    last = {one.fish: (at, one) for at, one in enumerate(journal.entries)}
    holding = [one for _, one in sorted(last.values(), key=lambda numbered: numbered[0]) if one.after != _OPEN]
    return tuple(holding), ()


def settle(surveyed: Surveyed, decisions: Iterable[Decision]) -> Surveyed:
    """The deployment as people have settled it: names by those who gave them, and without what is no fish.

    A decision is about a detection, and holds for its whole track. Decisions of other deployments, and those about what
    was not seen, are passed over.
    """
    seen, settled = surveyed.seen, dict(surveyed.settled)
    names, labels = list(seen.names), seen.labels.copy()
    kept = seen.scores > 0  # what was settled as no fish before the last survey
    for decision in decisions:
        rows = _rows(seen, [chapter.label for chapter in surveyed.about.chapters], surveyed.opcode, decision)
        if not len(rows):
            continue
        kept[rows] = decision.after != _NOT_A_FISH and (seen.scores[rows] > 0)
        name = UNKNOWN if decision.after in {_ANSWERED_UNKNOWN, _NOT_A_FISH} else decision.after
        if name not in names:
            names.append(name)
        labels[rows] = names.index(name)
        by = Provenance(kind="person", name=decision.who or "somebody", when=decision.time)
        settled |= dict.fromkeys(seen.rows[rows].tolist(), by)
    chosen = replace(seen, labels=labels, names=tuple(names)).select(kept)
    return replace(surveyed, seen=chosen, settled=settled)


def _rows(seen: Seen, labels: Sequence[str], opcode: str, decision: Decision) -> NDArray[np.int64]:
    """The detections that a decision is about: the one that it names, and the others of its track."""
    fish = decision.fish
    if fish.opcode != opcode or fish.file not in labels:
        return np.zeros(0, np.int64)
    here = (seen.chapter == labels.index(fish.file)) & (seen.frame == fish.frame)
    apart = np.abs(seen.xyxy.astype(np.float64) - np.array(fish.xyxy)).max(axis=1, initial=0.0)
    own = np.flatnonzero(here[seen.sample] & (apart < _SAME))
    tracks = set(seen.tracks[own].tolist()) - {0}
    return np.flatnonzero(np.isin(seen.tracks, list(tracks)) | np.isin(np.arange(len(seen)), own))
