"""How right a field of predictions is, by the measures of `shankha evaluate`; what it is compared with is `TRUTH`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from apps.curate.answering import UNKNOWN_FISH
from data.curation.collection import Collection, Label, Picture
from data.detection_metrics import (
    DetectionScores,
    Judged,
    OperatingPoint,
    average_precision,
    judge,
    operating_point,
    score_detections,
)
from data.detections import Detections
from data.labels import NOT_A_DIGIT_NAME
from data.masks import Mask, nothing
from data.metrics import (
    Accuracy,
    ClassScores,
    accuracy_by_group,
    accuracy_of,
    class_scores,
    confusion_matrix,
    expected_calibration_error,
)
from data.readers.detectionset import FISH, FISH_NAMES, DetectionSet, PictureFiles

NONE_OF_THESE: Final = (NOT_A_DIGIT_NAME, UNKNOWN_FISH)
"""Answers that refuse to choose one of the classes."""
WORST_GROUPS: Final = 10
_LEAST_IN_GROUP: Final = 5
_MOST_SITES: Final = 40

Rows = tuple[NDArray[np.float32], tuple[str, ...]]
"""Probabilities (N, C) and the C classes."""


@dataclass(frozen=True)
class WholeScores:
    """How often what is said of pictures as a whole is right.

    Attributes:
        accuracy: Of what was said, an answer in `NONE_OF_THESE` being one like any other.
        forced: Of the likeliest class but those, in pictures of such a class, as `shankha evaluate` counts; None where
            probabilities are not kept.
        names: What `confusion` (C, C; true, said) counts into: the classes that occur.
        classes: Recall and precision of each.
        ece: Calibration error of the confidences; NaN without confidences.
        parts: Accuracy by part of the dataset, where there is more than one.
        groups: Accuracy of the groups that fare worst; `WORST_GROUPS` at most, of five pictures or more.
    """

    accuracy: Accuracy
    forced: Accuracy | None
    names: tuple[str, ...]
    confusion: NDArray[np.integer]
    classes: ClassScores
    ece: float
    parts: dict[str, Accuracy]
    groups: dict[str, Accuracy]

    @property
    def macro(self) -> float:
        """Mean recall of the classes that occur in truth."""
        return float(np.nanmean(self.classes.recall)) if len(self.names) else math.nan


@dataclass(frozen=True)
class BoxScores:
    """How well objects are found.

    Attributes:
        scores: COCO's metrics, of all, by size, and by group where there are from two to forty of them.
        point: Right, wrong and missed from the model's threshold up, in pictures in which everything is labelled, if
            there are any; None where it has no threshold.
        ece: Calibration error of the confidences, in the same pictures.
        classes: Average precision at IoU 0.5 of each class.
        parts: COCO's metrics by part of the dataset, where there is more than one.
        partly: Pictures in which not everything is labelled: what is right of the rest counts as wrong in them.
        masks: Whether masks were compared, not boxes.
    """

    scores: DetectionScores
    point: OperatingPoint | None
    ece: float
    classes: dict[str, float]
    parts: dict[str, DetectionScores]
    partly: int
    masks: bool


def score_whole(truth: Collection, said: Collection, rows: Rows | None) -> WholeScores:
    """Compare what was said of N pictures with what is held to be right; every picture has both.

    Args:
        truth: N pictures.
        said: The same pictures, in the same order.
        rows: Probabilities of the N pictures, where they are kept.
    """
    right_names = [picture.labels[0].name for picture in truth.pictures]
    labels = [picture.labels[0] for picture in said.pictures]
    occurring = {*right_names, *(label.name for label in labels)}
    names = tuple(name for name in dict.fromkeys((*truth.names, *said.names)) if name in occurring)
    place = {name: number for number, name in enumerate(names)}
    true = np.array([place[name] for name in right_names], np.int64)
    read = np.array([place[label.name] for label in labels], np.int64)
    right = true == read
    confusion = confusion_matrix(true, read, len(names))
    return WholeScores(
        accuracy=accuracy_of(right),
        forced=None if rows is None else _forced(right_names, rows),
        names=names,
        confusion=confusion,
        classes=class_scores(confusion),
        ece=_calibration(labels, right),
        parts=_parts(accuracy_by_group(right, [picture.part for picture in truth.pictures])),
        groups=_worst(accuracy_by_group(right, [picture.group for picture in truth.pictures])),
    )


def _forced(right_names: Sequence[str], rows: Rows) -> Accuracy | None:
    probabilities, classes = rows
    chosen = [number for number, name in enumerate(classes) if name not in NONE_OF_THESE]
    names = np.array([classes[number] for number in chosen])
    counted = np.isin(right_names, names)
    if not np.isfinite(probabilities[counted]).all():
        return None
    return accuracy_of(names[probabilities[counted][:, chosen].argmax(axis=1)] == np.array(right_names)[counted])


def _calibration(labels: Sequence[Label], right: NDArray[np.bool_]) -> float:
    told = np.array([label.confidence is not None for label in labels], np.bool_)
    sure = np.array([label.confidence for label in labels if label.confidence is not None], np.float64)
    return expected_calibration_error(sure, right[told]) if told.any() else math.nan


def _parts(parts: Mapping[str, Accuracy]) -> dict[str, Accuracy]:
    return {name: one for name, one in parts.items() if name} if len(parts) > 1 else {}


def _worst(groups: Mapping[str, Accuracy]) -> dict[str, Accuracy]:
    large = {name: one for name, one in groups.items() if name and one.total >= _LEAST_IN_GROUP}
    order = sorted(large, key=lambda name: (large[name].share, -large[name].total, name))
    return {name: large[name] for name in order[:WORST_GROUPS]} if len(large) > 1 else {}


@dataclass(frozen=True)
class Faced:
    """What was found in N pictures, face to face with what is held to be right, both in the model's classes.

    Attributes:
        right: The N pictures with their objects.
        found: What was found in each, the surest first.
        masks: Of what was found, where masks are compared.
        right_labels: For each object of each picture its place among the picture's labels.
        found_labels: The same of what was found.
    """

    right: DetectionSet
    found: list[Detections]
    masks: list[tuple[Mask, ...]] | None
    right_labels: list[list[int]]
    found_labels: list[list[int]]

    def select(self, chosen: NDArray[np.int64]) -> Faced:
        """The chosen pictures."""
        return Faced(
            self.right.select(chosen),
            [self.found[i] for i in chosen],
            None if self.masks is None else [self.masks[i] for i in chosen],
            [self.right_labels[i] for i in chosen],
            [self.found_labels[i] for i in chosen],
        )

    def judge(self) -> Judged:
        """Which of what was found is right."""
        return judge(self.right, self.found, masks=self.masks)

    def score(self) -> DetectionScores:
        """COCO's metrics."""
        return score_detections(self.right, self.found, self.masks)


