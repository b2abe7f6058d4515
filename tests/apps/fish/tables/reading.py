"""The tables as other programs read them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from apps.fish.results import DeploymentResult
from apps.fish.survey import WRITERS

Rows = list[dict[str, str]]


def written(result: DeploymentResult, folder: Path) -> Path:
    """The folder, with every table that is written in `apps.fish.tables`, and the records."""
    for writer in WRITERS:
        if writer.__module__.startswith("apps.fish.tables.") or writer.__name__ == "_write_parquet":
            writer(result, folder)
    return folder


def comma(path: Path) -> Rows:
    text = path.read_bytes().decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def tab(path: Path) -> Rows:
    """Split at tabs and line ends, as a program does that knows of no quotes."""
    head, *lines = path.read_bytes().decode("utf-8").removesuffix("\r\n").split("\r\n")
    columns = head.split("\t")
    rows = [line.split("\t") for line in lines]
    assert all(len(row) == len(columns) for row in rows)
    return [dict(zip(columns, row, strict=True)) for row in rows]
