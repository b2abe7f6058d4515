"""From a trained counter to its artifact.

Everything is measured through the runtime: a draft of the artifact is written, and its counter looks at the pictures of
held-out sites. From what it counts there comes the count from which it is to be trusted more than boxes.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from torch import nn

from data.count_metrics import LEVELS, CountScores, background, count_errors, counts_at, grid_error, trusted_from
from data.density import Density
from data.errors import ConfigurationError
from data.points import centres
from data.readers import DetectionSet
from deploy.card import CardFacts, CardWords, model_card
from deploy.detectors import detect_all
from deploy.graph import write_graph
from deploy.networks import NetworkFiles, float_files, int8_files
from deploy.onepass import SharedTrunk
from deploy.packing import Export, training_facts, write_artifact
from deploy.parity import CountingParity
from deploy.runtime.artifact import Artifact
from deploy.runtime.counter import DenseCounter
from deploy.runtime.detector import FishDetector
from deploy.runtime.looking import BATCH
from deploy.runtime.spec import CARD_FILE, MODEL_FILE, EngineName, counting_graph
from models import zoo
from models.counting import Counter
from training.recipe import CountingRecipe, recipe_text
from training.tasks.counting import CountingTask

CALIBRATION_INPUTS: Final = 200
BOX_COUNTER: Final = Path(__file__).resolve().parents[1] / "models" / "weights" / "fish-int8"
"""The shipped detector, whose boxes a counter is compared with."""
GRID_LEVEL: Final = 2
"""GAME(2) of the card: 16 parts of the picture."""
_LIMITS: Final = """\
- It was trained on underwater video of north-east Australia and on photographs of public aquaria. Other waters, lights
  and cameras may be harder than the numbers above say; check a sample by hand before trusting it there.
- It counts fish and names no species. A count is a sum of small amounts: 3.4 fish is an answer. In waters unlike those
  it learnt from much of it is spread thinly over the frame, and an empty frame has a fish or two: trust it for schools.
