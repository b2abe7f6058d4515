"""Running a model over samples: its labels into a field of predictions, its numbers into files of rows.

A picture that cannot be read gets no prediction; why stands in its field `PROBLEM`, and the others go on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from apps.curate.answering import UNKNOWN_FISH, Answerer, Answers, answerer, in_colour
from apps.curate.database import connect, curate_folder
from apps.curate.fields import INFO, MODELS, PROBLEM, prediction_field
from apps.curate.rows import find_rows, keep_rows, keys_of, plain_name
from apps.curate.samples import Document, Tick, add_label_field, labels_document
from data.curation.collection import WHOLE_PICTURE, Kind, Provenance, now
from data.errors import ArgumentError, InputError, ShankhaError
from data.images import read_image
from data.preprocess import Image
from deploy.runtime.artifact import Artifact
from deploy.runtime.embedding import Embedder
from deploy.runtime.spec import SPEC_FILE, ArtifactSpec, BoxSpec, DigitSpec, SpeciesSpec

if TYPE_CHECKING:
    import fiftyone as fo

Floats = NDArray[np.float32]
PreparedT = TypeVar("PreparedT")

_WRITTEN_AT_ONCE: Final = 2000
_AHEAD: Final = 2
"""Batches that are read and prepared while the network runs."""
_PIXELS_AT_ONCE: Final = 40_000_000
"""A batch is closed when its pictures have so many: 256 digits may be photographs of a whole phone's frame."""
_EMBEDDINGS: Final = "embeddings"
_PROBABILITIES: Final = "probabilities"


def predict(samples: fo.Dataset | fo.DatasetView, artifact: Path, tick: Tick | None = None) -> str:
    """Ask a model about every picture, and write what it says into a field of predictions.

    The field is named after the artifact; another artifact of the same name gets a field of its own. Probabilities of
    the classes and, where the same run of the network gives them, embeddings are kept in files (see `probabilities`
    and `embed`).

    Args:
        samples: Pictures; predictions of others in the dataset stay.
        artifact: Its folder.
        tick: Hears how many of how many pictures were tried.

    Returns:
        The name of the field.

    Raises:
        ShankhaError: The artifact cannot be opened, or the network answers with what is no number.
        InputError: It gives no labels, or none of the kind that the dataset has.
        ArgumentError: The samples are no pictures.
    """
    opened = Artifact.open(artifact)
    model = answerer(opened, Provenance(kind="model", name=opened.spec.name, when=now()))
    dataset = _dataset(samples)
    _require_kind(dataset, model.kind, artifact)
    field = _field_for(dataset, opened)
    add_label_field(dataset, model.kind, field)
    _note(dataset, field, opened, model)
    ids, paths = samples.values(["id", "filepath"])
    writer = _Writer(dataset, field, model.kind, ids)
    probabilities, embeddings = _Table(len(ids)), _Table(len(ids))
    for batch in _batches(paths, model.prepare, model.batch):
        answers = Answers(()) if batch.prepared is None else model.answer(batch.prepared)
        writer.take(batch, answers)
        probabilities.take(batch.places, answers.probabilities)
        embeddings.take(batch.places, answers.embeddings)
        if tick:
            tick(batch.end, len(paths))
    writer.write()
    keys = keys_of(paths)
    if probabilities.rows is not None:
        keep_rows(_probability_file(dataset, opened), keys, probabilities.rows)
    if embeddings.rows is not None:
        keep_rows(embedding_file(dataset, opened), keys, embeddings.rows)
    return field


def embed(samples: fo.Dataset | fo.DatasetView, artifact: Path, tick: Tick | None = None) -> Floats:
    """What an artifact of any task makes of every picture as a whole; see `deploy.runtime.embedding`.

    Embeddings are kept in `<curate folder>/embeddings/<dataset>/<artifact>.npz` by the pictures' files: only pictures
    that are new, or were changed, are looked at.

    Args:
        samples: N pictures.
        artifact: Its folder.
        tick: Hears how many of how many pictures that had to be looked at were tried.

    Returns:
        (N, D) float32 in the order of the samples, not normalised; a row of NaN for a picture that cannot be read.

    Raises:
        ShankhaError: The artifact cannot be opened, or the network answers with what is no number.
        ArgumentError: The samples are no pictures.
    """
    opened = Artifact.open(artifact)
    dataset = _dataset(samples)
    embedder = Embedder(opened)
    ids, paths = samples.values(["id", "filepath"])
    keys = keys_of(paths)
    file = embedding_file(dataset, opened)
    rows = find_rows(file, keys, embedder.width)
    missing = np.flatnonzero(np.isnan(rows).any(axis=1))
    if not len(missing):
        return rows
    prepare = _prepared_for(opened.spec, embedder.prepare)
    problems: dict[str, str | None] = {}
    for batch in _batches([paths[place] for place in missing], prepare, embedder.batch):
        places = missing[batch.places]
        if batch.prepared is not None:
            rows[places] = embedder.look(batch.prepared).embeddings
        problems |= dict.fromkeys((ids[place] for place in places), None)
        problems |= {ids[missing[place]]: why for place, why in batch.problems}
        if tick:
            tick(batch.end, len(missing))
    _write_problems(dataset, problems)
    keep_rows(file, keys[missing], rows[missing])
    return rows


