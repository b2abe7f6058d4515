"""Scores of digit readings against their labels: computed, as JSON, and as a table. Keys: docs/evaluate.md."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from data.labels import DIGIT_CLASSES, NOT_A_DIGIT
from data.metrics import (
    CALIBRATION_BINS,
    Accuracy,
    ClassScores,
    Coverage,
    Ints,
    accuracy_by_group,
    accuracy_of,
    class_scores,
    confusion_matrix,
    coverage,
    expected_calibration_error,
    softmax,
    unweighted_mean,
)
from data.readers import DigitSet, Problem
from deploy.runtime.artifact import Artifact
from deploy.runtime.digits import DigitReadings
from deploy.runtime.spec import MODEL_FILE, DigitSpec

MISTAKES: Final = 20
_SHOWN_PROBLEMS: Final = 10
_SHOWN_CONFUSIONS: Final = 3


@dataclass(frozen=True)
class Mistake:
    """A picture whose digit was read wrong: class names, and the calibrated confidence of what was read."""

    file: str
    true: str
    read: str
    confidence: float
    accepted: bool


@dataclass(frozen=True)
class NonDigits:
    """How pictures that are no digits fared, and how many digits were taken for none.

    `called` were said to be none, `rejected` were kept from being accepted, for that or for low confidence.
    """

    examples: int
    called: int
    rejected: int
    digits_called: int


@dataclass(frozen=True)
class DigitScores:
    """Everything that is known about one artifact on one dataset.

    Accuracy, classes, confusion (10, 10), calibration and sources count pictures of digits, each a forced choice among
    ten. `review` counts all pictures; one that is no digit counts as right where it was said to be none.
    """

    data: str
    accuracy: Accuracy
    classes: ClassScores
    confusion: Ints
    ece: float
    ece_uncalibrated: float
    review: Coverage
    non_digits: NonDigits
    sources: dict[str, Accuracy]
    mistakes: tuple[Mistake, ...]
    problems: tuple[Problem, ...]
    left_out: tuple[Problem, ...]
    seconds: float


def score(digits: DigitSet, readings: DigitReadings, problems: tuple[Problem, ...], seconds: float) -> DigitScores:
    """Compare readings (N) with the set's labels (N)."""
    labels = digits.labels
    digit = labels != NOT_A_DIGIT
    right = readings.values == labels
    confusion = confusion_matrix(labels[digit], readings.values[digit], NOT_A_DIGIT)
    plain = np.take_along_axis(softmax(readings.logits), readings.values[:, None], axis=1)[:, 0]
    return DigitScores(
        data=digits.name,
        accuracy=accuracy_of(right[digit]),
        classes=class_scores(confusion),
        confusion=confusion,
        ece=expected_calibration_error(readings.confidences[digit], right[digit]),
        ece_uncalibrated=expected_calibration_error(plain[digit], right[digit]),
        review=coverage(np.where(digit, right, readings.not_a_digit), readings.accepted),
        non_digits=NonDigits(
            examples=int(np.count_nonzero(~digit)),
            called=int(np.count_nonzero(readings.not_a_digit & ~digit)),
            rejected=int(np.count_nonzero(~readings.accepted & ~digit)),
            digits_called=int(np.count_nonzero(readings.not_a_digit & digit)),
        ),
        sources=accuracy_by_group(right[digit], digits.sources[digit].tolist()),
        mistakes=_worst(digits, readings),
        problems=problems,
        left_out=digits.left_out,
        seconds=seconds,
    )


def _worst(digits: DigitSet, readings: DigitReadings) -> tuple[Mistake, ...]:
    """The surest wrong readings, accepted ones first."""
    labels = digits.labels
    false_digit = (labels == NOT_A_DIGIT) & readings.accepted
    wrong = np.flatnonzero(((labels != NOT_A_DIGIT) & (readings.values != labels)) | false_digit)
    order = wrong[np.lexsort((-readings.confidences[wrong], ~readings.accepted[wrong]))]
    return tuple(
        Mistake(
            file=str(digits.names[i]),
            true=DIGIT_CLASSES[labels[i]],
            read=DIGIT_CLASSES[readings.values[i]],
            confidence=round(float(readings.confidences[i]), 4),
            accepted=bool(readings.accepted[i]),
        )
        for i in order[:MISTAKES]
    )


