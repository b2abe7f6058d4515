"""Scores of detections against labelled boxes: computed, as JSON, and as tables. Keys: docs/evaluate.md."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from data.count_metrics import CountError, CountScores, count_errors, counts_at, score_counts
from data.detection_metrics import (
    AveragePrecision,
    DetectionScores,
    OperatingPoint,
    bootstrap_map50,
    judge,
    operating_point,
    score_detections,
)
from data.detections import Detections
from data.metrics import CALIBRATION_BINS, expected_calibration_error
from data.readers import DetectionSet, Problem
from deploy.runtime.artifact import Artifact
from deploy.runtime.spec import BoxSpec

_SHOWN_PROBLEMS: Final = 10


@dataclass(frozen=True)
class DetectionReport:
    """Everything that is known about one detector on one dataset.

    `interval` is the 95 % interval of mAP50 over clips, None where there is one clip. `point` counts detections from
    the artifact's threshold up. `ece` is the calibration error of all detections, `ece_counted` of those counted; they
    and `point` are of the pictures in which everything is labelled, if there are any. `counts` compares counts picture
    by picture, `maxn` the greatest count of each clip, None where no clip has two pictures. `partly` pictures are
    not exhaustively labelled: a right detection of something unlabelled counts as wrong in them.
    """

    data: str
    scores: DetectionScores
    interval: tuple[float, float] | None
    point: OperatingPoint
    ece: float
    ece_counted: float
    counts: CountScores
    maxn: CountScores | None
    partly: int
    problems: tuple[Problem, ...]
    left_out: tuple[Problem, ...]
    seconds: float


def report_detections(
    truth: DetectionSet,
    found: Sequence[Detections],
    threshold: float,
    problems: tuple[Problem, ...],
    seconds: float,
) -> DetectionReport:
    """Compare detections of N pictures with their boxes; both count into the same names."""
    told = np.flatnonzero(truth.exhaustive)
    judged = judge(truth, found)
    sound = judge(truth.select(told), [found[int(i)] for i in told]) if 0 < len(told) < len(truth) else judged
    counted = sound.scores >= threshold
    return DetectionReport(
        data=truth.name,
        scores=score_detections(truth, found),
        interval=bootstrap_map50(judged, truth.clips),
        point=operating_point(sound, threshold),
        ece=expected_calibration_error(sound.scores, sound.right),
        ece_counted=expected_calibration_error(sound.scores[counted], sound.right[counted]),
        counts=score_counts(truth, found, threshold),
        maxn=_maxn(truth, found, threshold),
        partly=len(truth) - len(told),
        problems=problems,
        left_out=truth.left_out,
        seconds=seconds,
    )


def _maxn(truth: DetectionSet, found: Sequence[Detections], threshold: float) -> CountScores | None:
    """The greatest count in one picture of each clip, against the true one."""
    names, clip_of = np.unique(truth.clips, return_inverse=True)
    if len(names) == len(truth):
        return None
    greatest = np.zeros((2, len(names)), np.int64)
    np.maximum.at(greatest[0], clip_of, np.array([len(boxes) for boxes in truth.xyxy]))
    np.maximum.at(greatest[1], clip_of, counts_at(found, threshold))
    return count_errors(greatest[0], greatest[1])


def report_json(report: DetectionReport, artifact: Artifact[BoxSpec]) -> dict[str, Any]:
    """The scores as docs/evaluate.md describes them; null where there is nothing to divide by."""
    spec, choice, scores = artifact.spec, artifact.choice, report.scores
    tree = {
        "artifact": {
            "name": spec.name,
            "network": spec.network,
            "engine": choice.engine,
            "precision": choice.precision,
            "threshold": spec.threshold,
            "sha256": spec.files[choice.file],
        },
        "data": report.data,
        "pictures": scores.pictures,
        "partly_labelled": report.partly,
        "unreadable": len(report.problems),
        "left_out": len(report.left_out),
        **asdict(scores.overall),
        "interval": report.interval,
        "sizes": {name: asdict(one) for name, one in scores.sizes.items()},
        "sites": {name: asdict(one) for name, one in scores.sites.items()},
        "at_threshold": point_json(report.point),
        "calibration": {"bins": CALIBRATION_BINS, "ece": report.ece, "ece_counted": report.ece_counted},
        "counts": counts_json(report.counts),
        "maxn": None if report.maxn is None else counts_json(report.maxn),
        "unreadable_files": [{"file": one.name, "why": one.why} for one in report.problems],
        "left_out_files": [{"file": one.name, "why": one.why} for one in report.left_out],
        "seconds": round(report.seconds, 3),
        "pictures_per_second": round(scores.pictures / report.seconds, 1) if report.seconds else None,
    }
    return {key: without_nan(value) for key, value in tree.items()}


def point_json(point: OperatingPoint) -> dict[str, float | int]:
    """Counts, precision, recall and F1 from a score up."""
    return {**asdict(point), "precision": point.precision, "recall": point.recall, "f1": point.f1}


def counts_json(counts: CountScores) -> dict[str, Any]:
    """Errors of counts, all together and by abundance."""
    return {**asdict(counts.overall), "bins": {name: asdict(one) for name, one in counts.bins.items()}}


def without_nan(value: Any) -> Any:
    """The same, null for every NaN in it."""
    """The same with None for every NaN, however deep in it."""
    if isinstance(value, dict):
        return {key: without_nan(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def report_tables(report: DetectionReport) -> Group:
    """The scores for a terminal."""
    parts: list[Table | Text] = [_overview(report), _precision_table("side of box", report.scores.sizes)]
    if report.scores.sites:
        parts.append(_precision_table("site", report.scores.sites))
    parts.append(count_table("fish in the picture", report.counts))
    if report.maxn is not None:
        parts.append(count_table("greatest count of the clip", report.maxn))
    parts += [Text(line) for line in problem_lines(report.problems)]
    return Group(*parts)


def _overview(report: DetectionReport) -> Table:
    scores, point = report.scores, report.point
    table = Table("", "", title=Text(report.data), title_justify="left", show_header=False)
    table.add_row("pictures", f"{scores.pictures:,} with {scores.overall.boxes:,} boxes")
    if report.partly:
        table.add_row("partly labelled", f"{report.partly:,} pictures: their precision is a lower bound")
    spread = "" if report.interval is None else " (95 % over clips: {:.1%} to {:.1%})".format(*report.interval)
    table.add_row("mAP50", f"{percent(scores.map50)}{spread}")
    table.add_row("mAP50-95", percent(scores.map50_95))
    table.add_row("average recall", percent(scores.overall.recall))
    table.add_row(
        f"from score {point.threshold:.2f} up",
        f"precision {percent(point.precision)}, recall {percent(point.recall)}, F1 {percent(point.f1)}",
    )
    table.add_row("calibration error", f"{report.ece:.4f}, of those counted {report.ece_counted:.4f}")
    table.add_row("unreadable", f"{len(report.problems):,}")
    table.add_row("left out", f"{len(report.left_out):,}")
    table.add_row("speed", f"{scores.pictures / max(report.seconds, 1e-9):,.1f} pictures a second")
    return table


_SIDES: Final = {"tiny": "tiny: to 16 px", "small": "small: to 32 px", "medium": "medium: to 96 px", "large": "large"}


def _precision_table(title: str, parts: dict[str, AveragePrecision]) -> Table:
    table = Table(title, "boxes", "mAP50", "mAP50-95", "average recall")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, one in parts.items():
        shares = percent(one.map50), percent(one.map50_95), percent(one.recall)
        table.add_row(Text(_SIDES.get(name, name) or "unknown"), f"{one.boxes:,}", *shares)
    return table


def count_table(title: str, counts: CountScores) -> Table:
    """Errors of counts, a row for each abundance."""
    table = Table(title, "cases", "mean error", "bias", "exact", "within one")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, one in counts.bins.items():
        if one.pictures:
            table.add_row(name, *_count_row(one))
    table.add_row("all", *_count_row(counts.overall), style="bold")
    return table


def _count_row(error: CountError) -> tuple[str, ...]:
    shares = percent(error.exact), percent(error.within_one)
    return f"{error.pictures:,}", f"{error.mae:.2f}", f"{error.bias:+.2f}", *shares


def percent(share: float) -> str:
    """With one decimal; "-" for NaN."""
    return "-" if math.isnan(share) else f"{share:.1%}"


def problem_lines(problems: Sequence[Problem]) -> list[str]:
    """The first problems of a dataset, and how many more there are."""
    lines = [f"unreadable: {one.name}: {one.why}" for one in problems[:_SHOWN_PROBLEMS]]
    more = len(problems) - len(lines)
    return lines + ([f"... and {more} more (all are in the --json file)"] if more else [])
