"""`mot.txt`: tracks in the format of the MOTChallenge, and `mot_frames.csv`: which frame of which file each is."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from apps.fish.results import DeploymentResult
from apps.spreadsheets import harmless, spreadsheet
from data.files import whole_file

MOT: Final = "mot.txt"
FRAMES: Final = "mot_frames.csv"
FRAME_COLUMNS: Final = ("mot_frame", "file", "frame", "file_seconds", "seconds", "complete")


def write_mot(result: DeploymentResult, folder: Path) -> list[Path]:
    """Write every detection that belongs to a track, and every frame that was looked at, also those without a fish.

    Frames are numbered from 1 in the order of the samples, tracks as everywhere; the picture's first pixel is (1, 1).

    Raises:
        FileAccessError: The folder cannot be written, or the disk is full.
    """
    tracked, seen = result.records.tracked, result.records.tracked.observations
    rows = np.flatnonzero(tracked.tracks)
    rows = rows[np.lexsort((tracked.tracks[rows], seen.sample[rows]))]
    with whole_file(folder / MOT) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        for row in rows:
            x1, y1, x2, y2 = seen.xyxy[row].astype(np.float64)
            box = ",".join(f"{pixels:.2f}" for pixels in (x1 + 1, y1 + 1, x2 - x1, y2 - y1))
            stream.write(f"{seen.sample[row] + 1},{tracked.tracks[row]},{box},{seen.scores[row]:.6f},-1,-1,-1\n")
    return [folder / MOT, _write_frames(result, folder / FRAMES)]


def _write_frames(result: DeploymentResult, path: Path) -> Path:
    samples = result.records.tracked.observations.samples
    files = [harmless(name) for name in result.records.files]
    complete = "yes" if result.complete else "no"
    with spreadsheet(path, FRAME_COLUMNS) as table:
        for sample in range(len(samples)):
            times = f"{samples.file_seconds[sample]:.3f}", f"{samples.seconds[sample]:.3f}"
            table.writerow([sample + 1, files[samples.chapter[sample]], samples.frame[sample], *times, complete])
    return path
