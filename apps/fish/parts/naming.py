"""From the scores of crops to one name a track; detections that belong to none get their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from apps.fish.parts.blocks import Blocks, in_sequence, unpack_texts
from apps.fish.parts.choosing import spread
from apps.fish.parts.found import Crop, NamedDeployment, NamedFish, PartModel
from apps.fish.parts.species import PICTURES, SpeciesModel
from apps.fish.records import Observations, TrackedObservations
from data.species import Named, vote

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
    tracked: TrackedObservations, chapters: Sequence[Blocks], model: SpeciesModel
) -> tuple[TrackedObservations, NamedDeployment]:
    """Give every track one name, and every detection that belongs to none its own.

    Args:
        tracked: The deployment, tracked; its labels are the detector's.
        chapters: The blocks of its chapters, in order.
        model: What scored the crops.

    Returns:
        The same detections, with the species for labels, and who was named what and why.

    Raises:
        ValueError: A block is damaged, or of other detections.
    """
    seen = tracked.observations
    crops = _Crops.read(chapters, len(model.names))
    if len(crops.row) and int(crops.row[-1]) >= len(seen):
        raise ValueError("there are crops of detections that are not there")
    names, unknown = _labels(model.names, seen.names)
    labels = np.asarray(unknown[seen.labels], np.int64)
    told = []
    for group in _groups(tracked, crops):
        vote_of = vote(crops.scores[group.crops], crops.weight[group.crops], model.names, model.threshold)
        if vote_of.name is None:
            votes = np.bincount(seen.labels[group.rows], seen.scores[group.rows].astype(np.float64))
            labels[group.rows] = unknown[int(votes.argmax())]
        else:
            labels[group.rows] = model.names.index(vote_of.name)
        told.append((group, vote_of))
    shown = [_shown(group, crops, seen) for group, _ in told]
    pictures = _pictures(chapters, {int(crops.row[at]) for group in shown for at in group})
    fish = tuple(
        NamedFish(
            group.track,
            group.rows,
            names[labels[group.rows[0]]],
            vote_of,
            len(group.crops),
            tuple(Crop(int(crops.row[at]), _alone(crops, at, model), pictures[int(crops.row[at])]) for at in some),
        )
        for (group, vote_of), some in zip(told, shown, strict=True)
    )
    renamed = Observations(seen.samples, seen.sample, seen.xyxy, seen.scores, labels, names)
    about = PartModel(model.name, model.identity)
    named = NamedDeployment(about, model.names, model.threshold, model.taxonomy, fish)
    return TrackedObservations(renamed, tracked.tracks), named


def _labels(species: tuple[str, ...], detected: tuple[str, ...]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """All labels: the species, then an unknown for each of the detector's; and the number of each of the latter."""
    unknown = [f"{UNKNOWN} {label}" for label in detected]
    names = tuple(dict.fromkeys([*species, *unknown]))
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
