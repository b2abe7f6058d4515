"""What the ledger of a survey tells without being touched: which deployments are whole, and what each file was."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from apps.curate.sources import LEDGER
from data.errors import FileAccessError, InputError
from data.readers.digitset import Problem

UNFINISHED: Final = "UNFINISHED.txt"
_VERSION: Final = 1
_IN_USE: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
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
        with closing(_opened(path)) as ledger:
            return _facts(ledger, path)
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _IN_USE:
            cure = "wait until it ends, or interrupt it with Ctrl-C: it goes on later where it was"
            raise FileAccessError(results, "a survey is writing these results", cure=cure) from error
        raise InputError(path, f"is damaged ({error})", cure="survey the footage again") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(path, f"is damaged ({error})", cure="survey the footage again") from error


def unfinished(results: Path) -> tuple[Problem, ...]:
    """The problem that a survey was broken off, if it was."""
    if not (results / UNFINISHED).is_file():
        return ()
    why = "the survey is not finished: only what is whole is shown; run the same survey command again for the rest"
    return (Problem(str(results), why),)


def _opened(path: Path) -> sqlite3.Connection:
    """The ledger, to read only; where its folder cannot be written, too."""
    address = f"file:{quote(str(path.resolve()))}?mode=ro"
    ledger = sqlite3.connect(address, uri=True, timeout=0)
    try:
        ledger.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.OperationalError as error:
        ledger.close()
        if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_CANTOPEN:
            raise
        return sqlite3.connect(f"{address}&immutable=1", uri=True)
    return ledger


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
