"""What changed between two versions of a dataset: pictures, what they are for, and what is said of them, by whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from data.boxes import ious
from data.curation.collection import Label, Part, Picture, Provenance
from data.curation.folder import read_version
from data.versions import Version, read_version_file

ChangeKind = Literal["class", "box", "outline", "added", "removed", "speaker"]
"""Another class; another box; another outline; a label that was not there; one that is no more; the same label, said
by another."""
_SAME: Final = 0.3
"""Overlap (IoU) from which a box of one version and one of the other are of the same thing."""
_STILL: Final = 0.05
"""Pixels that a side may move by while the box stays: formats round."""


@dataclass(frozen=True)
class Change:
    """One label that is not as it was: `before` is None for an added one, `after` for a removed one."""

    id: str
    kind: ChangeKind
    before: Label | None
    after: Label | None

    @property
    def by(self) -> Provenance | None:
        """Who said what is said now; nobody signs that a label goes."""
        return self.after.by if self.after else None

    def told(self) -> str:
        """From what to what, in words."""
        before, after = self.before.name if self.before else "nothing", self.after.name if self.after else "nothing"
        return f"{before} to {after}" if before != after else after


@dataclass(frozen=True)
class Moved:
    """A picture that is for something else now, or belongs to another group."""

    id: str
    before: str
    after: str


@dataclass(frozen=True)
class Difference:
    """What changed from version `before` to version `after`.

    Attributes:
        before: The manifest of the first.
        after: The manifest of the second.
        added: Pictures that only the second has.
        removed: Pictures that only the first has.
        moved: Pictures in another part.
        regrouped: Pictures in another group.
        repainted: Ids of pictures whose file has another content.
        changes: Labels of pictures that both have.
        pictures: Those of both versions by id, the second's where it has one.
    """

    before: Version
    after: Version
    added: tuple[Picture, ...]
    removed: tuple[Picture, ...]
    moved: tuple[Moved, ...]
    regrouped: tuple[Moved, ...]
    repainted: tuple[str, ...]
    changes: tuple[Change, ...]
    pictures: dict[str, Picture]

    def of(self, kind: ChangeKind) -> tuple[Change, ...]:
        """The changes of one kind."""
        return tuple(change for change in self.changes if change.kind == kind)

    @property
    def new_names(self) -> tuple[str, ...]:
        """Classes that only the second has."""
        return tuple(name for name in self.after.content.names if name not in self.before.content.names)

    @property
    def lost_names(self) -> tuple[str, ...]:
        """Classes that only the first has."""
        return tuple(name for name in self.before.content.names if name not in self.after.content.names)

    def __bool__(self) -> bool:
        parts = (self.added, self.removed, self.moved, self.regrouped, self.repainted, self.changes)
        return any(parts) or self.before.content.names != self.after.content.names


def diff(before: Path, after: Path) -> Difference:
    """Compare two versioned folders; pictures are the same where their ids are.

    Raises:
        FileAccessError: One is no version, or cannot be read.
        InputError: One differs from its manifest.
    """
    first, second = ({one.id: one for one in read_version(folder).pictures} for folder in (before, after))
    manifests = read_version_file(before), read_version_file(after)
    hashes = [_hashes(version) for version in manifests]
    both = [name for name in first if name in second]
    return Difference(
        *manifests,
        added=tuple(picture for name, picture in second.items() if name not in first),
        removed=tuple(picture for name, picture in first.items() if name not in second),
        moved=tuple(
            Moved(name, _part(first[name].part), _part(second[name].part))
            for name in both
            if first[name].part != second[name].part
        ),
        regrouped=tuple(
            Moved(name, first[name].group, second[name].group)
            for name in both
            if first[name].group != second[name].group
        ),
        repainted=tuple(name for name in both if hashes[0][name] != hashes[1][name]),
        changes=tuple(change for name in both for change in changes(first[name], second[name])),
        pictures=first | second,
    )


def _hashes(version: Version) -> dict[str, str]:
    """The hash of each picture's file, by the picture's id."""
    of_file = {file.path: file.sha256 for file in version.content.files}
    return {picture.id: of_file[picture.file] for picture in version.content.pictures}


def _part(part: Part) -> str:
    return part or "none"


def changes(before: Picture, after: Picture) -> tuple[Change, ...]:
    """What is said of a picture now, against what was."""
    found = []
    pairs = _matched(before.labels, after.labels)
    for one, other in pairs:
        found += [Change(after.id, kind, one, other) for kind in _kinds(one, other)]
    gone = {id(one) for one, _ in pairs}
    known = {id(other) for _, other in pairs}
    found += [Change(after.id, "removed", one, None) for one in before.labels if id(one) not in gone]
    found += [Change(after.id, "added", None, other) for other in after.labels if id(other) not in known]
    return tuple(found)


def _kinds(before: Label, after: Label) -> list[ChangeKind]:
    """What of a label is other; who said it only where nothing else is."""
    kinds: list[ChangeKind] = ["class"] if before.name != after.name else []
    if before.xyxy is not None and after.xyxy is not None and np.abs(before.xyxy - after.xyxy).max() > _STILL:
        kinds.append("box")
    if before.mask != after.mask:
        kinds.append("outline")
    return kinds or (["speaker"] if before.by != after.by else [])


def _matched(before: Sequence[Label], after: Sequence[Label]) -> list[tuple[Label, Label]]:
    """Labels of the same thing: those of the picture as a whole, and boxes that overlap, the most alike first."""
    pairs = []
    whole = [[label for label in labels if label.xyxy is None] for labels in (before, after)]
    pairs += list(zip(*whole, strict=False))
    ones = [label for label in before if label.xyxy is not None]
    others = [label for label in after if label.xyxy is not None]
    if not ones or not others:
        return pairs
    overlap = ious(_boxes(ones), _boxes(others)).astype(np.float64)
    same = np.array([[one.name == other.name for other in others] for one in ones])
    overlap = np.where(overlap >= _SAME, overlap + 0.1 * same, -1.0)
    while overlap.max() > 0:
        row, column = np.unravel_index(int(overlap.argmax()), overlap.shape)
        pairs.append((ones[row], others[column]))
        overlap[row], overlap[:, column] = -1.0, -1.0
    return pairs


def _boxes(labels: Sequence[Label]) -> NDArray[np.float32]:
    return np.stack([label.xyxy for label in labels if label.xyxy is not None])
