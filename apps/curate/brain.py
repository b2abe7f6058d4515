"""What is worth a curator's look: doubtful labels, copies, leaks, hard, unusual and dark pictures; a search and a map.

Everything is computed from embeddings and probabilities that are at hand, without any network. Neighbours by embedding
are found once, exactly, and shared by all that asks for them: FiftyOne's own uniqueness and its nearest neighbours for
the map would look for them anew.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from apps.curate.boxdoubt import doubt_all_boxes
from apps.curate.database import connect
from apps.curate.doubt import doubt_labels
from apps.curate.fields import (
    BRIGHTNESS,
    DOUBT,
    DUPLICATE_OF,
    GROUP,
    HARDNESS,
    INFO,
    ITEM,
    LEAK,
    MAP,
    PART,
    REPRESENTATIVENESS,
    SIMILARITY,
    SUGGESTED,
    TRUTH,
    UNIQUENESS,
)
from apps.curate.views import View, save_views
from data.boxes import Boxes, from_xywh, ious
from data.curation.collection import WHOLE_PICTURE
from data.curation.duplicates import Duplicates, find_duplicates
from data.curation.neighbours import Embeddings, Neighbours, directions, nearest
from data.errors import ArgumentError
from data.images import read_image
from data.preprocess import Image

if TYPE_CHECKING:
    import fiftyone as fo

Numbers = NDArray[np.float64]
Watch = Callable[[str], Callable[[int, int], None]]
"""Hears the name of a step that begins, and gives what its progress is told to."""

NEIGHBOURS: Final = 15
_FEW: Final = 3
"""Neighbours that a picture must be unlike to be unique."""
_CENTRES: Final = 20
_LEAST_FOR_MAP: Final = 4
_EPOCHS: Final = 100
_SAME_PLACE: Final = 0.5
_SINGLE: Final = 1e-12


@dataclass(frozen=True)
class Looked:
    """What was found in a dataset: the saved `views` with their counts, and pictures that could not be read."""

    views: tuple[View, ...]
    unreadable: int


def look_over(
    dataset: fo.Dataset,
    embeddings: Embeddings | None = None,
    probabilities: tuple[NDArray[np.floating], Sequence[str]] | None = None,
    field: str | None = None,
    watch: Watch | None = None,
) -> Looked:
    """Find what a curator should look at, write it into the samples' fields, and save views of it.

    What was found before is replaced. Without embeddings there are no doubts of whole pictures, no uniqueness, no
    search and no map.

    Args:
        dataset: N pictures.
        embeddings: (N, D) in the order of the dataset, see `apps.curate.predicting.embed`; NaN where there is none.
        probabilities: (N, C) of the classes named, see `apps.curate.predicting.probabilities`. They join the doubts; so
            do not give those of a model that has learnt the labels by heart.
        field: Predictions that boxes are held against.
        watch: Hears of the progress.

    Raises:
        ArgumentError: The dataset holds no pictures.
        ValueError: Embeddings or probabilities are not of N rows.
        MissingDependencyError: A package of the extra curate is not installed.
    """
    if dataset.media_type not in {"image", None}:
        raise ArgumentError(dataset.name, f"holds {dataset.media_type}s", expected="pictures")
    for given in (embeddings, probabilities and probabilities[0]):
        if given is not None and len(given) != len(dataset):
            raise ValueError(f"{len(given)} rows for {len(dataset)} pictures")
    step = watch or (lambda _: lambda done, total: None)
    asked = [key for key in (ITEM, PART, GROUP) if dataset.has_field(key)]
    ids, paths, *told = dataset.values(["id", "filepath", *asked])
    about = {key: [value or "" for value in values] for key, values in zip(asked, told, strict=True)}
    columns = _Columns(dataset, ids)

    copies, brightness = _decoded(paths, about.get(ITEM, paths), step("comparing pictures"))
    columns.put(BRIGHTNESS, brightness)
    if _kind(dataset) not in WHOLE_PICTURE and dataset.has_field(TRUTH):
        copies = with_the_same_boxes(copies, dataset.values(f"{TRUTH}.detections.bounding_box"))
    firsts = copies.first()
    items = about.get(ITEM, paths)
    columns.put(DUPLICATE_OF, [items[first] if first >= 0 else None for first in firsts])
    columns.put(LEAK, leaks(about.get(PART), about.get(GROUP), copies))
    near = None
    if embeddings is not None and len(ids) > 1:
        near = _by_embedding(columns, embeddings, step("comparing embeddings"))
    _doubt(dataset, columns, embeddings, probabilities, field, near)
    columns.write()
    if embeddings is not None and near is not None:
        progress = step("drawing the map")
        _index(dataset, ids, embeddings, near)
        progress(len(ids), len(ids))
    views = save_views(dataset, [ids[index] for index in _side_by_side(copies)])
    return Looked(views, len(copies.problems))


def _decoded(
    paths: Sequence[str], names: Sequence[str], tick: Callable[[int, int], None]
) -> tuple[Duplicates, list[float | None]]:
    """Which pictures repeat others, and how bright each is; every file is decoded once."""
    brightness: list[float | None] = [None] * len(paths)

    def read(index: int) -> Image:
        image = read_image(Path(paths[index]))
        brightness[index] = float(image.mean()) / 255
        return image

    found = find_duplicates(read, len(paths), names.__getitem__, lambda done: tick(done, len(paths)))
    return found, brightness


def _kind(dataset: fo.Dataset) -> str:
    return str((dataset.info.get(INFO) or {}).get("kind", ""))


def with_the_same_boxes(copies: Duplicates, boxes: Sequence[Sequence[Sequence[float]] | None]) -> Duplicates:
    """Without nearly alike pictures whose boxes differ: a still camera sees the same reef again, but other fish.

    Args:
        copies: Of N pictures.
        boxes: Left, top, width, height of the boxes of each, as shares of its sides.
    """
    xyxy = [from_xywh(np.array(own or [], np.float64).reshape(-1, 4)) for own in boxes]
    kept = np.array(
        [
            exact or _same(xyxy[one], xyxy[other])
            for (one, other), exact in zip(copies.pairs, copies.exact, strict=True)
        ],
        np.bool_,
    )
    return replace(copies, pairs=copies.pairs[kept], exact=copies.exact[kept], likeness=copies.likeness[kept])


def _same(one: Boxes, other: Boxes) -> bool:
    if len(one) != len(other) or not len(one):
        return len(one) == len(other)
    overlaps = ious(one, other)
    return bool(min(overlaps.max(axis=0).min(), overlaps.max(axis=1).min()) >= _SAME_PLACE)


def leaks(parts: Sequence[str] | None, groups: Sequence[str] | None, copies: Duplicates) -> list[bool]:
    """(N,) whether each repeats, or shares its group with, a picture of another part.

    A group that all pictures belong to says nothing: it could not be kept out of any part.
    """
    if parts is None:
        return [False] * copies.count
    found = _in_several([str(group) for group in copies.groups()], parts)
    if groups is not None and len(set(groups)) > 1:
        found = [one or other for one, other in zip(found, _in_several(groups, parts), strict=True)]
    return found


def _in_several(groups: Sequence[str], parts: Sequence[str]) -> list[bool]:
    """Whether the group of each lies in more than one part; "" is no group, and no part."""
    parts_of: dict[str, set[str]] = {}
    for group, part in zip(groups, parts, strict=True):
        if group and part:
            parts_of.setdefault(group, set()).add(part)
    return [bool(part) and len(parts_of.get(group, ())) > 1 for group, part in zip(groups, parts, strict=True)]


def _side_by_side(copies: Duplicates) -> list[int]:
    """Pictures that repeat others and those that they repeat, group by group."""
    groups = copies.groups()
    members = np.flatnonzero(np.bincount(groups, minlength=copies.count)[groups] > 1) if copies.count else groups
    return [int(member) for member in members[np.argsort(groups[members], kind="stable")]]


def _by_embedding(columns: _Columns, embeddings: Embeddings, tick: Callable[[int, int], None]) -> Neighbours:
    near = nearest(embeddings, NEIGHBOURS)
    columns.put(UNIQUENESS, uniqueness(near))
    columns.put(REPRESENTATIVENESS, representativeness(embeddings))
    tick(len(embeddings), len(embeddings))
    return near


def uniqueness(near: Neighbours) -> Numbers:
    """(N,) 0 to 1: mean cosine distance to the three nearest, as a share of the greatest; NaN without embedding."""
    there = near.indices[:, :_FEW] >= 0
    distances = np.where(there, 1 - near.cosines[:, :_FEW].astype(np.float64), 0).sum(axis=1)
    mean = np.where(there.any(axis=1), distances / np.maximum(there.sum(axis=1), 1), np.nan)
    return np.asarray(mean / max(float(np.nanmax(mean, initial=0.0)), _SINGLE), np.float64)


def representativeness(embeddings: Embeddings) -> Numbers:
    """(N,) 0 to 1: how near each lies to the middle of its cluster, of twenty; NaN without embedding.

    As `fiftyone.brain.compute_representativeness` has it (k-means, distances as shares of the cluster's greatest), of
    directions rather than of lengths.
    """
    from sklearn.cluster import MiniBatchKMeans

    units = directions(embeddings)
    sound = np.flatnonzero(np.isfinite(units).all(axis=1))
    found = np.full(len(units), np.nan)
    if not len(sound):
        return found
    count = min(_CENTRES, len(sound))
    clusters = MiniBatchKMeans(count, random_state=0, n_init=3, batch_size=2048).fit(units[sound])
    distances = np.linalg.norm(units[sound] - clusters.cluster_centers_[clusters.labels_], axis=1).astype(np.float64)
    greatest = np.zeros(count)
    np.maximum.at(greatest, clusters.labels_, distances)
    found[sound] = 1 - distances / np.maximum(greatest[clusters.labels_], _SINGLE)
    return found


def hardness(probabilities: NDArray[np.floating]) -> Numbers:
    """(N,) 0 to 1: entropy of (N, C) probabilities as a share of the greatest that there can be; NaN for such rows."""
    chances = np.asarray(probabilities, np.float64)
    terms = chances * np.log(np.maximum(chances, _SINGLE))
    return np.asarray(np.clip(-terms.sum(axis=1) / np.log(max(chances.shape[1], 2)), 0, 1), np.float64)


def _doubt(
    dataset: fo.Dataset,
    columns: _Columns,
    embeddings: Embeddings | None,
    probabilities: tuple[NDArray[np.floating], Sequence[str]] | None,
    field: str | None,
    near: Neighbours | None,
) -> None:
    if _kind(dataset) not in WHOLE_PICTURE:
        if field is not None and dataset.has_field(TRUTH):
            doubt, unsure = doubt_all_boxes(dataset, TRUTH, field)
            columns.put(DOUBT, doubt)
            columns.put(HARDNESS, unsure)
        return
    if probabilities is not None:
        columns.put(HARDNESS, hardness(probabilities[0]))
    if embeddings is None or near is None or not dataset.has_field(TRUTH):
        return
    said = dataset.values(f"{TRUTH}.label")
    names = sorted(set(said) - {None})
    number = {name: index for index, name in enumerate(names)}
    labels = np.array([number.get(name, -1) for name in said], np.int64)
    groups = np.array([group or "" for group in dataset.values(GROUP)], np.str_) if dataset.has_field(GROUP) else None
    chances = None if probabilities is None else _of_classes(*probabilities, names)
    found = doubt_labels(labels, embeddings, groups, chances, near)
    columns.put(DOUBT, found.doubt)
    columns.put(SUGGESTED, [names[index] if index >= 0 else None for index in found.suggested])


def _of_classes(
    probabilities: NDArray[np.floating], classes: Sequence[str], names: Sequence[str]
) -> NDArray[np.float64] | None:
    """(N, C) in the order of the names; None where the model does not know one of them."""
    if not set(names) <= set(classes):
        return None
    return np.asarray(probabilities, np.float64)[:, [list(classes).index(name) for name in names]]


def _index(dataset: fo.Dataset, ids: Sequence[str], embeddings: Embeddings, near: Neighbours) -> None:
    """Make the search by similar pictures and the map of all of them, of the pictures that have an embedding."""
    connect()
    import fiftyone.brain as fob

    for key in (SIMILARITY, MAP):
        if key in dataset.list_brain_runs():
            dataset.delete_brain_run(key)
    sound = np.flatnonzero(np.isfinite(embeddings).all(axis=1))
    if len(sound) < _LEAST_FOR_MAP:
        return
    chosen = [ids[index] for index in sound.tolist()]
    view = dataset if len(sound) == len(ids) else dataset.select(chosen, ordered=True)
    units = directions(embeddings)[sound]
    fob.compute_similarity(view, embeddings=units, brain_key=SIMILARITY, backend="sklearn", metric="cosine")
    fob.compute_visualization(view, points=laid_out(units, near, sound), brain_key=MAP, progress=False)


def laid_out(units: Embeddings, near: Neighbours, sound: NDArray[np.int64]) -> NDArray[np.float32]:
    """(M, 2) places on a map by UMAP, from neighbours that are known and the two main components as a start.

    Args:
        units: (M, D) directions of the pictures that have an embedding.
        near: Of all N pictures.
        sound: (M,) which of the N they are.
    """
    away = units - units.mean(axis=0)
    _, axes = np.linalg.eigh(away.T @ away)
    start = away @ axes[:, -2:]
    start = np.asarray(start / max(float(np.abs(start).max()), _SINGLE) * 10, np.float32)
    count = min(NEIGHBOURS, len(sound)) - 1
    place = np.full(len(near.indices), -1, np.int64)
    place[sound] = np.arange(len(sound))
    own = np.arange(len(sound))[:, None]
    indices = np.concatenate([own, place[near.indices[sound, :count]]], axis=1)
    distances = np.concatenate([np.zeros_like(own, np.float32), 1 - near.cosines[sound, :count]], axis=1)
    from umap import UMAP

    mapper = UMAP(
        n_neighbors=count + 1,
        metric="cosine",
        precomputed_knn=(indices, np.maximum(distances, 0), None),
        init=start,
        n_epochs=_EPOCHS,
        random_state=0,
        n_jobs=1,
    )
    with warnings.catch_warnings():
        # Nobody asks for the places of further pictures, or minds that one thread draws the same map each time.
        warnings.simplefilter("ignore", UserWarning)
        return np.asarray(mapper.fit_transform(units), np.float32)


class _Columns:
    """Values of many fields of all samples, written in one go: field by field it would take several times as long."""

    _KINDS: Final = {SUGGESTED: "StringField", DUPLICATE_OF: "StringField", LEAK: "BooleanField"}

    def __init__(self, dataset: fo.Dataset, ids: Sequence[str]) -> None:
        self.dataset, self.ids = dataset, ids
        self._columns: dict[str, Sequence[Any]] = {}

    def put(self, field: str, values: Sequence[Any] | Numbers) -> None:
        """(N,) one value a sample; None or NaN takes the field away from it."""
        self._columns[field] = values.tolist() if isinstance(values, np.ndarray) else values

    def write(self) -> None:
        from bson import ObjectId
        from pymongo import UpdateOne

        fiftyone = connect()
        for field in self._columns:
            if not self.dataset.has_field(field):
                self.dataset.add_sample_field(field, getattr(fiftyone, self._KINDS.get(field, "FloatField")))
        now = datetime.now(UTC)
        changes = []
        for sample, *values in zip(self.ids, *self._columns.values(), strict=True):
            told = dict(zip(self._columns, values, strict=True))
            there = {key: value for key, value in told.items() if value is not None and not _is_nan(value)}
            gone = dict.fromkeys(told.keys() - there.keys(), "")
            change = {"$set": there | {"last_modified_at": now}} | ({"$unset": gone} if gone else {})
            changes.append(UpdateOne({"_id": ObjectId(sample)}, change))
        self.dataset._bulk_write(changes)


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
