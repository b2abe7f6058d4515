"""Collections out of FiftyOne: what is held to be right there, wherever a person changed it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from apps.curate.fields import (
    ACCEPTED,
    BY_KIND,
    BY_NAME,
    BY_WHEN,
    COMPLETE,
    GROUP,
    INFO,
    ITEM,
    PART,
    TRACK,
    TRUTH,
    WINDOW,
)
from data.curation.collection import WHOLE_PICTURE, Collection, Kind, Label, Part, Picture, Provenance
from data.errors import InputError, ShankhaError
from data.images import image_size
from data.labels import DIGIT_CLASSES
from data.masks import Mask, fitted
from data.readers.boxcheck import BoxList
from data.readers.digitset import Problem

if TYPE_CHECKING:
    import fiftyone as fo

SOMEONE: Final = Provenance(kind="person", name="somebody in the App")
"""Who made a label that nobody signed: FiftyOne's own tools for drawing do not."""
_PARTS: Final = ("train", "val", "test", "")
_OWN: Final = ("filepath", "tags", "metadata.width", "metadata.height", ITEM, PART, GROUP, COMPLETE)
_SAID: Final = ("label", "confidence", BY_KIND, BY_NAME, BY_WHEN)
_WITHIN: Final = ("bounding_box", "mask", WINDOW, TRACK)


def collection_of(samples: fo.Dataset | fo.DatasetView, field: str = TRUTH) -> Collection:
    """The pictures of a dataset, or of a view of one, with the labels of a field.

    What a person did in the App is taken as it is where it makes sense, and is a problem of the collection where it
    does not: labels without a class, boxes outside their picture, confidences that are no number. New classes come
    after those that the dataset had.

    Raises:
        InputError: The samples are no pictures, or there is no such field of labels.
    """
    if samples.media_type not in {"image", None}:
        raise InputError(samples._root_dataset.name, f"holds {samples.media_type}s", expected="pictures")
    known = samples.get_field_schema(flat=True)
    kind = _kind(samples, field, known)
    inside = field if kind in WHOLE_PICTURE else f"{field}.detections"
    keys = [key for key in (*_SAID, *(() if kind in WHOLE_PICTURE else _WITHIN)) if f"{inside}.{key}" in known]
    own = [key for key in _OWN if key in known]
    columns = samples.values([*own, *(f"{inside}.{key}" for key in keys)])
    reader = _Reader(kind)
    for row in zip(*columns, strict=True):
        reader.take(dict(zip(own, row, strict=False)), _labels(dict(zip(keys, row[len(own) :], strict=True)), kind))
    names = _names(_told(samples).get("names") or (DIGIT_CLASSES if kind == "digits" else ()), reader.pictures)
    return Collection(samples._root_dataset.name, kind, names, tuple(reader.pictures), tuple(reader.problems))


def _kind(samples: fo.Dataset | fo.DatasetView, field: str, known: dict[str, Any]) -> Kind:
    """What the labels of the field speak of; for a dataset that was not made here, by what the field holds."""
    document = getattr(known.get(field), "document_type", None)
    kind = document.__name__ if document else "nothing"
    if kind not in {"Classification", "Detections"}:
        expected = f"a field {field!r} of Classification or Detections"
        raise InputError(
            samples._root_dataset.name, f"has no labels in {field!r} that can be taken out", expected=expected
        )
    told = _told(samples).get("kind")
    if told is not None and (told in WHOLE_PICTURE) == (kind == "Classification"):
        return cast("Kind", told)
    if kind == "Classification":
        return "digits" if set(samples.distinct(f"{field}.label")) <= set(DIGIT_CLASSES) else "species"
    return "segmentation" if samples.count(f"{field}.detections.mask") else "detection"


def _told(samples: fo.Dataset | fo.DatasetView) -> dict[str, Any]:
    """What `samples.dataset_of` noted of the dataset."""
    return cast("dict[str, Any]", samples._root_dataset.info.get(INFO, {}))


def _names(told: Sequence[str], pictures: Sequence[Picture]) -> tuple[str, ...]:
    said = {label.name for picture in pictures for label in picture.labels}
    return (*told, *sorted(said.difference(told)))


def _labels(values: dict[str, Any], kind: Kind) -> list[dict[str, Any]]:
    """The labels of one sample, each with its own values."""
    if kind in WHOLE_PICTURE:
        return [values] if values["label"] is not None or values.get("confidence") is not None else []
    columns = {key: value for key, value in values.items() if value}
    if "label" not in columns:
        return []
    return [dict(zip(columns, label, strict=True)) for label in zip(*columns.values(), strict=True)]


