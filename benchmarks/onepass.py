"""What one pass saves: the shipped detector and a counter's head on its trunk in one graph, or one after the other.

    SHANKHA_DATA=... uv run --all-extras python -m benchmarks.onepass speed accuracy

The counter is the run `dense` under --runs, whose trunk is the shipped detector's: where it is missing it is trained
(`shankha train dense`, some twelve minutes on one free core). Each section replaces its part of
`benchmarks/onepass.json`, from which `docs/onepass-numbers.md` is written.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.dense import SHIPPED as COUNTER
from benchmarks.dense import by_counter, held_out, true_counts, unseen
from benchmarks.sections import ROOT, Measure, Section, run
from benchmarks.survey_speed import cost_of
from data.count_metrics import count_errors
from data.detection_metrics import score_detections
from data.files import write_text
from data.readers import DetectionSet
from deploy.counters import BOX_COUNTER, deploy_data
from deploy.detectors import detect_all
from deploy.export import load_run
from deploy.graph import write_graph
from deploy.networks import BIN_FILE, XML_FILE
from deploy.openvino_int8 import OpenVinoModel, quantize_openvino
from deploy.runtime.artifact import Artifact
from deploy.runtime.detector import FishDetector
from deploy.runtime.engines import Floats, Port, Session, load
from deploy.runtime.spec import MODEL_FILE, ArtifactSpec, CountingSpec, DetectionSpec, EngineName, Graph
from models.counting import DensityNet
from models.onepass import OnePass
from models.pretrained import load_yolox
from models.yolox import YoloxNano
from training.recipe import CountingRecipe
from training.run import build_task, train

KEPT: Final = ROOT / "benchmarks" / "onepass.json"
NUMBERS: Final = ROOT / "docs" / "onepass-numbers.md"
PRECISIONS: Final[Mapping[EngineName, str]] = {"openvino": "int8", "onnxruntime": "float32"}
ROUNDS: Final = 80
_WARM_UPS: Final = 5
LIKENESS_PICTURES: Final = 120


@dataclass(frozen=True)
class Shared(Artifact[ArtifactSpec]):
    """An artifact whose network is a part of another: some of that one's answers."""

    network: Session
    answers: slice

    def session(self, threads: int = 1) -> Session:
        """The other's, with the answers of this part alone."""
        del threads
        return Part(self.network, self.answers)


class Part:
    """A session that gives some of another's outputs; see `deploy.runtime.engines.Session`."""

    def __init__(self, whole: Session, answers: slice) -> None:
        self._whole, self._answers = whole, answers
        self.inputs: tuple[Port, ...] = whole.inputs
        self.outputs: tuple[Port, ...] = whole.outputs[answers]

    def run(self, inputs: Floats) -> tuple[Floats, ...]:
        return self._whole.run(inputs)[self._answers]


BOXES: Final = slice(0, 2)
DENSITY: Final = slice(2, 3)


def part(folder: Path, engine: EngineName, whole: Session, answers: slice) -> Shared:
    """The artifact of that folder, answered for by a network that does its job beside another."""
    alone = Artifact.open(folder, engine)
    return Shared(alone.folder, alone.spec, alone.choice, alone.contents, whole, answers)


@cache
def joined(runs: Path) -> Path:
    """A folder with the network of both jobs: float ONNX, and int8 for OpenVINO."""
    folder = runs / "onepass"
    if (folder / BIN_FILE).is_file():
        return folder
    if not (runs / "dense" / "metrics.json").is_file():
        train("dense", (), None, runs / "dense")
    recipe, counter = load_run(runs / "dense")
    if not isinstance(counter, DensityNet) or not isinstance(recipe, CountingRecipe):
        raise TypeError(f"{runs / 'dense'} is no run of the shipped counter")
    detector = YoloxNano()
    load_yolox(detector, BOX_COUNTER / MODEL_FILE)
    alone = Artifact.open(BOX_COUNTER).of(DetectionSpec).spec
    density = Artifact.open(COUNTER).of(CountingSpec).spec.graph.outputs
    graph = alone.graph.model_copy(update={"outputs": (*alone.graph.outputs, *density)})
    folder.mkdir(parents=True, exist_ok=True)
    write_graph(OnePass(detector, counter), graph, folder / MODEL_FILE)
    _quantize(recipe, graph, folder)
    return folder


