"""A deployment's records as two parquet tables: `detections.parquet` and `samples.parquet`, written and read whole.

`samples.parquet` has a row for every frame that was looked at, `detections.parquet` one for every detection that was
kept (see `apps.fish.model.least_kept`). Both carry the deployment's opcode, its chapter files and the names of all
species known, so that nothing is lost where nothing was seen. The same records give the same bytes.

Rows go through in groups, and pyarrow is loaded only where it is used: both keep a survey small.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from apps.fish.records import DeploymentRecords, Observations, Samples, TrackedObservations
from data.errors import FileAccessError, InputError
from data.files import whole_file

if TYPE_CHECKING:
    import pyarrow as pa

DETECTIONS = "detections.parquet"
SAMPLES = "samples.parquet"

_KEY = b"shankha"
_FORMAT = 1
_GROUP: Final = 1 << 15
"""Rows of a row group."""
_SAMPLE_COLUMNS = {
    "opcode": "string",
    "chapter": "int64",
    "file": "string",
    "frame": "int64",
    "file_seconds": "float64",
    "seconds": "float64",
}
_DETECTION_COLUMNS = {
    **_SAMPLE_COLUMNS,
    "x1": "float32",
    "y1": "float32",
    "x2": "float32",
    "y2": "float32",
    "score": "float32",
    "label": "string",
    "track": "int64",
}


@dataclass(frozen=True)
class _Texts:
    """A column of texts: for each row (N,) the position of its text in a few."""

    known: tuple[str, ...]
    which: NDArray[np.int64]


_Column = _Texts | NDArray[Any]


def write_records(folder: Path, records: DeploymentRecords) -> None:
    """Write both tables into `folder`; `detections.parquet`, written last, marks the pair as complete.

    Raises:
        FileAccessError: The folder cannot be written, or the disk is full.
    """
    try:
        (folder / DETECTIONS).unlink(missing_ok=True)
    except OSError as error:
        cure = "choose a folder that you may write to"
        raise FileAccessError(folder / DETECTIONS, f"cannot be replaced ({error.strerror})", cure=cure) from error
    seen = records.tracked.observations
    _write(folder / SAMPLES, records, _SAMPLE_COLUMNS, len(seen.samples), _samples)
    _write(folder / DETECTIONS, records, _DETECTION_COLUMNS, len(seen), _detections)


def read_records(folder: Path) -> DeploymentRecords:
    """The records that `write_records` wrote.

    Raises:
        FileAccessError: A table is missing or cannot be read.
        InputError: A table is damaged, is of another kind, or the two do not belong together.
    """
    about, samples = _read(folder / SAMPLES, _SAMPLE_COLUMNS)
    of_detections, detections = _read(folder / DETECTIONS, _DETECTION_COLUMNS)
    if about != of_detections:
        raise InputError(folder / DETECTIONS, f"is not of the same deployment as {SAMPLES}", cure="survey it again")
    try:
        return _records(about, samples, detections)
    except (ValueError, KeyError) as error:
        raise InputError(folder / DETECTIONS, f"does not fit {SAMPLES} ({error})", cure="survey it again") from error


def _samples(records: DeploymentRecords, rows: slice) -> list[_Column]:
    samples = records.tracked.observations.samples
    return _places(records, np.arange(*rows.indices(len(samples))))


def _detections(records: DeploymentRecords, rows: slice) -> list[_Column]:
    seen = records.tracked.observations
    sides = (seen.xyxy[rows, side] for side in range(4))
    labels = _Texts(seen.names, seen.labels[rows])
    return [*_places(records, seen.sample[rows]), *sides, seen.scores[rows], labels, records.tracked.tracks[rows]]


def _places(records: DeploymentRecords, rows: NDArray[np.int64]) -> list[_Column]:
    """The columns of these samples."""
    samples = records.tracked.observations.samples
    chapter = samples.chapter[rows]
    opcode = _Texts((records.opcode,), np.zeros(len(rows), np.int64))
    times = samples.file_seconds[rows], samples.seconds[rows]
    return [opcode, chapter, _Texts(records.files, chapter), samples.frame[rows], *times]


def _array(column: _Column) -> pa.Array:
    """An arrow array over the column's own memory; `pyarrow.array` would load pandas where there is one."""
    import pyarrow as pa

    if isinstance(column, _Texts):
        texts = [text.encode() for text in column.known]
        edges = np.cumsum([0, *map(len, texts)], dtype=np.int32)
        known = pa.StringArray.from_buffers(len(texts), pa.py_buffer(edges), pa.py_buffer(b"".join(texts)))
        return known.take(_array(column.which))
    values = np.ascontiguousarray(column)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def _values(column: pa.ChunkedArray) -> NDArray[Any]:
    """The numbers of a column; arrow's own way would load pandas, too.

    Raises:
        ValueError: One is missing.
    """
    if column.null_count:
        raise ValueError("a number is missing")
    return np.asarray(np.from_dlpack(column.combine_chunks()))


