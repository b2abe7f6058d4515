"""What one pass saves: the shipped detector and counter as one network, or one after the other.

    SHANKHA_DATA=... uv run --all-extras python -m benchmarks.onepass speed same survey

Each section replaces its part of `benchmarks/onepass.json`, from which `docs/onepass-numbers.md` is written.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks import survey_speed
from benchmarks.dense import SHIPPED as COUNTER
from benchmarks.dense import unseen
from benchmarks.sections import ROOT, Measure, Section, run
from benchmarks.survey_speed import Cost, cost_of
from data.density import Density
from data.detections import Detections
from data.files import write_text
from data.readers import DetectionSet
from deploy.counters import BOX_COUNTER
from deploy.packing import write_artifact
from deploy.runtime.artifact import Artifact
from deploy.runtime.counter import DenseCounter
from deploy.runtime.detector import FishDetector
from deploy.runtime.engines import Session
from deploy.runtime.looking import BATCH
from deploy.runtime.onepass import OnePass
from deploy.runtime.spec import EngineName
from training.run import data_root

KEPT: Final = ROOT / "benchmarks" / "onepass.json"
NUMBERS: Final = ROOT / "docs" / "onepass-numbers.md"
PRECISIONS: Final[Mapping[EngineName, str]] = {"openvino": "int8", "onnxruntime": "float32"}
WAYS: Final = ("one after the other", "one pass")
ROUNDS: Final = 80
_WARM_UPS: Final = 5
SURVEYS: Final = 3
"""Surveys of each footage in each way, in turns."""
TABLES: Final = ("maxn.csv", "dense.csv", "detections.parquet")


def speed(_runs: Path) -> Section:
    """Latency, size and memory of one pass and of one after the other."""
    rows = []
    for engine, precision in PRECISIONS.items():
        alone = [Artifact.open(folder, engine) for folder in (BOX_COUNTER, COUNTER)]
        sessions = [*(one.session() for one in alone), alone[1].session(whole=True)]
        detector, counter, both = _medians(sessions, alone[0].spec.graph.input_shape)
        sizes = [sum(len(content) for content in one.contents.values()) for one in alone]
        memory = [_memory(way, engine) for way in WAYS]
        rows.append((
            f"{precision}, {engine}, {WAYS[0]}", f"{detector:.1f} + {counter:.1f} = {detector + counter:.1f} ms",
            "1.00", f"{sum(sizes) / 1000:,.0f} kB", f"{memory[0]:,.0f} MB",
        ))  # fmt: skip
        rows.append((
            f"{precision}, {engine}, {WAYS[1]}", f"{both:.1f} ms", f"{both / (detector + counter):.2f}",
            f"{sizes[1] / 1000:,.0f} kB", f"{memory[1]:,.0f} MB",
        ))  # fmt: skip
    note = (
        "One frame on one thread, medians, measured in turns in one run, preprocessing aside (one pass does it once); "
        "detector + counter. The counter's file holds the detector too, which ONNX Runtime also computes where only "
        "the count is asked for. Memory is the peak of a process that looks at twenty frames, engine and Python "
        "included."
    )
    columns = "networks", "a frame", "to one after the other", "size", "peak memory"
    return Section.of("Cost", note, columns, rows)


def _medians(sessions: Sequence[Session], shape: tuple[int, ...]) -> list[float]:
    """Median milliseconds of each network for one input, timed in turns."""
    given = np.random.default_rng(1).uniform(0, 255, (1, *shape)).astype(np.float32)
    timings: list[list[float]] = [[] for _ in sessions]
    for number in range(ROUNDS + _WARM_UPS):
        for session, timing in zip(sessions, timings, strict=True):
            begun = time.perf_counter()
            session.run(given)
            if number >= _WARM_UPS:
                timing.append(1000 * (time.perf_counter() - begun))
    return [statistics.median(timing) for timing in timings]


def _memory(way: str, engine: EngineName) -> float:
    """Peak megabytes of a process that looks at twenty frames."""
    code = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from deploy.runtime.artifact import Artifact\n"
        "way, engine, *folders = sys.argv[1:]\n"
        "detector, counter = (Artifact.open(Path(one), engine) for one in folders)\n"
        "joint = way == 'one pass'\n"
        "sessions = [counter.session(whole=True)] if joint else [detector.session(), counter.session()]\n"
        "for _ in range(20):\n"
        "    for session in sessions:\n"
        "        session.run(np.zeros((1, *detector.spec.graph.input_shape), np.float32))\n"
    )
    return cost_of([sys.executable, "-c", code, way, engine, str(BOX_COUNTER), str(COUNTER)]).megabytes


def same(_runs: Path) -> Section:
    """Whether both answer alike."""
    pictures, rows = unseen("deepfish", "val"), []
    for engine, precision in PRECISIONS.items():
        artifacts = Artifact.open(BOX_COUNTER, engine), Artifact.open(COUNTER, engine)
        both = OnePass(*artifacts)
        boxes, counts = _both(FishDetector(artifacts[0]), DenseCounter(artifacts[1]), pictures)
        found, seen = _both(both.detector, both.counter, pictures)
        other = sum(
            not (np.array_equal(one.xyxy, two.xyxy) and np.array_equal(one.scores, two.scores))
            for one, two in zip(boxes, found, strict=True)
        )
        apart = max(abs(one.count - two.count) for one, two in zip(counts, seen, strict=True))
        rows.append(
            (f"{precision}, {engine}", f"{len(pictures)}", f"{sum(map(len, found)):,}", f"{other}", f"{apart:.5f}")
        )
    note = "DeepFish val through the runtime, in one pass and one after the other."
    columns = "networks", "frames", "boxes", "frames in which a box or score differs", "greatest difference of a count"
    return Section.of("The same answers", note, columns, rows)


def _both(
    detector: FishDetector, counter: DenseCounter, pictures: DetectionSet
) -> tuple[list[Detections], list[Density]]:
    """What both say of all pictures, which each of them is shown in turns, as in a survey."""
    found: list[Detections] = []
    seen: list[Density] = []
    for start in range(0, len(pictures), BATCH):
        shown = [pictures.read(i) for i in range(start, min(len(pictures), start + BATCH))]
        found += detector.detect(shown)
        seen += counter.densities(shown)
    return found, seen


def survey(runs: Path) -> Section:
    """Whole surveys with `--dense shipped`, in turns."""
    minute = survey_speed.film(runs / "speed" / "1080p30" / "clip.mp4").parent
    rows = []
    for name, disk in (("rendered 1080p30, 1 min", minute), ("tank clip", _tank(runs / "onepass" / "tank"))):
        costs = _surveys(disk, runs / "onepass" / "results")
        base = costs[WAYS[0]]
        for way, cost in costs.items():
            rows.append((
                f"{name}, {way}", f"{cost.seconds:.1f} s", f"{cost.seconds / base.seconds:.2f}",
                f"{cost.busy:.1f} s", f"{cost.busy / base.busy:.2f}", f"{cost.megabytes:,.0f} MB",
            ))  # fmt: skip
    note = (
        f"Shipped models (int8, OpenVINO), five samples a second, one chapter at a time, start-up and all files "
        f"included; medians of {SURVEYS} surveys in turns. Busy: seconds of all processes and threads together. Tables "
        f"({', '.join(TABLES)}) are the same to the byte."
    )
    columns = "survey", "seconds", "to one after the other", "busy", "to one after the other", "peak memory"
    return Section.of("Surveys", note, columns, rows)


def _tank(disk: Path) -> Path:
    """A disk with the tank clip on it."""
    (source,) = (data_root() / "fish" / "tank-clip").glob("**/*.mp4")
    (disk / "TANK").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, disk / "TANK" / source.name)
    return disk


def _surveys(disk: Path, results: Path) -> dict[str, Cost]:
    """Medians of surveys of a disk in both ways.

    Raises:
        RuntimeError: Their tables differ.
    """
    costs: dict[str, list[Cost]] = {way: [] for way in WAYS}
    tables: dict[str, list[bytes]] = {}
    with tempfile.TemporaryDirectory() as place:
        counters = {WAYS[0]: _unshared(Path(place) / "counter"), WAYS[1]: COUNTER}
        for _ in range(SURVEYS):
            for way, counter in counters.items():
                shutil.rmtree(results, ignore_errors=True)
                costs[way].append(survey_speed.survey(disk, results, BOX_COUNTER, "--dense", str(counter)))
                tables[way] = [path.read_bytes() for name in TABLES for path in sorted(results.rglob(name))]
    if tables[WAYS[0]] != tables[WAYS[1]]:
        raise RuntimeError(f"the tables of {disk} differ")
    return {way: Cost(*(statistics.median(part) for part in _columns(own))) for way, own in costs.items()}


def _columns(costs: Sequence[Cost]) -> list[tuple[float, ...]]:
    return list(zip(*((one.seconds, one.megabytes, one.busy) for one in costs), strict=True))


def _unshared(folder: Path) -> Path:
    """The shipped counter, not knowing that its network is a detector's too."""
    spec = Artifact.open(COUNTER).spec
    files = {name: (COUNTER / name).read_bytes() for name in spec.files}
    return write_artifact(folder, spec.model_dump(exclude={"files"}) | {"detectors": ()}, files).folder


SECTIONS: Final[dict[str, Measure]] = {"speed": speed, "same": same, "survey": survey}


def publish(kept: Mapping[str, Section]) -> None:
    """Write the document that shows the numbers."""
    head = (
        "# One pass: numbers\n\nPrinted by `python -m benchmarks.onepass`. What was found: "
        "[dense](dense.md#one-pass).\n"
    )
    write_text(NUMBERS, head + "\n" + "\n".join(section.markdown() for section in kept.values()))


if __name__ == "__main__":
    run(__doc__, SECTIONS, KEPT, publish)
