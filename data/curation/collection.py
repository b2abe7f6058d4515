"""A collection: pictures and what was said of them, by whom and when."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.masks import Mask
from data.provenance import WHOLE_PICTURE, Kind, Part, Provenance, Speaker, now
from data.readers.digitset import Problem

__all__ = [
    "WHOLE_PICTURE",
    "Collection",
    "Kind",
    "Label",
    "Part",
    "Picture",
    "Provenance",
    "Speaker",
    "now",
]


@dataclass(frozen=True)
class Label:
    """One thing that was said of a picture.

    Attributes:
        name: What is there: a class of the collection.
        by: Who said so.
        xyxy: (4,) float32, left, top, right, bottom in pixels of the picture, within it; None speaks of the picture as
            a whole.
        mask: The pixels of it, None where nobody outlined it.
        confidence: How sure the speaker was, 0 to 1; None where that was not said.
        track: Number of the individual in the recording, from 1; 0 where nobody followed it.
    """

    name: str
    by: Provenance
    xyxy: NDArray[np.float32] | None = None
    mask: Mask | None = None
    confidence: float | None = None
    track: int = 0

    def __post_init__(self) -> None:
        if self.xyxy is not None and (self.xyxy.shape != (4,) or not np.isfinite(self.xyxy).all()):
            raise ValueError(f"a box of shape {self.xyxy.shape} or with what is no number")
        if self.confidence is not None and not (math.isfinite(self.confidence) and 0 <= self.confidence <= 1):
            raise ValueError(f"a confidence of {self.confidence}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Label) or (self.xyxy is None) != (other.xyxy is None):
            return False
        same = (self.name, self.by, self.mask, self.confidence, self.track)
        alike = same == (other.name, other.by, other.mask, other.confidence, other.track)
        return alike and (self.xyxy is None or np.array_equal(self.xyxy, other.xyxy))  # type: ignore[arg-type]

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Picture:
    """One picture of a collection.

    Attributes:
        id: Its path within the collection, which no other picture has ("val/7482_F1_f000000.jpg").
        path: The file.
        size_wh: Width and height in pixels.
        labels: What was said of it. For kinds of whole pictures at most one.
        part: What it is for.
        group: What must not be torn apart between train and val: the writer source, the camera site, the fish
            (trajectory) or the clip. "" where that is not known.
        complete: Whether everything of the classes is labelled, so that the rest is background.
        tags: Words that a person left on it, such as "illegible".
    """

    id: str
    path: Path
    size_wh: tuple[int, int]
    labels: tuple[Label, ...] = ()
    part: Part = ""
    group: str = ""
    complete: bool = True
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Collection:
    """Pictures of one kind with their labels.

    Attributes:
        name: What it is called.
        kind: What its labels speak of.
        names: The classes, in the order in which a network counts them.
        pictures: In the order of the source.
        problems: Pictures and labels that could not be taken in, by file.

    Raises:
        ValueError: Two pictures share an id, or a label is of no class.
    """

    name: str
    kind: Kind
    names: tuple[str, ...]
    pictures: tuple[Picture, ...]
    problems: tuple[Problem, ...] = ()

    def __post_init__(self) -> None:
        if len({picture.id for picture in self.pictures}) != len(self.pictures):
            raise ValueError(f"{self.name}: two pictures share an id")
        strange = {label.name for picture in self.pictures for label in picture.labels} - set(self.names)
        if strange:
            raise ValueError(f"{self.name}: labels of no class: {', '.join(sorted(strange))}")

    def __len__(self) -> int:
        return len(self.pictures)

    def select(self, chosen: Sequence[int]) -> Collection:
        """The chosen pictures, in that order; classes and problems stay."""
        return replace(self, pictures=tuple(self.pictures[index] for index in chosen))
