"""Prints the tables of docs/masks-numbers.md, one section each:

    python -m benchmarks.masks shipped maxn precisions

All of them read the shipped artifact and Luderick's val part: whole clips of a camera site that nothing was learnt from
and nothing was chosen by. Each section replaces its part of `benchmarks/masks.json`; `docs/masks-numbers.md` and the
shipped model's card are written from all of it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from apps.detection_scores import percent
from apps.mask_scores import MaskReport, report_masks
from benchmarks.sections import ROOT, Measure, Section, run, write_numbers
from benchmarks.survey_speed import cost_of
from data.count_metrics import CountError, count_errors
from data.detection_metrics import score_detections
from data.readers import DetectionSet, read_detections
from deploy.bench import measure
from deploy.runtime.artifact import Artifact
from deploy.runtime.segmenter import FishSegmenter, Segmented
from deploy.runtime.spec import EngineName, SegmentationSpec
from deploy.segmenters import segment_all
from training.run import data_root

SHIPPED = ROOT / "models" / "weights" / "masks-int8"
KEPT = ROOT / "benchmarks" / "masks.json"
NUMBERS = ROOT / "docs" / "masks-numbers.md"
EXHAUSTIVE = True
"""Of luderick and bream, everything is labelled; of other fish, nothing."""
_MEMORY = """
import sys, numpy as np
from pathlib import Path
from deploy.runtime.artifact import Artifact
from deploy.runtime.segmenter import FishSegmenter
segmenter = FishSegmenter(Artifact.open(Path(sys.argv[1]), sys.argv[2]))
for _ in range(20):
    segmenter.segment([np.full((360, 640, 3), 90, np.uint8)])