def _write(
    path: Path,
    records: DeploymentRecords,
    columns: dict[str, str],
    count: int,
    group: Callable[[DeploymentRecords, slice], list[_Column]],
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pa.set_memory_pool(pa.system_memory_pool())  # the others keep what they once had
    names = records.tracked.observations.names
    about = {"format": _FORMAT, "opcode": records.opcode, "files": records.files, "names": names}
    metadata = {_KEY: json.dumps(about, ensure_ascii=False).encode()}
    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in columns.items()], metadata=metadata)
    edges = [*range(0, count, _GROUP), count]
    texts = [name for name, kind in columns.items() if kind == "string"]
    options = {"compression": "zstd", "use_dictionary": texts}
    with whole_file(path) as temporary, pq.ParquetWriter(temporary, schema, **options) as table:
        for start, stop in pairwise(edges):
            arrays = [_array(column) for column in group(records, slice(start, stop))]
            table.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _read(path: Path, columns: dict[str, str]) -> tuple[dict[str, Any], pa.Table]:
    """What the file says of itself, and its columns but those that follow from it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pa.set_memory_pool(pa.system_memory_pool())
    expected = f"a table that a survey wrote, with columns {', '.join(columns)}"
    wanted = [name for name in columns if name not in {"opcode", "file"}]
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            about = json.loads((schema.metadata or {}).get(_KEY, b"{}"))
            kinds = [(name, pa.type_for_alias(kind)) for name, kind in columns.items()]
            if about.get("format") != _FORMAT or [(field.name, field.type) for field in schema] != kinds:
                raise InputError(path, "is another kind of table", expected=expected)
            return about, file.read(wanted, use_threads=False)
    except OSError as error:
        why = error.strerror or str(error)
        raise FileAccessError(path, f"cannot be read ({why})", cure="survey the deployment again") from error
    except pa.ArrowException as error:
        raise InputError(path, f"is no parquet file ({error})", expected=expected) from error


def _records(about: dict[str, Any], samples_table: pa.Table, detections_table: pa.Table) -> DeploymentRecords:
    samples = Samples(*(_values(samples_table[name]) for name in ("chapter", "frame", "file_seconds", "seconds")))
    names = tuple(about["names"])
    sides = [_values(detections_table[side]) for side in ("x1", "y1", "x2", "y2")]
    observations = Observations(
        samples,
        _positions(samples, _values(detections_table["chapter"]), _values(detections_table["frame"])),
        np.stack(sides, axis=1),
        _values(detections_table["score"]),
        _labels(detections_table["label"], names),
        names,
    )
    tracked = TrackedObservations(observations, _values(detections_table["track"]))
    return DeploymentRecords(str(about["opcode"]), tuple(about["files"]), tracked)


def _positions(samples: Samples, chapter: NDArray[np.int64], frame: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) which of the samples, in order of chapters and frames, is that frame of that chapter.

    Raises:
        ValueError: None is.
    """
    chapters = int(max(samples.chapter.max(initial=0), chapter.max(initial=0)))
    frames = int(max(samples.frame.max(initial=0), frame.max(initial=0)))
    if chapters * frames >= 1 << 62 or min(chapter.min(initial=0), frame.min(initial=0)) < 0:
        raise ValueError("a frame's number is out of range")
    known, wanted = samples.chapter * (frames + 1) + samples.frame, chapter * (frames + 1) + frame
    position = np.searchsorted(known, wanted)
    if len(position) and (not len(known) or (known[np.minimum(position, len(known) - 1)] != wanted).any()):
        raise ValueError("a detection's frame is missing")
    return np.asarray(position, np.int64)


def _labels(column: pa.ChunkedArray, names: tuple[str, ...]) -> NDArray[np.int64]:
    """(N,) positions among the names.

    Raises:
        KeyError: A name is unknown.
        ValueError: One is missing.
    """
    if column.null_count:
        raise ValueError("a label is missing")
    number = {name: at for at, name in enumerate(names)}
    parts = [np.zeros(0, np.int64)]
    for chunk in column.dictionary_encode().chunks:
        known = np.array([number[name] for name in chunk.dictionary.to_pylist()], np.int64)
        parts.append(known[np.from_dlpack(chunk.indices)])
    return np.concatenate(parts)
