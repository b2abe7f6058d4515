"""From a trained detector to its artifact.

Everything is measured through the runtime: a draft of the artifact is written, its detector looks at the pictures of
held-out sites, and the calibration of scores and the threshold are fitted to what it finds there. They change the
scale of the scores and never their order, so the boxes of the draft are those of the artifact.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from torch import nn

from data.calibration import fit_platt
from data.count_metrics import CLIP_FRAMES, maxn_thresholds
from data.detection_metrics import (
    DetectionScores,
    average_precision,
    best_f1,
    judge,
    operating_point,
    score_detections,
)
from data.detections import Detections
from data.errors import ArgumentError
from data.masks import Mask
from data.metrics import expected_calibration_error
from data.readers import DetectionSet
from data.suppression import MOST_OVERLAP
from deploy.card import CardFacts, CardWords, model_card
from deploy.graph import write_graph
from deploy.networks import NetworkFiles, float_files, int8_files
from deploy.packing import Export, training_facts, write_artifact
from deploy.parity import DetectionParity, box_agreement
from deploy.runtime.artifact import Artifact
from deploy.runtime.detector import FishDetector, calibrated
from deploy.runtime.engines import installed, missing
from deploy.runtime.looking import BATCH
from deploy.runtime.spec import CARD_FILE, MODEL_FILE, ArtifactSpec, EngineName, Graph, detector_graph
from models import zoo
from training.recipe import SceneRecipe, recipe_text
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
class Seen:
    """What a network finds in every picture, the surest first, and the masks of it where the network outlines."""

    found: list[Detections]
    masks: list[tuple[Mask, ...]] | None = None

    def select(self, indices: NDArray[np.int64]) -> Seen:
        """The chosen pictures."""
        masks = None if self.masks is None else [self.masks[int(i)] for i in indices]
        return Seen([self.found[int(i)] for i in indices], masks)


@dataclass(frozen=True)
class Finder:
    """What sets one kind of network that finds objects apart from the others, to the export.

    `graph` are a network's ends; `spec` are the fields of its artifact that the others have not; `look` shows an
    artifact the pictures of a set. `noun` is what it is judged by, `parity` the report of that; `summary`, `answer`,
    `use` and `limits` are for the card.
    """

    graph: Callable[[SceneRecipe, nn.Module, int], Graph]
    spec: Callable[[nn.Module], dict[str, Any]]
    look: Callable[[Artifact[ArtifactSpec], DetectionSet], Seen]
    parity: type[DetectionParity]
    noun: str
    summary: str
    answer: str
    use: str
    limits: str


@dataclass(frozen=True)
class Calibrated:
    """What was fitted to the detections of validation pictures, and what it gives there.

    The expected calibration errors are those of the raw scores and of the calibrated ones; precision, recall and f1
    are those of what counts from `threshold` up, at an IoU of 0.5.
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
    network: nn.Module,
    recipe: SceneRecipe,
    data: DetectionDeployData,
    to: Path,
    engine: EngineName,
    *,
    int8: bool,
    finder: Finder | None = None,
) -> Export:
    """Convert a detector, calibrate its scores, and write its artifact: float ONNX, and int8 for OpenVINO beside it.

    `finder` tells what kind of network it is; by default one that finds boxes.
    """
    kind = finder or BOXES
    with tempfile.TemporaryDirectory(prefix="shankha-export-") as place:
        plain = Path(place) / MODEL_FILE
        write_graph(network, kind.graph(recipe, network, len(data.validation.names)), plain)
        draft = _Draft(recipe, network, kind, data.validation, Path(place) / "draft")
        files = float_files(plain.read_bytes(), engine)
        found = {"float32": draft.found(files)}
        if int8:
            reference = pooled_ap50(data.validation, found["float32"])
            files = int8_files(files, plain, data.calibration, draft.ap50, reference)
            found["int8"] = draft.found(files)
    best = files.models[0].precision
    fitted = calibrate(data.validation, found[best])
    found = {precision: rescored(seen, fitted.scale, fitted.shift) for precision, seen in found.items()}
    scores = {precision: score_detections(data.validation, seen.found, seen.masks) for precision, seen in found.items()}
    parity = _parity(kind, files, found, scores, fitted.threshold) if int8 else None
    spec = _spec(recipe, data.validation.names, files, kind.spec(network)) | {
        "score_scale": fitted.scale,
        "score_shift": fitted.shift,
        "threshold": max(fitted.threshold, LEAST_SCORE),
        "least_score": LEAST_SCORE,
        "metrics": _metrics(fitted, scores[best], parity, zoo.parameters(network)),
    }
    card = model_card(_facts(spec, recipe, files, data.validation, parity, kind), _words(fitted, kind))
    artifact = write_artifact(to, spec, {**files.contents, CARD_FILE: card.encode()})
    return Export(artifact, parity, _notes(spec, files))