"""


@cache
def unseen() -> DetectionSet:
    return read_detections(data_root() / "fish" / "luderick", "val", EXHAUSTIVE, masks=True)


@cache
def seen_by(engine: EngineName | None) -> tuple[Segmented, ...]:
    """What the shipped artifact outlines in every frame, with one of its networks."""
    return tuple(segment_all(FishSegmenter(Artifact.open(SHIPPED, engine)), unseen()))


def spec() -> SegmentationSpec:
    return Artifact.open(SHIPPED).of(SegmentationSpec).spec


def report(engine: EngineName | None) -> MaskReport:
    return report_masks(unseen(), seen_by(engine), spec().threshold)


def counts(label: int | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """True and found objects of a class (None: of all) in each frame, found from the shipped threshold up."""
    true = np.array([len(own) if label is None else int((own == label).sum()) for own in unseen().labels])
    found = []
    for one in seen_by(None):
        counted = one.detections.scores >= spec().threshold
        found.append(int((counted if label is None else counted & (one.detections.labels == label)).sum()))
    return true, np.array(found)


def shipped(_runs: Path) -> Section:
    """The shipped artifact, with the engine that it picks, on a site never trained on."""
    truth, masks = unseen(), report(None)
    boxes = score_detections(truth, [one.detections for one in seen_by(None)])
    true, found = counts(None)
    errors = count_errors(true, found).overall
    shared = np.minimum(true, found).sum()
    spread = "" if masks.interval is None else " ({:.1%} to {:.1%})".format(*masks.interval)
    numbers = np.bincount(np.concatenate(truth.labels), minlength=len(truth.names))
    rows = [
        *((f"mask AP50 of {name} ({numbers[n]:,} masks)", percent(masks.classes[name])) for n, name in
          enumerate(truth.names)),
        ("mask mAP50, mean of the names", f"{percent(masks.scores.map50)}{spread}"),
        ("mask AP50, all names in one list", percent(masks.pooled)),
        ("mask mAP50-95", percent(masks.scores.map50_95)),
        ("box mAP50", percent(boxes.map50)),
        ("box mAP50-95", percent(boxes.map50_95)),
        (f"masks from the shipped threshold, {masks.point.threshold:.3f}: precision", percent(masks.point.precision)),
        ("recall", percent(masks.point.recall)),
        ("F1", percent(masks.point.f1)),
        ("highest F1 that any threshold gives here", percent(masks.best.f1)),
        ("F1 of counts: 2 min(true, found) / (true + found) over all frames",
         percent(float(2 * shared / (true.sum() + found.sum())))),
        ("mean absolute error of the count in a frame", f"{errors.mae:.2f}"),
        ("mean error (bias)", f"{errors.bias:+.2f}"),
    ]  # fmt: skip
    choice = Artifact.open(SHIPPED).choice
    note = (
        f"The shipped model ({choice.precision}, {choice.engine}) on Luderick val: {len(truth)} frames, "
        f"{len(np.unique(truth.clips))} whole clips of a camera site never trained on (Jack Evans B), "
        f"{truth.boxes:,} outlined fish; in brackets: 95 % interval, drawing whole clips. The threshold was chosen on "
        "held-out clips of the training site."
    )
    return Section.of("Shipped masks", note, ("what", "value"), rows)


def maxn(_runs: Path) -> Section:
    """The greatest count of every clip, name by name."""
    truth = unseen()
    clip_of = np.unique(truth.clips, return_inverse=True)[1]
    rows: list[tuple[str, ...]] = []
    for label, name in [*enumerate(truth.names), (None, "both together")]:
        greatest = np.zeros((2, clip_of.max() + 1), np.int64)
        for row, values in zip(greatest, counts(label), strict=True):
            np.maximum.at(row, clip_of, values)
        errors = count_errors(greatest[0], greatest[1])
        parts = [("all", errors.overall), *errors.bins.items()]
        rows += [_maxn_row(name, part, error) for part, error in parts if error.pictures]
    note = (
        "Luderick val, whole clips of a site never trained on: the greatest count in one frame (MaxN), found from the "
        "shipped threshold up against labelled, by true MaxN. Clips without a name are zeros of it, and count."
    )
    return Section.of("MaxN of clips", note, ("name", "true MaxN", "clips", "within 1", "exact", "bias"), rows)


def _maxn_row(name: str, part: str, error: CountError) -> tuple[str, ...]:
    return name, part, str(error.pictures), percent(error.within_one), percent(error.exact), f"{error.bias:+.2f}"


def precisions(_runs: Path) -> Section:
    """The networks of the shipped artifact side by side."""
    opened = [Artifact.open(SHIPPED, model.engine).of(SegmentationSpec) for model in spec().models]
    latencies = [latency for latency in measure(opened).latencies if latency.batch == 1]
    rows = []
    for artifact, latency in zip(opened, latencies, strict=True):
        engine = artifact.choice.engine
        masks = report(engine)
        size = sum((SHIPPED / name).stat().st_size for name in (artifact.choice.file, artifact.choice.weights) if name)
        memory = cost_of([sys.executable, "-c", _MEMORY, str(SHIPPED), engine]).megabytes
        rows.append((
            f"{artifact.choice.precision}, {engine}", percent(masks.classes[unseen().names[0]]), percent(masks.pooled),
            percent(masks.scores.map50_95), percent(masks.point.f1), f"{size / 1000:,.0f} kB",
            f"{latency.milliseconds:.1f} ms", f"{latency.ratio:.2f}", f"{memory:.0f} MB",
        ))  # fmt: skip
    size_wh = spec().preprocessing.size_wh
    note = (
        f"Both networks of the artifact, input {size_wh[0]} x {size_wh[1]}, on Luderick val, through the runtime. "
        "Time is the network's for one frame on one thread, measured in turns in one run, and its ratio to the first; "
        "memory is the peak of a process that outlines twenty frames, Python and libraries included."
    )
    columns = (
        "network", "AP50 of luderick", "AP50, all names", "mAP50-95", "F1", "size", "a frame", "ratio", "memory"
    )  # fmt: skip
    return Section.of("int8 against float", note, columns, rows)


SECTIONS: dict[str, Measure] = {"shipped": shipped, "maxn": maxn, "precisions": precisions}


def publish(kept: Mapping[str, Section]) -> None:
    """Write the documents that show the numbers."""
    write_numbers(kept, NUMBERS, "# Masks: numbers\n\nPrinted by `python -m benchmarks.masks`.", SHIPPED)


if __name__ == "__main__":
    run(__doc__, SECTIONS, KEPT, publish)
