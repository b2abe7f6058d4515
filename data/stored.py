"""The files of a dataset's folder by their hashes: listed once, compared later."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from data.errors import FileAccessError
from data.files import sha256_of

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Tick = Callable[[int, int | None], None]
"""Hears how many bytes are done, and of how many where that is known."""
_LITTER: Final = frozenset({"Thumbs.db", "desktop.ini", "__MACOSX"})


class StoredFile(BaseModel):
    """A file of the dataset's folder; `path` is relative to it, with forward slashes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    bytes: int
    sha256: Sha256


@dataclass(frozen=True)
class Differences:
    """How a folder differs from the list of its files.

    Attributes:
        missing: Files of the list that are not there.
        changed: Files of another content, each with what is other.
        extra: Files that the list does not know.
    """

    missing: tuple[str, ...] = ()
    changed: tuple[tuple[str, str], ...] = ()
    extra: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.changed or self.extra)

    @property
    def first(self) -> str:
        """One line of how many differ, and the first of them; "" where none does."""
        lines = [f"{name} is missing" for name in self.missing]
        lines += [f"{name} {why}" for name, why in self.changed]
        lines += [f"{name} is not in the manifest" for name in self.extra]
        more = f" (and {len(lines) - 1:,} more)" if len(lines) > 1 else ""
        return f"{lines[0]}{more}" if lines else ""


def files_below(folder: Path, without: str) -> list[Path]:
    """Every file of a dataset's folder, sorted, except the list itself and what operating systems leave behind.

    Raises:
        FileAccessError: A folder cannot be read.
    """
    found = []
    for place, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = sorted(name for name in folders if not _is_litter(name))
        found += [Path(place) / name for name in sorted(names) if not _is_litter(name)]
    return [path for path in found if path != folder / without]


def _refuse(error: OSError) -> None:
    raise FileAccessError(error.filename, f"cannot be read ({error.strerror or error})") from error


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name in _LITTER


def listed(folder: Path, without: str, tick: Tick | None = None) -> tuple[StoredFile, ...]:
    """Every file of the folder with its hash, sorted, except the list itself."""
    found, done = [], 0
    for path in files_below(folder, without):
        size = path.stat().st_size
        found.append(StoredFile(path=path.relative_to(folder).as_posix(), bytes=size, sha256=sha256_of(path)))
        done += size
        if tick:
            tick(done, None)
    return tuple(found)


def compare(folder: Path, files: Sequence[StoredFile], without: str, tick: Tick | None = None) -> Differences:
    """Compare every file of the folder with the list."""
    missing, changed, done = [], [], 0
    total = sum(file.bytes for file in files)
    for file in files:
        path = folder / file.path
        if not path.is_file():
            missing.append(file.path)
        elif path.stat().st_size != file.bytes:
            changed.append((file.path, f"has {path.stat().st_size:,} bytes, not {file.bytes:,}"))
        elif sha256_of(path) != file.sha256:
            changed.append((file.path, "has another content"))
        done += file.bytes
        if tick:
            tick(done, total)
    known = {file.path for file in files}
    there = [path.relative_to(folder).as_posix() for path in files_below(folder, without)]
    return Differences(tuple(missing), tuple(changed), tuple(path for path in there if path not in known))
