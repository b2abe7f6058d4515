"""Holding all boxes of a dataset against what a model found, and writing down what speaks against them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from apps.curate.database import connect
from apps.curate.doubt import BoxDoubts, doubt_boxes
from apps.curate.fields import COMPLETE, DOUBT, FAULT, MODELS, SUGGESTED
from apps.curate.scoring import class_mapping
from data.boxes import from_xywh
from data.detections import Detections

if TYPE_CHECKING:
    import fiftyone as fo

MISSED: Final = "missed"
_UNSURE: Final = 0.5
"""The least score of a model that says of no threshold."""


def doubt_all_boxes(dataset: fo.Dataset, truth: str, field: str) -> tuple[list[float | None], list[float | None]]:
    """Doubt the boxes of a field by the predictions of another, box by box.

    Each box gets its doubt, its fault and the class that is suggested; each predicted one that no box is there for is
    called missed, unless its picture is not wholly labelled. Boxes of classes that the model does not know are not
    doubted.

    Returns:
        (N,) the greatest doubt in each picture, missed ones among them, and (N,) how unsure the model was of what it
        was least sure of there, 0 to 1; None for a picture that it was not asked about.
    """
    ids, boxes, labels = dataset.values(["id", f"{truth}.detections.bounding_box", f"{truth}.detections.label"])
    parts = [f"{field}.detections.{key}" for key in ("bounding_box", "label", "confidence")]
    found = list(zip(*dataset.values(parts), strict=True))
    whole = dataset.values(COMPLETE) if dataset.has_field(COMPLETE) else [True] * len(ids)
    model = (dataset.info.get(MODELS) or {}).get(field) or {}
    classes = model.get("classes") or sorted({name for _, names, _ in found for name in names or ()})
    mapping = class_mapping(sorted({name for names in labels for name in names or ()}), classes)
    least = model.get("threshold") or _UNSURE
    doubts: list[float | None] = []
    unsure: list[float | None] = []
    changes: list[dict[str, Any]] = []
    for own_boxes, own_labels, said, complete in zip(boxes, labels, found, whole, strict=True):
        if said[0] is None:
            doubts.append(None)
            unsure.append(None)
            changes.append({})
            continue
        predicted = _predictions(said[0], said[1], said[2], classes)
        told, known = _told(own_boxes or [], own_labels or [], predicted, classes, mapping, least)
        missed = told.missed if complete is not False else told.missed[:0]
        doubts.append(float(np.concatenate([told.doubt, predicted.scores[missed]]).max(initial=0.0)))
        unsure.append(float((1 - np.abs(2 * predicted.scores - 1)).max(initial=0.0)))
        names = [mapping[name] for name in own_labels or [] if name in mapping]
        own = _of_boxes(truth, told, known, [said[1][i] if i >= 0 else None for i in told.suggested], names)
        changes.append(own | _of_predictions(field, len(predicted), missed))
    _write(dataset, truth, field, ids, changes)
    return doubts, unsure


def _predictions(
    boxes: Sequence[Sequence[float]], labels: Sequence[str], scores: Sequence[float | None], classes: Sequence[str]
) -> Detections:
    """As the database has them: boxes in shares of the picture, which have the same overlaps as in pixels."""
    number = {name: index for index, name in enumerate(classes)}
    return Detections(
        from_xywh(np.array(boxes, np.float64).reshape(-1, 4)),
        np.nan_to_num(np.array([score or 0.0 for score in scores], np.float32)),
        np.array([number.get(label, -1) for label in labels], np.int64),
    )


def _told(
    boxes: Sequence[Sequence[float]],
    labels: Sequence[str],
    predicted: Detections,
    classes: Sequence[str],
    mapping: Mapping[str, str],
    least: float,
) -> tuple[BoxDoubts, NDArray[np.int64]]:
    """What speaks against the boxes of known classes, and which of the picture's boxes they are."""
    known = np.array([place for place, label in enumerate(labels) if label in mapping], np.int64)
    xyxy = from_xywh(np.array(boxes, np.float64).reshape(-1, 4)[known])
    numbers = np.array([list(classes).index(mapping[labels[place]]) for place in known], np.int64)
    return doubt_boxes(xyxy, numbers, predicted, least), known


def _of_boxes(
    truth: str, told: BoxDoubts, known: NDArray[np.int64], suggested: Sequence[str | None], names: Sequence[str]
) -> dict[str, Any]:
    """What to write into a picture's boxes; a class is suggested only where it is another one."""
    values: dict[str, Any] = {}
    rows = zip(known, told.doubt, told.faults, suggested, names, strict=True)
    for place, doubt, fault, other, name in rows:
        inside = f"{truth}.detections.{place}"
        values |= {f"{inside}.{DOUBT}": float(doubt), f"{inside}.{FAULT}": fault or None}
        values[f"{inside}.{SUGGESTED}"] = other if other != name else None
    return values


def _of_predictions(field: str, count: int, missed: NDArray[np.int64]) -> dict[str, Any]:
    lacking = set(missed.tolist())
    return {f"{field}.detections.{place}.{FAULT}": MISSED if place in lacking else None for place in range(count)}


def _write(dataset: fo.Dataset, truth: str, field: str, ids: Sequence[str], changes: list[dict[str, Any]]) -> None:
    from bson import ObjectId
    from pymongo import UpdateOne

    fiftyone = connect()
    text, number = fiftyone.StringField, fiftyone.FloatField
    wanted = [(truth, DOUBT, number), (truth, FAULT, text), (truth, SUGGESTED, text), (field, FAULT, text)]
    for inside, key, kind in wanted:
        if not dataset.has_field(f"{inside}.detections.{key}"):
            dataset.add_sample_field(f"{inside}.detections.{key}", kind)
    updates = [UpdateOne({"_id": ObjectId(sample)}, {"$set": c}) for sample, c in zip(ids, changes, strict=True) if c]
    if updates:
        dataset._bulk_write(updates)
