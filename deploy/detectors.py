"""From a trained detector to its artifact.

Everything is measured through the runtime: a draft of the artifact is written, its detector looks at the pictures of
held-out sites, and the calibration of scores and the threshold are fitted to what it finds there. They change the
scale of the scores and never their order, so the boxes of the draft are those of the artifact.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from torch import nn

from data.calibration import fit_platt
from data.detection_metrics import DetectionScores, best_f1, judge, score_detections
from data.detections import Detections
from data.errors import ArgumentError
from data.metrics import expected_calibration_error
from data.readers import DetectionSet
from data.suppression import MOST_OVERLAP
from deploy.card import CardFacts, CardWords, model_card
from deploy.graph import write_graph
from deploy.networks import NetworkFiles, float_files, int8_files
from deploy.packing import Export, training_facts, write_artifact
from deploy.parity import DetectionParity, box_agreement
from deploy.runtime.detector import BATCH, FishDetector, calibrated
from deploy.runtime.engines import installed, missing
from deploy.runtime.spec import CARD_FILE, MODEL_FILE, EngineName, detector_graph
from models import zoo
from training.recipe import DetectionRecipe, recipe_text
from training.tasks.detection import DetectionTask

_LIMITS: Final = """\
- It was trained on underwater video of north-east Australia and on photographs of public aquaria. Other waters, lights
  and cameras may be harder than the numbers above say; check a sample by hand before trusting it there.
