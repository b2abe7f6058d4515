"""How far a converted model departs from the float model it came from: measured on the converted file itself."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from data.boxes import ious
from data.detections import Detections
from data.files import write_text
from data.labels import NOT_A_DIGIT
from data.metrics import softmax
from deploy.graph import run_graph

SAME_BOX: Final = 0.5
"""Intersection over union from which two boxes are taken for the same object."""


@dataclass(frozen=True)
class Parity:
    """A float model against its int8 model on the same N inputs.

    Attributes:
        inputs: N.
        agreement: Share of inputs whose likeliest class is the same.
        float_accuracy: Share of digits read right by the float model, a forced choice among ten.
        int8_accuracy: The same for the int8 model.
        max_logit_difference: Greatest absolute difference of a logit.
        mean_logit_difference: Mean absolute difference of the logits.
        max_probability_difference: Greatest absolute difference of a probability (temperature 1).
        mean_probability_difference: Mean absolute difference of the probabilities.
        divergence: Mean Kullback-Leibler divergence of the int8 probabilities from the float ones, in nats.
        float_bytes: Size of the float file.
        int8_bytes: Size of the int8 file.
    """

    inputs: int
    agreement: float
    float_accuracy: float
    int8_accuracy: float
    max_logit_difference: float
    mean_logit_difference: float
    max_probability_difference: float
    mean_probability_difference: float
    divergence: float
    float_bytes: int
    int8_bytes: int

    def table(self) -> Table:
        """The report for a terminal."""
        table = _table(f"Parity on {self.inputs} validation inputs", self.float_bytes, self.int8_bytes)
        table.add_row("accuracy", f"{self.float_accuracy:.2%}", f"{self.int8_accuracy:.2%}")
        table.add_row("same answer", "", f"{self.agreement:.2%}")
        logits = f"{self.mean_logit_difference:.3f}, {self.max_logit_difference:.2f}"
        table.add_row("logits, mean and max difference", "", logits)
        probabilities = f"{self.mean_probability_difference:.4f}, {self.max_probability_difference:.3f}"
        table.add_row("probabilities, mean and max difference", "", probabilities)
        table.add_row("divergence", "", f"{self.divergence:.5f} nats")
        return table


@dataclass(frozen=True)
class DetectionParity:
    """A float detector against its int8 detector on the same pictures, both through the runtime.

    Attributes:
        pictures: How many.
        float_map50: COCO's mean average precision of the float detector at an IoU of 0.5.
        int8_map50: The same of the int8 detector.
        float_map50_95: COCO's mean average precision over IoUs of 0.5 to 0.95.
        int8_map50_95: The same of the int8 detector.
        agreement: Boxes counted by both, twice, over all boxes counted by either (Dice); 1 where neither counts any.
        mean_iou: Mean intersection over union of the boxes that both count; NaN where there are none.
        mean_score_difference: Mean absolute difference of their scores.
        float_bytes: Size of the float files.
        int8_bytes: Size of the int8 files.
    """

    of: ClassVar[str] = "boxes"

    pictures: int
    float_map50: float
    int8_map50: float
    float_map50_95: float
    int8_map50_95: float
    agreement: float
    mean_iou: float
    mean_score_difference: float
    float_bytes: int
    int8_bytes: int

    def table(self) -> Table:
        """The report for a terminal."""
        table = _table(f"Parity on {self.pictures} validation pictures", self.float_bytes, self.int8_bytes)
        table.add_row(f"mAP50 of {self.of}", f"{self.float_map50:.2%}", f"{self.int8_map50:.2%}")
        table.add_row(f"mAP50-95 of {self.of}", f"{self.float_map50_95:.2%}", f"{self.int8_map50_95:.2%}")
        table.add_row("counted boxes that both have", "", f"{self.agreement:.2%}")
        table.add_row("their mean IoU", "", f"{self.mean_iou:.3f}")
        table.add_row("their scores, mean difference", "", f"{self.mean_score_difference:.4f}")
        return table


@dataclass(frozen=True)
class MaskParity(DetectionParity):
    """A float segmenter against its int8 segmenter: as `DetectionParity`, the precisions are those of masks."""

    of = "masks"


@dataclass(frozen=True)
class CountingParity:
    """A float counter against its int8 counter on the same pictures, both through the runtime.

    Attributes:
        pictures: How many.
        float_mae: Mean absolute error of the float counter's counts.
        int8_mae: The same of the int8 counter.
        float_share: The float counter's mean absolute error as a share of the mean true count.
        int8_share: The same of the int8 counter.
        mean_difference: Mean absolute difference of the two counts.
        max_difference: The greatest.
        float_bytes: Size of the float files.
        int8_bytes: Size of the int8 files.
    """

    pictures: int
    float_mae: float
    int8_mae: float
    float_share: float
    int8_share: float
    mean_difference: float
    max_difference: float
    float_bytes: int
    int8_bytes: int

    def table(self) -> Table:
        """The report for a terminal."""
        table = _table(f"Parity on {self.pictures} validation pictures", self.float_bytes, self.int8_bytes)
        table.add_row("mean absolute error", f"{self.float_mae:.3f}", f"{self.int8_mae:.3f}")
        table.add_row("the same as a share of the mean count", f"{self.float_share:.2%}", f"{self.int8_share:.2%}")
        table.add_row("counts, mean and max difference", "", f"{self.mean_difference:.3f}, {self.max_difference:.2f}")
        return table


@dataclass(frozen=True)
class SpeciesParity:
    """A float species network against its int8 network on the same crops, both through the runtime.

    Attributes:
        crops: How many.
        agreement: Share of crops whose likeliest species is the same.
        float_accuracy: Share that the float network names right, a forced choice.
        int8_accuracy: The same of the int8 network.
        mean_probability_difference: Mean absolute difference of the probabilities (temperature 1).
        mean_familiarity_difference: Mean absolute difference of the familiarity.
        float_bytes: Size of the float files.
        int8_bytes: Size of the int8 files.
    """

    crops: int
    agreement: float
    float_accuracy: float
    int8_accuracy: float
    mean_probability_difference: float
    mean_familiarity_difference: float
    float_bytes: int
    int8_bytes: int

    def table(self) -> Table:
        """The report for a terminal."""
        table = _table(f"Parity on {self.crops} validation crops", self.float_bytes, self.int8_bytes)
        table.add_row("accuracy", f"{self.float_accuracy:.2%}", f"{self.int8_accuracy:.2%}")
        table.add_row("same species", "", f"{self.agreement:.2%}")
        table.add_row("probabilities, mean difference", "", f"{self.mean_probability_difference:.4f}")
        table.add_row("familiarity, mean difference", "", f"{self.mean_familiarity_difference:.4f}")
        return table


@dataclass(frozen=True)
class BoxAgreement:
    """How far two detectors count the same boxes; see `DetectionParity`."""

    agreement: float
    mean_iou: float
    mean_score_difference: float


def divergence(reference: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Mean Kullback-Leibler divergence, in nats, between the softmaxes of two sets of logits (N, C)."""
    one, two = softmax(reference), softmax(other)
    floor = np.finfo(np.float64).tiny
    return float(np.mean(np.sum(one * (np.log(one + floor) - np.log(two + floor)), axis=1)))