def scores_json(scores: DigitScores, artifact: Artifact[DigitSpec]) -> dict[str, Any]:
    """The scores as docs/evaluate.md describes them; null where there is nothing to divide by."""
    spec, count = artifact.spec, scores.review.total
    return {
        "artifact": {
            "name": spec.name,
            "network": spec.network,
            "precision": spec.precision,
            "temperature": spec.temperature,
            "accept_threshold": spec.accept_threshold,
            "sha256": spec.files[MODEL_FILE],
        },
        "data": scores.data,
        "examples": count,
        "unreadable": len(scores.problems),
        "left_out": len(scores.left_out),
        **_accuracy_json(scores.accuracy),
        "classes": _classes_json(scores),
        "confusion": scores.confusion.tolist(),
        "calibration": {
            "bins": CALIBRATION_BINS,
            "ece": _number(scores.ece),
            "ece_uncalibrated": _number(scores.ece_uncalibrated),
        },
        "review": _review_json(scores.review),
        "not_a_digit": {**asdict(scores.non_digits), "rejected_share": _number(_rejected_share(scores))},
        "sources": {name: _accuracy_json(one) for name, one in scores.sources.items()},
        "sources_mean": _number(unweighted_mean(scores.sources)),
        "mistakes": [asdict(mistake) for mistake in scores.mistakes],
        "unreadable_files": [{"file": one.name, "why": one.why} for one in scores.problems],
        "left_out_files": [{"file": one.name, "why": one.why} for one in scores.left_out],
        "seconds": round(scores.seconds, 3),
        "images_per_second": round(count / scores.seconds, 1) if scores.seconds else None,
    }


def _accuracy_json(accuracy: Accuracy) -> dict[str, Any]:
    return {
        "accuracy": _number(accuracy.share),
        "interval": [accuracy.low, accuracy.high],
        "right": accuracy.right,
        "n": accuracy.total,
    }


def _classes_json(scores: DigitScores) -> dict[str, dict[str, float | int | None]]:
    parts = scores.classes
    return {
        DIGIT_CLASSES[c]: {
            "support": int(parts.support[c]),
            "recall": _number(float(parts.recall[c])),
            "precision": _number(float(parts.precision[c])),
        }
        for c in range(NOT_A_DIGIT)
    }


def _review_json(review: Coverage) -> dict[str, float | int | None]:
    return {
        **asdict(review),
        "effort": _number(review.effort),
        "error": _number(review.error),
        "accepted_share": _number(1 - review.effort),
        "accepted_accuracy": _number(review.accepted_accuracy),
    }


def _rejected_share(scores: DigitScores) -> float:
    none = scores.non_digits
    return none.rejected / none.examples if none.examples else math.nan


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def scores_table(scores: DigitScores) -> Group:
    """The scores for a terminal."""
    parts: list[Table | Text] = [_overview(scores), _class_table(scores)]
    if len(scores.sources) > 1:
        parts.append(_source_table(scores))
    parts += [Text(line) for line in _problem_lines(scores)]
    return Group(*parts)


def _overview(scores: DigitScores) -> Table:
    accuracy, review, none = scores.accuracy, scores.review, scores.non_digits
    table = Table("", "", title=Text(scores.data), title_justify="left", show_header=False)
    table.add_row("accuracy", f"{_interval(accuracy)}, {accuracy.right:,} of {accuracy.total:,} digits")
    table.add_row("calibration error", f"{scores.ece:.4f} ({scores.ece_uncalibrated:.4f} without temperature)")
    right = review.accepted_accuracy
    table.add_row("accepted", f"{1 - review.effort:.2%} of {review.total:,}, {right:.2%} of them right")
    table.add_row("to review", f"{review.effort:.2%}: {review.reviewed_wrong:,} wrong, {review.reviewed_right:,} right")
    table.add_row("wrong and accepted", f"{review.error:.2%}: {review.accepted_wrong:,}")
    if none.examples:
        table.add_row("not a digit", f"{none.rejected:,} of {none.examples:,} rejected, {none.called:,} recognised")
    if none.digits_called:
        table.add_row("digits taken for none", f"{none.digits_called:,}")
    table.add_row("unreadable", f"{len(scores.problems):,}")
    table.add_row("left out", f"{len(scores.left_out):,}")
    table.add_row("speed", f"{review.total / max(scores.seconds, 1e-9):,.0f} pictures a second")
    return table


def _interval(accuracy: Accuracy) -> str:
    return f"{accuracy.share:.2%} (95 %: {accuracy.low:.2%} to {accuracy.high:.2%})"


def _class_table(scores: DigitScores) -> Table:
    table = Table("digit", "pictures", "recall", "precision", "most often read as")
    for c in range(NOT_A_DIGIT):
        row, parts = scores.confusion[c], scores.classes
        wrong = [o for o in np.argsort(-row, kind="stable") if o != c and row[o]]
        others = [f"{DIGIT_CLASSES[o]}: {row[o]}" for o in wrong[:_SHOWN_CONFUSIONS]]
        share = f"{parts.recall[c]:.2%}", f"{parts.precision[c]:.2%}"
        table.add_row(DIGIT_CLASSES[c], f"{parts.support[c]:,}", *share, ", ".join(others))
    return table


def _source_table(scores: DigitScores) -> Table:
    table = Table("source", "digits", "accuracy")
    for name, one in scores.sources.items():
        table.add_row(Text(name), f"{one.total:,}", _interval(one))
    table.add_row("mean of sources", "", f"{unweighted_mean(scores.sources):.2%}")
    return table


def _problem_lines(scores: DigitScores) -> list[str]:
    lines = [f"unreadable: {one.name}: {one.why}" for one in scores.problems[:_SHOWN_PROBLEMS]]
    more = len(scores.problems) - len(lines)
    return lines + ([f"... and {more} more (all are in the --json file)"] if more else [])
