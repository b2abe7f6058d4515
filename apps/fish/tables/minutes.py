"""`maxn_per_minute.csv`: MaxN of every species in every minute of the period."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from apps.fish.results import DeploymentResult
from apps.spreadsheets import harmless, spreadsheet

PER_MINUTE: Final = "maxn_per_minute.csv"
COLUMNS: Final = ("opcode", "species", "minute", "maxn", "complete")


def write_per_minute(result: DeploymentResult, folder: Path) -> list[Path]:
    """Write the table; minutes count from 0 at the period's start, and one without a sample has no MaxN.

    Raises:
        FileAccessError: The folder cannot be written, or the disk is full.
    """
    complete = "yes" if result.complete else "no"
    with spreadsheet(folder / PER_MINUTE, COLUMNS) as table:
        for species in result.counts.species:
            head = harmless(result.deployment.opcode), harmless(species.species)
            for minute, max_n in enumerate(species.max_n_per_minute):
                table.writerow([*head, minute, "" if max_n is None else max_n, complete])
    return [folder / PER_MINUTE]
