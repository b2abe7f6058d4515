"""From the scores of crops to one name a track; detections that belong to none get their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from apps.fish.decisions import NOT_A_FISH, RESERVED
from apps.fish.parts.blocks import Blocks, in_sequence, unpack_texts
from apps.fish.parts.choosing import spread
from apps.fish.parts.found import Crop, NamedDeployment, NamedFish, PartModel
from apps.fish.parts.species import PICTURES, SpeciesModel
from apps.fish.records import Observations, TrackedObservations
from data.species import Named, vote
from data.taxonomy import Taxon, Taxonomy

UNKNOWN: Final = "unknown"
"""Stands before the detector's label of a fish that has no name: "unknown fish"."""


@dataclass(frozen=True, eq=False)
class _Crops:
    """All K crops of a deployment, by rising row of the observations.

    `scores` (K, C) log-probabilities, `weight` (K,) how much each counts, `pictured` (K,) whether its picture is kept.
    """

    row: NDArray[np.int64]
    scores: NDArray[np.float32]
    weight: NDArray[np.float32]
    pictured: NDArray[np.bool_]

    @classmethod
    def read(cls, chapters: Sequence[Blocks], species: int) -> _Crops:
        rows, scores, weights, pictured = [np.zeros(0, np.int64)], [np.zeros((0, species), np.float32)], [], []
        for block in in_sequence(chapters):
            rows.append(block.row + block.arrays["row"])
            scores.append(block.arrays["scores"])
            weights.append(block.arrays["weight"])
            pictured.append(np.isin(block.arrays["row"], block.arrays["pictured"]))
        none = np.zeros(0)
        return cls(
            np.concatenate(rows),
            np.concatenate(scores),
            np.concatenate([none.astype(np.float32), *weights]),
            np.concatenate([none.astype(np.bool_), *pictured]),
        )


@dataclass(frozen=True, eq=False)
class _Group:
    """Detections that are one fish: their track, their rows, and the positions of their crops."""

    track: int
    rows: NDArray[np.int64]
    crops: NDArray[np.int64]


def name_fish(
    tracked: TrackedObservations,
    chapters: Sequence[Blocks],
    model: SpeciesModel,
    answers: Mapping[int, str] = MappingProxyType({}),
) -> tuple[TrackedObservations, NamedDeployment]:
    """Give every track one name, and every detection that belongs to none its own.

    Args:
        tracked: The deployment, tracked; its labels are the detector's.
        chapters: The blocks of its chapters, in order.
        model: What scored the crops.
        answers: What people have settled about detections, by row, the oldest first; see `answers_of`. It holds for
            the whole fish.

    Returns:
        The same detections, with the species for labels, and who was named what and why. What is settled to be no
        fish has the score 0.

    Raises:
        ValueError: A block is damaged, or of other detections.
    """
    seen = tracked.observations
    crops = _Crops.read(chapters, len(model.names))
    if len(crops.row) and int(crops.row[-1]) >= len(seen):
        raise ValueError("there are crops of detections that are not there")
    naming = _Naming.of(seen, model, answers)
    settled = {_fish_of(tracked, row): answer for row, answer in answers.items()}
    told = []
    for group in _groups(tracked, crops):
        proposed = vote(crops.scores[group.crops], crops.weight[group.crops], model.names, model.threshold)
        answer = settled.get(_fish_of(tracked, int(group.rows[0])))
        told.append((group, naming.name(group.rows, proposed, answer), proposed, answer))
    shown = [_shown(group, crops, seen) for group, *_ in told]
    pictures = _pictures(chapters, {int(crops.row[at]) for group in shown for at in group})

    def pictured(some: NDArray[np.int64]) -> tuple[Crop, ...]:
        rows = crops.row[some].tolist()
        return tuple(Crop(row, _alone(crops, at, model), pictures[row]) for row, at in zip(rows, some, strict=True))

    fish = tuple(
        NamedFish(group.track, group.rows, label, named, len(group.crops), pictured(some), proposed if answer else None)
        for (group, (label, named), proposed, answer), some in zip(told, shown, strict=True)
    )
    about, taxonomy = PartModel(model.name, model.identity), _with_others(model.taxonomy, naming.others)
    named = NamedDeployment(about, model.names, model.threshold, taxonomy, fish)
    return TrackedObservations(naming.observations(), tracked.tracks), named


