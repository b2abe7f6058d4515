"""`shankha export`: a training run in, an artifact out.

The temperature and the accept threshold are fitted here, on the logits of the very model that is shipped.
"""

from __future__ import annotations

import datetime
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from torch import nn

from data.errors import ArgumentError, FileAccessError, InputError
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
from deploy.card import CardFacts, digit_card
from deploy.graph import run_graph, write_graph
from deploy.packing import check_replaceable, write_artifact
from deploy.parity import Parity, compare, parity_table, write_parity
from deploy.quantize import Quantization, quantize
from deploy.runtime.artifact import Artifact
from deploy.runtime.digits import decode
from deploy.runtime.spec import CARD_FILE, ENGINES, MODEL_FILE
from models import zoo
from training.augmentation.handwriting import HandwritingAugmenter
from training.checkpoint import load_weights
from training.recipe import Recipe, load_recipe, recipe_text
from training.run import build_task
from training.tasks.digits import BatchPlan, DigitTask, augmented_frames

CALIBRATION_INPUTS: Final = 1024
PARITY_FILE: Final = "parity.json"


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


@dataclass(frozen=True)
class Export:
    """A written artifact; `parity` and `quantization` are None for a float one."""

    artifact: Artifact
    parity: Parity | None
    quantization: Quantization | None


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a training run.")],
    to: Annotated[Path, typer.Option("--to", metavar="ARTIFACT", help="Artifact folder to write.")],
    int8: Annotated[bool, typer.Option("--int8", help="Quantize to 8 bits.")] = False,
    engine: Annotated[str, typer.Option("--engine", metavar="NAME", help="What shall run it.")] = ENGINES[0],
) -> None:
    """Make an artifact of a training run; the datasets of its recipe must lie in SHANKHA_DATA.

    Example: shankha export runs/digits-20261101-1200 --to digits-int8 --int8
    """
    made = export_run(run, to, int8=int8, engine=engine)
    console = Console()
    if made.parity is not None and made.quantization is not None:
        console.print(parity_table(made.parity))
        found = ", ".join(f"{name} {value:.2e}" for name, value in made.quantization.divergences.items())
        console.print(f"calibration: {made.quantization.method} (divergence from float in nats: {found})")
    spec = made.artifact.spec
    console.print(
        f"{to}: {spec.precision}, temperature {spec.temperature:.3f}, accepts from {spec.accept_threshold:.4f}, "
        f"validation accuracy {spec.metrics['validation_accuracy']:.2%}",
        soft_wrap=True,
    )


def export_run(run: Path, to: Path, *, int8: bool, engine: str = ENGINES[0]) -> Export:
    """Export a training run; its parity report goes into the run's folder.

    Args:
        run: Folder with `recipe.yaml` and `weights.safetensors`.
        to: The artifact's folder; an artifact there is replaced.
        int8: Whether to quantize.
        engine: What runs the artifact.

    Raises:
        ArgumentError: No such engine.
        FileAccessError: A folder or file is missing or cannot be written.
        InputError: The target holds something else, or the weights are not the recipe's.
    """
    if engine not in ENGINES:
        raise ArgumentError("--engine", f"{engine!r} is unknown", expected=" or ".join(ENGINES))
    check_replaceable(to)
    recipe, network = load_run(run)
    made = export_digits(network, recipe, deploy_data(build_task(recipe)), to, int8=int8)
    if made.parity is not None:
        write_parity(made.parity, run / PARITY_FILE)
    return made


def load_run(run: Path) -> tuple[Recipe, nn.Module]:
    """Recipe and trained network of a run folder."""
    if not run.is_dir():
        raise FileAccessError(run, "no such folder", expected="the folder of a training run")
    missing = [name for name in ("recipe.yaml", "weights.safetensors") if not (run / name).is_file()]
    if missing:
        cure = "let `shankha train` finish an epoch first"
        raise InputError(run, f"holds no {missing[0]}", expected="the folder of a training run", cure=cure)
    recipe = load_recipe(run / "recipe.yaml")
    network = zoo.build(recipe.network.name, **recipe.network.options)
    return recipe, load_weights(network, run / "weights.safetensors").eval()


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


def export_digits(network: nn.Module, recipe: Recipe, data: DeployData, to: Path, *, int8: bool) -> Export:
    """Convert a digit network, calibrate it, and write its artifact."""
    with tempfile.TemporaryDirectory(prefix="shankha-export-") as place:
        model = plain = Path(place) / "float32.onnx"
        write_graph(network, recipe.preprocessing.size, plain)
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
        "name": f"{recipe.name}-{precision}",
        "network": recipe.network.name,
        "precision": precision,
        "preprocessing": recipe.preprocessing,
        "temperature": fitted.temperature,
        "accept_threshold": fitted.threshold,
        "training": _training(recipe, quantization),
        "metrics": metrics,
    }
    card = digit_card(_facts(spec, recipe, fitted, parity))
    return Export(write_artifact(to, spec, {MODEL_FILE: content, CARD_FILE: card.encode()}), parity, quantization)


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


def _training(recipe: Recipe, quantization: Quantization | None) -> dict[str, Any]:
    """What people ask of a model's making; the card has the whole recipe."""
    training: dict[str, Any] = {
        "recipe": recipe.name,
        "data": [source.folder for source in recipe.data.train],
        "seed": recipe.seed,
        "epochs": recipe.epochs,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    if quantization is not None:
        training["quantization"] = f"QDQ, uint8 activations by {quantization.method}, 7-bit weights per channel"
    return training


def _facts(spec: dict[str, Any], recipe: Recipe, fitted: Calibrated, parity: Parity | None) -> CardFacts:
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
        precision=spec["precision"],
        parameters=metrics["parameters"],
        model_bytes=metrics["model_bytes"],
        datasets=sorted({source.folder for source in recipe.data.train}),
        recipe=recipe.name,
        recipe_text=recipe_text(recipe),
        temperature=fitted.temperature,
        accept_threshold=fitted.threshold,
        ece_before=fitted.ece_before,
        ece_after=fitted.ece_after,
        rows=rows,
        date=spec["training"]["date"],
    )
