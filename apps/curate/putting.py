"""Labels that changed outside the App, put into a dataset: on record first, then carried out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from pydantic import BaseModel, ConfigDict

from apps.curate.database import connect, curate_folder
from apps.curate.fields import CORRECTED, ITEM, RELABEL, TRUTH
from apps.curate.samples import add_label_field, labels_document
from data.curation.collection import WHOLE_PICTURE, Kind, Label, Picture, Provenance
from data.curation.merging import Merged, Placed
from data.errors import FileAccessError
from data.journal import Journal
from data.rle import rle

if TYPE_CHECKING:
    import fiftyone as fo

RECORDS: Final = "imports"
_CLOSE: Final = 1e-3
_BATCH: Final = 500


@dataclass(frozen=True)
class Change:
    """A picture as it is known, and what its labels become."""

    picture: Picture
    merged: Merged


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RecordedLabel(_Strict):
    """A label on record; `mask` is COCO's run lengths."""

    name: str
    by: Provenance
    xyxy: tuple[float, float, float, float] | None = None
    mask: str | None = None
    confidence: float | None = None
    track: int = 0


class RecordedPicture(_Strict):
    """The labels of a picture before and after."""

    item: str
    before: tuple[RecordedLabel, ...]
    after: tuple[RecordedLabel, ...]


class Import(_Strict):
    """What one import changed: from which file, by whom."""

    source: str
    by: Provenance
    pictures: tuple[RecordedPicture, ...]


def put(dataset: fo.Dataset, changes: Sequence[Change], kind: Kind, source: str, by: Provenance) -> Path:
    """Make the labels of pictures what they became.

    Labels that stay keep their place in the database, with all that else is known of them. Pictures of which
    a label changed get the tag "corrected"; all of them lose "relabel".

    Args:
        dataset: Holds the pictures, by their id.
        changes: At most one a picture.
        kind: What the labels speak of.
        source: What the labels came from.
        by: Who made them.

    Returns:
        The file with the record.

    Raises:
        FileAccessError: The record cannot be written; nothing is changed then.
        InputError: A line of it is damaged; nothing is changed then.
    """
    path = curate_folder() / RECORDS / (re.sub(r"[^\w.-]+", "_", dataset.name) + ".jsonl")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        cure = "choose a folder that you may write to, with free space"
        raise FileAccessError(path, f"cannot be written ({error.strerror or error})", cure=cure) from error
    journal = Journal(path, Import, cure="move the file away: it only tells of past imports")
    journal.append(Import(source=source, by=by, pictures=tuple(_recorded(change) for change in changes)))
    add_label_field(dataset, kind, TRUTH)
    by_item = {change.picture.id: change for change in changes}
    ids = dict(zip(dataset.values(ITEM), dataset.values("id"), strict=True))
    wanted = [ids[item] for item in by_item]
    for start in range(0, len(wanted), _BATCH):
        for sample in dataset.select(wanted[start : start + _BATCH]).iter_samples(autosave=True):
            change = by_item[sample[ITEM]]
            sample[TRUTH] = _said(sample, change, kind)
            tags = [tag for tag in sample.tags if tag != RELABEL]
            sample.tags = [*tags, *([CORRECTED] if change.merged.counts and CORRECTED not in tags else [])]
    return path


def _recorded(change: Change) -> RecordedPicture:
    before = tuple(_label(label, change.picture.size_wh) for label in change.picture.labels)
    after = tuple(_label(placed.label, change.picture.size_wh) for placed in change.merged.labels)
    return RecordedPicture(item=change.picture.id, before=before, after=after)


def _label(label: Label, size_wh: tuple[int, int]) -> RecordedLabel:
    xyxy = None if label.xyxy is None else cast("tuple[float, float, float, float]", tuple(label.xyxy.tolist()))
    mask = None if label.mask is None else str(rle(label.mask, size_wh)["counts"])
    return RecordedLabel(
        name=label.name, by=label.by, xyxy=xyxy, mask=mask, confidence=label.confidence, track=label.track
    )


def _said(sample: fo.Sample, change: Change, kind: Kind) -> Any:
    """The field of labels as it is to be."""
    fiftyone = connect()
    labels = tuple(placed.label for placed in change.merged.labels)
    document = labels_document(labels, kind, change.picture.size_wh)
    if kind in WHOLE_PICTURE:
        return fiftyone.Classification.from_dict(document) if document else None
    made = fiftyone.Detections.from_dict(document)
    old = sample[TRUTH].detections if sample[TRUTH] is not None else []
    for number, placed in enumerate(change.merged.labels):
        before = _found(old, change.picture, placed)
        if before is None:
            continue
        if placed.fate == "kept":
            made.detections[number] = before
        else:
            made.detections[number].id = before.id
            made.detections[number].tags = before.tags
    return made


def _found(old: Sequence[Any], picture: Picture, placed: Placed) -> Any:
    """The box in the database that a label was."""
    if placed.was is None:
        return None
    label = picture.labels[placed.was]
    assert label.xyxy is not None  # noqa: S101 - boxes
    size = np.array([*picture.size_wh, *picture.size_wh])
    for box in old:
        left, top, width, height = box.bounding_box
        sides = np.array([left, top, left + width, top + height]) * size
        if box.label == label.name and np.abs(sides - label.xyxy).max() < _CLOSE * size.max():
            return box
    return None
