"""`tracks.csv`: a row a track; `line_counts.csv` and `crossings.csv`: who crossed the lines that were drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from apps.fish.counts import settle
from apps.fish.individuals import mean_scores
from apps.fish.records import TrackedObservations
from apps.fish.results import DeploymentResult
from apps.spreadsheets import harmless, spreadsheet

TRACKS: Final = "tracks.csv"
LINE_COUNTS: Final = "line_counts.csv"
CROSSINGS: Final = "crossings.csv"
TRACK_COLUMNS: Final = (
    "opcode",
    "track",
    "species",
    "first_file",
    "first_frame",
    "first_seconds",
    "last_file",
    "last_frame",
    "last_seconds",
    "sightings",
    "sightings_in_period",
    "confirmed",
    "mean_score",
    "complete",
)
LINE_COLUMNS: Final = ("opcode", "line", "species", "direction", "crossings", "complete")
CROSSING_COLUMNS: Final = ("opcode", "line", "track", "species", "direction", "file", "frame", "seconds", "complete")


def write_tracks(result: DeploymentResult, folder: Path) -> list[Path]:
    """Write every track, numbered as in `detections.parquet`; seconds run from the start of the period.

    Raises:
        FileAccessError: The folder cannot be written, or the disk is full.
    """
    tracked = settle(result.records.tracked)
    held = result.counts.period.holds(tracked.observations.samples)
    within = np.bincount(tracked.tracks[held[tracked.observations.sample]], minlength=tracked.count + 1)
    scores = mean_scores(tracked)
    order = np.argsort(tracked.tracks, kind="stable")
    edges = np.searchsorted(tracked.tracks[order], np.arange(1, tracked.count + 2))
    with spreadsheet(folder / TRACKS, TRACK_COLUMNS) as table:
        for track in range(1, tracked.count + 1):
            rows = order[edges[track - 1] : edges[track]]
            seen = tracked.observations.sample[rows]
            confirmed = "yes" if track in result.counts.confirmed else "no"
            places = [*_place(result, int(seen[0])), *_place(result, int(seen[-1]))]
            numbers = [len(rows), within[track], confirmed, f"{scores[track]:.4f}"]
            table.writerow([harmless(result.deployment.opcode), track, _species(tracked, rows[0]), *places, *numbers,
                            _complete(result)])  # fmt: skip
    return [folder / TRACKS]


def write_crossings(result: DeploymentResult, folder: Path) -> list[Path]:
    """Write how often each line was crossed, zeros too, and every crossing; nothing where no line was drawn.

    Raises:
        FileAccessError: The folder cannot be written, or the disk is full.
    """
    if not result.settings.lines:
        return []
    opcode = harmless(result.deployment.opcode)
    with spreadsheet(folder / LINE_COUNTS, LINE_COLUMNS) as table:
        for one in result.counts.line_counts:
            what = str(one.line), harmless(one.species), one.direction, one.count
            table.writerow([opcode, *what, _complete(result)])
    tracked = settle(result.records.tracked)
    with spreadsheet(folder / CROSSINGS, CROSSING_COLUMNS) as table:
        for crossing in result.counts.crossings:
            species = _species(tracked, np.flatnonzero(tracked.tracks == crossing.track)[0])
            how = str(crossing.line), crossing.track, species, crossing.direction
            table.writerow([opcode, *how, *_place(result, crossing.sample), _complete(result)])
    return [folder / LINE_COUNTS, folder / CROSSINGS]


def _species(tracked: TrackedObservations, row: int) -> str:
    seen = tracked.observations
    return harmless(seen.names[seen.labels[row]])


def _place(result: DeploymentResult, sample: int) -> tuple[str, int, str]:
    samples = result.records.tracked.observations.samples
    seconds = float(samples.seconds[sample]) - result.counts.period.start
    return harmless(result.records.files[int(samples.chapter[sample])]), int(samples.frame[sample]), f"{seconds:.3f}"


def _complete(result: DeploymentResult) -> str:
    return "yes" if result.complete else "no"
