"""What was read, gathered into a collection: ids that are distinct, labels that keep to their picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
from pydantic import ValidationError

from data.curation.collection import Collection, Kind, Label, Part, Picture, Provenance
from data.curation.detected import group_of, labels_of
from data.curation.exchange.format import Library
from data.curation.exchange.places import FRAME
from data.errors import InputError
from data.images import image_size
from data.labels import DIGIT_CLASSES, digit_of
from data.masks import Mask
from data.readers.boxcheck import BoxList
from data.readers.detections_video import VIDEO_SUFFIXES, frame_size
from data.readers.detectionset import DetectionSet, PictureFiles
from data.readers.digitset import Problem
from data.readers.maskcheck import labelled_mask

BY: Final = ("by_kind", "by_name", "by_when")
"""What the attributes of a label are called that tell its provenance."""
TRACK_ID: Final = "track_id"


@dataclass
class Gathered:
    """Pictures read so far, by id, and what could not be taken in."""

    where: Path
    pictures: dict[str, Picture] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, picture: Picture) -> None:
        """Take a picture; one of an id that is there already is listed, and does not take the other's place."""
        if picture.id in self.pictures:
            self.problems.append(Problem(picture.id, "is labelled twice: the first is used"))
        else:
            self.pictures[picture.id] = picture

    def collection(self, names: Sequence[str], kind: Kind | None = None) -> Collection:
        """Everything as a collection.

        Args:
            names: The classes; those of labels that are not among them follow.
            kind: What the labels speak of; None tells it by the labels.

        Raises:
            InputError: There is no picture.
        """
        if not self.pictures:
            first = "".join(f"; the first of the problems: {one.name} {one.why}" for one in self.problems[:1])
            found = f"labels no picture that can be used{first}"
            raise InputError(self.where, found, expected="labels of pictures that are there")
        labels = [label for picture in self.pictures.values() for label in picture.labels]
        every = tuple(dict.fromkeys([*names, *(label.name for label in labels)]))
        kind = kind or kind_of(labels, every)
        every = DIGIT_CLASSES if kind == "digits" else every
        return Collection(self.where.stem, kind, every, tuple(self.pictures.values()), tuple(self.problems))


def kind_of(labels: Sequence[Label], names: Sequence[str]) -> Kind:
    """What labels speak of: outlines where there is one, boxes where there is one, else digits or species by name."""
    if any(label.mask is not None for label in labels):
        return "segmentation"
    if not labels or any(label.xyxy is not None for label in labels):
        return "detection"
    return "digits" if all(digit_of(name) is not None for name in names) else "species"


def digit_name(name: str) -> str:
    """The class of a digit, whatever script it is written in: "৩" and "digit_3" are "3"."""
    digit = digit_of(name)
    return name if digit is None else DIGIT_CLASSES[digit]


def pictures_of(detections: DetectionSet, by: Provenance, part: Part) -> tuple[Picture, ...]:
    """The pictures of a set in files, all of one part, with everything that was said of them by one speaker."""
    images = detections.images
    if not isinstance(images, PictureFiles):
        raise TypeError(f"{detections.name}: its pictures are no files")
    found = []
    for index, name in enumerate(detections.ids.tolist()):
        labels, group = labels_of(detections, index, by), group_of(detections, index)
        path = images.paths[int(detections.places[index])]
        whole = bool(detections.exhaustive[index])
        found.append(Picture(name, path, detections.size_wh(index), labels, part, group, complete=whole))
    return tuple(found)


def provenance(attributes: Mapping[str, object], otherwise: Provenance) -> Provenance:
    """Who said something, by the attributes `BY`; `otherwise` where they do not tell."""
    kind, name, when = (attributes.get(key) for key in BY)
    try:
        return Provenance.model_validate({"kind": kind, "name": name, "when": when or ""})
    except ValidationError:
        return otherwise


def attributes_of(label: Label) -> dict[str, str]:
    """The attributes `BY` of a label; a time that is not known is left out."""
    return {key: value for key, value in zip(BY, (label.by.kind, label.by.name, label.by.when), strict=True) if value}


def confidence(value: Any, where: str, problems: list[Problem]) -> float | None:
    """A confidence as a file tells it; None where there is none, or, listed, where it is no number from 0 to 1."""
    if value is None or value == "":
        return None
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError):
        number = math.nan
    if 0 <= number <= 1:  # NaN is not
        return number
    problems.append(Problem(where, f"its confidence is {value!r}, not from 0 to 1: it is taken without one"))
    return None


def with_identity(picture: Picture, told: object, library: Library | None) -> Picture:
    """The picture under the id that the file tells, or under which the library knows its file."""
    if isinstance(told, str) and told:
        return replace(picture, id=told)
    known = library.find(picture.path.as_posix()) if library else ()
    return replace(picture, id=known[0].id) if len(known) == 1 and known[0].path == picture.path else picture


@dataclass(frozen=True)
class Said:
    """What a file says of a label beside its class and its place."""

    by: Provenance
    confidence: float | None = None
    track: int = 0


