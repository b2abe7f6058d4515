"""Scores of counts against labelled pictures: computed, as JSON, and as tables. Keys: docs/evaluate.md."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from apps.detection_scores import count_table, counts_json, problem_lines, without_nan
from data.count_metrics import CountScores, count_errors, grid_error
from data.density import Density
from data.points import centres
from data.readers import DetectionSet, Problem
from deploy.runtime.artifact import Artifact
from deploy.runtime.spec import CountingSpec

GRID_LEVELS: Final = (1, 2, 3)
"""GAME(L) is told for these: 4, 16 and 64 parts of the picture."""


@dataclass(frozen=True)
class CountingReport:
    """Everything that is known about one counter on one dataset.

    `grid` holds GAME(L) by level, nothing from a counter that places nothing. `partly` pictures, in which only some
    fish are labelled, are left out of all scores.
    """

    data: str
    counts: CountScores
    sites: dict[str, CountScores]
    grid: dict[int, float]
    partly: int
    problems: tuple[Problem, ...]
    left_out: tuple[Problem, ...]
    seconds: float


def report_counts(
    truth: DetectionSet, seen: Sequence[Density], problems: tuple[Problem, ...], seconds: float, *, localizes: bool
) -> CountingReport:
    """Compare what was counted in N pictures with their labels."""
    told = np.flatnonzero(truth.exhaustive)
    pictures, seen = truth.select(told), [seen[int(i)] for i in told]
    true = np.array([len(boxes) for boxes in pictures.xyxy], np.int64)
    counted = np.array([one.count for one in seen], np.float64)
    sites = [str(site) for site in np.unique(pictures.sites) if site]
    levels = GRID_LEVELS if localizes else ()
    return CountingReport(
        data=truth.name,
        counts=count_errors(true, counted),
        sites={site: count_errors(true[here], counted[here]) for site in sites for here in (pictures.sites == site,)},
        grid={level: grid_error(centres(pictures), seen, pictures.sizes_wh, level) for level in levels},
        partly=len(truth) - len(told),
        problems=problems,
        left_out=truth.left_out,
        seconds=seconds,
    )


def report_json(report: CountingReport, artifact: Artifact[CountingSpec]) -> dict[str, Any]:
    """The scores as docs/evaluate.md describes them; null where there is nothing to divide by."""
    spec, choice, pictures = artifact.spec, artifact.choice, report.counts.overall.pictures
    tree = {
        "artifact": {
            "name": spec.name,
            "network": spec.network,
            "engine": choice.engine,
            "precision": choice.precision,
            "dense_from": spec.dense_from,
            "sha256": spec.files[choice.file],
        },
        "data": report.data,
        "partly_labelled": report.partly,
        "unreadable": len(report.problems),
        "left_out": len(report.left_out),
        "counts": counts_json(report.counts),
        "sites": {name: asdict(one.overall) for name, one in report.sites.items()},
        "grid_errors": {str(level): error for level, error in report.grid.items()},
        "unreadable_files": [{"file": one.name, "why": one.why} for one in report.problems],
        "left_out_files": [{"file": one.name, "why": one.why} for one in report.left_out],
        "seconds": round(report.seconds, 3),
        "pictures_per_second": round(pictures / report.seconds, 1) if report.seconds else None,
    }
    return {key: without_nan(value) for key, value in tree.items()}


def report_tables(report: CountingReport) -> Group:
    """The scores for a terminal."""
    overall = report.counts.overall
    table = Table("", "", title=Text(report.data), title_justify="left", show_header=False)
    table.add_row("pictures", f"{overall.pictures:,} with {round(overall.mean * overall.pictures):,} fish")
    if report.partly:
        table.add_row("partly labelled", f"{report.partly:,} pictures: left out")
    table.add_row("mean absolute error", f"{overall.mae:.2f} of {overall.mean:.2f} fish in a picture")
    table.add_row("bias", f"{overall.bias:+.2f}")
    for level, error in report.grid.items():
        table.add_row(f"grid error, {4**level} parts", "-" if math.isnan(error) else f"{error:.2f}")
    table.add_row("unreadable", f"{len(report.problems):,}")
    table.add_row("left out", f"{len(report.left_out):,}")
    table.add_row("speed", f"{overall.pictures / max(report.seconds, 1e-9):,.1f} pictures a second")
    parts: list[Table | Text] = [table, count_table("fish in the picture", report.counts)]
    parts += [count_table(f"site {name}", one) for name, one in report.sites.items()]
    return Group(*parts, *(Text(line) for line in problem_lines(report.problems)))
