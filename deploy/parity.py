"""How far a converted model departs from the float model it came from: measured on the converted file itself."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from data.files import write_text
from data.labels import NOT_A_DIGIT
from data.metrics import softmax
from deploy.graph import run_graph


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


def write_parity(parity: Parity, path: Path) -> None:
    """Write the report as JSON."""
    write_text(path, json.dumps(asdict(parity), indent=1) + "\n")


def parity_table(parity: Parity) -> Table:
    """The report for a terminal."""
    table = Table("", "float32", "int8", title=f"Parity on {parity.inputs} validation inputs", title_justify="left")
    table.add_row("accuracy", f"{parity.float_accuracy:.2%}", f"{parity.int8_accuracy:.2%}")
    table.add_row("size", f"{parity.float_bytes / 1000:.0f} kB", f"{parity.int8_bytes / 1000:.0f} kB")
    table.add_row("same answer", "", f"{parity.agreement:.2%}")
    table.add_row(
        "logits, mean and max difference", "", f"{parity.mean_logit_difference:.3f}, {parity.max_logit_difference:.2f}"
    )
    table.add_row(
        "probabilities, mean and max difference",
        "",
        f"{parity.mean_probability_difference:.4f}, {parity.max_probability_difference:.3f}",
    )
    table.add_row("divergence", "", f"{parity.divergence:.5f} nats")
    return table
