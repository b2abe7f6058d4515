"""COCO json: one file a split, which lists pictures, boxes and classes.

Beyond COCO's own keys a picture may tell its `site` and `clip`, and whether it is `exhaustive`: whether everything of
the listed classes is labelled in it. `exhaustive` in `info` tells that of the whole file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np

from data.errors import FileAccessError, InputError, ShankhaError
from data.images import image_size
from data.masks import Mask
from data.readers.boxcheck import BoxList
from data.readers.detections_yolo import SPLITS, chosen_parts, first_of
from data.readers.detectionset import DetectionSet, PictureFiles, site_and_clip
from data.readers.digitset import Problem
from data.readers.maskcheck import labelled_mask

PARTLY_LABELLED: Final = frozenset({"luderick", "bream"})
"""A file of these classes alone is from the Luderick dataset, in which other fish in view carry no box."""

_SPLIT_OF: Final = {spelling: split for split, spellings in SPLITS.items() for spelling in spellings}
_WORDS: Final = re.compile(r"[a-z]+")
_FRAME_NUMBER: Final = re.compile(r"(.+)_\d{6}")
_KEYS: Final = re.compile(rb'"(images|annotations|categories)"\s*:')
_HEAD: Final = 1 << 16
_HUGE: Final = 1e12
_EXPECTED: Final = "COCO json with images, annotations and categories"
_Entry = dict[str, Any]
Finder = Callable[[str], Path | None]
"""Finds the picture of a name that does not lie beside the json; raises InputError where it may be more than one."""


@dataclass(frozen=True)
class Written:
    """What a file says, word for word: its entry for a picture, and for each box that was taken in, in their order."""

    picture: dict[str, Any]
    boxes: tuple[dict[str, Any], ...]


@dataclass
class _Picture:
    path: Path
    name: str
    site: str
    clip: str
    exhaustive: bool
    boxes: BoxList
    entry: _Entry
    taken: list[_Entry] = field(default_factory=list)


@dataclass
class _Rows:
    """Pictures gathered so far, by path, and the classes of the files they come from."""

    root: Path
    exhaustive: bool | None
    masks: bool
    find: Finder | None = None
    pictures: dict[Path, _Picture] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    left_out: list[Problem] = field(default_factory=list)


def is_coco(folder: Path) -> bool:
    """Whether there is COCO json in the folder, in its annotations, or in folders of splits."""
    return bool(_files(folder))


def read_coco(
    place: Path, split: str | None = None, exhaustive: bool | None = None, *, masks: bool = False
) -> DetectionSet:
    """COCO json: `train.json`, `instances_val2017.json` and such, in the folder, in annotations/, or a split's folder.

    Pictures are looked for beside the json, in the folder, in images/, images/SPLIT and SPLIT. A crowd (`iscrowd`) is
    left out, and its picture counts as not exhaustively labelled. An annotation without `bbox` gets that of its
    polygons or run lengths.

    Args:
        place: The folder, or one json file.
        split: "train", "val" or "test"; None means test, else val, else everything.
        exhaustive: Whether everything of the classes is labelled; None takes what the file says: true unless `info` or
            the picture says false, or the file is of a dataset known to be labelled in part.
        masks: Whether to read polygons and run lengths as masks.

    Raises:
        ArgumentError: There is no such split.
        FileAccessError: A file cannot be read.
        InputError: A file is no COCO json, or there is no picture that can be used.
    """
    return read_annotated(place, split, exhaustive, masks=masks)[0]


def splits_of(place: Path) -> tuple[str, ...]:
    """The splits of a folder; "" for the files that tell none, and for a single file."""
    return ("",) if place.is_file() else tuple(_files(place))


def read_annotated(
    place: Path,
    split: str | None = None,
    exhaustive: bool | None = None,
    *,
    masks: bool = False,
    find: Finder | None = None,
) -> tuple[DetectionSet, tuple[Written, ...]]:
    """As `read_coco`, with what is written of every picture and box beyond what a `DetectionSet` holds."""
    root = place.parent if place.is_file() else place
    parts: dict[str, tuple[Path, ...]] = {"": (place,)} if place.is_file() else _files(place)
    rows = _Rows(root, exhaustive, masks, find)
    for path in chosen_parts(parts, split, root):
        _take_file(rows, path)
    if not rows.pictures:
        raise InputError(place, f"names no picture that can be used{first_of(rows.problems)}", expected=_EXPECTED)
    pictures = sorted(rows.pictures.values(), key=lambda one: one.name)
    for one in pictures:
        rows.problems += one.boxes.problems
    return _detections(rows, pictures), tuple(Written(one.entry, tuple(one.taken)) for one in pictures)


def _detections(rows: _Rows, pictures: list[_Picture]) -> DetectionSet:
    return DetectionSet(
        rows.root.resolve().name,
        tuple(rows.names),
        ids=np.array([one.name for one in pictures], np.str_),
        sites=np.array([one.site for one in pictures], np.str_),
        clips=np.array([one.clip for one in pictures], np.str_),
        exhaustive=np.array([one.exhaustive and one.boxes.complete for one in pictures], np.bool_),
        sizes_wh=np.array([one.boxes.size_wh for one in pictures], np.int64),
        xyxy=tuple(one.boxes.xyxy for one in pictures),
        labels=tuple(np.array(one.boxes.labels, np.int64) for one in pictures),
        places=np.arange(len(pictures)),
        images=PictureFiles(tuple(one.path for one in pictures)),
        problems=tuple(rows.problems),
        left_out=tuple(rows.left_out),
        masks=tuple(tuple(one.boxes.masks) for one in pictures) if rows.masks else None,
    )


def _files(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Split name to its json files; "" for those whose name or folder tells no split."""
    found: dict[str, tuple[Path, ...]] = {}
    for place in (folder, folder / "annotations", *(folder / spelling for spelling in _SPLIT_OF)):
        for path in sorted(place.glob("*.json")) if place.is_dir() else []:
            if looks_right(path):
                split = _split_of(path.stem) or _split_of(place.name) if place != folder else _split_of(path.stem)
                found[split] = (*found.get(split, ()), path)
    return found


