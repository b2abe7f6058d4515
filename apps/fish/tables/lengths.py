"""`lengths.csv`: a row a fish that was outlined; `length_classes.csv`: how long the fish of each MaxN are."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from apps.fish.lengths import CLASS_MM, FishLength, fish_lengths, length_classes, scale_of
from apps.fish.results import DeploymentResult
from apps.spreadsheets import harmless, spreadsheet

LENGTHS: Final = "lengths.csv"
LENGTH_CLASSES: Final = "length_classes.csv"
COLUMNS: Final = (
    "opcode",
    "track",
    "species",
    "outlines",
    "outlines_measured",
    "area_px",
    "length_px",
    "length_mm",
    "complete",
)
CLASS_COLUMNS: Final = ("opcode", "species", "length_from_mm", "length_to_mm", "count", "complete")


def write_lengths(result: DeploymentResult, folder: Path) -> list[Path]:
    """Write how large fish are, in pixels and by the scale of the metadata; nothing where fish were not outlined.

    Raises:
        FileAccessError: The folder cannot be written, or the disk is full.
    """
    if result.outlines is None:
        return []
    complete = "yes" if result.complete else "no"
    opcode = harmless(result.deployment.opcode)
    with spreadsheet(folder / LENGTHS, COLUMNS) as table:
        for fish in fish_lengths(result):
            table.writerow([opcode, *_measured(result, fish), complete])
    if scale_of(result) is None:
        return [folder / LENGTHS]
    with spreadsheet(folder / LENGTH_CLASSES, CLASS_COLUMNS) as table:
        for one in length_classes(result):
            ends = ("", "") if one.low is None else (one.low, one.low + CLASS_MM)
            table.writerow([opcode, harmless(one.species), *ends, one.count, complete])
    return [folder / LENGTHS, folder / LENGTH_CLASSES]


def _measured(result: DeploymentResult, fish: FishLength) -> list[object]:
    names = result.records.tracked.observations.names
    lengths = ("" if length is None else f"{length:.1f}" for length in (fish.pixels, fish.mm))
    return [fish.track or "", harmless(names[fish.label]), len(fish.rows), fish.outlines, f"{fish.area:.0f}", *lengths]
