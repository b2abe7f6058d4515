"""The numbers of counting without boxes, printed and kept.

    SHANKHA_DATA=... uv run --all-extras python -m benchmarks.dense counts abundance sites schools other rendered cost
    SHANKHA_DATA=... uv run --all-extras python -m benchmarks.dense losses

The first line reads the shipped counter and detector, and makes the baseline under --runs where it is missing (some ten
minutes on two cores). The second trains a counter with each loss. Each section replaces its part of
`benchmarks/dense.json`; `docs/dense-numbers.md` and the shipped counter's card are written from all of it. The sites of
DeepFish's val part were never trained on, and nothing was chosen by them.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.sections import ROOT, Measure, Section, run, write_numbers
from benchmarks.survey_speed import cost_of
from data.count_metrics import BINS, CountScores, count_errors, grid_error
from data.density import Density
from data.points import Points, centres, middles
from data.readers import DetectionSet, as_fish, read_detections
from data.synth.footage import render_clip, standard_clips
from deploy.bench import measure, open_on_engines
from deploy.counters import BOX_COUNTER, count_all
from deploy.detectors import detect_all
from deploy.export import export_run
from deploy.runtime.artifact import Artifact
from deploy.runtime.counter import DenseCounter
from deploy.runtime.detector import FishDetector
from models.counting_loss import LOSSES
from training.recipe import load_recipe
from training.run import build_task, data_root, recipe_at, train
from training.tasks.scenes import SceneTask

SHIPPED: Final = ROOT / "models" / "weights" / "dense-int8"
KEPT: Final = ROOT / "benchmarks" / "dense.json"
NUMBERS: Final = ROOT / "docs" / "dense-numbers.md"
LEVELS: Final = (1, 2, 3)
MANY: Final = 10
BASELINE: Final = (
    "name=dense-baseline", "network={name: count-nano}", "loss=process", "scene_wh=[416, 256]", "epochs=4",
    "plain_epochs=1", "start_from=../weights/yolox_nano_coco.onnx", "preprocessing.size_wh=[416, 256]",
    "data.train=[{folder: fish/deepfish, split: train, pictures: 700}, "
    "{folder: fish/aquarium, split: train, pictures: 150}]", "data.validation_pictures=200",
    "optimizer.learning_rate=0.0012", "schedule.warmup_epochs=1", "augmentation={scale: 0.8, mixup: 0.1}",
)  # fmt: skip
"""The baseline learns its backbone along, by settings of its own, and not from a detector of fish."""
EVERY: Final = 25
"""Frames of a rendered clip between two that are counted: one a second."""
LEAST_VISIBLE: Final = 0.25


@dataclass(frozen=True)
class Seen:
    """What one way of counting says of the pictures of a set; `places` whether it says where."""

    name: str
    densities: Sequence[Density]
    places: bool = True

    @property
    def counts(self) -> NDArray[np.float64]:
        return np.array([one.count for one in self.densities])


def unseen(folder: str, split: str | None) -> DetectionSet:
    return as_fish(read_detections(data_root() / "fish" / folder, split))


def true_counts(pictures: DetectionSet) -> NDArray[np.int64]:
    return np.array([len(boxes) for boxes in pictures.xyxy], np.int64)


def by_counter(name: str, artifact: Artifact, pictures: DetectionSet) -> Seen:
    counter = DenseCounter(artifact)
    return Seen(name, count_all(counter, pictures), counter.localizes)


def by_boxes(pictures: DetectionSet) -> Seen:
    detector = FishDetector(Artifact.open(BOX_COUNTER))
    kept = [seen.xyxy[seen.scores >= detector.threshold] for seen in detect_all(detector, pictures)]
    return Seen("boxes of the shipped detector", [Density.of_points(middles(xyxy)) for xyxy in kept])


def baseline(runs: Path) -> Artifact:
    """Whole-image regression on the same backbone and pictures."""
    folder = runs / "dense-baseline"
    to = runs / "dense-baseline-float32"
    if not to.is_dir():
        if not (folder / "metrics.json").is_file():
            train("dense", BASELINE, None, folder)
        export_run(folder, to, int8=False)
    return Artifact.open(to)


@cache
def all_ways(runs: Path) -> tuple[DetectionSet, tuple[Seen, ...]]:
    """DeepFish val, and what each way of counting says of it."""
    pictures = unseen("deepfish", "val")
    return pictures, (
        by_counter("points, int8", Artifact.open(SHIPPED, "openvino"), pictures),
        by_counter("points, float32", Artifact.open(SHIPPED, "onnxruntime"), pictures),
        by_counter("whole-image regression", baseline(runs), pictures),
        by_boxes(pictures),
    )


def counts(runs: Path) -> Section:
    """Errors of every way of counting on sites never trained on."""
    pictures, ways = all_ways(runs)
    true, points = true_counts(pictures), centres(pictures)
    rows = []
    for way in ways:
        scores = count_errors(true, way.counts).overall
        grid = [grid_error(points, way.densities, pictures.sizes_wh, level) if way.places else None for level in LEVELS]
        rows.append((
            way.name, f"{scores.mae:.2f}", f"{scores.bias:+.2f}", f"{scores.mae / scores.mean:.1%}",
            *("-" if error is None else f"{error:.2f}" for error in grid),
        ))  # fmt: skip
    note = (
        f"DeepFish val: {len(pictures)} frames of four sites never trained on, {pictures.boxes:,} fish, "
        f"{true.mean():.2f} in a frame. MAE: mean absolute error of the count; relative: of the mean count. GAME(L): "
        "the same with the frame cut into 4, 16 and 64 parts, errors of the parts added."
    )
    columns = "counted by", "MAE", "bias", "relative", *(f"GAME({level})" for level in LEVELS)
    return Section.of("Counting unseen sites", note, columns, rows)


def abundance(runs: Path) -> Section:
    """The same by true count, and how far points and boxes agree."""
    pictures, ways = all_ways(runs)
    true = true_counts(pictures)
    rows = [(way.name, *_by_abundance(count_errors(true, way.counts))) for way in ways]
    apart = np.abs(ways[0].counts - ways[-1].counts)
    held = [_held(true, low, high) for low, high in BINS]
    rows.append(("int8 points and boxes apart", *(f"{apart[one].mean():.2f}" if one.any() else "-" for one in held)))
    many = int((true >= MANY).sum())
    note = (
        "Mean absolute error (bias) of the count on DeepFish val, by how many fish there are; frames in brackets. "
        f"{many or 'No'} frames have {MANY} fish or more. Last row: mean absolute difference of the two counts."
    )
    columns = [
        "counted by",
        *(f"{_name(low, high)} ({one.sum()})" for (low, high), one in zip(BINS, held, strict=True)),
    ]
    return Section.of("By abundance", note, columns, rows)


def _by_abundance(scores: CountScores) -> list[str]:
    return [f"{one.mae:.2f} ({one.bias:+.2f})" if one.pictures else "-" for one in scores.bins.values()]


def _held(true: NDArray[np.int64], low: int, high: int | None) -> NDArray[np.bool_]:
    return np.asarray((true >= low) & (true <= (np.inf if high is None else high)))


def _name(low: int, high: int | None) -> str:
    if high is None:
        return f"{low} and more"
    return f"{low}" if low == high else f"{low} to {high}"


def sites(runs: Path) -> Section:
    pictures, ways = all_ways(runs)
    true = true_counts(pictures)
    shown = ways[0], ways[-1]
    rows = []
    for site in np.unique(pictures.sites):
        here = pictures.sites == site
        errors = [count_errors(true[here], way.counts[here]).overall for way in shown]
        rows.append((
            str(site), str(here.sum()), f"{true[here].mean():.2f}", str(true[here].max()),
            *(f"{error.mae:.2f} ({error.bias:+.2f})" for error in errors),
        ))  # fmt: skip
    columns = "site", "frames", "fish in a frame", "most", *(way.name for way in shown)
    return Section.of("By site", "Mean absolute error (bias) on each site of DeepFish val.", columns, rows)


def other(_runs: Path) -> Section:
    """Pictures unlike the video that was learnt from."""
    rows = []
    for name, folder, split in (
        ("tank clip", "tank-clip", None), ("aquarium photographs, val", "aquarium", "val"),
        ("aquarium photographs, test", "aquarium", "test"),
    ):  # fmt: skip
        pictures = unseen(folder, split)
        for label, kept in (("all", true_counts(pictures) >= 0), ("10 fish or more", true_counts(pictures) >= MANY)):
            if kept.any():
                rows.append((f"{name}, {label}", *_both(pictures.select(kept))))
    note = (
        "Mean absolute error (bias) of the count. A handheld clip over a tank, unlike all that was trained on; and "
        "photographs of public aquaria that were not trained on, though others of that collection were."
    )
    columns = "pictures", "how many", "fish in one", "points, int8", "boxes of the shipped detector"
    return Section.of("Other pictures", note, columns, rows)


def _both(pictures: DetectionSet) -> tuple[str, ...]:
    """How many pictures and fish, and the errors of points and boxes."""
    true = true_counts(pictures)
    ways = by_counter("", Artifact.open(SHIPPED), pictures), by_boxes(pictures)
    errors = [count_errors(true, way.counts).overall for way in ways]
    return str(len(true)), f"{true.mean():.1f}", *(f"{error.mae:.2f} ({error.bias:+.2f})" for error in errors)


def rendered(_runs: Path) -> Section:
    """Made-up footage, where the truth is exact."""
    counter, detector = DenseCounter(Artifact.open(SHIPPED)), FishDetector(Artifact.open(BOX_COUNTER))
    rows = []
    for number, spec in enumerate(standard_clips(), 1):
        true, dense, boxes = [], [], []
        for index, (image, animals) in enumerate(render_clip(spec, 999 + number)):
            if index % EVERY == 0:
                true.append(sum(fish.visible >= LEAST_VISIBLE for fish in animals))
                dense.append(counter.count([image])[0].count)
                boxes.append(int((detector.detect([image])[0].scores >= detector.threshold).sum()))
        errors = [count_errors(np.array(true), np.array(one)).overall for one in (dense, boxes)]
        told = (f"{error.mae:.2f} ({error.bias:+.2f})" for error in errors)
        rows.append((str(number), f"{np.mean(true):.1f}", str(max(true)), *told))
    note = (
        "Mean absolute error (bias) of the count in one frame a second of rendered clips of rising difficulty, the "
        "last two with schools of some thirty fish. No rendered frame was trained on."
    )
    columns = "clip", "fish in a frame", "most", "points, int8", "boxes of the shipped detector"
    return Section.of("Rendered footage", note, columns, rows)


def cost(_runs: Path) -> Section:
    """Latency, size and memory of the int8 network beside the float one."""
    opened = open_on_engines(SHIPPED)
    latencies = [one for one in measure(opened).latencies if one.batch == 1]
    rows = []
    for artifact, latency in zip(opened, latencies, strict=True):
        choice = artifact.choice
        size = sum((SHIPPED / name).stat().st_size for name in (choice.file, choice.weights) if name)
        memory = _memory(choice.engine)
        rows.append((
            f"{choice.precision}, {choice.engine}", f"{latency.milliseconds:.1f} ms", f"{latency.ratio:.2f}",
            f"{size / 1000:,.0f} kB", f"{memory:,.0f} MB",
        ))  # fmt: skip
    note = (
        "One frame on one thread, medians, measured in turns in one run; memory is the peak of a process that counts "
        "twenty frames, engine and Python included."
    )
    columns = "network", "a frame", "to the first", "size", "peak memory"
    return Section.of("int8 against float", note, columns, rows)


def _memory(engine: str) -> float:
    """Peak megabytes of a process that counts twenty frames."""
    code = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from deploy.runtime.artifact import Artifact\n"
        "from deploy.runtime.counter import DenseCounter\n"
        "counter = DenseCounter(Artifact.open(Path(sys.argv[1]), sys.argv[2]))\n"
        "frames = np.random.default_rng(1).integers(0, 256, (720, 1280, 3), np.uint8)\n"
        "for _ in range(20):\n"
        "    counter.count([frames])\n"
    )
    return cost_of([sys.executable, "-c", code, str(SHIPPED), engine]).megabytes


def held_out() -> DetectionSet:
    """Pictures of training sites that neither the shipped counter nor the shipped detector learnt from."""
    tasks = [build_task(load_recipe(recipe_at(name))) for name in ("dense", "fish")]
    held = [task.held.select(_of_deepfish(task.held)) for task in tasks if isinstance(task, SceneTask)]
    return held[0].select(np.isin(held[0].sites, held[1].sites))


def _of_deepfish(pictures: DetectionSet) -> NDArray[np.bool_]:
    return np.array([site.startswith("deepfish/") for site in pictures.sites.tolist()])


def schools(runs: Path) -> Section:
    """Frames with ten fish and more: DeepFish val has none."""
    pictures = held_out()
    true, points = true_counts(pictures), centres(pictures)
    ways = (
        by_counter("points, int8", Artifact.open(SHIPPED, "openvino"), pictures),
        by_counter("points, float32", Artifact.open(SHIPPED, "onnxruntime"), pictures),
        by_counter("whole-image regression", baseline(runs), pictures),
        by_boxes(pictures),
    )
    rows = [(way.name, *_errors(way, true, points, pictures)) for way in ways]
    held = [_held(true, low, high) for low, high in BINS]
    names = [_name(low, high) for low, high in BINS]
    note = (
        f"Sites of DeepFish's train part that neither the counter nor the detector learnt from "
        f"({', '.join(sorted({site.removeprefix('deepfish/') for site in pictures.sites.tolist()}))}; they chose the "
        f"epochs of both, and the detector's threshold): {len(pictures)} frames, {pictures.boxes:,} fish. Mean "
        "absolute error (bias) of the count, by how many fish there are; frames in brackets."
    )
    columns = "counted by", "all", *(f"{name} ({one.sum()})" for name, one in zip(names, held, strict=True)), "GAME(2)"
    return Section.of("Schools", note, columns, rows)


def _errors(way: Seen, true: NDArray[np.int64], points: Sequence[Points], pictures: DetectionSet) -> tuple[str, ...]:
    """Errors of all counts, of those of each abundance, and GAME(2)."""
    scores = count_errors(true, way.counts)
    grid = f"{grid_error(points, way.densities, pictures.sizes_wh, 2):.2f}" if way.places else "-"
    return f"{scores.overall.mae:.2f} ({scores.overall.bias:+.2f})", *_by_abundance(scores), grid


def losses(runs: Path) -> Section:
    """The shipped recipe with each loss."""
    pictures, rows = held_out(), []
    true, points = true_counts(pictures), centres(pictures)
    for name in LOSSES:
        shipped = name == load_recipe(recipe_at("dense")).model_dump()["loss"]
        folder = runs / ("dense" if shipped else f"dense-{name}")
        if not (folder / "metrics.json").is_file():
            train("dense", (f"loss={name}", f"name={folder.name}"), None, folder)
        with tempfile.TemporaryDirectory() as place:
            made = export_run(folder, Path(place) / "float32", int8=False).artifact
            way = by_counter(name, made, pictures)
        scores = count_errors(true, way.counts)
        grid = grid_error(points, way.densities, pictures.sizes_wh, 2)
        rows.append(
            (name, f"{scores.overall.mae:.2f} ({scores.overall.bias:+.2f})", *_by_abundance(scores), f"{grid:.2f}")
        )
    names = [_name(low, high) for low, high in BINS]
    note = "The shipped recipe with each loss, float32, on the same held-out sites: mean absolute error (bias)."
    return Section.of("Losses", note, ("loss", "all", *names, "GAME(2)"), rows)


SECTIONS: Final[dict[str, Measure]] = {
    "counts": counts,
    "abundance": abundance,
    "sites": sites,
    "schools": schools,
    "other": other,
    "rendered": rendered,
    "cost": cost,
    "losses": losses,
}


def publish(kept: Mapping[str, Section]) -> None:
    """Write the documents that show the numbers."""
    head = (
        "# Counting without boxes: numbers\n\nPrinted by `python -m benchmarks.dense`. What is what: [dense](dense.md)."
    )
    write_numbers(kept, NUMBERS, head, SHIPPED)


if __name__ == "__main__":
    run(__doc__, SECTIONS, KEPT, publish)
