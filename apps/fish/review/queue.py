"""The fish of a folder of results in the order in which a person should look at them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from apps.fish.decisions import OPEN, UNKNOWN_FISH, Decision, FishKey, History, answers_of
from apps.fish.doubts import doubts
from apps.fish.report.survey_files import written_folders
from apps.fish.tables.parquet import read_records
from apps.fish.tables.species import StoredFish, StoredProposal, StoredSpecies, read_species
from data.errors import InputError
from data.taxonomy import Taxon

CANDIDATES: Final = 9
"""As many as there are keys for."""


@dataclass(frozen=True)
class ReviewedFish:
    """A fish with pictures: where it is, what the model said of it, and what a decision about it is written under.

    `keys` are all that earlier decisions about it were written under, `key` among them.
    """

    folder: Path
    key: FishKey
    keys: tuple[FishKey, ...]
    stored: StoredFish
    doubts: tuple[str, ...]
    candidates: tuple[str, ...]

    @property
    def proposed(self) -> StoredProposal:
        """What the model said."""
        one = self.stored
        return one.proposed or StoredProposal(name=one.name, confidence=one.confidence, runner_up=one.runner_up)

    @property
    def proposal(self) -> str:
        """The same as an answer."""
        return self.proposed.name or UNKNOWN_FISH


@dataclass(frozen=True)
class Queue:
    """All fish in order, the taxa that they may be, how many have no picture to judge by, and how many decisions are
    about fish that are not there any more."""

    fish: tuple[ReviewedFish, ...]
    taxa: dict[str, Taxon]
    unseen: int
    lost: int


def read_queue(results: Path, history: History) -> Queue:
    """Read the fish that a survey has named: doubtful ones first, the least sure of them first.

    Raises:
        FileAccessError: A file cannot be read, or a survey is writing into the folder.
        InputError: It is no folder of results, its fish are not named, a file is damaged, or the history is of another
            survey.
    """
    folders = written_folders(results)
    named = [(folder, species) for folder in folders if (species := read_species(folder)) is not None]
    if not named:
        expected = "a survey that names fish"
        cure = "run the same survey command again with --species shipped: the footage is then looked at for it"
        raise InputError(results, "holds no names of fish", expected=expected, cure=cure)
    history.refuse_another_survey([species.opcode for _, species in named])
    settled = history.settled()
    common = Counter(fish.name for _, species in named for fish in species.fish if fish.name)
    taxa = {taxon.key: taxon for _, species in named for taxon in species.taxa}
    found, lost = [], 0
    for folder, species in named:
        mine = _earlier(folder, species, settled.get(species.opcode, ()))
        lost += len(mine.pop(None, ()))
        found += [_reviewed(folder, species, fish, mine, common) for fish in species.fish if fish.crops]
    standing = sum(len(decisions) for decisions in settled.values())
    lost += sum(len(mine) for opcode, mine in settled.items() if opcode not in {one.opcode for _, one in named})
    if standing and lost == standing:
        cure = "move it to the results that it belongs to, or survey this footage with the same settings"
        raise InputError(history.path, "is the history of another survey: none of its fish is here", cure=cure)
    found.sort(key=lambda one: (not one.doubts, one.proposed.confidence, one.key.opcode, one.key.frame, one.key.xyxy))
    unseen = sum(not fish.crops for _, species in named for fish in species.fish)
    return Queue(tuple(found), taxa, unseen, lost)


def _earlier(
    folder: Path, species: StoredSpecies, decisions: Sequence[Decision]
) -> dict[tuple[int, FishKey | None] | None, list[FishKey]]:
    """What decisions about each fish are written under; under None those about fish that are not there.

    A fish is known by its track, or where it has none, by the key of its picture.
    """
    found: dict[tuple[int, FishKey | None] | None, list[FishKey]] = {}
    if not decisions:
        return found
    records = read_records(folder)
    seen, tracks = records.tracked.observations, records.tracked.tracks
    single = {_key(species.opcode, fish) for fish in species.fish if not fish.track and fish.crops}
    shown = {fish.track for fish in species.fish if fish.track and fish.crops}
    for one in decisions:
        rows = answers_of(seen, records.files, [one])
        track = max((int(tracks[row]) for row in rows), default=0)
        known = track in shown if track else one.fish in single
        fish = ((track, None) if track else (0, one.fish)) if known else None
        found.setdefault(fish, []).append(one.fish)
    return found


def _reviewed(
    folder: Path,
    species: StoredSpecies,
    fish: StoredFish,
    earlier: dict[tuple[int, FishKey | None] | None, list[FishKey]],
    common: Counter[str],
) -> ReviewedFish:
    key = _key(species.opcode, fish)
    keys = tuple(earlier.get((fish.track, None) if fish.track else (0, key), ()))
    told = fish.model_copy(update={"proposed": None})
    if fish.proposed is not None:
        told = told.model_copy(update=fish.proposed.model_dump())
    first = [told.name, told.runner_up, *(crop.name for crop in fish.crops)]
    others = sorted(species.names, key=lambda name: (-common[name], name))
    candidates = tuple(dict.fromkeys(name for name in (*first, *others) if name))[:CANDIDATES]
    # A fish that was settled before goes on under the key of its last decision: of one fish there is one history.
    return ReviewedFish(folder, keys[-1] if keys else key, (*keys, key), fish, doubts(told), candidates)


def _key(opcode: str, fish: StoredFish) -> FishKey:
    crop = fish.crops[0]
    return FishKey(opcode=opcode, file=crop.file, frame=crop.frame, xyxy=crop.xyxy)


def answer_of(history: History, fish: ReviewedFish) -> str:
    """What holds of a fish, under whatever key it was decided."""
    last = {one.fish: (number, one.after) for number, one in enumerate(history.decisions) if one.fish in fish.keys}
    return max(((number, answer) for number, answer in last.values() if answer != OPEN), default=(0, OPEN))[1]