- Its points are for looking at. Fish that touch may share one, and it draws no boxes.
- Few of its training pictures hold more than twenty fish: beyond that it has seen little, and counts are too low."""


@dataclass(frozen=True)
class CountingDeployData:
    """What an export needs besides the network.

    `calibration` (K, 3, height, width) float32 are training pictures as network inputs, which the int8 ranges are
    taken from. `validation` are pictures of sites that were not learnt from, `boxes` (N,) how many boxes the shipped
    detector counts in them.
    """

    calibration: NDArray[np.float32]
    validation: DetectionSet
    boxes: NDArray[np.int64]


def deploy_data(task: CountingTask) -> CountingDeployData:
    """Training pictures spread over the clips, all pictures of the held-out sites, and the boxes counted there."""
    detector = FishDetector(Artifact.open(BOX_COUNTER))
    boxes = counts_at(detect_all(detector, task.held), detector.threshold)
    return CountingDeployData(task.sample_input(CALIBRATION_INPUTS).numpy(), task.held, boxes)


def export_counter(
    network: nn.Module, recipe: CountingRecipe, data: CountingDeployData, to: Path, engine: EngineName, *, int8: bool
) -> Export:
    """Convert a counter, find its background and from where it is to be trusted, and write its artifact.

    The artifact holds float ONNX, and with `int8` a network for OpenVINO beside it.

    Raises:
        ConfigurationError: The network is no counter.
    """
    if not isinstance(network, Counter):
        raise ConfigurationError("network.name", f"{recipe.network.name!r} counts nothing")
    grid_wh = network.grid_wh(recipe.preprocessing.size_wh)
    with tempfile.TemporaryDirectory(prefix="shankha-export-") as place:
        plain = Path(place) / MODEL_FILE
        graph = counting_graph(recipe.preprocessing, grid_wh)
        write_graph(network, graph, plain)
        shared = SharedTrunk.of(BOX_COUNTER, plain.read_bytes(), graph)
        draft = _Draft(recipe, grid_wh, shared, data.validation, Path(place) / "draft")
        content = plain.read_bytes()
        files = float_files(shared.onnx(content, ["density"]) if shared else content, engine)
        seen = {"float32": draft.seen(files)}
        scales = dict.fromkeys(seen, 1.0)
        if int8:
            likeness, finish = draft.likeness(seen["float32"]), shared.openvino if shared else None
            files = int8_files(files, plain, data.calibration, likeness, 0.0, finish)
            seen["int8"] = draft.seen(files)
            scales["int8"] = same_total(seen["float32"], seen["int8"])
    best = files.models[0].precision
    seen = {precision: [one.times(scales[precision]) for one in own] for precision, own in seen.items()}
    least = background(draft.true, seen[best], data.validation.sites)
    seen = {precision: _above(own, least) for precision, own in seen.items()}
    scores = {precision: draft.scores(one) for precision, one in seen.items()}
    trusted = trusted_from(draft.true, _counts(seen[best]), data.boxes, data.validation.sites)
    parity = _parity(files, seen, scores) if int8 else None
    grid = grid_error(centres(data.validation), seen[best], data.validation.sizes_wh, GRID_LEVEL)
    spec = draft.spec(files) | {
        "scales": [scales[model.precision] for model in files.models],
        "least_density": least,
        "dense_from": trusted if math.isfinite(trusted) else None,
        "metrics": _metrics(scores[best], grid, grid_wh, zoo.parameters(network)),
    }
    card = model_card(_facts(spec, recipe, files, data, scores, grid), _words(least, trusted))
    artifact = write_artifact(to, spec, {**files.contents, CARD_FILE: card.encode()})
    return Export(artifact, parity, _notes(spec, files, trusted))


@dataclass(frozen=True)
class _Draft:
    """Looks at pictures with networks that are not an artifact yet."""

    recipe: CountingRecipe
    grid_wh: tuple[int, int]
    shared: SharedTrunk | None
    pictures: DetectionSet
    folder: Path

    @property
    def true(self) -> NDArray[np.int64]:
        """(N,) how many are in each picture."""
        return np.array([len(boxes) for boxes in self.pictures.xyxy], np.int64)

    def seen(self, files: NetworkFiles) -> list[Density]:
        """What the first of the networks sees where in every picture."""
        raw = self.spec(files) | {"scales": [1.0] * len(files.models)}
        artifact = write_artifact(self.folder, raw, files.contents)
        return count_all(DenseCounter(artifact), self.pictures)

    def spec(self, files: NetworkFiles) -> dict[str, Any]:
        """Fields of the artifact's spec that need no measuring."""
        recipe = self.recipe
        training = training_facts(recipe, [source.folder for source in recipe.data.train]) | files.training_text()
        if self.shared is not None:
            training["trunk"] = self.shared.detector.spec.name
        return {
            "task": "counting",
            "name": f"{recipe.name}-{files.models[0].precision}",
            "network": recipe.network.name,
            "preprocessing": recipe.preprocessing,
            "models": files.models,
            "grid_wh": self.grid_wh,
            "training": training,
            "detectors": [self.shared.network_hash(one.precision) for one in files.models] if self.shared else [],
        }

    def scores(self, seen: Sequence[Density]) -> CountScores:
        """How its counts err."""
        return count_errors(self.true, _counts(seen))

    def likeness(self, reference: Sequence[Density]) -> Callable[[NetworkFiles], float]:
        """How like the reference's the counts of networks are once they add up to as many; at most 0.

        The mean absolute difference as a share of the mean true count, negated. Errors would not do as a measure: two
        counters that see different fish may err alike, one of them by chance.
        """
        counts, mean = _counts(reference), max(float(self.true.mean()), 1e-9)

        def measure(files: NetworkFiles) -> float:
            seen = self.seen(files)
            return -float(np.abs(_counts(seen) * same_total(reference, seen) - counts).mean()) / mean

        return measure


def same_total(reference: Sequence[Density], seen: Sequence[Density]) -> float:
    """What to multiply what is seen by, so that it adds up to as many as the reference does.

    A small shift of all logits, such as rounding to 8 bits brings, changes every rate by the same factor.
    """
    total = float(_counts(seen).sum())
    return float(_counts(reference).sum()) / total if total > 0 else 1.0


def _above(seen: Sequence[Density], least: float) -> list[Density]:
    return [one.above(least) for one in seen]


def count_all(counter: DenseCounter, pictures: DetectionSet) -> list[Density]:
    """What a counter sees where in every picture of a set."""
    seen: list[Density] = []
    for start in range(0, len(pictures), BATCH):
        seen += counter.densities([pictures.read(i) for i in range(start, min(len(pictures), start + BATCH))])
    return seen


def _counts(seen: Sequence[Density]) -> NDArray[np.float64]:
    return np.array([one.count for one in seen], np.float64)


def _share(scores: CountScores) -> float:
    """The mean absolute error as a share of the mean count."""
    return scores.overall.mae / scores.overall.mean if scores.overall.mean else scores.overall.mae


