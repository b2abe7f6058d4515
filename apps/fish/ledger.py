"""The ledger of a survey: what has been detected and which tables have been written, safe against any end.

One SQLite file in the folder of results. A chapter's detections are kept under a key that stands for all that decides
them: the file's content, the model and the settings. They come segment by segment, each together with the place where
the chapter goes on, in one transaction: what is in the ledger is done. Only one survey at a time holds it.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pydantic import TypeAdapter

from apps.fish.footage import ChapterAccount, ResumePoint
from apps.fish.naming import LEDGER
from apps.fish.segments import Segment
from data.errors import FileAccessError, InputError, ShankhaError

VERSION: Final = 1
"""Number of the ledger's layout: to be raised with every change that older ledgers do not follow."""
_APPLICATION: Final = 0x5348414E
_LAYOUT: Final = """
CREATE TABLE chapters (
    key TEXT PRIMARY KEY,
    label TEXT NOT NULL,
    changed_ns INTEGER NOT NULL,
    account TEXT
);
CREATE TABLE segments (
    key TEXT NOT NULL REFERENCES chapters ON DELETE CASCADE,
    number INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    resume TEXT NOT NULL,
    block BLOB NOT NULL,
    PRIMARY KEY (key, number)
);
CREATE TABLE deployments (
    opcode TEXT PRIMARY KEY,
    key TEXT NOT NULL,
    files TEXT NOT NULL
);
"""
_LOOKS: Final = """
CREATE TABLE IF NOT EXISTS looks (
    key TEXT NOT NULL REFERENCES chapters ON DELETE CASCADE,
    part TEXT NOT NULL,
    number INTEGER NOT NULL,
    block BLOB NOT NULL,
    PRIMARY KEY (key, part, number)
)
"""
"""Only in the ledgers of surveys that do more than to find fish."""
_UNWRITABLE: Final = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
}
_DAMAGED: Final = "delete it and run the same command again: the footage is then looked at anew"
_NO_ROOM: Final = "free some space or choose a folder that you may write to, and run the same command again"

_files: TypeAdapter[dict[str, str]] = TypeAdapter(dict[str, str])


@dataclass(frozen=True)
class ChapterState:
    """How far a chapter is: its segments and samples so far, where it goes on, and its account once it has ended.

    `changed_ns` is the time of the file's last change, as it was when its first segment was kept.
    """

    segments: int
    samples: int
    resume: ResumePoint | None
    account: ChapterAccount | None
    changed_ns: int


