"""What a classifier's answers are worth: accuracy with its interval, classes, calibration, and review effort.

Shares lie between 0 and 1, and are NaN where there is nothing to divide by. A NaN confidence counts as none at all:
such an answer is never accepted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]

CALIBRATION_BINS: Final = 15
TARGET_ERROR: Final = 0.004
"""Share of answers that may be wrong and yet accepted, unless a caller says otherwise.

Less than half of the one in a hundred that a table may bear: validation cells are harder than most forms' cells, and
some of the datasets' own labels are wrong, which no threshold mends.
"""
ACCEPT_NOTHING: Final = 2.0
"""A threshold that no confidence reaches."""
TEMPERATURES: Final = (0.1, 10.0)
"""Bounds of the temperature; answers that are all right (or hopeless) would push it to nought (or infinity)."""

_Z_95: Final = 1.959963984540054
_GOLDEN: Final = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Accuracy:
    """`right` of `total` answers; `low` and `high` bound the share by Wilson's 95 % interval."""

    right: int
    total: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """Right answers over all, NaN where there are none."""
        return self.right / self.total if self.total else math.nan


@dataclass(frozen=True)
class ClassScores:
    """Per class, each (C,): precision and recall (NaN where undefined) and support, the examples of the class."""

    precision: Floats
    recall: Floats
    support: Ints


@dataclass(frozen=True)
class Coverage:
    """What a reject threshold does: each answer is accepted or reviewed by a person, and right or wrong."""

    accepted_right: int
    accepted_wrong: int
    reviewed_right: int
    reviewed_wrong: int

    @property
    def total(self) -> int:
        """All answers."""
        return self.accepted_right + self.accepted_wrong + self.reviewed_right + self.reviewed_wrong

    @property
    def effort(self) -> float:
        """Share of all answers that a person must look at."""
        return _share(self.reviewed_right + self.reviewed_wrong, self.total)

    @property
    def error(self) -> float:
        """Share of all answers that are wrong and yet accepted."""
        return _share(self.accepted_wrong, self.total)

    @property
    def accepted_accuracy(self) -> float:
        """Right share of the accepted answers."""
        return _share(self.accepted_right, self.accepted_right + self.accepted_wrong)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def wilson_interval(right: int, total: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a share (Wilson 1927); 0 to 1 where nothing was counted."""
    if not 0 <= right <= total:
        raise ValueError(f"{right} right of {total}: not a share")
    if total == 0:
        return 0.0, 1.0
    share, square = right / total, _Z_95 * _Z_95
    centre = share + square / (2 * total)
    spread = _Z_95 * math.sqrt(share * (1 - share) / total + square / (4 * total * total))
    scale = 1 + square / total
    low, high = (centre - spread) / scale, (centre + spread) / scale
    # At the ends the formula is exact, and only rounding would move it off 0, 1 or the share itself.
    return (0.0 if right == 0 else min(low, share)), (1.0 if right == total else max(high, share))


def accuracy_of(right: Bools) -> Accuracy:
    """Accuracy of answers (N,), each right or not."""
    count, total = int(np.count_nonzero(right)), int(np.size(right))
    return Accuracy(count, total, *wilson_interval(count, total))


def accuracy_by_group(right: Bools, groups: Sequence[str]) -> dict[str, Accuracy]:
    """Accuracy per group (the source or site of each answer), in the groups' alphabetical order."""
    names = np.asarray(groups, dtype=np.str_)
    _same_length(right, names)
    return {str(name): accuracy_of(right[names == name]) for name in np.unique(names)}


def unweighted_mean(groups: dict[str, Accuracy]) -> float:
    """Mean of the groups' accuracies, each group counted once: NumtaDB's metric. NaN without groups."""
    shares = [group.share for group in groups.values() if group.total]
    return float(np.mean(shares)) if shares else math.nan


def confusion_matrix(true: Ints, read: Ints, classes: int) -> Ints:
    """(C, C) counts: a row a true class, a column the class that was read.

    Raises:
        ValueError: The arrays differ in length, or hold a class outside 0 to `classes` - 1.
    """
    _same_length(true, read)
    for values in (true, read):
        if values.size and (int(values.min()) < 0 or int(values.max()) >= classes):
            raise ValueError(f"class {int(values.min())} to {int(values.max())}: expected 0 to {classes - 1}")
    flat = true.astype(np.int64) * classes + read.astype(np.int64)
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes)


def class_scores(confusion: Ints) -> ClassScores:
    """Precision, recall and support from a confusion matrix (rows true, columns read)."""
    hits = np.diagonal(confusion).astype(np.float64)
    support, called = confusion.sum(axis=1), confusion.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return ClassScores(hits / called, hits / support, support)