def _split_of(name: str) -> str:
    return next((_SPLIT_OF[word] for word in _WORDS.findall(name.lower()) if word in _SPLIT_OF), "")


def looks_right(path: Path) -> bool:
    """Whether a file has the keys of COCO json near its beginning."""
    try:
        with path.open("rb") as stream:
            return bool(_KEYS.search(stream.read(_HEAD)))
    except OSError as error:
        raise FileAccessError(path, f"cannot be read ({error.strerror or error})") from error


def _take_file(rows: _Rows, path: Path) -> None:
    tree = _parsed(path)
    where = path.relative_to(rows.root).as_posix()
    categories = _categories(rows, tree, where)
    exhaustive = _exhaustive(rows, tree, set(categories.values()))
    by_id: dict[object, _Picture | None] = {}
    for number, entry in enumerate(tree["images"]):
        _take_picture(rows, by_id, entry, f"{where}: images[{number}]", path, exhaustive)
    for number, entry in enumerate(tree["annotations"]):
        _take_annotation(rows, by_id, categories, entry, f"{where}: annotations[{number}]")


def _parsed(path: Path) -> _Entry:
    try:
        tree = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(path, f"is not valid JSON ({error})", expected=_EXPECTED) from error
    except OSError as error:
        raise FileAccessError(path, f"cannot be read ({error.strerror or error})") from error
    lists = ("images", "annotations", "categories")
    if not isinstance(tree, dict) or not all(isinstance(tree.get(key), list) for key in lists):
        raise InputError(path, "is no COCO json", expected=_EXPECTED)
    return tree


def _categories(rows: _Rows, tree: _Entry, where: str) -> dict[int, str]:
    """Category id to name, and the names made known, in the order of the ids."""
    found: dict[int, str] = {}
    for number, entry in enumerate(tree["categories"]):
        if not isinstance(entry, dict) or type(entry.get("id")) is not int or not isinstance(entry.get("name"), str):
            rows.problems.append(Problem(f"{where}: categories[{number}]", "has no id or no name"))
        else:
            found[entry["id"]] = entry["name"]
    rows.names += [name for _, name in sorted(found.items()) if name not in rows.names]
    return found


def _exhaustive(rows: _Rows, tree: _Entry, names: set[str]) -> bool:
    told = tree["info"].get("exhaustive") if isinstance(tree.get("info"), dict) else None
    if rows.exhaustive is not None:
        return rows.exhaustive
    return told if isinstance(told, bool) else not names or not names <= PARTLY_LABELLED


def _take_picture(
    rows: _Rows, by_id: dict[object, _Picture | None], entry: object, where: str, file: Path, exhaustive: bool
) -> None:
    """Take one entry of `images`. An id that two pictures claim stands for neither."""
    if not isinstance(entry, dict) or not isinstance(entry.get("file_name"), str) or not _is_id(entry.get("id")):
        rows.problems.append(Problem(where, "has no id or no file_name"))
        return
    number, name = entry["id"], entry["file_name"].replace("\\", "/")
    try:
        path = _found(rows, file, name)
    except InputError as error:
        rows.problems.append(Problem(where, f"{name} {error.found}"))
        by_id[number] = None
        return
    known = by_id.get(number)
    if number in by_id and (known is None or known.path != path):
        rows.problems.append(Problem(where, f"{name} has the id {number} of another picture: neither is used"))
        if known is not None:
            rows.pictures.pop(known.path, None)
        by_id[number] = None
        return
    if path in rows.pictures:
        rows.problems.append(Problem(where, f"{name} is listed twice"))
        by_id[number] = rows.pictures[path]
        return
    picture = None
    try:
        picture = _picture(rows, entry, path, name, exhaustive)
    except ShankhaError as error:
        rows.problems.append(Problem(where, f"{name} {error.found}"))
    by_id[number] = picture
    if picture is not None:
        rows.pictures[picture.path] = picture


