"""Collections into FiftyOne: one sample a picture, with the field names of `fields`. `reading` takes them out again."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from apps.curate.database import connect
from apps.curate.fields import (
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
from apps.curate.reading import collection_of
from data.curation.collection import WHOLE_PICTURE, Collection, Kind, Label, Picture
from data.errors import ArgumentError
from data.masks import Mask

if TYPE_CHECKING:
    import fiftyone as fo

__all__ = ["Tick", "add_label_field", "add_pictures", "collection_of", "dataset_of"]

Tick = Callable[[int, int], None]
"""Hears how many of how many pictures are done."""

BATCH: Final = 2_000
"""Pictures that are sent to the database at once."""
_SAID: Final = (BY_KIND, BY_NAME, BY_WHEN)

Document = dict[str, Any]
"""A sample, or a part of one, as the database keeps it."""


def dataset_of(collection: Collection, name: str, *, field: str = TRUTH, tick: Tick | None = None) -> fo.Dataset:
    """Put a collection into FiftyOne as a persistent dataset.

    Args:
        collection: Its problems are not kept.
        name: Of the dataset.
        field: Where the labels go: `TRUTH`, or a field of predictions.
        tick: Hears of the progress.

    Raises:
        ArgumentError: There is a dataset of that name.
        ValueError: A label of a picture as a whole has a box, or one within a picture has none.
    """
    fiftyone = connect()
    if fiftyone.dataset_exists(name):
        cure = "choose another one with --name"
        raise ArgumentError("--name", f"there is a dataset {name!r} already", cure=cure)
    dataset = fiftyone.Dataset(name, persistent=True)
    dataset.media_type = "image"
    dataset.info[INFO] = {"kind": collection.kind, "names": list(collection.names), "collection": collection.name}
    dataset.default_classes = list(collection.names)
    for key in (ITEM, PART, GROUP):
        dataset.add_sample_field(key, fiftyone.StringField)
    dataset.add_sample_field(COMPLETE, fiftyone.BooleanField)
    add_label_field(dataset, collection.kind, field)
    dataset.create_index(ITEM)
    dataset.save()
    add_pictures(dataset, collection, field=field, tick=tick)
    return dataset


def add_label_field(dataset: fo.Dataset, kind: Kind, field: str) -> None:
    """Declare a field for labels of a kind with all that our labels say; it is left as it is where it exists."""
    fiftyone = connect()
    if dataset.has_field(field):
        return
    whole = kind in WHOLE_PICTURE
    document = fiftyone.Classification if whole else fiftyone.Detections
    dataset.add_sample_field(field, fiftyone.EmbeddedDocumentField, embedded_doc_type=document)
    inside = field if whole else f"{field}.detections"
    for key in _SAID:
        dataset.add_sample_field(f"{inside}.{key}", fiftyone.StringField)
    if not whole:
        dataset.add_sample_field(f"{inside}.{TRACK}", fiftyone.IntField)
        dataset.add_sample_field(f"{inside}.{WINDOW}", fiftyone.ListField, subfield=fiftyone.FloatField)


def add_pictures(dataset: fo.Dataset, collection: Collection, *, field: str = TRUTH, tick: Tick | None = None) -> None:
    """Add the collection's pictures to a dataset of its kind, some thousands at a time.

    The documents are those that `Dataset.add_samples` writes (a test compares them), ten times as fast.
    """
    for start in range(0, len(collection), BATCH):
        pictures = collection.pictures[start : start + BATCH]
        made = datetime.now(UTC)
        documents = [_sample(picture, collection.kind, field, made) for picture in pictures]
        for document in documents:
            document["_dataset_id"] = dataset._doc.id
        dataset._sample_collection.insert_many(documents)
        if tick:
            tick(start + len(pictures), len(collection))
    dataset.reload()


def _sample(picture: Picture, kind: Kind, field: str, made: datetime) -> Document:
    width, height = picture.size_wh
    document: Document = {
        "filepath": str(picture.path.absolute()),
        "tags": list(picture.tags),
        "metadata": {"_cls": "ImageMetadata", "width": width, "height": height},
        "_media_type": "image",
        "_rand": random.random(),
        ITEM: picture.id,
        PART: picture.part,
        GROUP: picture.group,
        COMPLETE: picture.complete,
        "created_at": made,
        "last_modified_at": made,
    }
    said = labels_document(picture.labels, kind, picture.size_wh)
    return document if said is None else document | {field: said}


def labels_document(labels: Sequence[Label], kind: Kind, size_wh: tuple[int, int]) -> Document | None:
    """What a field of labels holds for a picture of that size; None where nothing was said of it as a whole.

    Raises:
        ValueError: A label of a picture as a whole has a box, or one within a picture has none.
    """
    if kind in WHOLE_PICTURE:
        return _whole(labels[0]) if labels else None
    return {"_cls": "Detections", "detections": [_within(label, size_wh) for label in labels]}


def _whole(label: Label) -> Document:
    if label.xyxy is not None:
        raise ValueError(f"a box around {label.name!r}, where labels speak of the whole picture")
    return {**_identity("Classification"), **_said(label)}


def _within(label: Label, size_wh: tuple[int, int]) -> Document:
    if label.xyxy is None:
        raise ValueError(f"no box around {label.name!r}, where labels speak of things in the picture")
    width, height = size_wh
    left, top, right, bottom = (float(edge) for edge in label.xyxy)
    document = {**_identity("Detection"), "attributes": {}, **_said(label)}
    document["bounding_box"] = [left / width, top / height, (right - left) / width, (bottom - top) / height]
    if label.track:
        document[TRACK] = label.track
    return document | (_outline(label.mask, label.xyxy) if label.mask is not None else {})


def _outline(mask: Mask, xyxy: NDArray[np.float32]) -> Document:
    from fiftyone.core.utils import serialize_numpy_array

    left, top, right, bottom = (float(edge) for edge in xyxy)
    height, width = mask.inside.shape
    window = [mask.left - left, mask.top - top, width - (right - left), height - (bottom - top)]
    return {"mask": serialize_numpy_array(mask.inside), WINDOW: window}


def _identity(kind: str) -> Document:
    from bson import ObjectId

    return {"_id": ObjectId(), "_cls": kind, "tags": []}


def _said(label: Label) -> Document:
    """What a label says, and who said it."""
    said: Document = {"label": label.name}
    if label.confidence is not None:
        said["confidence"] = float(label.confidence)
    return said | {BY_KIND: label.by.kind, BY_NAME: label.by.name, BY_WHEN: label.by.when}
