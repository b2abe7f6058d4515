"""Labels that come in an archive."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from data.archive import is_archive, unpack


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """What lies at a path, unpacked to a folder that is gone afterwards where it is an archive.

    Raises:
        InputError: The archive is damaged, grows beyond all bounds, or holds paths that lead out of it.
        FileAccessError: It cannot be read, or there is no room for what is in it.
    """
    if not (path.is_file() and is_archive(path)):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="shankha-labels-") as folder:
        place = Path(folder) / path.stem
        unpack(path, place)
        inside = [one for one in place.iterdir() if not one.name.startswith((".", "__MACOSX"))]
        yield inside[0] if len(inside) == 1 and inside[0].is_dir() else place
