"""VIAME CSV, as VIAME and DIVE write and read it: a row for each label at a frame.

Columns: number of the detection or track, name of the picture (or time in the video), number of the frame from 0, left,
top, right and bottom in pixels, confidence, length of the fish (-1 where it is not measured), then pairs of species and
confidence, the likeliest of which is the label, then `(poly)` outlines and `(atr)` attributes. Written are viame.csv
and the pictures in images/, or the one video that all pictures are frames of. A label without a confidence has 1.

Source: https://viame.readthedocs.io (detection_file_conversions) and https://kitware.github.io/dive/DataFormats.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from data.curation.collection import Collection, Label, Provenance
from data.curation.exchange.format import Format, Library, Spoken, check_kind
from data.curation.exchange.gathering import Draft, Finder, Gathered, Said, confidence, provenance
from data.curation.exchange.sequence import (
    CONFIDENCE,
    Frames,
    Media,
    Seen,
    copy_media,
    media_of,
    places_of,
    said_of,
    seen_in,
    track_of,
)
from data.errors import FileAccessError, InputError
from data.files import whole_file
from data.masks import polygons
from data.readers.digitset import Problem

FILE: Final = "viame.csv"
_HEAD: Final = (
    "# 1: Detection or Track-id",
    "2: Video or Image Identifier",
    "3: Unique Frame Identifier",
    "4-7: Img-bbox(TL_x",
    "TL_y",
    "BR_x",
    "BR_y)",
    "8: Detection or Length Confidence",
    "9: Target Length (0 or -1 if invalid)",
    "10-11+: Repeated Species",
    "Confidence Pairs or Attributes",
)
speaks: Final = Spoken(FILE, ".csv", re.compile(rb"Detection or Track-id"))
_FIXED: Final = 9
"""Columns before the pairs of species and confidence."""
_EXPECTED: Final = "VIAME CSV: track, picture, frame, four sides, confidence, length, species"


def read(path: Path, library: Library | None = None) -> Collection:
    """The pictures of a VIAME CSV, or of a folder with one; see `Reader`.

    Of a folder with pictures all are taken, of a file alone those that it has rows for.
    """
    file = speaks.file(path)
    rows = _rows(file)
    gathered = Gathered(file)
    frames = Frames(path, file, Finder(file.parent, library), gathered)
    sound = [(line, row, heads) for line, row in rows if (heads := _heads(row, f"{file.name}:{line}", gathered))]
    if rows and not sound:
        raise InputError(file, "holds no row that can be used", expected=_EXPECTED)
    counts = Counter(number for _, _, (number, _) in sound)
    shift = int(counts[0] > 1)
    for line, row, (number, frame) in sound:
        where = f"{file.name}:{line}"
        if draft := frames.at(frame, row[1].strip(), where):
            _take_row(draft, row, where, number + shift if counts[number] > 1 else 0)
    return frames.collection()


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """Line number and cells of every row that is no comment."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        table = csv.reader(io.StringIO(text, newline=""))
        return [(table.line_num, row) for row in table if row and not row[0].lstrip().startswith("#")]
    except UnicodeDecodeError as error:
        raise InputError(path, "is not UTF-8 text", expected=_EXPECTED) from error
    except csv.Error as error:
        raise InputError(path, f"is no CSV ({error})", expected=_EXPECTED) from error
    except OSError as error:
        raise FileAccessError(path, f"cannot be read ({error.strerror or error})") from error


def _heads(row: Sequence[str], where: str, gathered: Gathered) -> tuple[int, int] | None:
    """Number and frame of a row; None, and listed, where it has none."""
    try:
        number, frame = int(row[0]), int(row[2])
        if len(row) < _FIXED or number < 0 or frame < 0:
            raise ValueError
    except (ValueError, IndexError):
        gathered.problems.append(Problem(where, f"is no row of {_FIXED} columns or more with a track and a frame"))
        return None
    return number, frame


