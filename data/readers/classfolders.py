"""Plain folders of pictures, one folder a class: 0 to 9, ০ to ৯, digit_3, not_a_digit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from data.errors import ArgumentError, FileAccessError, InputError
from data.images import IMAGE_SUFFIXES
from data.labels import digit_of
from data.readers.digitset import DigitSet, FileImages, Problem

SPLIT_NAMES: Final = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""Folders that are parts of a dataset, by the part's name."""
_CURE: Final = "name the folders after the digits: 0 to 9, ০ to ৯ or digit_0 to digit_9, and not_a_digit"


@dataclass
class _Files:
    paths: list[Path] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    left_out: list[Problem] = field(default_factory=list)


def read_class_folders(folder: Path, split: str | None = None) -> DigitSet:
    """Pictures of any size and polarity, sorted into a folder a class; deeper folders inside a class are allowed.

    Between `folder` and the class folders there may be one level of splits (train, val, test) and one level of
    sources. Without splits, all pictures are taken.

    Args:
        folder: Holds the class folders, or split folders, or source folders that hold them.
        split: "train", "val" or "test" where the folder has such parts; None means test if there is one, else all.

    Raises:
        ArgumentError: The folder has no such split.
        InputError: There is no class folder.
    """
    files = _Files()
    for part in _parts(folder, split):
        _take_part(files, part, folder)
    if not files.paths and not files.problems:
        raise InputError(folder, "holds no pictures", expected=f"{', '.join(sorted(IMAGE_SUFFIXES))} files", cure=_CURE)
    sources = np.array(files.sources, np.str_)
    return DigitSet(
        folder.resolve().name,
        labels=np.array(files.labels, np.int64),
        sources=sources,
        groups=sources,
        names=np.array([path.relative_to(folder).as_posix() for path in files.paths], np.str_),
        places=np.arange(len(files.paths)),
        images=FileImages(tuple(files.paths)),
        polarity="auto",
        problems=tuple(files.problems),
        left_out=tuple(files.left_out),
    )


def _parts(folder: Path, split: str | None) -> list[Path]:
    """The folders that make up the split."""
    named = split_folders(folder)
    if split is None:
        return named.get("test", [folder])
    if split not in named:
        known = ", ".join(sorted(named)) or "no splits"
        raise ArgumentError("--split", f"{folder} has no split {split!r}", expected=f"one of: {known}")
    return named[split]


def split_folders(folder: Path) -> dict[str, list[Path]]:
    """The folders of each split that a folder of digits has, "train", "val" or "test"."""
    named: dict[str, list[Path]] = {}
    for child in folders_in(folder):
        if child.name.lower() in SPLIT_NAMES and _has_classes(child):
            named.setdefault(SPLIT_NAMES[child.name.lower()], []).append(child)
    return named


def _has_classes(folder: Path) -> bool:
    """Whether class folders lie in the folder, or in folders of sources inside it."""
    children = folders_in(folder)
    return any(_is_class(child) or any(_is_class(below) for below in folders_in(child)) for child in children)


def _is_class(folder: Path) -> bool:
    return digit_of(folder.name) is not None


def folders_in(folder: Path) -> list[Path]:
    """The folders inside, by name."""
    return [path for path in entries_of(folder) if path.is_dir()]


def entries_of(folder: Path) -> list[Path]:
    """Entries by name, without what operating systems leave behind."""
    try:
        return sorted(path for path in folder.iterdir() if not is_litter(path.name))
    except OSError as error:
        raise FileAccessError(folder, f"cannot be read ({error.strerror or error})") from error


def is_litter(name: str) -> bool:
    """Whether an operating system left it there."""
    return name.startswith(".") or name.lower() in {"__macosx", "thumbs.db", "desktop.ini"}


def _take_part(files: _Files, part: Path, root: Path, depth: int = 0) -> None:
    """Take class folders in `part`; folders of sources are looked into, other things are listed."""
    found_class = False
    for child in entries_of(part):
        digit = digit_of(child.name) if child.is_dir() else None
        name = child.relative_to(root).as_posix()
        if digit is not None:
            found_class = True
            _take_class(files, child, digit, root)
        elif child.is_dir() and depth < 2 and _has_classes(child):
            found_class = True
            _take_part(files, child, root, depth + 1)
        elif child.is_dir():
            files.problems.append(Problem(name, "its name is no digit"))
        elif child.suffix.lower() in IMAGE_SUFFIXES:
            files.problems.append(Problem(name, "lies in no folder of a digit"))
        else:
            files.left_out.append(Problem(name, "is no picture by its name"))
    if not found_class:
        raise InputError(part, "holds no folder of a digit", cure=_CURE)


def _take_class(files: _Files, folder: Path, digit: int, root: Path) -> None:
    inside = folder.parent.relative_to(root).parts
    source = "/".join(part for part in inside if part.lower() not in SPLIT_NAMES) or root.resolve().name
    for path in files_below(folder):
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            files.left_out.append(Problem(path.relative_to(root).as_posix(), "is no picture by its name"))
            continue
        files.paths.append(path)
        files.labels.append(digit)
        files.sources.append(source)


def files_below(folder: Path) -> Iterator[Path]:
    """Every file in the folder and the folders inside it, by name; raises FileAccessError."""
    for place, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = sorted(name for name in folders if not is_litter(name))
        yield from (Path(place) / name for name in sorted(names) if not is_litter(name))


def _refuse(error: OSError) -> None:
    raise FileAccessError(error.filename, f"cannot be read ({error.strerror or error})") from error