@dataclass(frozen=True)
class _Draft:
    """Looks at pictures with networks that are not an artifact yet; scores are plain sigmoids of the logits."""

    recipe: SceneRecipe
    network: nn.Module
    kind: Finder
    pictures: DetectionSet
    folder: Path

    def found(self, files: NetworkFiles) -> Seen:
        """What the first of the networks finds in every picture."""
        plain = {"score_scale": 1.0, "score_shift": 0.0, "least_score": _DRAFT_LEAST, "threshold": 0.5, "metrics": {}}
        spec = _spec(self.recipe, self.pictures.names, files, self.kind.spec(self.network)) | plain
        return self.kind.look(write_artifact(self.folder, spec, files.contents), self.pictures)

    def ap50(self, files: NetworkFiles) -> float:
        """How good what it finds is."""
        return pooled_ap50(self.pictures, self.found(files))


def pooled_ap50(pictures: DetectionSet, seen: Seen) -> float:
    """Average precision at IoU 0.5 of all classes in one list: a class of a few objects moves it little."""
    judged = judge(pictures, seen.found, masks=seen.masks)
    return average_precision(judged.right, judged.boxes)


def detect_all(detector: FishDetector, pictures: DetectionSet) -> list[Detections]:
    """What a detector finds in every picture of a set."""
    found: list[Detections] = []
    for start in range(0, len(pictures), BATCH):
        found += detector.detect([pictures.read(i) for i in range(start, min(len(pictures), start + BATCH))])
    return found


def rescored(seen: Seen, scale: float, shift: float) -> Seen:
    """Detections of a draft as the finished artifact gives them: calibrated, and none below its least score."""
    moved = [replace(one, scores=calibrated(_logits(one.scores), scale, shift)) for one in seen.found]
    found = [one.select(one.scores >= LEAST_SCORE) for one in moved]
    # The surest come first, so those that are left are the first of each picture's.
    masks = None if seen.masks is None else [own[: len(one)] for own, one in zip(seen.masks, found, strict=True)]
    return Seen(found, masks)


