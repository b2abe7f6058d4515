"""What was read, gathered into a collection: ids that are distinct, labels that keep to their picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from data.curation.collection import Collection, Kind, Label, Part, Picture, Provenance
from data.curation.exchange.format import Library
from data.errors import InputError
from data.labels import DIGIT_CLASSES, NOT_A_DIGIT_NAME, digit_of
from data.readers.detectionset import DetectionSet, PictureFiles
from data.readers.digitset import Problem

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
            first = f"; the first of {len(self.problems)} problems: {self.problems[0].name} {self.problems[0].why}"
            found = f"labels no picture that can be used{first if self.problems else ''}"
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
        masks = detections.masks[index] if detections.masks else (None,) * len(detections.labels[index])
        boxes = zip(detections.labels[index].tolist(), detections.xyxy[index], masks, strict=True)
        labels = tuple(Label(detections.names[label], by, xyxy, mask) for label, xyxy, mask in boxes)
        site, clip = str(detections.sites[index]), str(detections.clips[index])
        group = site or (clip if clip != name else "")
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


def confidence(value: Any) -> float | None:
    """A confidence as a file tells it, None where there is none.

    Raises:
        ValueError: It is no number from 0 to 1.
    """
    if value is None or value == "":
        return None
    number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    if not 0 <= number <= 1:  # NaN is not
        raise ValueError(f"its confidence is {value!r}, not from 0 to 1")
    return number


def with_identity(picture: Picture, told: object, library: Library | None) -> Picture:
    """The picture under the id that the file tells, or under which the library knows its file."""
    if isinstance(told, str) and told:
        return replace(picture, id=told)
    known = library.find(picture.path.as_posix()) if library else ()
    return replace(picture, id=known[0].id) if len(known) == 1 and known[0].path == picture.path else picture


def not_a_digit(name: str) -> bool:
    """Whether it is the class of what is no digit."""
    return digit_name(name) == NOT_A_DIGIT_NAME
