"""`maxn.csv`: the numbers of every species of a deployment, a row each; `docs/counts.md` defines them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from apps.fish.counts import Sighting, SpeciesCounts
from apps.fish.joining import MAXN
from apps.fish.results import DeploymentResult
from apps.spreadsheets import harmless, spreadsheet

COLUMNS: Final = (
    "opcode",
    "species",
    "maxn",
    "maxn_file",
    "maxn_frame",
    "maxn_seconds",
    "mean_count",
    "first_arrival_seconds",
    "tracks",
    "individuals",
    "individuals_low",
    "individuals_high",
    "samples",
    "complete",
)


def write_maxn(result: DeploymentResult, folder: Path) -> list[Path]:
    """Write the table; `maxn_seconds` and `first_arrival_seconds` run from the start of the period.

    Raises:
        FileAccessError: The folder cannot be written, or the disk is full.
    """
    path = folder / MAXN
    with spreadsheet(path, COLUMNS) as table:
        complete = "yes" if result.complete else "no"
        for species in result.counts.species:
            head = harmless(result.deployment.opcode), harmless(species.species)
            tail = result.counts.samples, complete
            table.writerow([*head, *_numbers(species, result), *tail])
    return [path]


def _numbers(species: SpeciesCounts, result: DeploymentResult) -> list[object]:
    people = species.individuals
    return [
        "" if species.max_n is None else species.max_n,
        *_place(species.max_n_at, result),
        _seconds(species.max_n_at),
        "" if species.mean_count is None else f"{species.mean_count:.4f}",
        _seconds(species.first_arrival),
        people.tracks,
        *(f"{number:.1f}" for number in (people.estimate, people.low, people.high)),
    ]


def _place(sighting: Sighting | None, result: DeploymentResult) -> tuple[object, object]:
    if sighting is None:
        return "", ""
    samples = result.records.tracked.observations.samples
    return harmless(result.records.files[int(samples.chapter[sighting.sample])]), int(samples.frame[sighting.sample])


def _seconds(sighting: Sighting | None) -> str:
    return "" if sighting is None else f"{sighting.seconds:.3f}"
