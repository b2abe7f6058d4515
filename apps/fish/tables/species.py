"""The names of fish: `species.json` for programs, `species.csv` for people, and a few pictures of each fish."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from apps.fish.parts.found import Crop, NamedFish
from apps.fish.results import DeploymentResult
from apps.spreadsheets import harmless, spreadsheet
from data.errors import FileAccessError, InputError, validation_faults
from data.files import write_bytes, write_text
from data.species import Named
from data.taxonomy import Taxon

SPECIES: Final = "species.json"
SPECIES_TABLE: Final = "species.csv"
CROPS: Final = "crops"
"""Folder of the pictures, within the deployment's."""
COLUMNS: Final = (
    "opcode",
    "track",
    "species",
    "confidence",
    "runner_up",
    "crops",
    "file",
    "frame",
    "seconds",
    "complete",
)
SETTLED: Final = "settled"
"""The column that says who named a fish; only in the tables of deployments that were reviewed."""
BY_A_PERSON: Final = "settled by a person"


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StoredCrop(_Stored):
    """A picture of a fish: its file in the deployment's folder; chapter file, frame and seconds of the deployment's
    footage that it is from, the fish's box there (pixels: left, top, right, bottom), and what this crop alone says."""

    picture: str
    file: str
    frame: int
    seconds: float
    xyxy: tuple[float, float, float, float]
    name: str | None
    confidence: float


class StoredProposal(_Stored):
    """What the model said of a fish that a person has settled."""

    name: str | None
    confidence: float
    runner_up: str | None


class StoredFish(_Stored):
    """A fish: its track (0: a detection without one), the label that the tables use, the name (None: an unknown fish),
    how sure it is, the next likeliest species, how many crops were looked at, and a few of them in the order of
    time. `proposed` is what the model said, where a person has settled it."""

    track: int
    label: str
    name: str | None
    confidence: float
    runner_up: str | None
    votes: int
    crops: tuple[StoredCrop, ...]
    proposed: Annotated[StoredProposal | None, Field(exclude_if=lambda proposed: proposed is None)] = None


class StoredSpecies(_Stored):
    """The names of all fish of a deployment, as `NamedDeployment` has them."""

    format: Literal[1] = 1
    opcode: str
    model: str
    identity: str
    threshold: float
    names: tuple[str, ...]
    taxa: tuple[Taxon, ...]
    fish: tuple[StoredFish, ...]


def write_species(result: DeploymentResult, folder: Path) -> list[Path]:
    """Write who was named what, how surely, and the pictures that show it; nothing where fish were not named.

    Raises:
        FileAccessError: The folder cannot be written, or the disk is full.
    """
    if result.species is None:
        return []
    crops, fish = [], []
    for one in result.species.fish:
        names = [f"{CROPS}/{_base(one, result)}-{number}.jpg" for number in range(1, len(one.crops) + 1)]
        for name, crop in zip(names, one.crops, strict=True):
            write_bytes(folder / name, crop.jpeg)
            crops.append(folder / name)
        fish.append(_fish(result, one, names))
    found = result.species
    stored = StoredSpecies(
        opcode=result.deployment.opcode,
        model=found.model.name,
        identity=found.model.identity,
        threshold=found.threshold,
        names=found.names,
        taxa=found.taxonomy.taxa,
        fish=tuple(fish),
    )
    write_text(folder / SPECIES, json.dumps(stored.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n")
    return [*crops, folder / SPECIES, _write_table(result, stored, folder / SPECIES_TABLE)]


def read_species(folder: Path) -> StoredSpecies | None:
    """What `write_species` wrote into a deployment's folder; None where fish were not named.

    Raises:
        FileAccessError: It cannot be read.
        InputError: It is damaged or of another version.
    """
    path = folder / SPECIES
    try:
        return StoredSpecies.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        cure = "survey the deployment again"
        raise FileAccessError(path, f"cannot be read ({error.strerror})", cure=cure) from error
    except ValidationError as error:
        cure = "survey the deployment again"
        raise InputError(path, f"is damaged ({validation_faults(error)})", cure=cure) from error


def _base(one: NamedFish, result: DeploymentResult) -> str:
    """The name of a fish's pictures, without number and ending."""
    if one.track:
        return f"track-{one.track:05d}"
    seen = result.records.tracked.observations
    row = int(one.rows[0])
    sample = int(seen.sample[row])
    return f"sample-{sample + 1:06d}-{row - int(seen.sample.searchsorted(sample)) + 1}"


def _fish(result: DeploymentResult, one: NamedFish, pictures: list[str]) -> StoredFish:
    return StoredFish(
        track=one.track,
        label=one.label,
        name=one.named.name,
        confidence=round(one.named.confidence, 4),
        runner_up=one.named.runner_up,
        votes=one.votes,
        crops=tuple(_crop(result, crop, name) for crop, name in zip(one.crops, pictures, strict=True)),
        proposed=_proposal(one.proposed) if one.proposed else None,
    )


def _proposal(named: Named) -> StoredProposal:
    return StoredProposal(name=named.name, confidence=round(named.confidence, 4), runner_up=named.runner_up)


def _crop(result: DeploymentResult, crop: Crop, picture: str) -> StoredCrop:
    seen = result.records.tracked.observations
    sample = int(seen.sample[crop.row])
    left, top, right, bottom = (round(float(side), 2) for side in seen.xyxy[crop.row])
    return StoredCrop(
        picture=picture,
        file=result.records.files[int(seen.samples.chapter[sample])],
        frame=int(seen.samples.frame[sample]),
        seconds=round(float(seen.samples.seconds[sample]), 3),
        xyxy=(left, top, right, bottom),
        name=crop.named.name,
        confidence=round(crop.named.confidence, 4),
    )


def _write_table(result: DeploymentResult, stored: StoredSpecies, path: Path) -> Path:
    """A row a fish, with the place where it is seen first; seconds run from the start of the period.

    Where people have settled any of them, a last column tells which.
    """
    seen = result.records.tracked.observations
    complete = "yes" if result.complete else "no"
    reviewed = any(one.proposed for one in stored.fish)
    with spreadsheet(path, (*COLUMNS, *([SETTLED] if reviewed else ()))) as table:
        for fish, told in zip(result.species.fish if result.species else (), stored.fish, strict=True):
            sample = int(seen.sample[fish.rows[0]])
            seconds = float(seen.samples.seconds[sample]) - result.counts.period.start
            place = harmless(result.records.files[int(seen.samples.chapter[sample])]), int(seen.samples.frame[sample])
            named = harmless(told.label), f"{told.confidence:.4f}", harmless(told.runner_up or ""), told.votes
            head = harmless(stored.opcode), told.track or ""
            settled = [BY_A_PERSON if told.proposed else ""] if reviewed else []
            table.writerow([*head, *named, *place, f"{seconds:.3f}", complete, *settled])
    return path
