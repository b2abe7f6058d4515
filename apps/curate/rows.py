"""Numbers of pictures kept on disk, a row a picture: what a network made of each need not be computed again.

A row belongs to a picture's file as it was: its path, size and time of change. So rows stay right when samples are
added, removed, or opened again as another dataset, and a picture that was changed has none.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.files import whole_file

Floats = NDArray[np.float32]
Keys = NDArray[np.str_]
"""(N,) names of files as they are; "" where there is no such file."""

_KEY_BYTES: Final = 16
_DAMAGE: Final = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


def keys_of(paths: Sequence[str]) -> Keys:
    """A key for each file."""
    return np.array([_key(Path(path)) for path in paths], f"<U{2 * _KEY_BYTES}")


def _key(path: Path) -> str:
    try:
        found = path.stat()
    except OSError:
        return ""
    text = f"{path.absolute()}\0{found.st_size}\0{found.st_mtime_ns}"
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=_KEY_BYTES).hexdigest()


def plain_name(name: str) -> str:
    """A name that a folder can have, for a dataset called anything."""
    plain = re.sub(r"[^\w.-]+", "_", name).strip("._") or "dataset"
    return plain if plain == name else f"{plain}-{hashlib.blake2b(name.encode(), digest_size=4).hexdigest()}"


def find_rows(path: Path, keys: Keys, width: int) -> Floats:
    """(N, width) the rows of these keys, NaN where the file of rows has none (or is missing, damaged or of another
    width)."""
    known, kept = _read(path, width)
    order = np.argsort(known)
    places = np.searchsorted(known, keys, sorter=order)
    rows = np.full((len(keys), width), np.nan, np.float32)
    if len(known):
        candidates = order[np.minimum(places, len(known) - 1)]
        there = (known[candidates] == keys) & (keys != "")
        rows[there] = kept[candidates[there]]
    return rows


def keep_rows(path: Path, keys: Keys, rows: Floats) -> None:
    """Add rows to the file of rows, in place of those that it has of the same keys; it is written whole.

    Rows that are NaN, and those without a key, are not kept.

    Raises:
        FileAccessError: It cannot be written, or the disk is full.
    """
    sound = np.isfinite(rows).all(axis=1) & (keys != "")
    known, kept = _read(path, rows.shape[1])
    stays = ~np.isin(known, keys[sound])
    all_keys, first = np.unique(np.concatenate([keys[sound], known[stays]]), return_index=True)
    all_rows = np.concatenate([rows[sound], kept[stays]])[first]
    with whole_file(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, keys=all_keys, rows=all_rows)


def _read(path: Path, width: int) -> tuple[Keys, Floats]:
    try:
        with np.load(path, allow_pickle=False) as kept:
            keys, rows = kept["keys"], kept["rows"]
    except _DAMAGE:
        keys = rows = np.zeros(0)
    fits = keys.ndim == 1 and keys.dtype.kind == "U" and rows.dtype == np.float32 and rows.shape == (len(keys), width)
    return (keys, rows) if fits else (np.zeros(0, f"<U{2 * _KEY_BYTES}"), np.zeros((0, width), np.float32))
