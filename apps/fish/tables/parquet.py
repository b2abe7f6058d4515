"""A deployment's records as two parquet tables: `detections.parquet` and `samples.parquet`, written and read whole.

`samples.parquet` has a row for every frame that was looked at, `detections.parquet` one for every detection. Both carry
the deployment's opcode, its chapter files and the names of all species known, so that nothing is lost where nothing
was seen. The same records give the same bytes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from apps.fish.records import DeploymentRecords, Observations, Samples, TrackedObservations
from data.errors import FileAccessError, InputError
from data.files import whole_file

DETECTIONS = "detections.parquet"
SAMPLES = "samples.parquet"

_KEY = b"shankha"
_FORMAT = 1
_SAMPLE_COLUMNS = [
    ("opcode", pa.string()),
    ("chapter", pa.int64()),
    ("file", pa.string()),
    ("frame", pa.int64()),
    ("file_seconds", pa.float64()),
    ("seconds", pa.float64()),
]
_DETECTION_COLUMNS = [
    *_SAMPLE_COLUMNS,
    ("x1", pa.float32()),
    ("y1", pa.float32()),
    ("x2", pa.float32()),
    ("y2", pa.float32()),
    ("score", pa.float32()),
    ("label", pa.string()),
    ("track", pa.int64()),
]


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
    _write(folder / SAMPLES, _samples_table(records))
    _write(folder / DETECTIONS, _detections_table(records))


def read_records(folder: Path) -> DeploymentRecords:
    """The records that `write_records` wrote.

    Raises:
        FileAccessError: A table is missing or cannot be read.
        InputError: A table is damaged, is of another kind, or the two do not belong together.
    """
    samples, detections = _read(folder / SAMPLES, _SAMPLE_COLUMNS), _read(folder / DETECTIONS, _DETECTION_COLUMNS)
    if samples.schema.metadata[_KEY] != detections.schema.metadata[_KEY]:
        raise InputError(folder / DETECTIONS, f"is not of the same deployment as {SAMPLES}", cure="survey it again")
    about = json.loads(samples.schema.metadata[_KEY])
    try:
        return _records(about, samples, detections)
    except (ValueError, KeyError) as error:
        raise InputError(folder / DETECTIONS, f"does not fit {SAMPLES} ({error})", cure="survey it again") from error


def _samples_table(records: DeploymentRecords) -> pa.Table:
    rows = np.arange(len(records.tracked.observations.samples))
    return _table(records, _SAMPLE_COLUMNS, _sample_columns(records, rows))


def _sample_columns(records: DeploymentRecords, rows: NDArray[np.int64]) -> list[object]:
    samples = records.tracked.observations.samples
    chapter = samples.chapter[rows]
    files = [records.files[position] for position in chapter]
    times = samples.file_seconds[rows], samples.seconds[rows]
    return [[records.opcode] * len(rows), chapter, files, samples.frame[rows], *times]


def _detections_table(records: DeploymentRecords) -> pa.Table:
    seen = records.tracked.observations
    columns = [
        *_sample_columns(records, seen.sample),
        *(np.ascontiguousarray(seen.xyxy[:, side]) for side in range(4)),
        seen.scores,
        [seen.names[label] for label in seen.labels],
        records.tracked.tracks,
    ]
    return _table(records, _DETECTION_COLUMNS, columns)


def _table(records: DeploymentRecords, kinds: list[tuple[str, pa.DataType]], columns: list[object]) -> pa.Table:
    names = records.tracked.observations.names
    about = {"format": _FORMAT, "opcode": records.opcode, "files": records.files, "names": names}
    schema = pa.schema(kinds, metadata={_KEY: json.dumps(about, ensure_ascii=False).encode()})
    arrays = [pa.array(column, kind) for column, (_, kind) in zip(columns, kinds, strict=True)]
    return pa.table(arrays, schema=schema)


def _write(path: Path, table: pa.Table) -> None:
    with whole_file(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def _read(path: Path, kinds: list[tuple[str, pa.DataType]]) -> pa.Table:
    expected = f"a table that a survey wrote, with columns {', '.join(name for name, _ in kinds)}"
    try:
        table = pq.ParquetFile(path).read()
    except OSError as error:
        why = error.strerror or str(error)
        raise FileAccessError(path, f"cannot be read ({why})", cure="survey the deployment again") from error
    except pa.ArrowException as error:
        raise InputError(path, f"is no parquet file ({error})", expected=expected) from error
    about = (table.schema.metadata or {}).get(_KEY, b"{}")
    if json.loads(about).get("format") != _FORMAT or [(f.name, f.type) for f in table.schema] != kinds:
        raise InputError(path, "is another kind of table", expected=expected)
    return table


def _records(about: dict[str, Any], samples_table: pa.Table, detections_table: pa.Table) -> DeploymentRecords:
    samples = Samples(*(samples_table[name].to_numpy() for name in ("chapter", "frame", "file_seconds", "seconds")))
    names = tuple(about["names"])
    position = {pair: at for at, pair in enumerate(zip(samples.chapter.tolist(), samples.frame.tolist(), strict=True))}
    pairs = zip(detections_table["chapter"].to_pylist(), detections_table["frame"].to_pylist(), strict=True)
    number = {name: at for at, name in enumerate(names)}
    sides = [detections_table[side].to_numpy() for side in ("x1", "y1", "x2", "y2")]
    observations = Observations(
        samples,
        np.array([position[pair] for pair in pairs], np.int64),
        np.stack(sides, axis=1),
        detections_table["score"].to_numpy(),
        np.array([number[name] for name in detections_table["label"].to_pylist()], np.int64),
        names,
    )
    tracked = TrackedObservations(observations, detections_table["track"].to_numpy())
    return DeploymentRecords(str(about["opcode"]), tuple(about["files"]), tracked)