def softmax(logits: Floats, temperature: float = 1.0) -> Floats:
    """(N, C) float64 probabilities of logits (N, C) divided by the temperature."""
    return np.exp(_log_softmax(logits, 1.0 / temperature))


def _log_softmax(logits: Floats, sharpness: float) -> Floats:
    scaled = logits.astype(np.float64) * sharpness
    scaled -= scaled.max(axis=1, keepdims=True)
    return np.asarray(scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True)), np.float64)


def negative_log_likelihood(logits: Floats, labels: Ints, temperature: float = 1.0) -> float:
    """Mean of -log p(label) in nats, NaN without answers. `logits` is (N, C), `labels` (N,)."""
    _same_length(logits, labels)
    if not len(labels):
        return math.nan
    return -float(np.mean(_log_softmax(logits, 1.0 / temperature)[np.arange(len(labels)), labels]))


def expected_calibration_error(confidences: Floats, right: Bools, bins: int = CALIBRATION_BINS) -> float:
    """Expected calibration error: the gap between confidence and accuracy, averaged over answers.

    Confidences are sorted into `bins` bins of equal width, ((m - 1) / M, m / M]; the error is
    sum over bins of (n_m / N) * |accuracy_m - mean confidence_m|. Source: Guo, Pleiss, Sun and Weinberger, "On
    calibration of modern neural networks", ICML 2017, equation 3. NaN without answers.
    """
    _same_length(confidences, right)
    if not len(right):
        return math.nan
    sure = np.clip(np.nan_to_num(confidences.astype(np.float64), nan=0.0), 0.0, 1.0)
    index = np.clip(np.ceil(sure * bins).astype(np.int64) - 1, 0, bins - 1)
    # n_m / N * |right_m / n_m - sum of confidences_m / n_m|: the n_m cancel.
    gaps = np.bincount(index, weights=right.astype(np.float64) - sure, minlength=bins)
    return float(np.abs(gaps).sum() / len(right))


def coverage(right: Bools, accepted: Bools) -> Coverage:
    """Count accepted and reviewed answers (N,), right and wrong."""
    _same_length(right, accepted)
    return Coverage(
        accepted_right=int(np.count_nonzero(accepted & right)),
        accepted_wrong=int(np.count_nonzero(accepted & ~right)),
        reviewed_right=int(np.count_nonzero(~accepted & right)),
        reviewed_wrong=int(np.count_nonzero(~accepted & ~right)),
    )


def accept_threshold(confidences: Floats, right: Bools, target_error: float = TARGET_ERROR) -> float:
    """Smallest threshold t such that accepting every confidence >= t leaves at most `target_error` wrong ones.

    The share is of all answers, accepted or not (`Coverage.error`). Give NaN as the confidence of answers that are
    reviewed whatever the threshold. `ACCEPT_NOTHING` where even the surest answers are too often wrong.

    Args:
        confidences: (N,) confidence of each answer, 0 to 1.
        right: (N,) whether it is right.
        target_error: Greatest share of accepted-wrong answers.
    """
    _same_length(confidences, right)
    allowed = math.floor(target_error * len(right) + 1e-9)
    wrong = np.sort(confidences[~right & ~np.isnan(confidences)])[::-1]
    if len(wrong) <= allowed:
        return 0.0
    # The surest wrong answer that must not pass; the threshold is the next confidence above it.
    above = confidences[confidences > wrong[allowed]]
    return float(above.min()) if above.size else ACCEPT_NOTHING


def fit_temperature(logits: Floats, labels: Ints) -> float:
    """Temperature that minimises the negative log likelihood of the labels (temperature scaling, Guo et al. 2017).

    The likelihood is convex in 1 / temperature, so a golden-section search finds its one minimum within
    `TEMPERATURES`. Rows with non-finite logits are left out; 1 without any row.
    """
    _same_length(logits, labels)
    whole = np.isfinite(logits).all(axis=1) if len(labels) else np.zeros(0, np.bool_)
    logits, labels = logits[whole], labels[whole]
    if not len(labels):
        return 1.0
    low, high = 1.0 / TEMPERATURES[1], 1.0 / TEMPERATURES[0]
    while high - low > 1e-7:
        step = _GOLDEN * (high - low)
        left, right = high - step, low + step
        left_loss = negative_log_likelihood(logits, labels, 1.0 / left)
        right_loss = negative_log_likelihood(logits, labels, 1.0 / right)
        if left_loss <= right_loss:
            high = right
        else:
            low = left
    return 2.0 / (low + high)


def _same_length(one: NDArray[Any], other: NDArray[Any]) -> None:
    if len(one) != len(other):
        raise ValueError(f"{len(one)} answers against {len(other)}: expected as many")
