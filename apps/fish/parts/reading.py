"""What the parts of a survey found in a deployment, read from the blocks that the ledger keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from apps.fish.decisions import Decision, answers_of
from apps.fish.parts.blocks import Blocks
from apps.fish.parts.dense import DenseModel, dense_samples
from apps.fish.parts.found import DenseSamples, NamedDeployment, Outlines, PartModel
from apps.fish.parts.masks import outlines_of
from apps.fish.parts.naming import name_fish
from apps.fish.parts.species import SpeciesModel
from apps.fish.records import TrackedObservations
from data.errors import InputError


@dataclass(frozen=True)
class KeptPart:
    """What the ledger at `where` keeps of a part: its model, and the blocks of each chapter, in order; and what people
    have settled about fish that it names, the oldest decision first."""

    model: PartModel
    where: Path
    chapters: tuple[Blocks, ...]
    decisions: tuple[Decision, ...] = ()


@dataclass(frozen=True)
class FoundParts:
    """What the parts found; None for those that there are not."""

    species: NamedDeployment | None = None
    outlines: Outlines | None = None
    dense: DenseSamples | None = None


def read_parts(
    tracked: TrackedObservations, parts: Sequence[KeptPart], files: Sequence[str]
) -> tuple[TrackedObservations, FoundParts]:
    """The deployment with the species for labels, where fish were named, and all that the parts found in it.

    Args:
        tracked: The deployment, tracked; its labels are the detector's.
        parts: What the ledger keeps of the parts.
        files: The names of the chapter files, in order.

    Raises:
        InputError: A block is damaged, or of other detections.
    """
    found = FoundParts()
    for part in parts:
        try:
            tracked, found = _with(tracked, found, part, files)
        except ValueError as error:
            cure = "delete it and run the same command again: the footage is then looked at anew"
            raise InputError(part.where, f"is damaged ({error})", cure=cure) from error
    return tracked, found


def _with(
    tracked: TrackedObservations, found: FoundParts, part: KeptPart, files: Sequence[str]
) -> tuple[TrackedObservations, FoundParts]:
    if isinstance(part.model, SpeciesModel):
        answers = answers_of(tracked.observations, files, part.decisions)
        tracked, species = name_fish(tracked, part.chapters, part.model, answers)
        return tracked, replace(found, species=species)
    if isinstance(part.model, DenseModel):
        dense = dense_samples(part.chapters, part.model, len(tracked.observations.samples))
        return tracked, replace(found, dense=dense)
    return tracked, replace(found, outlines=outlines_of(part.chapters, part.model, len(tracked)))
