"""What there is to curate: which source a path is, told by what lies in it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Literal

from data.errors import FileAccessError, InputError
from data.images import IMAGE_SUFFIXES
from data.labels import digit_of
from data.readers.classfolders import SPLIT_NAMES, folders_in
from data.readers.detections_coco import is_coco
from data.readers.detections_video import is_boxed_video
from data.readers.detections_yolo import YAML_NAMES, is_yolo
from data.readers.numtadb import is_numtadb
from data.readers.points import is_pointed
from data.versions import MANIFEST

SourceKind = Literal["digits", "species", "detection", "segmentation", "survey", "scan", "folder"]
"""Labelled digits; a folder of crops a species; pictures with boxes; with outlines; the results of a survey of footage;
the results of a scan of forms; a versioned dataset folder."""

ABOUT: Final = "deployment.json"
"""The file that makes a folder in the results of a survey that of a deployment."""
LEDGER: Final = "ledger.sqlite"
CELLS: Final = "cells.csv"
FORMS: Final = "forms.csv"
PAGES: Final = ".pages"
"""The folder in the results of a scan that holds a record for each page."""

_EXPECTED: Final = (
    "labelled digits, crops in a folder a species, pictures with boxes or outlines (YOLO, COCO json, points.csv, "
    f"a video with boxes.csv), results of `shankha fish survey` ({LEDGER}, or folders with {ABOUT}), results of "
    f"`shankha digits scan` ({CELLS} and {FORMS}), or a dataset folder ({MANIFEST})"
)
_COCO: Final = (b'"images"', b'"annotations"', b'"categories"')
_OUTLINE: Final = re.compile(rb'"segmentation"\s*:\s*(\[\s*\[|\{)')
_FORMAT: Final = b'"format_version"'
"""What the manifest of a dataset folder says of itself: other programs write files of that name, too."""
_HEAD: Final = 1 << 24
"""Bytes of a file that are looked at."""
_LABEL_FILES: Final = 200
"""Label files of YOLO in which an outline is looked for."""
_BOX_WORDS: Final = 5
"""Words of a line of YOLO's that tells a box: more tell an outline."""


def kind_of(source: Path) -> SourceKind:
    """Which source a path is.

    Args:
        source: A folder, or the data.yaml or COCO json of one.

    Raises:
        FileAccessError: There is nothing, or it cannot be read.
        InputError: It is no source that is known; the error names what was looked for.
    """
    if source.is_file():
        return _kind_of_file(source)
    if not source.is_dir():
        cure = "check the path, or fetch a dataset with `shankha data get`"
        raise FileAccessError(source, "is not there", cure=cure)
    if (source / ABOUT).is_file():
        cure = f"give the folder of results around it: {source.resolve().parent}"
        raise InputError(source, "is the folder of one deployment", cure=cure)
    found = next((kind for kind, is_it in _KINDS if is_it(source)), None)
    if found is not None:
        return found
    if _is_boxed(source):
        return "segmentation" if _has_outlines(source) else "detection"
    if _is_species(source):
        return "species"
    what = "is empty" if not any(source.iterdir()) else "holds nothing that can be curated"
    raise InputError(source, what, expected=_EXPECTED)


def _kind_of_file(source: Path) -> SourceKind:
    if source.suffix.lower() in {".yaml", ".yml"}:
        return "segmentation" if _has_outlines(source.parent) else "detection"
    if source.suffix.lower() == ".json" and any(key in _head(source) for key in _COCO):
        return "segmentation" if _outlined_json(source) else "detection"
    cure = f"give the folder that it lies in: {source.resolve().parent}"
    raise InputError(source, "is a file", expected="a folder, a data.yaml or COCO json", cure=cure)


def _is_folder(source: Path) -> bool:
    manifest = source / MANIFEST
    return manifest.is_file() and _FORMAT in _head(manifest)


def _is_survey(source: Path) -> bool:
    return (source / LEDGER).is_file() or any(source.glob(f"*/{ABOUT}"))


def _is_scan(source: Path) -> bool:
    return ((source / CELLS).is_file() and (source / FORMS).is_file()) or (source / PAGES).is_dir()


def _is_digits(source: Path) -> bool:
    return any(source.glob("*.npz")) or is_numtadb(source) or _digit_folders(source, depth=2)


def _digit_folders(folder: Path, depth: int) -> bool:
    """Whether folders of digits lie in the folder, or in folders of parts or sources inside it."""
    inside = folders_in(folder)
    if any(digit_of(child.name) is not None for child in inside):
        return True
    return depth > 0 and any(_digit_folders(child, depth - 1) for child in inside)


def _is_boxed(source: Path) -> bool:
    told = any((source / name).is_file() for name in YAML_NAMES)
    yolo = is_yolo(source) and (told or _has_pictures(source))  # other folders hold texts, too
    return yolo or is_coco(source) or is_pointed(source) or is_boxed_video(source)


def _is_species(source: Path) -> bool:
    """Whether two folders or more hold pictures; a folder of several datasets does so, too, and is none itself."""
    inside = folders_in(source)
    parts = [child for child in inside if child.name.lower() in SPLIT_NAMES]
    classes = [child for part in parts for child in folders_in(part)] if parts else inside
    return sum(_has_pictures(child) for child in classes) > 1 and not any(_is_boxed(child) for child in classes)


def _has_pictures(folder: Path) -> bool:
    return any(path.suffix.lower() in IMAGE_SUFFIXES for path in folder.rglob("*"))


def _has_outlines(folder: Path) -> bool:
    """Whether the labels of a folder tell outlines."""
    if any(_outlined_json(path) for path in _coco_files(folder)):
        return True
    texts = itertools.islice(folder.rglob("labels/**/*.txt"), _LABEL_FILES)
    return any(_outlined_text(path) for path in texts)


def _coco_files(folder: Path) -> Iterator[Path]:
    for place in (folder, *folders_in(folder)):
        yield from sorted(place.glob("*.json"))


def _outlined_json(path: Path) -> bool:
    return _OUTLINE.search(_head(path)) is not None


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(_HEAD)
    except OSError as error:
        raise FileAccessError(path, f"cannot be read ({error.strerror})", cure="check the rights to it") from error


def _outlined_text(path: Path) -> bool:
    try:
        return any(len(line.split()) > _BOX_WORDS for line in path.read_bytes().splitlines())
    except OSError as error:
        raise FileAccessError(path, f"cannot be read ({error.strerror})", cure="check the rights to it") from error


_KINDS: Final[tuple[tuple[SourceKind, Callable[[Path], bool]], ...]] = (
    ("folder", _is_folder),
    ("survey", _is_survey),
    ("scan", _is_scan),
    ("digits", _is_digits),
)
