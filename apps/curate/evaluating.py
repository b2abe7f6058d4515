"""Comparing fields of predictions with what is held to be right, for people: in FiftyOne's App, and as tables.

FiftyOne keeps an evaluation under a key: `<field>_right` for pictures as a whole (a field of the same name says of
each picture whether it is right), `<field>_coco` for COCO's mean average precision of everything that was found, and
`<field>_counted` for what counts as found, from the model's threshold up: right, wrong and missed objects are marked.
`score_tables` prints the numbers of `shankha evaluate`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from apps.curate.coco_runs import keep_run
from apps.curate.fields import MODELS, TRUTH
from apps.curate.predicting import field_probabilities
from apps.curate.reading import collection_of
from apps.curate.scoring import BoxScores, Faced, WholeScores, face, score_boxes, score_whole
from data.curation.collection import WHOLE_PICTURE, Collection, Picture
from data.errors import InputError

if TYPE_CHECKING:
    import fiftyone as fo


@dataclass(frozen=True)
class Evaluated:
    """What came of comparing a field of predictions with the truth.

    Attributes:
        field: Of predictions.
        keys: Of FiftyOne's evaluations.
        pictures: How many were compared.
        scores: By the measures of `shankha evaluate`.
        outlines: The same of masks, where there are some on both sides.
        coco_map: FiftyOne's own mean average precision over IoU 0.5 to 0.95, of masks where there are some; None for
            pictures as a whole.
    """

    field: str
    keys: tuple[str, ...]
    pictures: int
    scores: WholeScores | BoxScores
    outlines: BoxScores | None = None
    coco_map: float | None = None


def evaluate(samples: fo.Dataset | fo.DatasetView, field: str) -> Evaluated:
    """Compare predictions with `TRUTH` in all pictures that have both, and keep it in FiftyOne for the App.

    An earlier evaluation of the field is replaced.

    Raises:
        InputError: There is no such field of predictions, or no picture has both.
    """
    for name in (TRUTH, field):
        if not samples.has_field(name):
            raise InputError(samples._root_dataset.name, f"has no field {name!r}", expected="labels and predictions")
    both = samples.exists(TRUTH).exists(field)
    truth, said = collection_of(both, TRUTH), collection_of(both, field)
    both, truth, said = _readable(both, truth, said)
    if not len(truth):
        expected = "a prediction for a labelled picture"
        raise InputError(samples._root_dataset.name, f"nothing to compare {field!r} with", expected=expected)
    if truth.kind in WHOLE_PICTURE:
        return _evaluate_whole(both, field, truth, said)
    return _evaluate_boxes(both, field, truth, said)


def _readable(
    both: fo.DatasetView, truth: Collection, said: Collection
) -> tuple[fo.DatasetView, Collection, Collection]:
    """The same without pictures that could not be taken out of one of them."""
    known = {picture.id for picture in truth.pictures if picture.labels or truth.kind not in WHOLE_PICTURE}
    known &= {picture.id for picture in said.pictures if picture.labels or truth.kind not in WHOLE_PICTURE}
    chosen = [[place for place, one in enumerate(side.pictures) if one.id in known] for side in (truth, said)]
    if len(known) < len(both):
        files = {str(truth.pictures[place].path.absolute()) for place in chosen[0]}
        ids = [one for one, path in zip(*both.values(["id", "filepath"]), strict=True) if path in files]
        both = both.select(ids)
    return both, truth.select(chosen[0]), said.select(chosen[1])


def _evaluate_whole(both: fo.DatasetView, field: str, truth: Collection, said: Collection) -> Evaluated:
    rows = field_probabilities(both, field)
    scores = score_whole(truth, said, rows)
    key = f"{field}_right"
    dataset = both._root_dataset
    if key in dataset.list_evaluations():
        dataset.delete_evaluation(key)
    both.evaluate_classifications(
        field, gt_field=TRUTH, eval_key=key, classes=list(scores.names), method="simple", progress=False
    )
    return Evaluated(field, (key,), len(truth), scores)


def _evaluate_boxes(both: fo.DatasetView, field: str, truth: Collection, said: Collection) -> Evaluated:
    told = (both._root_dataset.info.get(MODELS) or {}).get(field) or {}
    classes = tuple(told.get("classes") or said.names)
    threshold = told.get("threshold")
    boxes = face(truth, said, classes)
    outlines = face(truth, said, classes, masks=True) if _outlined(truth) and _outlined(said) else None
    sides = _in_database(both, TRUTH, truth), _in_database(both, field, said)
    ids = sides[0][0], sides[1][0]
    shown = _with_places(boxes if outlines is None else outlines, sides)
    keys = [f"{field}_coco"]
    results = keep_run(both, field, shown, ids, keys[0])
    if threshold is not None:
        keys.append(f"{field}_counted")
        keep_run(both, field, shown, ids, keys[1], threshold)
    return Evaluated(
        field,
        tuple(keys),
        len(truth),
        score_boxes(truth, boxes, threshold),
        None if outlines is None else score_boxes(truth, outlines, threshold),
        float(results.mAP()),
    )


def _outlined(collection: Collection) -> bool:
    return any(label.mask is not None for picture in collection.pictures for label in picture.labels)


def _with_places(faced: Faced, sides: Sequence[tuple[list[list[str]], list[list[int]]]]) -> Faced:
    """The same, its labels numbered as the database has them."""
    moved = [
        [[places[n] for n in row] for row, places in zip(rows, side[1], strict=True)]
        for rows, side in zip((faced.right_labels, faced.found_labels), sides, strict=True)
    ]
    return replace(faced, right_labels=moved[0], found_labels=moved[1])


def _in_database(both: fo.DatasetView, field: str, said: Collection) -> tuple[list[list[str]], list[list[int]]]:
    """For each sample the ids of its labels, and where among them are those that were taken out."""
    inside = f"{field}.detections"
    ids, names, boxes = both.values([f"{inside}.id", f"{inside}.label", f"{inside}.bounding_box"])
    rows = zip(ids, names, boxes, said.pictures, strict=True)
    return [one or [] for one in ids], [
        _places(own or [], called or [], placed or [], one) for own, called, placed, one in rows
    ]


def _places(ids: list[str], names: list[str], boxes: list[list[float]], picture: Picture) -> list[int]:
    """Labels are taken out in their order, but for those that make no sense."""
    if len(ids) == len(picture.labels):
        return list(range(len(ids)))
    width, height = picture.size_wh
    places: list[int] = []
    waiting = iter(range(len(ids)))
    for label in picture.labels:
        for place in waiting:
            left, top, across, down = boxes[place] or [math.nan] * 4
            middle = np.array([(left + across / 2) * width, (top + down / 2) * height])
            xyxy = np.asarray(label.xyxy)
            if names[place] == label.name and (xyxy[:2] - 1 <= middle).all() and (middle <= xyxy[2:] + 1).all():
                places.append(place)
                break
    return places
