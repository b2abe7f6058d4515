"""From a trained digit network to its artifact.

The temperature and the accept threshold are fitted here, on the logits of the very model that is shipped.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from torch import nn

from data.labels import NOT_A_DIGIT
from data.metrics import (
    Coverage,
    accept_threshold,
    accuracy_of,
    coverage,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
)
from data.preprocess import network_input
from deploy.card import CardFacts, CardWords, model_card
from deploy.graph import run_graph, write_graph
from deploy.packing import Export, training_facts, write_artifact
from deploy.parity import Parity, compare
from deploy.quantize import Quantization, quantize
from deploy.runtime.digits import decode
from deploy.runtime.spec import CARD_FILE, MODEL_FILE, DigitSpec, digit_graph
from models import zoo
from training.augmentation.handwriting import HandwritingAugmenter
from training.recipe import DigitRecipe, recipe_text
from training.tasks.digits import BatchPlan, DigitTask, augmented_frames

CALIBRATION_INPUTS: Final = 1024
_LIMITS: Final = """\
- It reads one digit a picture. Letters, signs, Latin digits and two digits in one cell are unknown to it; it may call
  them a digit with confidence.
- "Not a digit" was learnt from digits that were crossed out, smeared or left empty by a program, not from real mistakes
  on forms. Scribbles that look like a digit are read as one.
- Its writers are those of the datasets above, mostly adults of Bangladesh and West Bengal. Children, other regions and
  shaky hands were not measured.
- The confidence was calibrated on held-out examples of the same datasets. On pictures unlike them it is too high; check
  a sample by hand before trusting a new kind of form.
- It must not decide alone where a wrong digit harms somebody: doses, money, identity."""


@dataclass(frozen=True)
class DeployData:
    """What an export needs besides the network, as network inputs (N, 1, size, size) float32.

    `calibration` are training cells that the int8 ranges are taken from. `validation` with `labels` (M,) int64 were
    not learnt from; temperature, threshold and parity come from them.
    """

    calibration: NDArray[np.float32]
    validation: NDArray[np.float32]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Calibrated:
    """What was fitted on validation logits, and what it gives there.

    ECE and accuracy count digits, a forced choice among ten; `review` counts everything, non-digits included.
    """

    temperature: float
    threshold: float
    ece_before: float
    ece_after: float
    nll_before: float
    nll_after: float
    right: NDArray[np.bool_]
    review: Coverage


def deploy_data(task: DigitTask) -> DeployData:
    """Calibration cells from the task's training part; validation as plain digits and as cells."""
    recipe, held = task.recipe, task.validation
    spec = recipe.preprocessing
    chosen = np.random.default_rng([recipe.seed, 3]).integers(0, len(task.train), CALIBRATION_INPUTS)
    augmenter = HandwritingAugmenter(recipe.augmentation)
    cells = augmented_frames(augmenter, task.train, BatchPlan(chosen, recipe.seed), recipe)
    return DeployData(
        calibration=network_input(cells.frames, spec),
        validation=network_input(np.concatenate([held.plain.frames, held.cells.frames]), spec),
        labels=np.concatenate([held.plain.labels, held.cells.labels]),
    )


def export_digits(network: nn.Module, recipe: DigitRecipe, data: DeployData, to: Path, *, int8: bool) -> Export:
    """Convert a digit network, calibrate it, and write its artifact."""
    with tempfile.TemporaryDirectory(prefix="shankha-export-") as place:
        model = plain = Path(place) / "float32.onnx"
        write_graph(network, digit_graph(recipe.preprocessing), plain)
        parity = quantization = None
        if int8:
            model = Path(place) / "int8.onnx"
            quantization = quantize(plain, model, data.calibration)
            parity = compare(plain, model, data.validation, data.labels)
        fitted = calibrate(run_graph(model, data.validation), data.labels)
        content = model.read_bytes()
    precision = "int8" if int8 else "float32"
    metrics = _metrics(fitted, parity) | {"parameters": zoo.parameters(network), "model_bytes": len(content)}
    spec: dict[str, Any] = {
        "task": "digits",
        "name": f"{recipe.name}-{precision}",
        "engine": DigitSpec.engines[0],
        "network": recipe.network.name,
        "precision": precision,
        "preprocessing": recipe.preprocessing,
        "temperature": fitted.temperature,
        "accept_threshold": fitted.threshold,
        "training": _training(recipe, quantization),
        "metrics": metrics,
    }
    card = model_card(_facts(spec, recipe, fitted, parity), _words(fitted))
    artifact = write_artifact(to, spec, {MODEL_FILE: content, CARD_FILE: card.encode()})
    return Export(artifact, parity, _notes(spec, quantization))


