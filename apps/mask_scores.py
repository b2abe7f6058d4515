"""Scores of masks against labelled ones: computed, as JSON, and as a table. Keys: docs/masks.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from apps.detection_scores import percent, point_json, without_nan
from data.detection_metrics import (
    DetectionScores,
    OperatingPoint,
    average_precision,
    best_f1,
    bootstrap_map50,
    judge,
    operating_point,
    score_detections,
)
from data.readers import DetectionSet
from deploy.runtime.segmenter import Segmented


@dataclass(frozen=True)
class MaskReport:
    """How well masks are found.

    `pooled` is the average precision at IoU 0.5 of all classes in one list, `classes` that of each class; `interval` is
    the 95 % interval of mAP50 over clips. `point` counts from the artifact's threshold up, `best` from the threshold
    that gives these very pictures the highest F1: what a threshold chosen elsewhere can reach at most. `outlined` is
    how many of the labelled objects have a mask; the others are taken for their boxes.
    """

    scores: DetectionScores
    pooled: float
    classes: dict[str, float]
    interval: tuple[float, float] | None
    point: OperatingPoint
    best: OperatingPoint
    outlined: int


def report_masks(truth: DetectionSet, seen: Sequence[Segmented], threshold: float) -> MaskReport:
    """Compare the masks of N pictures with those labelled; both count into the same names."""
    found, masks = [one.detections for one in seen], [one.masks for one in seen]
    judged = judge(truth, found, masks=masks)
    return MaskReport(
        scores=score_detections(truth, found, masks),
        pooled=average_precision(judged.right, judged.boxes),
        classes={
            name: average_precision(judged.right[judged.labels == label], int(judged.truth[:, label].sum()))
            for label, name in enumerate(truth.names)
        },
        interval=bootstrap_map50(judged, truth.clips),
        point=operating_point(judged, threshold),
        best=best_f1(judged.scores, judged.right, judged.boxes),
        outlined=int(np.sum([mask is not None for own in truth.masks or () for mask in own])),
    )


def masks_json(report: MaskReport) -> dict[str, Any]:
    """The scores as docs/masks.md describes them; null where there is nothing to divide by."""
    tree = {
        "outlined": report.outlined,
        **asdict(report.scores.overall),
        "pooled_ap50": report.pooled,
        "classes": report.classes,
        "interval": report.interval,
        "sizes": {name: asdict(one) for name, one in report.scores.sizes.items()},
        "sites": {name: asdict(one) for name, one in report.scores.sites.items()},
        "at_threshold": point_json(report.point),
        "at_best_f1": point_json(report.best),
    }
    return {key: without_nan(value) for key, value in tree.items()}


def masks_table(report: MaskReport) -> Table:
    """The scores for a terminal."""
    table = Table("", "", title=Text("masks"), title_justify="left", show_header=False)
    table.add_row("labelled masks", f"{report.outlined:,} of {report.scores.overall.boxes:,} objects")
    spread = "" if report.interval is None else " (95 % over clips: {:.1%} to {:.1%})".format(*report.interval)
    table.add_row("mAP50", f"{percent(report.scores.map50)}{spread}")
    table.add_row("mAP50-95", percent(report.scores.map50_95))
    for name, value in report.classes.items():
        table.add_row(f"AP50 of {name}", percent(value))
    for title, point in (("from score", report.point), ("best F1, from score", report.best)):
        text = f"precision {percent(point.precision)}, recall {percent(point.recall)}, F1 {percent(point.f1)}"
        table.add_row(f"{title} {point.threshold:.2f} up", text)
    return table
