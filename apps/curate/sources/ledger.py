"""What the ledger of a survey tells without being touched: which deployments are whole, and what each file was."""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from apps.curate.sources import LEDGER
from data.errors import FileAccessError, InputError
from data.readers.digitset import Problem

UNFINISHED: Final = "UNFINISHED.txt"
_VERSION: Final = 1
_FIRST_SHARED: Final = 0x4000_0002
_SHARED_BYTES: Final = 510
"""Where in a file SQLite sets its locks."""
_CHAPTERS: Final = """
SELECT chapters.label, chapters.account, segments.resume FROM chapters
JOIN segments ON segments.key = chapters.key AND segments.number = 0 ORDER BY chapters.rowid
"""


@dataclass(frozen=True)
class Mark:
    """What a chapter file was when it was read: its size in bytes, and the checksum of the frame at one time (see
    `data.footage.video.picture_checksum`); 0 seconds are at its first frame."""

    size: int
    seconds: float
    checksum: int


@dataclass(frozen=True)
class LedgerFacts:
    """`whole` are the deployments whose files are all written; `marks` tell the chapter files, by label."""

    whole: frozenset[str]
    marks: dict[str, Mark]


def read_ledger(results: Path) -> LedgerFacts | None:
    """What the ledger in a folder of results tells; None where there is none.

    Raises:
        FileAccessError: A survey is running, or it cannot be read.
        InputError: It is damaged, or of another version.
    """
    path = results / LEDGER
    if not path.is_file():
        return None
    try:
        if _is_held(path):
            cure = "wait until it ends, or interrupt it with Ctrl-C: it goes on later where it was"
            raise FileAccessError(results, "a survey is writing these results", cure=cure)
        with _opened(path) as ledger:
            return _facts(ledger, path)
    except OSError as error:
        raise FileAccessError(
            path, f"cannot be read ({error.strerror or error})", cure="check the rights to it"
        ) from error
    except (sqlite3.Error, ValueError, KeyError, TypeError) as error:
        raise InputError(path, f"is damaged ({error})", cure="survey the footage again") from error


def unfinished(results: Path) -> tuple[Problem, ...]:
    """The problem that a survey was broken off, if it was."""
    if not (results / UNFINISHED).is_file():
        return ()
    why = "the survey is not finished: only what is whole is shown; run the same survey command again for the rest"
    return (Problem(str(results), why),)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The ledger, to read only: nothing in its folder changes, as SQLite's own reading of it would.

    What a survey that was broken off has left beside it is read from a copy.
    """
    with tempfile.TemporaryDirectory() as folder:
        left = path.with_name(f"{path.name}-wal")
        if left.is_file() and left.stat().st_size:
            path, left = (Path(shutil.copy(one, folder)) for one in (path, left))
            address = f"file:{quote(str(path))}"
        else:
            address = f"file:{quote(str(path.resolve()))}?mode=ro&immutable=1"
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=0)) as ledger:
            yield ledger


def _is_held(path: Path) -> bool:
    """Whether a survey has the ledger open: it holds SQLite's lock on it, which nothing but a look at takes."""
    with path.open("rb") as stream:
        try:
            fcntl.lockf(stream, fcntl.LOCK_SH | fcntl.LOCK_NB, _SHARED_BYTES, _FIRST_SHARED)
        except BlockingIOError:
            return True
    return False


def _facts(ledger: sqlite3.Connection, path: Path) -> LedgerFacts:
    version = ledger.execute("PRAGMA user_version").fetchone()[0]
    if version != _VERSION:
        found = f"is a ledger of version {version}"
        raise InputError(path, found, expected=f"version {_VERSION}", cure="use the version of Shankha that wrote it")
    whole = frozenset(opcode for (opcode,) in ledger.execute("SELECT opcode FROM deployments"))
    marks: dict[str, Mark] = {}
    for label, account, resume in ledger.execute(_CHAPTERS):
        if account or label not in marks:  # of a file that was replaced, the one that was read to its end
            marks[label] = _mark(json.loads(resume))
    return LedgerFacts(whole, marks)


def _mark(told: dict[str, Any]) -> Mark:
    return Mark(int(told["size"]), float(told["seconds"]), int(told["picture"]))
