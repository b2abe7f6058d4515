"""New files as they arrive: which of them are complete."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from apps.fish.footage import ChapterReader, Deployment, Sampling
from data.errors import ShankhaError

POLL: Final = 2.0
"""Seconds between two looks at the disk."""
SETTLED: Final = 5.0
"""Seconds for which a file must not have changed before it can be complete."""
GIVEN_UP: Final = 120.0
"""Seconds after which a file that has not changed is taken as it is: damaged, not arriving."""


@dataclass(frozen=True)
class _Look:
    """A file as it was found, and when it was first found so."""

    size: int
    changed_ns: int
    since: float


class Arrivals:
    """Knows which files have arrived, from looking at them again and again.

    Args:
        sampling: How the files will be read.
        clock: Tells the time, in seconds.
    """

    def __init__(self, sampling: Sampling, clock: Callable[[], float] = time.monotonic) -> None:
        self._sampling = sampling
        self._clock = clock
        self._looks: dict[Path, _Look] = {}
        self._arrived: set[tuple[Path, int, int]] = set()

    def arriving(self, deployments: Iterable[Deployment]) -> frozenset[Path]:
        """Look at all chapters: those that are not complete yet. A file that is gone is none of them."""
        paths = [chapter.path for one in deployments for chapter in one.chapters]
        return frozenset(path for path in paths if not self._complete(path))

    def marks(self, deployments: Iterable[Deployment]) -> list[tuple[Path, int, int]]:
        """Every chapter's size and time of change, as last looked at."""
        paths = [chapter.path for one in deployments for chapter in one.chapters]
        return [(path, look.size, look.changed_ns) for path in paths if (look := self._looks.get(path))]

    def _complete(self, path: Path) -> bool:
        try:
            stat = path.stat()
        except OSError:
            return True
        now, last = self._clock(), self._looks.get(path)
        if last is None or (last.size, last.changed_ns) != (stat.st_size, stat.st_mtime_ns):
            last = self._looks[path] = _Look(stat.st_size, stat.st_mtime_ns, now)
        if (path, last.size, last.changed_ns) in self._arrived:
            return True
        quiet = now - last.since
        if quiet < SETTLED or (quiet < GIVEN_UP and not self._readable(path)):
            return False
        self._arrived.add((path, last.size, last.changed_ns))
        return True

    def _readable(self, path: Path) -> bool:
        try:
            with contextlib.closing(ChapterReader(path, self._sampling)):
                return True
        except ShankhaError:
            return False
