"""The parts that a survey was asked for: those that are ready, and those that it has to leave out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from apps.faults import as_shankha_error
from apps.fish.footage import FootageProblem
from apps.fish.parts.found import LeftOut, PartModel, PartName
from apps.fish.parts.looking import PartSource, part_key
from data.errors import ShankhaError

WITHOUT: Final[dict[PartName, str]] = {
    "species": "fish are not named",
    "masks": "fish are not outlined",
    "dense": "schools are not counted by points",
}
"""What a survey goes without where the part is left out."""
LEFT_OUT: Final[dict[PartName, str]] = {"species": "no_species", "masks": "no_masks", "dense": "no_dense"}
"""The kind of the problem that says so."""


@dataclass(frozen=True)
class ReadyPart:
    """A part that can be used, and the ledger's key of what it finds."""

    source: PartSource
    model: PartModel
    key: str

    @property
    def name(self) -> PartName:
        """Which part it is."""
        return self.source.name


@dataclass(frozen=True)
class AskedParts:
    """All parts that a survey was asked for."""

    ready: tuple[ReadyPart, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    @classmethod
    def of(cls, sources: Iterable[PartSource]) -> AskedParts:
        """Check the parts, before any work; what is wrong with one costs that part alone."""
        ready, failed = [], []
        for source in sources:
            try:
                model = source.describe()
            # Whatever is wrong with a part, the survey goes on without it.
            except Exception as error:
                failed.append(left_out(source.name, as_shankha_error(error)))
            else:
                ready.append(ReadyPart(source, model, part_key(source, model)))
        return cls(tuple(ready), tuple(failed))

    @property
    def names(self) -> tuple[PartName, ...]:
        """What was asked for."""
        return (*(part.name for part in self.ready), *(part.part for part in self.left_out))


def left_out(part: PartName, error: ShankhaError) -> LeftOut:
    """A part that failed so."""
    what = f"{error.found}; expected {error.expected}" if error.expected else error.found
    return LeftOut(part, error.where, f"{what}, so {WITHOUT[part]}", error.cure)


def problems_of(parts: Sequence[LeftOut]) -> list[FootageProblem]:
    """A line for each part that is left out; it belongs to no deployment, since it may concern all."""
    return [FootageProblem(LEFT_OUT[one.part], Path(one.where), one.what, one.cure) for one in parts]