def compare(float_model: Path, int8_model: Path, inputs: NDArray[np.float32], labels: NDArray[np.int64]) -> Parity:
    """Run both models on inputs (N, 1, size, size) with labels (N,) and compare; N must not be 0."""
    reference, converted = run_graph(float_model, inputs), run_graph(int8_model, inputs)
    logits = np.abs(reference - converted)
    chances = np.abs(softmax(reference) - softmax(converted))
    return Parity(
        inputs=len(inputs),
        agreement=float(np.mean(reference.argmax(axis=1) == converted.argmax(axis=1))),
        float_accuracy=digit_accuracy(reference, labels),
        int8_accuracy=digit_accuracy(converted, labels),
        max_logit_difference=float(logits.max()),
        mean_logit_difference=float(logits.mean()),
        max_probability_difference=float(chances.max()),
        mean_probability_difference=float(chances.mean()),
        divergence=divergence(reference, converted),
        float_bytes=float_model.stat().st_size,
        int8_bytes=int8_model.stat().st_size,
    )


def digit_accuracy(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Share of digits read right, a forced choice among ten; inputs that are no digits are left out."""
    digit = labels != NOT_A_DIGIT
    return float(np.mean(logits[digit, :NOT_A_DIGIT].argmax(axis=1) == labels[digit]))


def box_agreement(one: Sequence[Detections], other: Sequence[Detections], threshold: float) -> BoxAgreement:
    """Compare what two detectors count, from `threshold` up, in the same pictures."""
    overlaps: list[float] = []
    differences: list[float] = []
    total = 0
    for left, right in zip(_counted(one, threshold), _counted(other, threshold), strict=True):
        total += len(left) + len(right)
        for i, j, overlap in _pairs(left, right):
            overlaps.append(overlap)
            differences.append(abs(float(left.scores[i]) - float(right.scores[j])))
    if not overlaps:
        return BoxAgreement(0.0 if total else 1.0, math.nan, math.nan)
    return BoxAgreement(2 * len(overlaps) / total, float(np.mean(overlaps)), float(np.mean(differences)))


def _counted(found: Sequence[Detections], threshold: float) -> list[Detections]:
    return [seen.select(seen.scores >= threshold) for seen in found]


def _pairs(left: Detections, right: Detections) -> list[tuple[int, int, float]]:
    """Boxes of one label that are the same object, each in one pair at most, those that overlap most first."""
    overlaps = np.where(left.labels[:, None] == right.labels[None], ious(left.xyxy, right.xyxy), 0)
    pairs = []
    for flat in np.argsort(-overlaps, axis=None, kind="stable")[: np.count_nonzero(overlaps >= SAME_BOX)]:
        i, j = divmod(int(flat), len(right))
        if overlaps[i, j] >= SAME_BOX:
            pairs.append((i, j, float(overlaps[i, j])))
            overlaps[i], overlaps[:, j] = 0, 0
    return pairs


def write_parity(parity: Parity | DetectionParity | CountingParity | SpeciesParity, path: Path) -> None:
    """Write the report as JSON; what is not defined as null."""
    told = {name: None if math.isnan(value) else value for name, value in asdict(parity).items()}
    write_text(path, json.dumps(told, indent=1, allow_nan=False) + "\n")


def _table(title: str, float_bytes: int, int8_bytes: int) -> Table:
    table = Table("", "float32", "int8", title=title, title_justify="left")
    table.add_row("size", f"{float_bytes / 1000:.0f} kB", f"{int8_bytes / 1000:.0f} kB")
    return table
