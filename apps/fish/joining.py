"""Tables that deployments share: each one's rows lie in its own folder, the rows of all in the folder of results."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from data.errors import InputError
from data.files import whole_file

MAXN: Final = "maxn.csv"
OCCURRENCE: Final = "occurrence.csv"
DENSE: Final = "dense.csv"
POINTS, PERIOD = "_Points.txt", "_Period.txt"
COUNT, METADATA = "_Count.csv", "_Metadata.csv"
"""Endings of the tables of a campaign; its name comes before."""

_SHARED: Final = re.compile(r"maxn\.csv|occurrence\.csv|dense\.csv|.+_(points|period)\.txt|.+_(count|metadata)\.csv")


def is_shared(name: str) -> bool:
    """Whether files of this name are joined over all deployments; whatever the case of its letters."""
    return _SHARED.fullmatch(name.casefold()) is not None


def shared_names(names: Iterable[str]) -> list[str]:
    """Names of the joined tables that these files, named with their folders, make; each once, the first spelling."""
    found: dict[str, str] = {MAXN: MAXN}
    for name in (Path(one).name for one in names):
        if is_shared(name):
            found.setdefault(name.casefold(), name)
    return list(found.values())


def join_tables(folder: Path, names: Sequence[str]) -> None:
    """Write the rows of each table that is shared into one file of its name.

    Args:
        folder: The folder of results.
        names: The deployments' files below it, in the order of the rows; others than shared ones are passed over.

    Raises:
        FileAccessError: The folder cannot be written, or the disk is full.
        InputError: The deployments' tables differ in their columns.
        OSError: A table cannot be read.
    """
    for shared in shared_names(names):
        _join(folder / shared, [folder / one for one in names if Path(one).name.casefold() == shared.casefold()])


def _join(path: Path, parts: Sequence[Path]) -> None:
    with whole_file(path) as temporary, temporary.open("wb") as stream:
        columns = b""
        for part in parts:
            head, _, rows = part.read_bytes().partition(b"\n")
            if columns not in {b"", head}:
                raise InputError(part, "has other columns than the tables before", cure="survey it again")
            stream.write(rows if columns else head + b"\n" + rows)
            columns = head
