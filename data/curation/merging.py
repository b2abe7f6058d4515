"""Labels that come back from a person's tool, put beside those that are known: what became of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from data.boxes import ious
from data.curation.collection import Label, Provenance

Fate = Literal["kept", "renamed", "moved", "added"]
SAME: Final = 1.0
"""Pixels by which the sides of one box may differ: formats round, DIVE to whole pixels."""
_NEAR: Final = 0.5
"""Overlap (IoU) from which a box that is elsewhere is the known one, moved."""


@dataclass(frozen=True)
class Placed:
    """A label as it is now, which of the known labels it was (None for a new one), and what became of it."""

    label: Label
    was: int | None
    fate: Fate


@dataclass(frozen=True)
class Merged:
    """All labels of a picture as they are now, and which of the known ones are no longer there."""

    labels: tuple[Placed, ...]
    removed: tuple[int, ...]

    @property
    def counts(self) -> Counter[str]:
        """How many labels were renamed, moved, added and removed."""
        found = Counter[str](placed.fate for placed in self.labels if placed.fate != "kept")
        return found + Counter({"removed": len(self.removed)})


def merge(known: Sequence[Label], said: Sequence[Label], by: Provenance, *, whole: bool = True) -> Merged:
    """What a picture's labels are after a person's tool has said what they are.

    A label that is as it was stays as it was known, with its provenance. Any other gets that of the person: the file's
    own, where it tells a person and not just repeats what was known, else `by`.

    Args:
        known: The labels so far.
        said: Those of the tool.
        by: Who worked with it.
        whole: Whether every label of the tool could be read; else known labels that it does not have stay.
    """
    pairs = _pairs(known, said)
    placed = [_placed(known, pairs.get(number), label, by) for number, label in enumerate(said)]
    gone = [number for number in range(len(known)) if number not in pairs.values()]
    if not whole:
        placed += [Placed(known[number], number, "kept") for number in gone]
        gone = []
    return Merged(tuple(placed), tuple(gone))


def _pairs(known: Sequence[Label], said: Sequence[Label]) -> dict[int, int]:
    """Which known label each label of the tool is, the surest first."""
    chances = sorted(
        (-likeness, new, old)
        for new, label in enumerate(said)
        for old, other in enumerate(known)
        if (likeness := _likeness(label, other)) > 0
    )
    found: dict[int, int] = {}
    for _, new, old in chances:
        if new not in found and old not in found.values():
            found[new] = old
    return found


def _likeness(label: Label, other: Label) -> float:
    """How likely two labels are one: 0 for never, above 3 where place and name are the same."""
    named = 0.5 if label.name == other.name else 0.0
    if label.xyxy is None or other.xyxy is None:
        return 3.0 + named if label.xyxy is other.xyxy else 0.0
    if same_place(label, other):
        return 3.0 + named
    overlap = float(ious(label.xyxy[None], other.xyxy[None])[0, 0])
    return overlap + named if overlap >= _NEAR else 0.0


def same_place(label: Label, known: Label) -> bool:
    """Whether a label says the pixels of a known one: the same outline, or boxes that differ by rounding.

    A tool that knows boxes alone says the box of an outline; one that knows outlines alone says a box as its corners.
    """
    if label.mask is not None and known.mask is not None:
        return label.mask == known.mask
    if label.xyxy is None or known.xyxy is None:
        return label.xyxy is known.xyxy
    near = bool(np.abs(label.xyxy - known.xyxy).max() <= SAME)
    return near and (label.mask is None or bool(label.mask.inside.all()))


def _placed(known: Sequence[Label], was: int | None, label: Label, by: Provenance) -> Placed:
    before = None if was is None else known[was]
    if before is None:
        new = label if label.by.kind != "source" else replace(label, by=by)
        return Placed(new, None, "added")
    same = same_place(label, before)
    if same and label.name == before.name:
        return Placed(before, was, "kept")
    told = label.by if label.by.kind == "person" and label.by != before.by else by
    if same:
        return Placed(replace(before, name=label.name, by=told, confidence=None), was, "renamed")
    track = label.track or before.track
    return Placed(replace(label, by=told, confidence=None, track=track), was, "moved")