def calibrate(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> Calibrated:
    """Fit temperature and accept threshold on logits (N, 11) of examples with labels (N,)."""
    temperature = fit_temperature(logits, labels)
    before, after = decode(logits, 1.0, 0.0), decode(logits, temperature, 0.0)
    digit = labels != NOT_A_DIGIT
    right = after.values == labels
    # What is called "not a digit" is reviewed whatever its confidence.
    sure = np.where(after.not_a_digit, np.float32(np.nan), after.confidences)
    threshold = accept_threshold(sure, right)
    return Calibrated(
        temperature=temperature,
        threshold=threshold,
        ece_before=expected_calibration_error(before.confidences[digit], right[digit]),
        ece_after=expected_calibration_error(after.confidences[digit], right[digit]),
        nll_before=negative_log_likelihood(logits, labels),
        nll_after=negative_log_likelihood(logits, labels, temperature),
        right=right[digit],
        review=coverage(right, decode(logits, temperature, threshold).accepted),
    )


def _metrics(fitted: Calibrated, parity: Parity | None) -> dict[str, float]:
    accuracy = accuracy_of(fitted.right)
    metrics = {
        "validation_accuracy": accuracy.share,
        "validation_accuracy_low": accuracy.low,
        "validation_accuracy_high": accuracy.high,
        "validation_digits": accuracy.total,
        "validation_ece_before": fitted.ece_before,
        "validation_ece_after": fitted.ece_after,
        "validation_nll_before": fitted.nll_before,
        "validation_nll_after": fitted.nll_after,
        "validation_effort": fitted.review.effort,
        "validation_error": fitted.review.error,
    }
    if parity is not None:
        metrics |= {"float_validation_accuracy": parity.float_accuracy, "float_agreement": parity.agreement}
    return metrics


def _training(recipe: DigitRecipe, quantization: Quantization | None) -> dict[str, Any]:
    training = training_facts(recipe, [source.folder for source in recipe.data.train])
    if quantization is not None:
        training["quantization"] = f"QDQ, uint8 activations by {quantization.method}, 7-bit weights per channel"
    return training


def _notes(spec: dict[str, Any], quantization: Quantization | None) -> tuple[str, ...]:
    told = [
        f"{spec['precision']}, temperature {spec['temperature']:.3f}, accepts from {spec['accept_threshold']:.4f}, "
        f"validation accuracy {spec['metrics']['validation_accuracy']:.2%}"
    ]
    if quantization is not None:
        found = ", ".join(f"{name} {value:.2e}" for name, value in quantization.divergences.items())
        told.insert(0, f"calibration: {quantization.method} (divergence from float in nats: {found})")
    return tuple(told)


def _facts(spec: dict[str, Any], recipe: DigitRecipe, fitted: Calibrated, parity: Parity | None) -> CardFacts:
    metrics, review = spec["metrics"], fitted.review
    digits, everything = f"{len(fitted.right):,} validation digits", f"{review.total:,} validation examples"
    low, high = metrics["validation_accuracy_low"], metrics["validation_accuracy_high"]
    rows = [
        ("accuracy", f"{metrics['validation_accuracy']:.2%} (95 %: {low:.2%} to {high:.2%})", digits),
        ("sent to review", f"{review.effort:.2%}", everything),
        ("wrong and accepted", f"{review.error:.2%}", everything),
    ]
    if parity is not None:
        rows += [
            ("accuracy of the float32 model", f"{parity.float_accuracy:.2%}", digits),
            ("same answer as the float32 model", f"{parity.agreement:.2%}", everything),
        ]
    return CardFacts(
        name=spec["name"],
        network=spec["network"],
        weights=f"{spec['precision']}, {metrics['model_bytes'] / 1000:,.0f} kB",
        parameters=metrics["parameters"],
        datasets=sorted({source.folder for source in recipe.data.train}),
        recipe=recipe.name,
        recipe_text=recipe_text(recipe),
        rows=rows,
        date=spec["training"]["date"],
    )


def _words(fitted: Calibrated) -> CardWords:
    return CardWords(
        summary="Reads one handwritten Bengali digit (০-৯) in a picture of a form's cell, or says that it is none.",
        table=(
            ("engine", "ONNX Runtime on a CPU"),
            ("input", "a picture of any size, colour or grey, dark on light or light on dark"),
            ("answer", "ten digits and `not_a_digit`, each with a calibrated probability"),
        ),
        use="""\
Reading the digit cells of paper forms, as a first pass: what the model is unsure of goes to a person. Research and
teaching on Bengali handwriting.""",
        licence="The model is for non-commercial use where one of its datasets is.",
        validation="""\
Validation examples were held out of training; they chose the epoch, the temperature and the threshold, so these numbers
lean towards the model. A test on other data follows below where one was made.""",
        calibration=f"""\
Logits are divided by a temperature of {fitted.temperature:.3f}. Expected calibration error (15 bins) on validation
digits: {fitted.ece_before:.4f} before, {fitted.ece_after:.4f} after. A digit is accepted without review from a
confidence of {fitted.threshold:.4f}.""",
        limits=_LIMITS,
        data="""\
`FOLDER` holds ordinary pictures in a folder a class (`0` to `9` or `০` to `৯`, and `not_a_digit`), or a known
dataset.""",
    )
