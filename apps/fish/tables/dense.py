"""`dense.csv`: all fish of a deployment together, by boxes and by points; it says which of the two counts."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from apps.fish.counts import Sighting
from apps.fish.dense import dense_counts
from apps.fish.joining import DENSE
from apps.fish.results import DeploymentResult
from apps.spreadsheets import harmless, spreadsheet

COLUMNS: Final = (
    "opcode",
    "maxn",
    "counted_by",
    "maxn_file",
    "maxn_frame",
    "maxn_seconds",
    "maxn_boxes",
    "maxn_boxes_seconds",
    "maxn_points",
    "maxn_points_seconds",
    "mean_count",
    "mean_count_boxes",
    "dense_from",
    "dense_samples",
    "samples",
    "complete",
)


def write_dense(result: DeploymentResult, folder: Path) -> list[Path]:
    """Write the row of the deployment; nothing where no fish were counted by points.

    Raises:
        FileAccessError: The folder cannot be written, or the disk is full.
    """
    found = dense_counts(result)
    if found is None:
        return []
    path = folder / DENSE
    with spreadsheet(path, COLUMNS) as table:
        table.writerow(
            [
                harmless(result.deployment.opcode),
                _number(found.max_n),
                found.used,
                *_place(result, found.at),
                _number(found.max_n_boxes),
                _seconds(found.boxes_at),
                _number(found.max_n_points),
                _seconds(found.points_at),
                *("" if mean is None else f"{mean:.4f}" for mean in (found.mean, found.mean_boxes)),
                "" if found.dense_from is None else f"{found.dense_from:g}",
                found.dense,
                found.samples,
                "yes" if result.complete else "no",
            ]
        )
    return [path]


def _place(result: DeploymentResult, at: Sighting | None) -> tuple[object, object, str]:
    if at is None:
        return "", "", ""
    samples = result.records.tracked.observations.samples
    file = result.records.files[int(samples.chapter[at.sample])]
    return harmless(file), int(samples.frame[at.sample]), _seconds(at)


def _seconds(at: Sighting | None) -> str:
    return "" if at is None else f"{at.seconds:.3f}"


def _number(value: int | None) -> int | str:
    return "" if value is None else value
