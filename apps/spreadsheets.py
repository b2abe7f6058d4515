"""Tables that people open in a spreadsheet."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from data.files import whole_file

# Excel takes UTF-8 for what it is, Bengali file names and digits included, only behind this mark.
_ENCODING: Final = "utf-8-sig"


@contextlib.contextmanager
def spreadsheet(path: Path, columns: Sequence[str]) -> Iterator[Any]:
    """A CSV writer below a row of column names; the file is there, whole, when the block ends well.

    Raises:
        FileAccessError: The folder cannot be written, or the disk is full.
    """
    with whole_file(path) as temporary, temporary.open("w", encoding=_ENCODING, newline="") as stream:
        writer = csv.writer(stream, lineterminator="\r\n")
        writer.writerow(columns)
        yield writer


def harmless(text: str) -> str:
    """A text from outside as a spreadsheet's cell: one that would be run as a formula is made plain text."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