@dataclass(frozen=True, eq=False)
class _Naming:
    """Labels and scores while fish are named: `unknown` (detector's labels,) is the label of each one's unknown fish,
    `others` are names that people gave beside the model's."""

    seen: Observations
    names: tuple[str, ...]
    unknown: NDArray[np.int64]
    others: tuple[str, ...]
    labels: NDArray[np.int64]
    scores: NDArray[np.float32]

    @classmethod
    def of(cls, seen: Observations, model: SpeciesModel, answers: Mapping[int, str]) -> _Naming:
        others = tuple(sorted(set(answers.values()) - {*model.names, *RESERVED}))
        names, unknown = _labels(model.names, seen.names, others)
        return cls(seen, names, unknown, others, np.asarray(unknown[seen.labels], np.int64), seen.scores.copy())

    def name(self, rows: NDArray[np.int64], proposed: Named, answer: str | None) -> tuple[str, Named]:
        """Name a fish as a person has settled it, else as is proposed; its label in the tables, and its name."""
        name = proposed.name if answer is None else None if answer in RESERVED else answer
        if name is None:
            votes = np.bincount(self.seen.labels[rows], self.seen.scores[rows].astype(np.float64))
            self.labels[rows] = self.unknown[int(votes.argmax())]
        else:
            self.labels[rows] = self.names.index(name)
        if answer == NOT_A_FISH:
            self.scores[rows] = 0.0
        label = NOT_A_FISH if answer == NOT_A_FISH else self.names[self.labels[rows[0]]]
        return label, proposed if answer is None else Named(name, 1.0, None)

    def observations(self) -> Observations:
        """The detections as they are named now."""
        return Observations(self.seen.samples, self.seen.sample, self.seen.xyxy, self.scores, self.labels, self.names)


def _fish_of(tracked: TrackedObservations, row: int) -> tuple[int, int]:
    """What a detection's fish is known by: its track, or where it has none, the row."""
    track = int(tracked.tracks[row])
    return track, 0 if track else row


def _with_others(taxonomy: Taxonomy, names: Sequence[str]) -> Taxonomy:
    """The taxonomy with names that people gave beside the model's."""
    for name in names:
        if name in {taxon.key for taxon in taxonomy.taxa}:
            continue
        (taxon,) = Taxonomy.of_names([name]).taxa
        taken = {one.scientific_name for one in taxonomy.taxa}
        taxon = Taxon(key=name) if taxon.scientific_name in taken else taxon
        taxonomy = Taxonomy(taxa=(*taxonomy.taxa, taxon))
    return taxonomy


def _labels(
    species: tuple[str, ...], detected: tuple[str, ...], others: tuple[str, ...]
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """All labels: the species, an unknown for each of the detector's, then names that people gave; and the number of
    each of the unknown ones."""
    unknown = [f"{UNKNOWN} {label}" for label in detected]
    names = tuple(dict.fromkeys([*species, *unknown, *others]))
    return names, np.array([names.index(label) for label in unknown], np.int64)


def _groups(tracked: TrackedObservations, crops: _Crops) -> Iterator[_Group]:
    """Every track, by its number; then every detection without one of which there is a crop."""
    order = np.argsort(tracked.tracks, kind="stable")
    edges = np.searchsorted(tracked.tracks[order], np.arange(tracked.count + 2))
    of_crops = tracked.tracks[crops.row]
    crop_order = np.argsort(of_crops, kind="stable")
    crop_edges = np.searchsorted(of_crops[crop_order], np.arange(tracked.count + 2))
    for track in range(1, tracked.count + 1):
        mine = crop_order[crop_edges[track] : crop_edges[track + 1]]
        yield _Group(track, order[edges[track] : edges[track + 1]], mine)
    for at in crop_order[crop_edges[0] : crop_edges[1]]:
        yield _Group(0, crops.row[at : at + 1], np.array([at]))


def _shown(group: _Group, crops: _Crops, seen: Observations) -> NDArray[np.int64]:
    """Positions of the crops whose pictures are shown: good ones, spread in time."""
    mine = group.crops[crops.pictured[group.crops]]
    seconds = seen.samples.seconds[seen.sample[crops.row[mine]]]
    return np.asarray(mine[spread(seconds, crops.weight[mine].astype(np.float64), PICTURES)], np.int64)


def _alone(crops: _Crops, at: int, model: SpeciesModel) -> Named:
    return vote(crops.scores[at : at + 1], np.ones(1), model.names, model.threshold)


def _pictures(chapters: Sequence[Blocks], wanted: set[int]) -> dict[int, bytes]:
    """The pictures of those rows."""
    found: dict[int, bytes] = {}
    for block in in_sequence(chapters) if wanted else ():
        rows = (block.row + block.arrays["pictured"]).tolist()
        if wanted.isdisjoint(rows):
            continue
        packed = unpack_texts(block.arrays["jpeg"], block.arrays["edges"])
        found |= {row: jpeg for row, jpeg in zip(rows, packed, strict=True) if row in wanted}
    return found