def field_probabilities(samples: fo.Dataset | fo.DatasetView, field: str) -> tuple[Floats, tuple[str, ...]] | None:
    """As `probabilities`, by the field of predictions; None where it comes from no model that has such."""
    dataset = _dataset(samples)
    told = (dataset.info.get(MODELS) or {}).get(field)
    if told is None or told["task"] not in WHOLE_PICTURE:
        return None
    file = _rows_file(_PROBABILITIES, dataset, f"{told['artifact']}-{told['engine']}")
    return find_rows(file, keys_of(samples.values("filepath")), len(told["classes"])), tuple(told["classes"])


def predicted_field(dataset: fo.Dataset, artifact: Artifact[ArtifactSpec]) -> str | None:
    """The field for what an artifact says; None where it was not asked yet."""
    told, digest = dataset.info.get(MODELS) or {}, _digest(artifact)
    return next((field for field, one in told.items() if one["artifact"] == digest and dataset.has_field(field)), None)


def probabilities(samples: fo.Dataset | fo.DatasetView, artifact: Path) -> tuple[Floats, tuple[str, ...]]:
    """What `predict` found the calibrated probabilities of the classes to be, for digits and species.

    Returns:
        (N, C) float32 in the order of the samples, a row of NaN for a picture without a prediction, and the C classes;
        the last class of a species model is `UNKNOWN_FISH`.

    Raises:
        ShankhaError: The artifact cannot be opened.
        InputError: It is for a task without such.
    """
    opened = Artifact.open(artifact)
    spec = opened.spec
    if not isinstance(spec, DigitSpec | SpeciesSpec):
        raise InputError(
            artifact, f"its task is {spec.task}", expected="an artifact that reads digits or names species"
        )
    classes = spec.labels if isinstance(spec, DigitSpec) else (*spec.labels, UNKNOWN_FISH)
    dataset = _dataset(samples)
    rows = find_rows(_probability_file(dataset, opened), keys_of(samples.values("filepath")), len(classes))
    return rows, classes


@dataclass(frozen=True)
class _Batch:
    """Pictures made ready: `places` of the readable ones among all, what was `prepared` of them (None without any),
    `sizes_wh` of each, the `problems` of the others by place, and the `end` of the batch among all."""

    places: NDArray[np.int64]
    prepared: Any
    sizes_wh: tuple[tuple[int, int], ...]
    problems: tuple[tuple[int, str], ...]
    end: int


def _batches(paths: Sequence[str], prepare: Callable[[Sequence[Image]], Any], size: int) -> Iterator[_Batch]:
    """Read and prepare pictures in a thread of their own, some batches ahead of whoever takes them."""
    reader = _Reader(paths, prepare, size)
    with ThreadPoolExecutor(1) as thread:
        waiting = deque(thread.submit(reader.read) for _ in range(_AHEAD))
        try:
            while (found := waiting.popleft().result()) is not None:
                waiting.append(thread.submit(reader.read))
                yield found
        finally:
            for future in waiting:
                future.cancel()


class _Reader:
    """Reads pictures batch by batch: `size` of them, fewer where they are large."""

    def __init__(self, paths: Sequence[str], prepare: Callable[[Sequence[Image]], Any], size: int) -> None:
        self.paths, self.prepare, self.size = paths, prepare, size
        self._end = 0

    def read(self) -> _Batch | None:
        """The next batch; None where all are read."""
        start = self._end
        places: list[int] = []
        images: list[Image] = []
        problems: list[tuple[int, str]] = []
        pixels = 0
        while self._end < min(start + self.size, len(self.paths)) and pixels < _PIXELS_AT_ONCE:
            try:
                images.append(read_image(Path(self.paths[self._end])))
                places.append(self._end)
                pixels += images[-1].shape[0] * images[-1].shape[1]
            except ShankhaError as error:
                problems.append((self._end, error.found))
            self._end += 1
        if self._end == start:
            return None
        sizes_wh = tuple((image.shape[1], image.shape[0]) for image in images)
        prepared = self.prepare(images) if images else None
        return _Batch(np.array(places, np.int64), prepared, sizes_wh, tuple(problems), self._end)


def _prepared_for(spec: ArtifactSpec, prepare: Callable[[Sequence[Image]], PreparedT]) -> Callable[..., PreparedT]:
    """The same for pictures as they are read: all but digits are looked at in colour."""
    if isinstance(spec, DigitSpec):
        return prepare
    return lambda images: prepare([in_colour(image) for image in images])


class _Table:
    """Rows of N pictures, made when the first come; NaN where none came."""

    def __init__(self, pictures: int) -> None:
        self.pictures = pictures
        self.rows: Floats | None = None

    def take(self, places: NDArray[np.int64], rows: Floats | None) -> None:
        if rows is not None:
            if self.rows is None:
                self.rows = np.full((self.pictures, rows.shape[1]), np.nan, np.float32)
            self.rows[places] = rows


