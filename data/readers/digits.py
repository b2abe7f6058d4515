"""Readers of labelled digits: one function recognises the kind of folder and gives a `DigitSet`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from data.errors import FileAccessError, InputError
from data.readers.classfolders import read_class_folders
from data.readers.digitset import DigitSet
from data.readers.npz import CMATERDB_TEST, CMATERDB_TRAIN, read_cmaterdb, read_numtadb_npz
from data.readers.numtadb import is_numtadb, read_numtadb
from data.versions import MANIFEST, Version, readable_version


def read_digits(folder: Path, split: str | None = None) -> DigitSet:
    """Labelled digits of a folder: CMATERdb, NumtaDB (packed or as published), or a folder a class.

    A versioned folder must be what its manifest says, which tells the groups too.

    Args:
        folder: What a download, or a person, filled.
        split: CMATERdb: "train" or "test". NumtaDB: the letter of a source. Class folders: "train", "val" or "test"
            where there are such folders. None means the test part where there is one, else everything.

    Raises:
        FileAccessError: There is no such folder, or it cannot be read.
        ArgumentError: The dataset has no such split.
        InputError: The folder is of no known kind, or a file in it is not what it should be.
    """
    if not folder.is_dir():
        raise FileAccessError(
            folder, "is no folder", cure="check the path, or fetch the dataset with `shankha data get`"
        )
    version = readable_version(folder, ("digits",), ("classes",))
    if version is not None:
        return _grouped(read_class_folders(folder, split), version)
    if (folder / CMATERDB_TRAIN).is_file() or (folder / CMATERDB_TEST).is_file():
        return read_cmaterdb(folder, split)
    archives = sorted(folder.glob("*.npz"))
    if len(archives) == 1:
        return read_numtadb_npz(archives[0], split)
    if archives:
        found = f"holds {len(archives)} .npz archives of which none is known"
        raise InputError(folder, found, expected=f"{CMATERDB_TRAIN} and {CMATERDB_TEST}, or one archive of NumtaDB")
    if is_numtadb(folder):
        return read_numtadb(folder, split)
    return read_class_folders(folder, split)


def _grouped(digits: DigitSet, version: Version) -> DigitSet:
    """The digits of a version, all from one source, with the groups that its manifest tells."""
    groups = [version.by_file[name].group for name in digits.names.tolist()]
    return replace(
        digits,
        sources=np.full(len(digits), digits.name),
        groups=np.array([group or digits.name for group in groups], np.str_),
        left_out=tuple(problem for problem in digits.left_out if problem.name != MANIFEST),
    )