@dataclass
class Draft:
    """A picture whose labels are still being read; what cannot be taken of them becomes a problem.

    `picture` has no labels yet. `problems` are those of the whole collection.
    """

    picture: Picture
    problems: list[Problem]
    _checked: BoxList = field(init=False)
    _names: list[str] = field(default_factory=list)
    _said: list[Said] = field(default_factory=list)
    _whole: list[Label] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._checked = BoxList(self.picture.size_wh, problems=self.problems)

    def add_whole(self, where: str, name: str, said: Said) -> None:
        """Take a label of the picture as a whole; only one can be."""
        if self._whole and self._whole[0].name != digit_name(name):
            self.refuse(where, f"names {name!r} beside {self._whole[0].name!r}: the first is taken")
        elif not self._whole:
            self._whole.append(Label(digit_name(name), said.by, confidence=said.confidence))

    def add_box(self, where: str, name: str, xyxy: Sequence[float], said: Said, mask: Mask | None = None) -> None:
        """Take a box in pixels, cut at the picture's edges, with its mask."""
        left, top, right, bottom = (float(side) for side in xyxy)
        if name not in self._names:
            self._names.append(name)
        if self._checked.add(where, self._names.index(name), (left, top, right, bottom), mask):
            self._said.append(said)

    def add_outline(
        self, where: str, name: str, segmentation: Any, said: Said, xyxy: Sequence[float] | None = None
    ) -> None:
        """Take polygons or run lengths as COCO has them; the box around them where none is told.

        Of an outline that cannot be used, its box is taken.
        """
        mask, fault = labelled_mask(segmentation, self.picture.size_wh)
        if fault:
            self.problems.append(Problem(where, fault))
        box = xyxy or (mask.xyxy.tolist() if mask is not None else around(segmentation))
        if box is None:
            self._checked.complete = False
        else:
            self.add_box(where, name, box, said, mask)

    def refuse(self, where: str, why: str) -> None:
        """List a label that cannot be taken."""
        self._checked.refuse(where, why)

    def finished(self) -> Picture:
        """The picture with its labels."""
        if self._checked.boxes and self._whole:
            self.problems.append(
                Problem(self.picture.id, f"is named {self._whole[0].name!r} as a whole: boxes are taken")
            )
        rows = zip(self._checked.labels, self._checked.xyxy, self._checked.masks, self._said, strict=True)
        labels = [
            Label(self._names[number], said.by, xyxy, mask, said.confidence, said.track)
            for number, xyxy, mask, said in rows
        ]
        complete = self.picture.complete and self._checked.complete
        return replace(self.picture, labels=tuple(labels or self._whole), complete=complete)


def around(polygons: Any) -> tuple[float, float, float, float] | None:
    """Left, top, right, bottom of lists of x, y in turn; None where these are no such lists."""
    try:
        corners = np.concatenate([np.array(one, np.float64).reshape(-1, 2) for one in polygons])
    except (ValueError, TypeError):
        return None
    if not len(corners) or not np.isfinite(corners).all():
        return None
    return (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())


@dataclass(frozen=True)
class Finder:
    """Finds the pictures that a file of labels speaks of: in its folder, or in a library."""

    folder: Path
    library: Library | None = None

    def find(self, name: str, item: str = "") -> tuple[str, Path]:
        """Id and file of a picture.

        Args:
            name: What the file calls it. Names that lead out of the folder are looked for in the library alone.
            item: Its id, where the file tells it.

        Raises:
            InputError: It is not there, or may be more than one.
        """
        plain = name.replace("\\", "/")
        video = PurePosixPath(FRAME.sub("", plain))
        inner = video if video.suffix.lower() in VIDEO_SUFFIXES else PurePosixPath(plain)
        if inner.name and not inner.is_absolute() and ".." not in inner.parts:
            for base in (self.folder, self.folder / "images"):
                if (base / inner).is_file():
                    return item or self._known(base / inner) or plain, base / inner
        known = (self.library.one(item) if item else None) or self.library.one(name) if self.library else None
        if known is None:
            raise InputError(name, "is not there", cure="give the pictures with the labels")
        return known.id, known.path

    def _known(self, path: Path) -> str:
        """The id under which the library has this very file."""
        found = self.library.find(path.as_posix()) if self.library else ()
        return found[0].id if len(found) == 1 and found[0].path == path else ""

    def picture(self, name: str, item: str = "", told_wh: tuple[int, int] | None = None) -> Picture:
        """A picture without labels.

        Raises:
            InputError: It is not there, damaged, or of another size than is told.
            FileAccessError: It cannot be read.
        """
        known, path = self.find(name, item)
        size = frame_size(path) if path.suffix.lower() in VIDEO_SUFFIXES else image_size(path)
        if told_wh is not None and told_wh != size:
            found = f"is {size[0]} x {size[1]} pixels, not {told_wh[0]} x {told_wh[1]} as told"
            raise InputError(name, found, cure="label the picture as it is")
        return Picture(known, path, size)


def turned_box(sides: Sequence[float], degrees: float) -> tuple[float, float, float, float]:
    """The upright box around one that is turned clockwise about its middle."""
    left, top, right, bottom = sides
    angle = math.radians(degrees)
    sine, cosine = abs(math.sin(angle)), abs(math.cos(angle))
    wide = ((right - left) * cosine + (bottom - top) * sine) / 2
    high = ((right - left) * sine + (bottom - top) * cosine) / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    return x - wide, y - high, x + wide, y + high
