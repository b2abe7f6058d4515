"""Journals: files only ever added to, one JSON line an entry; an entry is on the disk before anybody is told of it."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from data.errors import FileAccessError, InputError, validation_faults

Entry = TypeVar("Entry", bound=BaseModel)


class Journal(Generic[Entry]):
    """The entries of a file; what others add to it meanwhile is seen, too.

    Args:
        path: The file; it need not be there yet.
        kind: What a line holds.
        cure: What to do about a damaged line.

    Raises:
        FileAccessError: It cannot be read.
        InputError: A line of it is damaged.
    """

    def __init__(self, path: Path, kind: type[Entry], *, cure: str) -> None:
        self.path = path
        self.entries: tuple[Entry, ...] = ()
        self._kind = kind
        self._cure = cure
        self._whole = 0
        self.refresh()

    def refresh(self) -> None:
        """Read what was added since; errors as above.

        A last line that was broken off was never confirmed to anybody: it is passed over, and cut off before the next
        is written.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            content = b""
        except OSError as error:
            cure = "check the rights to it"
            raise FileAccessError(self.path, f"cannot be read ({error.strerror})", cure=cure) from error
        self._whole = content.rfind(b"\n") + 1
        lines = content[: self._whole].split(b"\n")[:-1]
        self.entries = tuple(self._read(number, line) for number, line in enumerate(lines, 1))

    def append(self, entry: Entry) -> None:
        """Write an entry; it is on the disk when this returns.

        Raises:
            FileAccessError: It cannot be written; nothing of it is then kept.
        """
        line = (json.dumps(entry.model_dump(mode="json", by_alias=True), ensure_ascii=False) + "\n").encode()
        try:
            if self.path.exists() and self.path.stat().st_size > self._whole:
                os.truncate(self.path, self._whole)
            with self.path.open("ab", buffering=0) as stream:
                written = stream.write(line)
                if written != len(line):
                    raise OSError(None, "the disk is full")
                os.fsync(stream.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                os.truncate(self.path, self._whole)
            cure = "free some space or check the rights to it; what was decided before is kept"
            fault = f"cannot be written ({error.strerror or error})"
            raise FileAccessError(self.path, fault, cure=cure) from error
        self._whole += len(line)
        self.entries += (entry,)

    def _read(self, number: int, line: bytes) -> Entry:
        try:
            return self._kind.model_validate_json(line)
        except ValidationError as error:
            fault = f"line {number} is damaged ({validation_faults(error)})"
            raise InputError(self.path, fault, cure=self._cure) from error
