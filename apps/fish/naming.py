"""Names in a folder of results, and of files on the disk of footage."""

from __future__ import annotations

import contextlib
import hashlib
import re
from pathlib import Path
from typing import Final

from apps.fish.joining import is_shared

LEDGER: Final = "ledger.sqlite"
PROBLEMS: Final = "problems.csv"
SUMMARY: Final = "summary.json"
REPORT: Final = "report.html"
UNFINISHED: Final = "UNFINISHED.txt"
HISTORY: Final = "review.jsonl"
"""What people have settled about fish; see `History`."""

_UNSAFE: Final = re.compile(r'[\x00-\x1f/\\:*?"<>|]')
_LONGEST: Final = 100
_OWN: Final = {name.casefold() for name in (PROBLEMS, SUMMARY, REPORT, UNFINISHED, LEDGER, HISTORY)}


def folder_name(opcode: str) -> str:
    """The name of a deployment's folder: its opcode, made harmless where it is no name for a folder of its own."""
    name = _UNSAFE.sub("_", opcode).strip(" .")[:_LONGEST]
    if name == opcode and name.casefold() not in _OWN and not is_shared(name):
        return name
    return f"{name}-{hashlib.sha256(opcode.encode()).hexdigest()[:8]}"


def label_of(path: Path, disk: Path) -> str:
    """A file's path from the disk on, which is the same wherever the disk is connected."""
    with contextlib.suppress(ValueError):
        return path.relative_to(disk if disk.is_dir() else disk.parent).as_posix()
    return path.as_posix()