class _Writer:
    """Writes labels and problems of samples, some thousands at a time."""

    def __init__(self, dataset: fo.Dataset, field: str, kind: Kind, ids: Sequence[str]) -> None:
        self.dataset, self.field, self.kind, self.ids = dataset, field, kind, ids
        self._labels: dict[str, Document | None] = {}
        self._problems: dict[str, str | None] = {}

    def take(self, batch: _Batch, answers: Answers) -> None:
        for place, size_wh, labels in zip(batch.places, batch.sizes_wh, answers.labels, strict=True):
            self._labels[self.ids[place]] = labels_document(labels, self.kind, size_wh)
            self._problems[self.ids[place]] = None
        for place, why in batch.problems:
            self._labels[self.ids[place]] = None
            self._problems[self.ids[place]] = why
        if len(self._labels) >= _WRITTEN_AT_ONCE:
            self.write()

    def write(self) -> None:
        _write(self.dataset, self.field, self._labels)
        _write_problems(self.dataset, self._problems)
        self._labels, self._problems = {}, {}


def _write(dataset: fo.Dataset, field: str, values: dict[str, Any]) -> None:
    """Set a field of samples, by id, or take it away where the value is None.

    The documents are those that `set_values` writes, five times as fast.
    """
    from bson import ObjectId
    from pymongo import UpdateOne

    if values:
        written = {"last_modified_at": datetime.now(UTC)}
        changes = {
            sample: {"$unset": {field: ""}, "$set": written} if value is None else {"$set": {field: value} | written}
            for sample, value in values.items()
        }
        dataset._bulk_write([UpdateOne({"_id": ObjectId(sample)}, change) for sample, change in changes.items()])


def _write_problems(dataset: fo.Dataset, problems: dict[str, str | None]) -> None:
    """Say why pictures cannot be read, and of those that can that they can again."""
    if not any(problems.values()) and not dataset.has_field(PROBLEM):
        return
    if not dataset.has_field(PROBLEM):
        dataset.add_sample_field(PROBLEM, connect().StringField)
    _write(dataset, PROBLEM, problems)


def _dataset(samples: fo.Dataset | fo.DatasetView) -> fo.Dataset:
    """The dataset that the samples are of.

    Raises:
        ArgumentError: They are no pictures.
    """
    if samples.media_type != "image" or samples._is_generated:
        found = "a view of parts of its pictures" if samples._is_generated else f"{samples.media_type or 'nothing'}"
        raise ArgumentError(samples._root_dataset.name, f"holds {found}", expected="pictures")
    return samples._root_dataset


def _require_kind(dataset: fo.Dataset, kind: Kind, artifact: Path) -> None:
    """Raise where labels of that kind have no place beside those of the dataset."""
    own = (dataset.info.get(INFO) or {}).get("kind", kind)
    fits = kind == own if kind in WHOLE_PICTURE else own not in WHOLE_PICTURE
    if not fits:
        raise InputError(artifact, f"answers for {kind}", expected=f"an artifact for {own}, as {dataset.name!r} holds")


def _field_for(dataset: fo.Dataset, artifact: Artifact[ArtifactSpec]) -> str:
    """The field of its predictions: named after it, unless a field of that name holds something else."""
    field, digest = prediction_field(artifact.spec.name), _digest(artifact)
    for name in (field, f"{field}_{digest[:6]}"):
        told = (dataset.info.get(MODELS) or {}).get(name)
        if not dataset.has_field(name) or (told and told["artifact"] == digest):
            return name
    raise ArgumentError(field, "and the same with its hash are fields of something else", cure="rename one of them")


def _note(dataset: fo.Dataset, field: str, artifact: Artifact[ArtifactSpec], model: Answerer[Any]) -> None:
    """Say in the dataset which artifact the field's predictions come from."""
    spec = artifact.spec
    told = {
        "artifact": _digest(artifact),
        "name": spec.name,
        "task": spec.task,
        "engine": artifact.choice.engine,
        "precision": artifact.choice.precision,
        "classes": list(model.classes),
        "threshold": spec.threshold if isinstance(spec, BoxSpec) else None,
        "when": model.by.when,
    }
    dataset.info[MODELS] = {**(dataset.info.get(MODELS) or {}), field: told}
    dataset.save()


def _digest(artifact: Artifact[ArtifactSpec]) -> str:
    """Of its spec, which holds the hashes of all its files."""
    return sha256((artifact.folder / SPEC_FILE).read_bytes()).hexdigest()[:16]


def embedding_file(dataset: fo.Dataset, artifact: Artifact[ArtifactSpec]) -> Path:
    """Where `embed` keeps what the artifact makes of the dataset's pictures; see `rows`."""
    return _rows_file(_EMBEDDINGS, dataset, _digest(artifact))


def _probability_file(dataset: fo.Dataset, artifact: Artifact[ArtifactSpec]) -> Path:
    return _rows_file(_PROBABILITIES, dataset, f"{_digest(artifact)}-{artifact.choice.engine}")


def _rows_file(kind: str, dataset: fo.Dataset, name: str) -> Path:
    return curate_folder() / kind / plain_name(dataset.name) / f"{name}.npz"