def _parity(
    files: NetworkFiles, seen: Mapping[str, list[Density]], scores: Mapping[str, CountScores]
) -> CountingParity:
    small, plain = files.models
    differences = np.abs(_counts(seen["int8"]) - _counts(seen["float32"]))
    return CountingParity(
        pictures=len(differences),
        float_mae=scores["float32"].overall.mae,
        int8_mae=scores["int8"].overall.mae,
        float_share=_share(scores["float32"]),
        int8_share=_share(scores["int8"]),
        mean_difference=float(differences.mean()),
        max_difference=float(differences.max()),
        float_bytes=files.size(plain),
        int8_bytes=files.size(small),
    )


def _metrics(scores: CountScores, grid: float, grid_wh: tuple[int, int], parameters: int) -> dict[str, float]:
    told = {"mae": scores.overall.mae, "bias": scores.overall.bias, "share": _share(scores)}
    if grid_wh != (1, 1):
        told[f"game{GRID_LEVEL}"] = grid
    told |= {f"mae_{name.replace('+', '_up')}": one.mae for name, one in scores.bins.items() if one.pictures}
    return {f"validation_{name}": value for name, value in told.items()} | {"parameters": parameters}


def _notes(spec: dict[str, Any], files: NetworkFiles, trusted: float) -> tuple[str, ...]:
    first, metrics = files.models[0], spec["metrics"]
    told = (
        f"{first.precision} for {first.engine}, validation error {metrics['validation_mae']:.2f} fish a frame, "
        f"trusted {_trusted_text(trusted)}"
    )
    return (told,) if files.method is None else (f"quantization: {files.method}", told)


def _trusted_text(trusted: float) -> str:
    return f"from {trusted:.1f} fish on" if math.isfinite(trusted) else "nowhere more than boxes"


def _facts(
    spec: dict[str, Any],
    recipe: CountingRecipe,
    files: NetworkFiles,
    data: CountingDeployData,
    scores: Mapping[str, CountScores],
    grid: float,
) -> CardFacts:
    best = scores[files.models[0].precision]
    where = f"{len(data.validation):,} pictures of held-out sites, {data.validation.boxes:,} fish"
    rows = [
        ("mean absolute error of the count", f"{best.overall.mae:.2f}", where),
        ("mean error (bias)", f"{best.overall.bias:+.2f}", where),
    ]
    if spec["grid_wh"] != (1, 1):
        rows.append((f"grid error GAME({GRID_LEVEL})", f"{grid:.2f}", where))
    rows += [
        (f"mean absolute error at {name} fish", f"{one.mae:.2f}", f"{one.pictures:,} of them")
        for name, one in best.bins.items()
        if one.pictures
    ]
    if len(scores) > 1:
        rows.append(("mean absolute error of the float32 network", f"{scores['float32'].overall.mae:.2f}", where))
    return CardFacts(
        name=spec["name"],
        network=spec["network"],
        weights=files.sizes_text(),
        parameters=spec["metrics"]["parameters"],
        datasets=sorted({source.folder for source in recipe.data.train}),
        recipe=recipe.name,
        recipe_text=recipe_text(recipe),
        rows=rows,
        date=spec["training"]["date"],
    )


def _words(least: float, trusted: float) -> CardWords:
    return CardWords(
        summary="Counts fish in frames of underwater footage without boxes, for schools too dense for them.",
        table=(
            ("engines", "OpenVINO where it is installed and the artifact has a network for it, else ONNX Runtime"),
            ("input", "colour frames of any size"),
            ("answer", "how many fish, and a point in each that stands out"),
        ),
        use="""\
Counting fish in underwater video that is watched by a person or checked on a sample, where fish are too many, too small
or too close for boxes.""",
        licence="The datasets ask for attribution, as above.",
        validation="""\
Validation pictures are of camera sites held out of training; they chose the epoch, so these numbers lean towards the
model. A test on other data follows below where one was made.""",
        calibration=f"""\
The int8 network is scaled to count as many fish as the float32 one on the validation pictures. A cell of less than
{least:g} fish is background and counts nothing: of {len(LEVELS)} levels the one whose counts err least there, every
site counting alike, and of each site every abundance. By its own count it is trusted {_trusted_text(trusted)}: taking
its count there, and elsewhere the boxes of the shipped detector, errs least.""",
        limits=_LIMITS,
        data="`FOLDER` is a YOLO folder, holds COCO json, or holds pictures and points.csv.",
    )