def _quantize(recipe: CountingRecipe, graph: Graph, folder: Path) -> None:
    """Write the int8 network: of the ways to make it the first that finds and counts like the float one."""
    data = deploy_data(build_task(recipe))
    some = data.validation.select(np.linspace(0, len(data.validation) - 1, LIKENESS_PICTURES).astype(np.int64))
    plain = load("onnxruntime", (folder / MODEL_FILE).read_bytes(), folder / MODEL_FILE)
    boxes, counts = _answers(plain, "onnxruntime", some)
    mean = float(true_counts(some).mean())

    def measure(model: OpenVinoModel) -> float:
        session = load("openvino", model.graph, folder / XML_FILE, weights=model.weights)
        found, own = _answers(session, "openvino", some)
        apart = np.abs(own * (counts.sum() / max(own.sum(), 1e-9)) - counts).mean() / mean
        return found - boxes - float(apart)

    made = quantize_openvino(folder / MODEL_FILE, data.calibration, measure, 0.0)
    (folder / XML_FILE).write_bytes(made.model.graph)
    (folder / BIN_FILE).write_bytes(made.model.weights)
    write_text(folder / "way.txt", made.method)


def network(runs: Path, engine: EngineName) -> Session:
    """The joint network, loaded."""
    folder = joined(runs)
    if engine == "onnxruntime":
        return load(engine, (folder / MODEL_FILE).read_bytes(), folder / MODEL_FILE)
    return load(engine, (folder / XML_FILE).read_bytes(), folder / XML_FILE, weights=(folder / BIN_FILE).read_bytes())


def _answers(whole: Session, engine: EngineName, pictures: DetectionSet) -> tuple[float, NDArray[np.float64]]:
    """Average precision of the boxes at an IoU of 0.5, and (N,) counts, of a network that does both jobs."""
    found = detect_all(FishDetector(part(BOX_COUNTER, engine, whole, BOXES)), pictures)
    seen = by_counter("", part(COUNTER, engine, whole, DENSITY), pictures)
    return score_detections(pictures, found).overall.map50, seen.counts


def speed(runs: Path) -> Section:
    """Latency, size and memory of one pass and of one after the other."""
    rows = []
    for engine, precision in PRECISIONS.items():
        alone = [Artifact.open(folder, engine) for folder in (BOX_COUNTER, COUNTER)]
        sessions = [*(one.session() for one in alone), network(runs, engine)]
        shapes = [one.spec.graph.input_shape for one in alone]
        detector, counter, both = _medians(sessions, [*shapes, shapes[0]])
        sizes = sum(len(content) for one in alone for content in one.contents.values()), _size(joined(runs), engine)
        memory = [_memory(way, engine, joined(runs)) for way in ("cascade", "one pass")]
        rows.append((
            f"{precision}, {engine}, one after the other",
            f"{detector:.1f} + {counter:.1f} = {detector + counter:.1f} ms", "1.00",
            f"{sizes[0] / 1000:,.0f} kB", f"{memory[0]:,.0f} MB",
        ))  # fmt: skip
        rows.append((
            f"{precision}, {engine}, one pass", f"{both:.1f} ms", f"{both / (detector + counter):.2f}",
            f"{sizes[1] / 1000:,.0f} kB", f"{memory[1]:,.0f} MB",
        ))  # fmt: skip
    note = (
        "One frame on one thread, medians, measured in turns in one run, preprocessing aside (one pass does it once); "
        "detector + counter. Memory is the peak of a process that looks at twenty frames, engine and Python included."
    )
    columns = "networks", "a frame", "to one after the other", "size", "peak memory"
    return Section.of("Cost", note, columns, rows)


def _size(folder: Path, engine: EngineName) -> int:
    names = (MODEL_FILE,) if engine == "onnxruntime" else (XML_FILE, BIN_FILE)
    return sum((folder / name).stat().st_size for name in names)