def _logits(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    held = np.clip(scores.astype(np.float64), _SATURATION, 1 - _SATURATION)
    return np.log(held / (1 - held)).astype(np.float32)


def calibrate(pictures: DetectionSet, seen: Seen) -> Calibrated:
    """Fit the calibration of scores and the threshold to count from to a draft's detections.

    The threshold has the best F1 of those at which the MaxN of held-out clips errs least, and of all without clips.
    Only pictures in which everything is labelled tell right boxes from wrong ones.
    """
    told = np.flatnonzero(pictures.exhaustive)
    told_seen = seen.select(told)
    judged = judge(pictures.select(told), told_seen.found, masks=told_seen.masks)
    ece_before = expected_calibration_error(judged.scores, judged.right)
    logits = _logits(judged.scores)
    scale, shift = fit_platt(logits, judged.right)
    scores = calibrated(logits, scale, shift)
    told_found = [replace(one, scores=calibrated(_logits(one.scores), scale, shift)) for one in told_seen.found]
    judged = replace(judged, scores=scores)
    points = [operating_point(judged, float(one)) for one in maxn_thresholds(pictures.select(told), told_found)]
    at = max(points, key=lambda point: point.f1) if points else best_f1(scores, judged.right, judged.boxes)
    return Calibrated(
        scale=scale,
        shift=shift,
        threshold=at.threshold,
        ece_before=ece_before,
        ece_after=expected_calibration_error(scores, judged.right),
        precision=at.precision,
        recall=at.recall,
        f1=at.f1,
    )


def _spec(recipe: SceneRecipe, names: tuple[str, ...], files: NetworkFiles, own: dict[str, Any]) -> dict[str, Any]:
    training = training_facts(recipe, [source.folder for source in recipe.data.train]) | files.training_text()
    return {
        "task": recipe.task,
        "name": f"{recipe.name}-{files.models[0].precision}",
        "network": recipe.network.name,
        "labels": names,
        "preprocessing": recipe.preprocessing,
        "models": files.models,
        "nms_iou": MOST_OVERLAP,
        "training": training,
        **own,
    }


def _parity(
    kind: Finder,
    files: NetworkFiles,
    found: Mapping[str, Seen],
    scores: Mapping[str, DetectionScores],
    threshold: float,
) -> DetectionParity:
    sizes = {model.precision: files.size(model) for model in files.models}
    return kind.parity(
        pictures=len(found["int8"].found),
        float_map50=scores["float32"].map50,
        int8_map50=scores["int8"].map50,
        float_map50_95=scores["float32"].map50_95,
        int8_map50_95=scores["int8"].map50_95,
        **asdict(box_agreement(found["float32"].found, found["int8"].found, threshold)),
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
    recipe: SceneRecipe,
    files: NetworkFiles,
    pictures: DetectionSet,
    parity: DetectionParity | None,
    kind: Finder,
) -> CardFacts:
    metrics = spec["metrics"]
    where = f"{len(pictures):,} pictures of held-out {recipe.data.hold_out}, {pictures.boxes:,} {kind.noun}"
    counted = f"{kind.noun} from a score of {spec['threshold']:.3f}, IoU 0.5"
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


def _words(fitted: Calibrated, kind: Finder) -> CardWords:
    return CardWords(
        summary=kind.summary,
        table=(
            ("engines", "OpenVINO where it is installed and the artifact has a network for it, else ONNX Runtime"),
            ("input", "colour frames of any size"),
            ("answer", kind.answer),
        ),
        use=kind.use,
        licence="The datasets ask for attribution, as above.",
        validation="""\
Validation pictures were held out of training; they chose the epoch, the calibration and the threshold, so these numbers
lean towards the model. A test on other data follows below where one was made.""",
        calibration=f"""\
A box of the logit l has the score 1 / (1 + exp(-({fitted.scale:.3f} l + {fitted.shift:.3f}))), fitted to whether its
{kind.noun} overlap true ones by an IoU of 0.5 or more (Platt 1999). Expected calibration error (15 bins):
{fitted.ece_before:.4f} before, {fitted.ece_after:.4f} after. It counts from a score of {fitted.threshold:.3f}, where
F1 is highest among the thresholds at which the MaxN of held-out clips errs least (among all without clips of
{CLIP_FRAMES} frames).""",
        limits=kind.limits,
        data="`FOLDER` is a YOLO folder, or holds COCO json.",
    )


BOXES: Final = Finder(
    graph=lambda recipe, _network, labels: detector_graph(recipe.preprocessing, labels),
    spec=lambda _network: {},
    look=lambda artifact, pictures: Seen(detect_all(FishDetector(artifact), pictures)),
    parity=DetectionParity,
    noun="boxes",
    summary="Finds fish in frames of underwater footage.",
    answer="boxes in pixels of the frame, each with a calibrated probability",
    use="""\
Counting fish in underwater video that is watched by a person or checked on a sample: surveys, teaching, research.""",
    limits=_LIMITS,
)