- It finds fish and names no species. Other swimmers, floating weed and reflections are sometimes taken for fish.
- Fish of a few pixels, far off in murky water or behind others, are missed: counts are lower bounds.
- The calibration of the scores holds for footage like that of the held-out sites. Elsewhere they are too sure.
- int8 and float32 networks differ by a few boxes near the threshold: use one of them for a whole survey."""

CALIBRATION_INPUTS: Final = 200
LEAST_SCORE: Final = 0.01
"""Boxes that are wrong ninety-nine times in a hundred change no metric and no track."""
_DRAFT_LEAST: Final = 0.001
_SATURATION: Final = 1e-7


@dataclass(frozen=True)
class DetectionDeployData:
    """What an export needs besides the network.

    `calibration` (K, 3, height, width) float32 are training pictures as network inputs, which the int8 ranges are
    taken from. `validation` are pictures of sites that were not learnt from; calibration of scores, threshold and
    parity come from them.
    """

    calibration: NDArray[np.float32]
    validation: DetectionSet


@dataclass(frozen=True)
class Calibrated:
    """What was fitted to the detections of validation pictures, and what it gives there.

    The expected calibration errors are those of the raw scores and of the calibrated ones; precision, recall and f1
    are those of the boxes from `threshold` up, at an IoU of 0.5.
    """

    scale: float
    shift: float
    threshold: float
    ece_before: float
    ece_after: float
    precision: float
    recall: float
    f1: float


def engine_for(asked: str | None, *, int8: bool) -> EngineName:
    """The engine that an artifact is made for, checked to be installed.

    Raises:
        ArgumentError: ONNX Runtime is asked to run int8.
        MissingDependencyError: The engine, or what quantizes for it, is not installed.
    """
    if int8 and asked == "onnxruntime":
        expected = "openvino, or no --int8: ONNX Runtime runs int8 detectors slower than float ones"
        raise ArgumentError("--engine", "'onnxruntime' is not for int8 detectors", expected=expected)
    engine: EngineName = "openvino" if int8 or asked == "openvino" else "onnxruntime"
    if not installed(engine):
        raise missing(engine)
    return engine


def deploy_data(task: DetectionTask) -> DetectionDeployData:
    """Training pictures spread over the clips, and all pictures of the held-out sites."""
    return DetectionDeployData(task.sample_input(CALIBRATION_INPUTS).numpy(), task.held)


def export_detector(
    network: nn.Module, recipe: DetectionRecipe, data: DetectionDeployData, to: Path, engine: EngineName, *, int8: bool
) -> Export:
    """Convert a detector, calibrate its scores, and write its artifact: float ONNX, and int8 for OpenVINO beside it."""
    with tempfile.TemporaryDirectory(prefix="shankha-export-") as place:
        plain = Path(place) / MODEL_FILE
        write_graph(network, detector_graph(recipe.preprocessing, len(data.validation.names)), plain)
        draft = _Draft(recipe, data.validation, Path(place) / "draft")
        files = float_files(plain.read_bytes(), engine)
        found = {"float32": draft.found(files)}
        if int8:
            reference = score_detections(data.validation, found["float32"]).map50
            files = int8_files(files, plain, data.calibration, draft.map50, reference)
            found["int8"] = draft.found(files)
    best = files.models[0].precision
    fitted = calibrate(data.validation, found[best])
    found = {precision: rescored(seen, fitted.scale, fitted.shift) for precision, seen in found.items()}
    scores = {precision: score_detections(data.validation, seen) for precision, seen in found.items()}
    parity = _parity(files, found, scores, fitted.threshold) if int8 else None
    spec = _spec(recipe, data.validation.names, files) | {
        "score_scale": fitted.scale,
        "score_shift": fitted.shift,
        "threshold": max(fitted.threshold, LEAST_SCORE),
        "least_score": LEAST_SCORE,
        "metrics": _metrics(fitted, scores[best], parity, zoo.parameters(network)),
    }
    card = model_card(_facts(spec, recipe, files, data.validation, parity), _words(fitted))
    artifact = write_artifact(to, spec, {**files.contents, CARD_FILE: card.encode()})
    return Export(artifact, parity, _notes(spec, files))


@dataclass(frozen=True)
class _Draft:
    """Looks at pictures with networks that are not an artifact yet; scores are plain sigmoids of the logits."""

    recipe: DetectionRecipe
    pictures: DetectionSet
    folder: Path

    def found(self, files: NetworkFiles) -> list[Detections]:
        """What the first of the networks finds in every picture."""
        plain = {"score_scale": 1.0, "score_shift": 0.0, "least_score": _DRAFT_LEAST, "threshold": 0.5, "metrics": {}}
        artifact = write_artifact(self.folder, _spec(self.recipe, self.pictures.names, files) | plain, files.contents)
        return detect_all(FishDetector(artifact), self.pictures)

    def map50(self, files: NetworkFiles) -> float:
        """How good what it finds is."""
        return score_detections(self.pictures, self.found(files)).map50


def detect_all(detector: FishDetector, pictures: DetectionSet) -> list[Detections]:
    """What a detector finds in every picture of a set."""
    found: list[Detections] = []
    for start in range(0, len(pictures), BATCH):
        found += detector.detect([pictures.read(i) for i in range(start, min(len(pictures), start + BATCH))])
    return found


def rescored(found: Sequence[Detections], scale: float, shift: float) -> list[Detections]:
    """Detections of a draft as the finished artifact gives them: calibrated, and none below its least score."""
    moved = [replace(seen, scores=calibrated(_logits(seen.scores), scale, shift)) for seen in found]
    return [seen.select(seen.scores >= LEAST_SCORE) for seen in moved]


def _logits(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    held = np.clip(scores.astype(np.float64), _SATURATION, 1 - _SATURATION)
    return np.log(held / (1 - held)).astype(np.float32)


def calibrate(pictures: DetectionSet, found: Sequence[Detections]) -> Calibrated:
    """Fit the calibration of scores and the threshold of the best F1 to a draft's detections.

    Only pictures in which everything is labelled tell right boxes from wrong ones.
    """
    told = np.flatnonzero(pictures.exhaustive)
    judged = judge(pictures.select(told), [found[int(i)] for i in told])
    logits = _logits(judged.scores)
    scale, shift = fit_platt(logits, judged.right)
    scores = calibrated(logits, scale, shift)
    best = best_f1(scores, judged.right, judged.boxes)
    return Calibrated(
        scale=scale,
        shift=shift,
        threshold=best.threshold,
        ece_before=expected_calibration_error(judged.scores, judged.right),
        ece_after=expected_calibration_error(scores, judged.right),
        precision=best.precision,
        recall=best.recall,
        f1=best.f1,
    )


def _spec(recipe: DetectionRecipe, names: tuple[str, ...], files: NetworkFiles) -> dict[str, Any]:
    training = training_facts(recipe, [source.folder for source in recipe.data.train]) | files.training_text()
    return {
        "task": "detection",
        "name": f"{recipe.name}-{files.models[0].precision}",
        "network": recipe.network.name,
        "labels": names,
        "preprocessing": recipe.preprocessing,
        "models": files.models,
        "nms_iou": MOST_OVERLAP,
        "training": training,
    }


def _parity(
    files: NetworkFiles, found: Mapping[str, list[Detections]], scores: Mapping[str, DetectionScores], threshold: float
) -> DetectionParity:
    sizes = {model.precision: files.size(model) for model in files.models}
    return DetectionParity(
        pictures=len(found["int8"]),
        float_map50=scores["float32"].map50,
        int8_map50=scores["int8"].map50,
        float_map50_95=scores["float32"].map50_95,
        int8_map50_95=scores["int8"].map50_95,
        **asdict(box_agreement(found["float32"], found["int8"], threshold)),
        float_bytes=sizes["float32"],
        int8_bytes=sizes["int8"],
    )


def _metrics(
    fitted: Calibrated, scores: DetectionScores, parity: DetectionParity | None, parameters: int
) -> dict[str, float]:
    metrics = {
        "validation_map50": scores.map50,
        "validation_map50_95": scores.map50_95,
        "validation_precision": fitted.precision,
        "validation_recall": fitted.recall,
        "validation_f1": fitted.f1,
        "validation_ece_before": fitted.ece_before,
        "validation_ece_after": fitted.ece_after,
        "parameters": parameters,
    }
    if parity is not None:
        metrics |= {
            "float_validation_map50": parity.float_map50,
            "float_validation_map50_95": parity.float_map50_95,
            "float_agreement": parity.agreement,
        }
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def _notes(spec: dict[str, Any], files: NetworkFiles) -> tuple[str, ...]:
    metrics, first = spec["metrics"], files.models[0]
    told = [
        f"{first.precision} for {first.engine}, counts from {spec['threshold']:.3f}, "
        f"validation mAP50 {_percent(metrics, 'map50')}, F1 {_percent(metrics, 'f1')}"
    ]
    if files.method is not None:
        told.insert(0, f"quantization: {files.method}")
    return tuple(told)


def _facts(
    spec: dict[str, Any],
    recipe: DetectionRecipe,
    files: NetworkFiles,
    pictures: DetectionSet,
    parity: DetectionParity | None,
) -> CardFacts:
    metrics = spec["metrics"]
    where = f"{len(pictures):,} pictures of held-out sites, {pictures.boxes:,} boxes"
    counted = f"boxes from a score of {spec['threshold']:.3f}, IoU 0.5"
    rows = [
        ("mAP50", _percent(metrics, "map50"), where),
        ("mAP50-95", _percent(metrics, "map50_95"), where),
        ("precision", _percent(metrics, "precision"), counted),
        ("recall", _percent(metrics, "recall"), counted),
    ]
    if parity is not None:
        rows += [
            ("mAP50 of the float32 network", f"{parity.float_map50:.2%}", where),
            ("mAP50-95 of the float32 network", f"{parity.float_map50_95:.2%}", where),
            ("counted boxes that both networks have", f"{parity.agreement:.2%}", counted),
        ]
    return CardFacts(
        name=spec["name"],
        network=spec["network"],
        weights=files.sizes_text(),
        parameters=metrics["parameters"],
        datasets=sorted({source.folder for source in recipe.data.train}),
        recipe=recipe.name,
        recipe_text=recipe_text(recipe),
        rows=rows,
        date=spec["training"]["date"],
    )


def _percent(metrics: Mapping[str, float], name: str) -> str:
    value = metrics.get(f"validation_{name}")
    return "undefined" if value is None else f"{value:.2%}"


def _words(fitted: Calibrated) -> CardWords:
    return CardWords(
        summary="Finds fish in frames of underwater footage.",
        table=(
            ("engines", "OpenVINO where it is installed and the artifact has a network for it, else ONNX Runtime"),
            ("input", "colour frames of any size"),
            ("answer", "boxes in pixels of the frame, each with a calibrated probability"),
        ),
        use="""\
Counting fish in underwater video that is watched by a person or checked on a sample: surveys, teaching, research.""",
        licence="The datasets ask for attribution, as above.",
        validation="""\
Validation pictures are of camera sites held out of training; they chose the epoch, the calibration and the threshold,
so these numbers lean towards the model. A test on other data follows below where one was made.""",
        calibration=f"""\
A box of the logit l has the score 1 / (1 + exp(-({fitted.scale:.3f} l + {fitted.shift:.3f}))), fitted to whether boxes
overlap a true one by an IoU of 0.5 or more (Platt 1999). Expected calibration error (15 bins): {fitted.ece_before:.4f}
before, {fitted.ece_after:.4f} after. A box counts from a score of {fitted.threshold:.3f}, where F1 is highest.""",
        limits=_LIMITS,
        data="`FOLDER` is a YOLO folder, or holds COCO json.",
    )
