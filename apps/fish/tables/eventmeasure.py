"""EventMeasure's `_Points.txt` and `_Period.txt`; `docs/tables.md` says how its conventions were found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np

from apps.fish.counts import SpeciesCounts, settle
from apps.fish.joining import PERIOD, POINTS
from apps.fish.records import Observations
from apps.fish.results import DeploymentResult
from apps.fish.tables.exchange import campaign_file, tab_table, unbroken
from apps.fish.tables.taxa import taxon

POINT_COLUMNS: Final = (
    "OpCode", "PointIndex", "Filename", "Frame", "Time", "Period", "PeriodTime", "ImageCol", "ImageRow", "RectWidth",
    "RectHeight", "Family", "Genus", "Species", "Code", "Number", "Stage", "Activity", "Comment", "Attribute9",
    "Attribute10",
)  # fmt: skip
PERIOD_COLUMNS: Final = (
    "OpCode", "PeriodIndex", "Period", "FilenameStart", "FrameStart", "TimeStart", "FilenameEnd", "FrameEnd",
    "TimeEnd", "HasEnd",
)  # fmt: skip
INCOMPLETE: Final = "footage incomplete: MaxN of what was read"


def write_points(result: DeploymentResult, folder: Path) -> list[Path]:
    """Write a point for every fish of each species' MaxN: so many rows as its MaxN, each of Number 1.

    Raises:
        FileAccessError: The folder cannot be written, or the disk is full.
    """
    path = campaign_file(result, folder, POINTS)
    seen = settle(result.records.tracked).observations
    shown = [one for one in enumerate(result.counts.species) if one[1].max_n_at is not None]
    shown.sort(key=lambda one: (one[1].max_n_at.sample if one[1].max_n_at else 0, one[0]))
    with tab_table(path, POINT_COLUMNS) as table:
        rows = (row for label, species in shown for row in _points(result, seen, label, species))
        for index, row in enumerate(rows):
            table.writerow([unbroken(result.deployment.opcode), index, *row])
    return [path]


def write_period(result: DeploymentResult, folder: Path) -> list[Path]:
    """Write the period that was counted; that of incomplete footage has no end.

    Raises:
        FileAccessError: The folder cannot be written, or the disk is full.
    """
    path = campaign_file(result, folder, PERIOD)
    samples = result.records.tracked.observations.samples
    held = np.flatnonzero(result.counts.period.holds(samples))
    start = [*_place(result, int(held[0])), _minutes(result.counts.period.start)] if len(held) else ["", "", ""]
    ended = result.complete and len(held) > 0
    end = [*_place(result, int(held[-1])), _minutes(float(samples.seconds[held[-1]]))] if ended else ["", "", ""]
    with tab_table(path, PERIOD_COLUMNS) as table:
        table.writerow([unbroken(result.deployment.opcode), 0, _period(result), *start, *end, int(ended)])
    return [path]


def _points(result: DeploymentResult, seen: Observations, label: int, species: SpeciesCounts) -> Iterator[list[object]]:
    at = species.max_n_at
    if at is None:
        return
    name = taxon(species.species, result.taxonomy)
    when = _minutes(float(seen.samples.seconds[at.sample])), _period(result), _minutes(at.seconds)
    note = "" if result.complete else f"; {INCOMPLETE}"
    mine = seen.above(result.settings.threshold)
    for row in np.flatnonzero((mine.sample == at.sample) & (mine.labels == label)):
        x1, y1, x2, y2 = mine.xyxy[row].astype(np.float64)
        box = [f"{pixels:.5f}" for pixels in ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1)]
        comment = unbroken(f"{species.species}, score {mine.scores[row]:.3f}{note}")
        names = name.family, name.genus, name.species, name.code
        yield [*_place(result, at.sample), *when, *box, *names, 1, "", "", comment, "", ""]


def _place(result: DeploymentResult, sample: int) -> tuple[str, int]:
    """The name of the chapter file, without its folder, and the frame's number in it, from 0."""
    samples = result.records.tracked.observations.samples
    label = result.records.files[int(samples.chapter[sample])]
    return unbroken(PurePosixPath(label).name), int(samples.frame[sample])


def _period(result: DeploymentResult) -> str:
    metadata = result.deployment.metadata
    return "All footage" if metadata is None or metadata.period_start is None else "Bottom time"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.5f}"