def _is_id(value: object) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _found(rows: _Rows, file: Path, name: str) -> Path | None:
    """The picture's file; None where there is none, or its name leads out of the folder."""
    inner = PurePosixPath(name)
    leads_out = inner.is_absolute() or ".." in inner.parts
    beside = None if leads_out else next((path for path in _tries(rows.root, file, name) if path.is_file()), None)
    return rows.find(name) if beside is None and rows.find else beside


def _tries(root: Path, file: Path, name: str) -> Iterator[Path]:
    yield file.parent / name
    for base in dict.fromkeys((root, file.parent.parent) if file.parent != root else (root,)):
        yield base / name
        yield base / "images" / name
        for part in (*SPLITS.get(_split_of(file.stem), ()), file.stem.rpartition("_")[2]):
            yield base / "images" / part / name
            yield base / part / name


def _picture(rows: _Rows, entry: _Entry, path: Path | None, name: str, exhaustive: bool) -> _Picture:
    if path is None:
        raise InputError(name, "is not there")
    size = image_size(path)
    told = entry.get("width"), entry.get("height")
    if None not in told and told != size:
        raise InputError(path, f"is {size[0]} x {size[1]} pixels, not {told[0]} x {told[1]} as listed")
    inner = path.relative_to(rows.root) if path.is_relative_to(rows.root) else path
    site, clip = site_and_clip(inner.as_posix())
    frame = _FRAME_NUMBER.fullmatch(inner.stem)
    if "site" in entry and frame:
        clip = frame[1]
    own = entry.get("exhaustive")
    return _Picture(
        path,
        inner.as_posix(),
        str(entry.get("site", site)),
        str(entry.get("clip", clip)),
        own if isinstance(own, bool) and rows.exhaustive is None else exhaustive,
        BoxList(size),
        entry,
    )


def _take_annotation(
    rows: _Rows, by_id: dict[object, _Picture | None], categories: dict[int, str], entry: object, where: str
) -> None:
    if not isinstance(entry, dict) or not _is_id(entry.get("image_id")) or entry["image_id"] not in by_id:
        rows.problems.append(Problem(where, "belongs to no listed picture"))
        return
    picture = by_id[entry["image_id"]]
    if picture is None:
        return  # the picture itself is listed
    category = entry.get("category_id")
    if not _is_id(category) or category not in categories:
        picture.boxes.refuse(where, f"its category is {category!r}, which is not listed")
    elif entry.get("iscrowd") == 1:
        rows.left_out.append(Problem(where, "is a crowd, not one thing"))
        picture.boxes.complete = False
    else:
        _take_object(rows, picture, rows.names.index(categories[category]), entry, where)


def _take_object(rows: _Rows, picture: _Picture, label: int, entry: _Entry, where: str) -> None:
    """Take a box and, where masks are wanted, its mask; a mask that cannot be used leaves the box."""
    mask, fault = None, ""
    if rows.masks or (isinstance(entry.get("segmentation"), dict) and not entry.get("bbox")):
        mask, fault = labelled_mask(entry.get("segmentation"), picture.boxes.size_wh)
    if fault:
        picture.boxes.problems.append(Problem(where, fault))
    xyxy = _xyxy(entry, mask)
    if xyxy is None:
        picture.boxes.refuse(where, "has no box of four numbers")
    elif picture.boxes.add(where, label, xyxy, mask if rows.masks else None):
        picture.taken.append(entry)


def _xyxy(entry: _Entry, mask: Mask | None) -> tuple[float, float, float, float] | None:
    box = entry.get("bbox")
    if not box and mask is not None:
        left, top, right, bottom = mask.xyxy.tolist()
        return left, top, right, bottom
    if not box:
        return _around(entry.get("segmentation"))
    if not isinstance(box, list) or len(box) != 4 or not all(_is_number(value) for value in box):
        return None
    return float(box[0]), float(box[1]), float(box[0]) + float(box[2]), float(box[1]) + float(box[3])


def _around(polygons: object) -> tuple[float, float, float, float] | None:
    if not isinstance(polygons, list) or not polygons or not all(isinstance(one, list) for one in polygons):
        return None
    values = [value for one in polygons for value in one]
    if not values or not all(_is_number(value) for value in values) or any(len(one) % 2 for one in polygons):
        return None
    xs = [value for one in polygons for value in one[::2]]
    ys = [value for one in polygons for value in one[1::2]]
    return float(min(xs)), float(min(ys)), float(max(xs)), float(max(ys))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not abs(value) > _HUGE