def face(truth: Collection, said: Collection, classes: Sequence[str], *, masks: bool = False) -> Faced:
    """Put what was found in N pictures against what is held to be right.

    Args:
        truth: N pictures.
        said: The same pictures, in the same order; all labels have confidences.
        classes: What the model can find. One that finds "fish" is compared with all classes that are fish.
        masks: Compare masks, not boxes; a labelled object without one is taken for its box.
    """
    mapping = class_mapping(truth.names, classes)
    rows = [[n for n, label in enumerate(one.labels) if label.name in mapping] for one in truth.pictures]
    theirs = [_surest_first(one, classes) for one in said.pictures]
    own = [[one.labels[n] for n in row] for one, row in zip(said.pictures, theirs, strict=True)]
    right = [[one.labels[n] for n in row] for one, row in zip(truth.pictures, rows, strict=True)]
    return Faced(
        _detection_set(truth, right, tuple(classes), mapping, masks=masks),
        [_found(labels, classes) for labels in own],
        [tuple(nothing() if one.mask is None else one.mask for one in labels) for labels in own] if masks else None,
        rows,
        theirs,
    )


def score_boxes(truth: Collection, faced: Faced, threshold: float | None) -> BoxScores:
    """Score what was found in N pictures.

    Args:
        truth: N pictures, as they were faced.
        faced: See `face`.
        threshold: The confidence from which a box counts.
    """
    judged, told = faced.judge(), np.flatnonzero(faced.right.exhaustive)
    sound = faced.select(told).judge() if 0 < len(told) < len(truth) else judged
    part_of = np.array([picture.part for picture in truth.pictures], np.str_)
    parts = [str(part) for part in np.unique(part_of) if part] if len(set(part_of.tolist())) > 1 else []
    return BoxScores(
        scores=faced.score(),
        point=None if threshold is None else operating_point(sound, threshold),
        ece=expected_calibration_error(sound.scores, sound.right),
        classes={
            name: average_precision(judged.right[judged.labels == number], int(judged.truth[:, number].sum()))
            for number, name in enumerate(faced.right.names)
        },
        parts={part: faced.select(np.flatnonzero(part_of == part)).score() for part in parts},
        partly=len(truth) - len(told),
        masks=faced.masks is not None,
    )


def class_mapping(truth: Sequence[str], classes: Sequence[str]) -> dict[str, str]:
    """What each class of the truth is to a model of those classes; those that it does not know are left out."""
    if tuple(classes) == (FISH,):
        return {name: FISH for name in truth if name.lower() in FISH_NAMES}
    known = {name.lower(): name for name in classes}
    return {name: known[name.lower()] for name in truth if name.lower() in known}


def _detection_set(
    collection: Collection,
    rows: Sequence[Sequence[Label]],
    names: tuple[str, ...],
    mapping: Mapping[str, str],
    *,
    masks: bool,
) -> DetectionSet:
    pictures = collection.pictures
    sited = len({one.group for one in pictures}) <= _MOST_SITES
    return DetectionSet(
        collection.name,
        names,
        ids=np.array([one.id for one in pictures], np.str_),
        sites=np.array([one.group if sited else "" for one in pictures], np.str_),
        clips=np.array([one.group or one.id for one in pictures], np.str_),
        exhaustive=np.array([one.complete for one in pictures], np.bool_),
        sizes_wh=np.array([one.size_wh for one in pictures], np.int64).reshape(-1, 2),
        xyxy=tuple(_stacked(row) for row in rows),
        labels=tuple(np.array([names.index(mapping[label.name]) for label in row], np.int64) for row in rows),
        places=np.arange(len(pictures)),
        images=PictureFiles([one.path for one in pictures]),
        masks=tuple(tuple(label.mask for label in row) for row in rows) if masks else None,
    )


def _stacked(labels: Sequence[Label]) -> NDArray[np.float32]:
    return np.array([label.xyxy for label in labels], np.float32).reshape(-1, 4)


def _surest_first(picture: Picture, classes: Sequence[str]) -> list[int]:
    found = [number for number, label in enumerate(picture.labels) if label.name in classes]
    return sorted(found, key=lambda number: -(picture.labels[number].confidence or 0.0))


def _found(labels: Sequence[Label], classes: Sequence[str]) -> Detections:
    return Detections(
        _stacked(labels),
        np.array([label.confidence or 0.0 for label in labels], np.float32),
        np.array([list(classes).index(label.name) for label in labels], np.int64),
    )