def _take_row(draft: Draft, row: Sequence[str], where: str, track: int) -> None:
    try:
        sides = [float(cell) for cell in row[3:7]]
    except ValueError:
        draft.refuse(where, "has no box of four numbers")
        return
    pairs = list(_pairs(row))
    attributes: dict[str, object] = {}
    outlines: list[list[float]] = []
    for cell in row[_FIXED + 2 * len(pairs) :]:
        key, _, text = cell.strip().partition(" ")
        if key in {"(atr)", "(trk-atr)"}:
            name, _, value = text.partition(" ")
            attributes[name] = value
        elif key == "(poly)":
            outlines.append(_numbers(text))
        elif key == "(hole)":
            draft.problems.append(Problem(where, "has a hole, which is filled"))
    name, sure = best_pair(pairs, where, draft.problems)
    if not name:
        draft.refuse(where, "names no species")
        return
    by = provenance(attributes, Provenance(kind="source", name=Path(where.rpartition(":")[0]).stem))
    own = confidence(attributes.get(CONFIDENCE), where, draft.problems)
    said = Said(by, own if own is not None or sure == 1 else sure, track_of(attributes, track, track > 0))
    if outlines:
        draft.add_outline(where, name, outlines, said, sides)
    else:
        draft.add_box(where, name, sides, said)


def _pairs(row: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Species and confidence as they are written, up to the first outline or attribute."""
    for at in range(_FIXED, len(row) - 1, 2):
        if row[at].startswith("(") or not row[at]:
            return
        yield row[at], row[at + 1]


def best_pair(pairs: Sequence[tuple[object, object]], where: str, problems: list[Problem]) -> tuple[str, float | None]:
    """The likeliest species and its confidence; the species alone, and listed, where that is no number from 0 to 1."""
    best, likeliest = "", -1.0
    for name, told in pairs:
        try:
            sure = float(str(told))
        except ValueError:
            sure = math.nan
        if isinstance(name, str) and name and (not best or sure > likeliest):
            best, likeliest = name, sure if math.isfinite(sure) else -1.0
    if best and not 0 <= likeliest <= 1:
        problems.append(Problem(where, f"has no confidence from 0 to 1 for {best}: it is taken without one"))
        return best, None
    return best, likeliest


def _numbers(text: str) -> list[float]:
    """The numbers of an outline; one that is none where a word is no number, so that the outline is refused."""
    try:
        return [float(word) for word in text.split()]
    except ValueError:
        return [math.nan] * 6


def write(collection: Collection, folder: Path) -> None:
    """Write viame.csv and the pictures in images/, or their video; see `Format.write`."""
    check_kind(collection, FORMAT)
    check_names(collection)
    media = media_of(collection)
    copy_media(collection, media, folder)
    rate = media.rate
    with whole_file(folder / FILE) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(_HEAD)
        told = {"fps": rate, "exported_by": "shankha"} if rate else {"exported_by": "shankha"}
        table.writerow(["# metadata", *(f"{key}: {json.dumps(value)}" for key, value in told.items())])
        table.writerows(_row(one, media, rate) for one in seen_in(collection, media))


def check_names(collection: Collection) -> None:
    """Refuse classes that DIVE would take for something else; raises InputError."""
    for name in collection.names:
        if name.startswith(("(", "#")) or not name.strip() or not name.isprintable():
            raise InputError(repr(name), "is no name for a class in DIVE", cure="rename the class")


def _row(seen: Seen, media: Media, rate: float) -> list[str]:
    label = seen.label
    assert label.xyxy is not None  # noqa: S101 - check_kind
    identity = media.places[seen.picture.id].name
    if media.video is not None:
        identity = f"0{timedelta(seconds=seen.frame / rate)}" if rate else ""
    sure = 1.0 if label.confidence is None else label.confidence
    row = [str(seen.number), identity, str(seen.frame), *(f"{side:.2f}" for side in label.xyxy.tolist())]
    row += [f"{sure:.6f}", "-1", label.name, f"{sure:.6f}"]
    row += [f"(atr) {key} {text}" for key, text in said_of(label).items()]
    return row + [f"(poly) {' '.join(f'{number:g}' for number in one)}" for one in outlines_of(label)]


def outlines_of(label: Label) -> list[list[float]]:
    """The outlines of a label, x and y in turn; none where it has no mask."""
    return [] if label.mask is None else [part.ravel().tolist() for part in polygons(label.mask)]


FORMAT: Final = Format("viame", frozenset({"detection", "segmentation"}), read, write, places_of, speaks)