@dataclass
class _Reader:
    """Pictures read so far, and what of them could not be taken."""

    kind: Kind
    pictures: list[Picture] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    def take(self, values: dict[str, Any], labels: list[dict[str, Any]]) -> None:
        """Take one sample; what cannot be used of it becomes a problem."""
        path = Path(values["filepath"])
        item = values.get(ITEM) or path.name
        if item in self._seen:
            self.problems.append(Problem(item, "is in the dataset twice: the first is taken"))
            return
        try:
            size_wh = _size(values, path)
        except ShankhaError as error:
            self.problems.append(Problem.of(error, item))
            return
        self._seen.add(item)
        part = values.get(PART) or ""
        if part not in _PARTS:
            self.problems.append(Problem(item, f"is of a part {part!r} that is not known: it is taken as of none"))
            part = ""
        taken, tags = tuple(self._taken(labels, item, size_wh)), tuple(values.get("tags") or ())
        complete = values.get(COMPLETE) is not False or _gone_through(taken, tags)
        group = values.get(GROUP) or ""
        self.pictures.append(Picture(item, path, size_wh, taken, cast("Part", part), group, complete, tags))

    def _taken(self, labels: list[dict[str, Any]], item: str, size_wh: tuple[int, int]) -> Iterator[Label]:
        for values in labels:
            if not values["label"]:
                self.problems.append(Problem(item, "has a label without a class"))
                continue
            label = Label(values["label"], self._speaker(values, item), confidence=self._confidence(values, item))
            if self.kind in WHOLE_PICTURE:
                yield label
            elif (box := self._box(values, item, size_wh)) is not None:
                mask = _mask(values, box, size_wh)
                yield Label(label.name, label.by, box, mask, label.confidence, int(values.get(TRACK) or 0))

    def _speaker(self, values: dict[str, Any], item: str) -> Provenance:
        if not values.get(BY_KIND):
            return SOMEONE
        try:
            return Provenance(kind=values[BY_KIND], name=values.get(BY_NAME) or "", when=values.get(BY_WHEN) or "")
        except ValidationError:
            self.problems.append(Problem(item, "has a label of which it is not told rightly who made it"))
            return SOMEONE

    def _confidence(self, values: dict[str, Any], item: str) -> float | None:
        confidence = values.get("confidence")
        if confidence is None or (math.isfinite(confidence) and 0 <= confidence <= 1):
            return confidence
        self.problems.append(Problem(item, f"has a label of confidence {confidence}: it is taken without one"))
        return None

    def _box(self, values: dict[str, Any], item: str, size_wh: tuple[int, int]) -> NDArray[np.float32] | None:
        checked = BoxList(size_wh)
        left, top, width, height = values.get("bounding_box") or [math.nan] * 4
        xyxy = [left * size_wh[0], top * size_wh[1], (left + width) * size_wh[0], (top + height) * size_wh[1]]
        checked.add(item, 0, cast("tuple[float, float, float, float]", tuple(xyxy)))
        self.problems += checked.problems
        return checked.xyxy[0] if checked.boxes else None


def _gone_through(labels: Sequence[Label], tags: Sequence[str]) -> bool:
    """Whether a person has seen to the whole picture: accepted it, or said every one of its labels."""
    return ACCEPTED in tags or (bool(labels) and all(label.by.kind == "person" for label in labels))


def _size(values: dict[str, Any], path: Path) -> tuple[int, int]:
    width, height = values.get("metadata.width"), values.get("metadata.height")
    return (width, height) if width and height else image_size(path)


def _mask(values: dict[str, Any], xyxy: NDArray[np.float32], size_wh: tuple[int, int]) -> Mask | None:
    """The mask of a box, moved and stretched with it where a person moved the box."""
    pixels = values.get("mask")
    if pixels is None:
        return None
    left, top, right, bottom = (float(edge) for edge in xyxy)
    box = np.array([left, top, right - left, bottom - top])
    window = values.get(WINDOW) or [0.0] * 4
    x, y, width, height = (int(number) for number in np.rint(box + window))
    inside = np.asarray(pixels) > 0
    if inside.shape != (height, width):
        size = (max(1, width), max(1, height))
        inside = cv2.resize(inside.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    return fitted(_cut(Mask(x, y, inside), size_wh))


def _cut(mask: Mask, size_wh: tuple[int, int]) -> Mask:
    """What of a mask lies in a picture of that size."""
    left, top = max(mask.left, 0), max(mask.top, 0)
    rows = slice(top - mask.top, max(size_wh[1] - mask.top, 0))
    columns = slice(left - mask.left, max(size_wh[0] - mask.left, 0))
    return Mask(left, top, mask.inside[rows, columns])
