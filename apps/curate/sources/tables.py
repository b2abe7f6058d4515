"""Files that other commands of the suite wrote: parts of JSON, tables for people, tables of records."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from data.errors import FileAccessError, InputError, validation_faults

AGAIN: Final = "survey the deployment again"
_KEY: Final = b"shankha"
_FORMAT: Final = 1
_QUOTED: Final = ("'=", "'+", "'-", "'@", "'\t", "'\r")
"""How a table writes a text that a spreadsheet would run as a formula."""

Model = TypeVar("Model", bound=BaseModel)


def whole(path: Path) -> bytes:
    """The content of a file of a survey; raises FileAccessError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise FileAccessError(path, f"cannot be read ({error.strerror})", cure=AGAIN) from error


def parsed(path: Path, kind: type[Model]) -> Model:
    """What a file of a survey says.

    Raises:
        FileAccessError: It cannot be read.
        InputError: It is damaged.
    """
    try:
        return kind.model_validate_json(whole(path))
    except ValidationError as error:
        raise InputError(path, f"is damaged ({validation_faults(error)})", cure=AGAIN) from error


def table_rows(path: Path) -> Iterator[dict[str, str]]:
    """The rows of one of our tables, without the quotes before what a spreadsheet would run as a formula.

    Raises:
        FileAccessError: It cannot be read.
        InputError: It is no table.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            for row in csv.DictReader(stream, strict=True):
                yield {key: _plain(text or "") for key, text in row.items() if key is not None}
    except OSError as error:
        raise FileAccessError(path, f"cannot be read ({error.strerror})", cure="check the rights to it") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(path, f"is no table ({error})", expected="a CSV of Shankha's") from error


def _plain(text: str) -> str:
    return text[1:] if text.startswith(_QUOTED) else text


def read_table(path: Path, columns: tuple[str, ...]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The columns of a table of records, and what it says of itself.

    Raises:
        FileAccessError: It is missing or cannot be read.
        InputError: It is damaged, or of another kind or version.
    """
    try:
        table = pq.read_table(path, columns=list(columns), use_threads=False)
        told = json.loads((table.schema.metadata or {}).get(_KEY, b"{}"))
    except OSError as error:
        why = error.strerror or str(error)
        raise FileAccessError(path, f"cannot be read ({why})", cure=AGAIN) from error
    except (pa.ArrowException, ValueError) as error:
        raise InputError(path, f"is no table of a survey ({error})", cure=AGAIN) from error
    if told.get("format") != _FORMAT or set(columns) - set(table.column_names):
        raise InputError(path, "is no table of a survey, or of another version", cure=AGAIN)
    if any(table[name].null_count for name in columns):
        raise InputError(path, "lacks values", cure=AGAIN)
    return {name: table[name].to_numpy() for name in columns}, told
