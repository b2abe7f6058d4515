"""NumtaDB as published: a folder of pictures and a table of labels for each source, `training-a` to `training-e`."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from data.errors import ArgumentError, FileAccessError, InputError
from data.images import IMAGE_SUFFIXES
from data.labels import NOT_A_DIGIT, digit_of
from data.readers.digitset import DigitSet, FileImages, Problem

FILE_COLUMN: Final = "filename"
DIGIT_COLUMN: Final = "digit"
SCAN_COLUMN: Final = "scanid"
_TABLE: Final = re.compile(r"training-([a-z])\.csv", re.IGNORECASE)


@dataclass
class _Rows:
    """Examples gathered so far, table by table."""

    paths: list[Path] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def is_numtadb(folder: Path) -> bool:
    """Whether the folder holds tables named as NumtaDB's."""
    return bool(_tables(folder))


def read_numtadb(folder: Path, split: str | None = None) -> DigitSet:
    """NumtaDB's training sources; the testing folders carry no labels and are left out.

    Rows whose file is missing, files without a row, and labels that are no digit are listed as problems. The scanned
    sheet (`scanid`) is the group, where the table has one.

    Args:
        folder: Holds `training-a.csv` (columns `filename`, `digit` and others) beside `training-a/`, and so on.
        split: A source's letter, "a" to "e"; None means all.

    Raises:
        ArgumentError: There is no such source.
        InputError: A table lacks a column or is no table.
    """
    tables = _tables(folder)
    if split is not None and split not in tables:
        raise ArgumentError("--split", f"{folder} has no source {split!r}", expected=f"one of {', '.join(tables)}")
    rows = _Rows()
    for letter in tables if split is None else [split]:
        _take_source(rows, folder, tables[letter], letter)
    return DigitSet(
        "numtadb",
        labels=np.array(rows.labels, np.int64),
        sources=np.array(rows.sources, np.str_),
        groups=np.array(rows.groups, np.str_),
        names=np.array(rows.names, np.str_),
        places=np.arange(len(rows.paths)),
        images=FileImages(tuple(rows.paths)),
        polarity="auto",
        problems=tuple(rows.problems),
        left_out=tuple(_unlabelled(folder)),
    )


def _tables(folder: Path) -> dict[str, Path]:
    matches = ((_TABLE.fullmatch(path.name), path) for path in sorted(folder.iterdir()) if path.is_file())
    return {match[1].lower(): path for match, path in matches if match}


def _unlabelled(folder: Path) -> Iterator[Problem]:
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name.lower().startswith("testing"):
            yield Problem(path.name, "has no labels")


def _take_source(rows: _Rows, folder: Path, table: Path, letter: str) -> None:
    files = _files_under(folder / table.stem)
    source = f"numtadb-{letter}"
    for number, row in _rows_of(table):
        file = (row[FILE_COLUMN] or "").strip()
        digit = digit_of(row[DIGIT_COLUMN] or "")
        place = f"{table.name}, line {number}"
        if digit is None or digit == NOT_A_DIGIT:
            rows.problems.append(Problem(place, f"its digit is {row[DIGIT_COLUMN]!r}, not one from 0 to 9"))
            files.pop(file, None)
            continue
        path = files.pop(file, None)
        if path is None:
            rows.problems.append(Problem(place, f"names {file!r}, which is missing, or named twice"))
            continue
        scan = (row.get(SCAN_COLUMN) or "").strip()
        rows.paths.append(path)
        rows.labels.append(digit)
        rows.sources.append(source)
        rows.groups.append(f"{source}/{scan}" if scan else source)
        rows.names.append(path.relative_to(folder).as_posix())
    rows.problems += [
        Problem(path.relative_to(folder).as_posix(), f"has no row in {table.name}") for path in files.values()
    ]


def _files_under(folder: Path) -> dict[str, Path]:
    """Picture files by name; the published archives nest the folder in itself at times."""
    if not folder.is_dir():
        return {}
    return {path.name: path for path in sorted(folder.rglob("*")) if path.suffix.lower() in IMAGE_SUFFIXES}


def _rows_of(table: Path) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Line number and cells of each row."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = [column for column in (FILE_COLUMN, DIGIT_COLUMN) if column not in (reader.fieldnames or ())]
            if missing:
                found = f"has no column {' or '.join(missing)}"
                raise InputError(table, found, expected=f"a table with {FILE_COLUMN} and {DIGIT_COLUMN}")
            for row in reader:
                yield reader.line_num, row
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(table, f"is no UTF-8 table ({error})", cure="fetch the file again") from error
    except OSError as error:
        raise FileAccessError(table, f"cannot be read ({error.strerror or error})") from error