class Ledger:
    """The open ledger of a folder of results; a context manager.

    Args:
        folder: The folder of results; it must exist.

    Raises:
        FileAccessError: It cannot be written, or another survey holds it.
        InputError: It is damaged, or of another version.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LEDGER
        with self._told():
            self._db = sqlite3.connect(self.path, timeout=0, isolation_level=None)
        try:
            with self._told():
                self._prepare()
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def make_room_for_looks(self) -> None:
        """Prepare for parts of the survey; what they found is dropped with its chapter."""
        with self._told(), self._transaction():
            self._db.execute(_LOOKS)

    def chapter(self, key: str) -> ChapterState | None:
        """How far the chapter is; None where nothing is kept of it."""
        with self._told():
            row = self._db.execute("SELECT account, changed_ns FROM chapters WHERE key = ?", (key,)).fetchone()
            if row is None:
                return None
            sums = "SELECT count(*), coalesce(sum(samples), 0) FROM segments WHERE key = ?"
            segments, samples = self._db.execute(sums, (key,)).fetchone()
            last = "SELECT resume FROM segments WHERE key = ? ORDER BY number DESC LIMIT 1"
            resume = self._db.execute(last, (key,)).fetchone()
            return ChapterState(
                segments,
                samples,
                ResumePoint.model_validate_json(resume[0]) if resume else None,
                ChapterAccount.model_validate_json(row[0]) if row[0] else None,
                row[1],
            )

    def begin(self, key: str, label: str, changed_ns: int) -> None:
        """Make room for a chapter; what was kept under its key is dropped."""
        with self._told(), self._transaction():
            self._db.execute("DELETE FROM chapters WHERE key = ?", (key,))
            self._db.execute("INSERT INTO chapters VALUES (?, ?, ?, NULL)", (key, label, changed_ns))

    def add(self, key: str, segment: Segment, looks: Mapping[str, bytes] = MappingProxyType({})) -> None:
        """Keep the chapter's next segment, and what parts of the survey found in it, by their keys.

        Raises:
            FileAccessError: The disk is full. What was kept before stays.
        """
        row = key, segment.number, len(segment), segment.resume.model_dump_json(), segment.packed()
        with self._told(), self._transaction():
            self._db.execute("INSERT INTO segments VALUES (?, ?, ?, ?, ?)", row)
            self._keep_looks(key, segment.number, looks)

    def add_looks(self, key: str, number: int, looks: Mapping[str, bytes]) -> None:
        """Keep what parts of the survey found in a segment that is there already."""
        with self._told(), self._transaction():
            self._keep_looks(key, number, looks)

    def _keep_looks(self, key: str, number: int, looks: Mapping[str, bytes]) -> None:
        for part, block in looks.items():
            self._db.execute("INSERT OR REPLACE INTO looks VALUES (?, ?, ?, ?)", (key, part, number, block))

    def finish(self, key: str, account: ChapterAccount) -> None:
        """Mark the chapter as detected to its end, or as far as it reads."""
        with self._told(), self._transaction():
            row = account.model_dump_json(), key
            self._db.execute("UPDATE chapters SET account = ? WHERE key = ?", row)

    def forget(self, key: str) -> None:
        """Drop what is kept of a chapter."""
        with self._told(), self._transaction():
            self._db.execute("DELETE FROM chapters WHERE key = ?", (key,))

    def segments(self, key: str, start: int = 0) -> list[Segment]:
        """The chapter's segments from that number on, in order."""
        query = "SELECT block, number, resume FROM segments WHERE key = ? AND number >= ? ORDER BY number"
        with self._told():
            rows = self._db.execute(query, (key, start))
            return [
                Segment.unpacked(block, number, ResumePoint.model_validate_json(resume))
                for block, number, resume in rows
            ]

    def resume_after(self, key: str, number: int) -> ResumePoint:
        """Where the chapter goes on after that segment, which must be there."""
        query = "SELECT resume FROM segments WHERE key = ? AND number = ?"
        with self._told():
            return ResumePoint.model_validate_json(self._db.execute(query, (key, number)).fetchone()[0])

    def looked_at(self, key: str, part: str) -> int:
        """How many segments of the chapter a part has looked at, without a gap from the first."""
        query = "SELECT number FROM looks WHERE key = ? AND part = ? ORDER BY number"
        with self._told():
            numbers = [number for (number,) in self._db.execute(query, (key, part))]
        return next((at for at, number in enumerate(numbers) if at != number), len(numbers))

    def looks(self, key: str, part: str) -> Iterator[bytes]:
        """What a part found in the chapter's segments, in order."""
        query = "SELECT block FROM looks WHERE key = ? AND part = ? ORDER BY number"
        with self._told():
            for (block,) in self._db.execute(query, (key, part)):
                yield block

    def deployments(self) -> dict[str, tuple[str, dict[str, str]]]:
        """What was written of each deployment, by opcode: the key that stands for it, and its files' hashes."""
        with self._told():
            rows = self._db.execute("SELECT opcode, key, files FROM deployments ORDER BY opcode").fetchall()
            return {opcode: (key, _files.validate_json(files)) for opcode, key, files in rows}

    def deployment(self, opcode: str) -> tuple[str, dict[str, str]]:
        """What was written of one deployment: its key and its files' hashes; empty where nothing was."""
        with self._told():
            found = self._db.execute("SELECT key, files FROM deployments WHERE opcode = ?", (opcode,)).fetchone()
            return (found[0], _files.validate_json(found[1])) if found else ("", {})

    def keep_deployment(self, opcode: str, key: str, files: Mapping[str, str]) -> None:
        """Note that a deployment's files are written: their paths in the folder of results, and their hashes."""
        with self._told(), self._transaction():
            row = opcode, key, json.dumps(dict(files), sort_keys=True)
            self._db.execute("INSERT OR REPLACE INTO deployments VALUES (?, ?, ?)", row)

    def drop_deployment(self, opcode: str) -> None:
        """Note that nothing of the deployment holds any more."""
        with self._told(), self._transaction():
            self._db.execute("DELETE FROM deployments WHERE opcode = ?", (opcode,))

    def _prepare(self) -> None:
        run = self._db.execute
        run("PRAGMA foreign_keys = ON")
        # The lock is held until the ledger is closed or its process ends, however it ends.
        run("PRAGMA locking_mode = EXCLUSIVE")
        run("BEGIN EXCLUSIVE")
        is_new = run("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        run("COMMIT")
        if not is_new:
            self._check()
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        if is_new:
            with self._transaction():
                for statement in _LAYOUT.strip().split(";")[:-1]:
                    run(statement)
                run(f"PRAGMA application_id = {_APPLICATION}")
                run(f"PRAGMA user_version = {VERSION}")

    def _check(self) -> None:
        if self._pragma("application_id") != _APPLICATION:
            cure = "choose another folder for --out"
            raise InputError(self.path, "is another program's database", expected="a survey's ledger", cure=cure)
        version = self._pragma("user_version")
        if version != VERSION:
            cure = "choose another folder for --out, or use the version of Shankha that wrote it"
            raise InputError(self.path, f"is a ledger of version {version}", expected=f"version {VERSION}", cure=cure)
        fault = self._pragma("quick_check(1)")
        if fault != "ok":
            raise InputError(self.path, f"is damaged ({_short(fault)})", cure=_DAMAGED)

    def _pragma(self, name: str) -> Any:
        return self._db.execute(f"PRAGMA {name}").fetchone()[0]

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Tell what goes wrong with the file in the user's terms."""
        try:
            yield
        except sqlite3.Error as error:
            raise self._as_told(error) from error
        except ValueError as error:
            raise InputError(self.path, f"is damaged ({_short(error)})", cure=_DAMAGED) from error

    def _as_told(self, error: sqlite3.Error) -> ShankhaError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            cure = "wait until it ends, or choose another folder for --out"
            return FileAccessError(self.path.parent, "is in use by another survey", cure=cure)
        if code in _UNWRITABLE:
            return FileAccessError(self.path, f"cannot be written ({_short(error)})", cure=_NO_ROOM)
        return InputError(self.path, f"is damaged ({_short(error)})", cure=_DAMAGED)


def _short(fault: object) -> str:
    return " ".join(str(fault).split())[:120]