def _medians(sessions: Sequence[Session], shapes: Sequence[tuple[int, ...]]) -> list[float]:
    """Median milliseconds of each network for one input, timed in turns."""
    rng = np.random.default_rng(1)
    inputs = [rng.uniform(0, 255, (1, *shape)).astype(np.float32) for shape in shapes]
    timings: list[list[float]] = [[] for _ in sessions]
    for number in range(ROUNDS + _WARM_UPS):
        for session, given, timing in zip(sessions, inputs, timings, strict=True):
            begun = time.perf_counter()
            session.run(given)
            if number >= _WARM_UPS:
                timing.append(1000 * (time.perf_counter() - begun))
    return [statistics.median(timing) for timing in timings]


def _memory(way: str, engine: EngineName, folder: Path) -> float:
    """Peak megabytes of a process that looks at twenty frames."""
    names = (MODEL_FILE, "") if engine == "onnxruntime" else (XML_FILE, BIN_FILE)
    code = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from deploy.runtime.artifact import Artifact\n"
        "from deploy.runtime.engines import load\n"
        "way, engine, model, weights, *folders = sys.argv[1:]\n"
        "if way == 'cascade':\n"
        "    opened = [Artifact.open(Path(one), engine) for one in folders]\n"
        "    both = [(one.session(), one.spec.graph.input_shape) for one in opened]\n"
        "else:\n"
        "    read = Path(weights).read_bytes() if engine == 'openvino' else None\n"
        "    session = load(engine, Path(model).read_bytes(), Path(model), weights=read)\n"
        "    both = [(session, Artifact.open(Path(folders[0]), engine).spec.graph.input_shape)]\n"
        "for _ in range(20):\n"
        "    for session, shape in both:\n"
        "        session.run(np.zeros((1, *shape), np.float32))\n"
    )
    files = [str(folder / name) for name in names]
    return cost_of([sys.executable, "-c", code, way, engine, *files, str(BOX_COUNTER), str(COUNTER)]).megabytes


def accuracy(runs: Path) -> Section:
    """Whether each job is done as well as by a network of its own."""
    rows = []
    for label, pictures in (("held-out sites", held_out()), ("DeepFish val", unseen("deepfish", "val"))):
        true = true_counts(pictures)
        for engine, precision in PRECISIONS.items():
            whole = network(runs, engine)
            for way in ("one after the other", "one pass"):
                joint = way == "one pass"
                detector, counter = (
                    part(folder, engine, whole, answers) if joint else Artifact.open(folder, engine)
                    for folder, answers in ((BOX_COUNTER, BOXES), (COUNTER, DENSITY))
                )
                found = detect_all(FishDetector(detector), pictures)
                scores = score_detections(pictures, found).overall
                errors = count_errors(true, by_counter("", counter, pictures).counts)
                crowded = errors.bins["10+"]
                rows.append((
                    label, f"{precision}, {engine}, {way}", f"{scores.map50:.1%}", f"{scores.map50_95:.1%}",
                    f"{errors.overall.mae:.2f} ({errors.overall.bias:+.2f})",
                    f"{crowded.mae:.2f}" if crowded.pictures else "-",
                ))  # fmt: skip
    note = (
        "Average precision of the boxes, and mean absolute error (bias) of the count by points. Float networks of both "
        "ways are the same function; int8 networks differ by what was quantized together. Held-out sites: those of "
        "DeepFish's train part that neither learnt from."
    )
    columns = "pictures", "networks", "mAP50", "mAP50-95", "error of the count", "in frames of 10 and more"
    return Section.of("Accuracy", note, columns, rows)


SECTIONS: Final[dict[str, Measure]] = {"speed": speed, "accuracy": accuracy}


def publish(kept: Mapping[str, Section]) -> None:
    """Write the document that shows the numbers."""
    head = (
        "# One pass: numbers\n\nPrinted by `python -m benchmarks.onepass`. What was found: "
        "[dense](dense.md#one-pass).\n"
    )
    write_text(NUMBERS, head + "\n" + "\n".join(section.markdown() for section in kept.values()))


if __name__ == "__main__":
    run(__doc__, SECTIONS, KEPT, publish)
