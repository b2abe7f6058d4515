"""Tables that other programs read: UTF-8 without a mark in front, lines that end as on Windows.

Their texts come from outside (opcodes, sites, labels), and people open them in a spreadsheet too: no text is run as a
formula.
"""

from __future__ import annotations

import contextlib
import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from apps.fish.naming import folder_name
from apps.fish.results import DeploymentResult
from apps.spreadsheets import harmless
from data.files import whole_file

UNNAMED: Final = "unnamed"
"""The campaign of deployments whose metadata name none."""
_BREAKS: Final = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")


@contextlib.contextmanager
def comma_table(path: Path, columns: Sequence[str]) -> Iterator[Any]:
    """A CSV writer (RFC 4180) below a row of column names; the file is there, whole, when the block ends well.

    Raises:
        FileAccessError: The folder cannot be written, or the disk is full.
    """
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\r\n")
        writer.writerow(columns)
        yield writer


@contextlib.contextmanager
def tab_table(path: Path, columns: Sequence[str]) -> Iterator[Any]:
    """The same with tabs, as EventMeasure writes it: nothing is quoted, so texts must have gone through `unbroken`.

    Raises:
        FileAccessError: The folder cannot be written, or the disk is full.
    """
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t", lineterminator="\r\n", quoting=csv.QUOTE_NONE, quotechar=None)
        writer.writerow(columns)
        yield writer


def unbroken(text: str) -> str:
    """A text from outside as a cell of `tab_table`: on one line, without tabs, double quotes or formulas."""
    return harmless(_BREAKS.sub(" ", text).replace('"', "'").strip())


def number(value: float | None) -> str:
    """The shortest decimal that is this number, without an exponent; empty for None."""
    return "" if value is None else np.format_float_positional(value, trim="-")


def campaign_of(result: DeploymentResult) -> str:
    """The campaign that the deployment's metadata name, or `UNNAMED`."""
    metadata = result.deployment.metadata
    return (metadata.campaignid if metadata else "") or UNNAMED


def campaign_file(result: DeploymentResult, folder: Path, ending: str) -> Path:
    """The file of the deployment's campaign with that ending, such as `_Count.csv`."""
    return folder / f"{folder_name(campaign_of(result))}{ending}"
