"""Pictures with one point in each fish: `points.csv` beside them, as a person's clicks make it.

A point is kept as a small box around it, so that everything that moves boxes moves points; its middle is the point,
but for a pixel or two at the picture's edges.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from data.boxes import Boxes, clipped
from data.errors import ArgumentError, FileAccessError, InputError, ShankhaError
from data.images import image_size
from data.readers.detectionset import FISH, DetectionSet, PictureFiles, site_and_clip
from data.readers.digitset import Problem

TABLE: Final = "points.csv"
COLUMNS: Final = ("picture", "x", "y")
HALF_SIDE: Final = 3.0
"""Pixels from a point to the edges of its box: too small to be cut out and pasted elsewhere as a fish."""
_EXPECTED: Final = f"columns {', '.join(COLUMNS)}"


@dataclass
class _Pointed:
    """Points of one picture of `size_wh` pixels; `complete` until one of them is lost."""

    size_wh: tuple[int, int]
    points: list[tuple[float, float]] = field(default_factory=list)
    complete: bool = True

    def add(self, xy: tuple[float, float]) -> str:
        """Take a point, or say why not; "" where it was taken."""
        width, height = self.size_wh
        fault = ""
        if not all(map(math.isfinite, xy)):
            fault = "its point holds numbers that are not finite"
        elif not (0 <= xy[0] <= width and 0 <= xy[1] <= height):
            fault = f"its point lies outside the picture of {width} x {height} pixels"
        elif xy in self.points:
            return "says a point twice"
        if fault:
            self.complete = False
        else:
            self.points.append(xy)
        return fault

    @property
    def xyxy(self) -> Boxes:
        """(n, 4) float32 boxes around the points, cut at the picture's edges."""
        xy = np.array(self.points, np.float32).reshape(-1, 2)
        return clipped(np.concatenate([xy - HALF_SIDE, xy + HALF_SIDE], axis=1), self.size_wh)


def is_pointed(folder: Path) -> bool:
    """Whether the folder holds the table."""
    return (folder / TABLE).is_file()


def read_pointed(
    folder: Path, split: str | None = None, exhaustive: bool | None = None, *, masks: bool = False
) -> DetectionSet:
    """The pictures that points.csv names, all points of one class, "fish".

    The table has the columns picture (its path below the folder), x and y (pixels from its left upper corner). A
    picture in which nothing is to be seen stands in one row with x and y left empty; a picture that the table does not
    name is not used. A picture that loses a point, because it lies outside, is no longer exhaustively labelled.

    Args:
        folder: Holds points.csv and the pictures.
        split: Must be None: the pictures are one part.
        exhaustive: Whether every fish in these pictures has a point; None means yes.
        masks: Points have none.

    Raises:
        ArgumentError: A split was asked for.
        FileAccessError: The table cannot be read.
        InputError: It is no such table, or no row of it can be used.
    """
    if split is not None:
        raise ArgumentError("--split", f"{folder} has no split {split!r}", expected="no split")
    problems: list[Problem] = []
    found: dict[str, _Pointed] = {}
    unusable: set[str] = set()
    for line, name, xy in _rows(folder / TABLE, problems):
        own = _picture(folder, name, line, found, unusable, problems)
        fault = "" if own is None or xy is None else own.add(xy)
        if fault:
            problems.append(Problem(f"{TABLE}:{line}", fault))
    if not found:
        why = f"; the first of {len(problems)}: {problems[0].name} {problems[0].why}" if problems else ""
        raise InputError(folder / TABLE, f"holds no row that can be used{why}", expected=_EXPECTED)
    pictures = [found[name] for name in sorted(found)]
    places = [site_and_clip(name) for name in sorted(found)]
    return DetectionSet(
        folder.resolve().name,
        (FISH,),
        ids=np.array(sorted(found), np.str_),
        sites=np.array([site for site, _ in places], np.str_),
        clips=np.array([clip for _, clip in places], np.str_),
        exhaustive=np.array([one.complete and exhaustive is not False for one in pictures], np.bool_),
        sizes_wh=np.array([one.size_wh for one in pictures], np.int64),
        xyxy=tuple(one.xyxy for one in pictures),
        labels=tuple(np.zeros(len(one.points), np.int64) for one in pictures),
        places=np.arange(len(pictures)),
        images=PictureFiles(tuple(folder / name for name in sorted(found))),
        problems=tuple(problems),
        masks=tuple((None,) * len(one.points) for one in pictures) if masks else None,
    )


def _picture(
    folder: Path, name: str, line: int, found: dict[str, _Pointed], unusable: set[str], problems: list[Problem]
) -> _Pointed | None:
    """The picture of a row; one that is not there, or is none, is listed once."""
    if name in unusable:
        return None
    if name not in found:
        path = folder / name
        try:
            if not path.resolve().is_relative_to(folder.resolve()):
                raise InputError(name, "lies outside the folder")
            if not path.is_file():
                raise InputError(name, "is not in the folder")
            found[name] = _Pointed(image_size(path))
        except ShankhaError as error:
            unusable.add(name)
            problems.append(Problem(f"{TABLE}:{line}", f"its picture {name} {error.found}"))
            return None
    return found[name]


def _rows(path: Path, problems: list[Problem]) -> Iterator[tuple[int, str, tuple[float, float] | None]]:
    """Line number, picture and point (None for an empty picture) of every sound row; the others become problems."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(path, "is not UTF-8 text", expected=_EXPECTED) from error
    except OSError as error:
        raise FileAccessError(path, f"cannot be read ({error.strerror})") from error
    table = csv.DictReader(io.StringIO(text))
    missing = [name for name in COLUMNS if name not in (table.fieldnames or ())]
    if missing:
        raise InputError(path, f"lacks the columns {', '.join(missing)}", expected=_EXPECTED)
    for row in table:
        name, x, y = (str(row[column] or "").strip() for column in COLUMNS)
        try:
            point = (float(x), float(y)) if x or y else None
        except ValueError:
            problems.append(Problem(f"{TABLE}:{table.line_num}", "its x and y are no numbers"))
            continue
        if not name:
            problems.append(Problem(f"{TABLE}:{table.line_num}", "names no picture"))
            continue
        yield table.line_num, name, point
