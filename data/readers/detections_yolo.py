"""YOLO folders: pictures, and beside each a text file of `class x y width height`, in shares of the picture.

A file of labels that is empty says that nothing is in the picture. A file that is missing says nothing at all, so the
picture is listed as a problem and not used.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from data.errors import ArgumentError, ConfigurationError, FileAccessError, InputError, ShankhaError
from data.files import read_yaml
from data.images import IMAGE_SUFFIXES, image_size
from data.masks import Mask
from data.readers.boxcheck import BoxList
from data.readers.detectionset import FISH, DetectionSet, PictureFiles, site_and_clip
from data.readers.digitset import Problem
from data.readers.maskcheck import labelled_mask

YAML_NAMES: Final = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
NAME_LISTS: Final = ("classes.txt", "obj.names", "classes.names", "labels/classes.txt")
AQUARIUM: Final = ("fish", "jellyfish", "penguin", "puffin", "shark", "starfish", "stingray")
"""Classes of Roboflow Aquarium, where its own data.yaml was left behind."""
SPLITS: Final = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
UNSORTED: Final = "unsorted"
"""Key of data.yaml for pictures of which nobody has said what they are for."""
_EXPECTED: Final = "pictures in images/ and as many text files in labels/, or both in one folder"
MOST_CLASSES: Final = 10_000
"""Bound on the numbers of classes that have no names."""
_BOX: Final = 5
_LEAST_POLYGON: Final = 7


@dataclass(frozen=True)
class YoloDescription:
    """What a folder's data.yaml, or list of names, says.

    `names` are the classes, None where they are not told. `parts` are the folders, or lists, of pictures of each split.
    `exhaustive` tells whether everything of these classes is labelled (key `exhaustive`, true unless it says false);
    `masks` whether polygons are wanted as masks.
    """

    root: Path
    names: tuple[str, ...] | None = None
    parts: dict[str, tuple[Path, ...]] = field(default_factory=dict)
    exhaustive: bool = True
    masks: bool = False


@dataclass
class _Rows:
    """Pictures gathered so far."""

    paths: list[Path] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    boxes: list[BoxList] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    left_out: list[Problem] = field(default_factory=list)


def is_yolo(folder: Path) -> bool:
    """Whether the folder holds a data.yaml, or pictures with text files in one of the usual places."""
    if any((folder / name).is_file() for name in YAML_NAMES):
        return True
    parts = [*_layout(folder).values(), (folder,)]
    return any(any(label_folder(part).glob("*.txt")) for folders in parts for part in folders)


def read_yolo(
    place: Path, split: str | None = None, exhaustive: bool | None = None, *, masks: bool = False
) -> DetectionSet:
    """A YOLO folder, or its data.yaml.

    Pictures lie in images/SPLIT with labels/SPLIT beside it, in SPLIT/images with SPLIT/labels, in images with labels,
    or with their text files in one folder; or data.yaml says where (`path`, `train`, `val`, `test`, each a folder, a
    list of folders, or a text file of paths). A line of labels holds a box, or a polygon (class, then x y of each
    corner), of which the bounding box is taken.

    Classes are named by data.yaml (`names`) or classes.txt. Without names, labels that are all 0 are fish, and others
    are named by their number.

    Args:
        place: The folder, or a data.yaml.
        split: "train", "val" or "test"; None means test, else val, else everything.
        exhaustive: Whether everything of the classes is labelled; None takes what data.yaml says.
        masks: Whether to read polygons as masks.

    Raises:
        ArgumentError: There is no such split.
        ConfigurationError: data.yaml is not valid.
        FileAccessError: A folder cannot be read.
        InputError: There are no pictures with labels.
    """
    told = replace(described(place), masks=masks)
    rows = _Rows()
    for part in chosen_parts(told.parts, split, told.root) or (told.root,):
        _take_part(rows, told, part)
    if not rows.paths:
        found = f"holds no picture with labels{first_of(rows.problems)}"
        raise InputError(told.root, found, expected=_EXPECTED)
    places = [site_and_clip(one) for one in rows.ids]
    whole = told.exhaustive if exhaustive is None else exhaustive
    return DetectionSet(
        told.root.resolve().name,
        told.names or _names_without_list(told.root, rows),
        ids=np.array(rows.ids, np.str_),
        sites=np.array([site for site, _ in places], np.str_),
        clips=np.array([clip for _, clip in places], np.str_),
        exhaustive=np.array([whole and one.complete for one in rows.boxes], np.bool_),
        sizes_wh=np.array([one.size_wh for one in rows.boxes], np.int64),
        xyxy=tuple(one.xyxy for one in rows.boxes),
        labels=tuple(np.array(one.labels, np.int64) for one in rows.boxes),
        places=np.arange(len(rows.paths)),
        images=PictureFiles(tuple(rows.paths)),
        problems=tuple(rows.problems),
        left_out=tuple(rows.left_out),
        masks=tuple(tuple(one.masks) for one in rows.boxes) if masks else None,
    )


def first_of(problems: Sequence[Problem]) -> str:
    """The end of an error's line, where problems are all that was found."""
    return f"; the first of {len(problems)} problems: {problems[0].name} {problems[0].why}" if problems else ""


def chosen_parts(parts: dict[str, tuple[Path, ...]], split: str | None, root: Path) -> tuple[Path, ...]:
    """The places of one split: that asked for, else test, else val, else all of them."""
    if split is not None and split not in parts:
        known = ", ".join(sorted(filter(None, parts))) or "no splits"
        raise ArgumentError("--split", f"{root} has no split {split!r}", expected=f"one of: {known}")
    for name in (split, "test", "val"):
        if name in parts:
            return parts[name]
    return tuple(path for places in parts.values() for path in places)


def described(place: Path) -> YoloDescription:
    """What a YOLO folder, or its data.yaml, says of itself.

    Raises:
        ConfigurationError: data.yaml is not valid.
        FileAccessError: A file cannot be read.
    """
    files = [place] if place.is_file() else [place / name for name in YAML_NAMES if (place / name).is_file()]
    root = place.parent if place.is_file() else place
    if not files:
        return YoloDescription(root, _listed_names(root), _layout(root))
    tree = read_yaml(files[0], "names, train and val")
    exhaustive = tree.get("exhaustive", True)
    if not isinstance(exhaustive, bool):
        raise ConfigurationError(files[0], f"exhaustive is {exhaustive!r}", expected="true or false")
    base = root / str(tree.get("path") or ".")
    parts = {name: _listed(base, root, tree.get(name)) for name in (*SPLITS, UNSORTED)}
    parts = {name: places for name, places in parts.items() if places} or _layout(root)
    return YoloDescription(root, _yaml_names(files[0], tree.get("names")), parts, exhaustive)


def _yaml_names(path: Path, value: object) -> tuple[str, ...]:
    if isinstance(value, dict):
        if sorted(value) != list(range(len(value))):
            raise ConfigurationError(path, "names: are not numbered from 0 up", expected="0: fish and so on")
        value = [value[number] for number in range(len(value))]
    if not isinstance(value, list) or not value or not all(isinstance(name, str | int) for name in value):
        raise ConfigurationError(path, "names: is no list of classes", expected="names: [fish] or names: {0: fish}")
    return tuple(str(name) for name in value)


def _listed(base: Path, root: Path, value: object) -> tuple[Path, ...]:
    """The places of a split that are there. Exports often write ../train/images where train/images is meant."""
    entries = value if isinstance(value, list) else [value]
    found = []
    for entry in (entry for entry in entries if isinstance(entry, str)):
        inner = entry.removeprefix("../")
        tries = (base / entry, root / entry, root / inner)
        found += [path for path in tries if path.exists()][:1]
    return tuple(found)


def _listed_names(root: Path) -> tuple[str, ...] | None:
    for name in NAME_LISTS:
        if (root / name).is_file():
            lines = _text(root / name).splitlines()
            return tuple(line.strip() for line in lines if line.strip()) or None
    return None


def _layout(root: Path) -> dict[str, tuple[Path, ...]]:
    """Split name to its folders of pictures; empty where the folder has no splits."""
    found: dict[str, tuple[Path, ...]] = {}
    for name, spellings in SPLITS.items():
        tries = [root / "images" / one for one in spellings] + [root / one / "images" for one in spellings]
        found[name] = tuple(path for path in tries if path.is_dir())
    found = {name: places for name, places in found.items() if places}
    if not found and (root / "images").is_dir():
        return {"": (root / "images",)}
    return found


def label_folder(pictures: Path) -> Path:
    """Where the text files of a folder of pictures lie: `labels` in place of the last `images`, else the same."""
    parts = list(pictures.parts)
    if "images" not in parts:
        return pictures
    parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    labels = Path(*parts)
    return labels if labels.is_dir() else pictures


def _take_part(rows: _Rows, told: YoloDescription, part: Path) -> None:
    if part.is_file():
        _take_pictures(rows, told, _paths_in(part))
        return
    files = list(_walk(part))
    pictures = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    _take_pictures(rows, told, pictures)
    labels = label_folder(part)
    texts = [path for path in (_walk(labels) if labels != part else files) if path.suffix.lower() == ".txt"]
    folders: dict[Path, Path] = {}
    known = {_label_file(path, folders) for path in pictures}
    for path in texts:
        if path not in known and path.name not in {Path(name).name for name in NAME_LISTS}:
            rows.problems.append(Problem(_id(path, told.root), "labels a picture that is not there"))
    others = [path for path in files if path.suffix.lower() not in {".txt", *IMAGE_SUFFIXES}]
    rows.left_out += [Problem(_id(path, told.root), "is no picture by its name") for path in others]


def _paths_in(listing: Path) -> Iterator[Path]:
    """The pictures that a text file lists, relative to its own folder."""
    for line in _text(listing).splitlines():
        if line.strip():
            yield listing.parent / line.strip()


def _take_pictures(rows: _Rows, told: YoloDescription, pictures: Sequence[Path] | Iterator[Path]) -> None:
    taken = set(rows.paths)
    folders: dict[Path, Path] = {}
    for path in pictures:
        name = _id(path, told.root)
        if path in taken:
            rows.problems.append(Problem(name, "is listed twice"))
            continue
        taken.add(path)
        try:
            boxes = read_labels(path, _label_file(path, folders), told)
        except ShankhaError as error:
            rows.problems.append(
                Problem(name if error.where == str(path) else _id(error.where, told.root), error.found)
            )
            continue
        rows.paths.append(path)
        rows.ids.append(name)
        rows.boxes.append(boxes)
        rows.problems += boxes.problems


def _label_file(picture: Path, folders: dict[Path, Path]) -> Path:
    """The picture's text file; `folders` remembers the folder of labels of each folder of pictures."""
    folder = picture.parent
    if folder not in folders:
        folders[folder] = label_folder(folder)
    return folders[folder] / f"{picture.stem}.txt"


def read_labels(picture: Path, path: Path, told: YoloDescription) -> BoxList:
    """The boxes that a text file gives for a picture.

    Raises:
        InputError: The picture is damaged, or there is no such text file, or it is no text.
        FileAccessError: One of them cannot be read.
    """
    boxes = BoxList(image_size(picture))
    name = _id(path, told.root)
    if not path.is_file():
        raise InputError(picture, f"has no file of labels, {name} (an empty one says: nothing there)")
    for number, line in enumerate(_text(path).splitlines(), 1):
        if line.strip():
            _take_line(boxes, f"{name}:{number}", line, told)
    return boxes


def _take_line(boxes: BoxList, where: str, line: str, told: YoloDescription) -> None:
    classes = len(told.names) if told.names else MOST_CLASSES
    try:
        label, *values = [float(part) for part in line.split()]
    except ValueError:
        boxes.refuse(where, "is no line of numbers")
        return
    if len(values) + 1 != _BOX and (len(values) + 1 < _LEAST_POLYGON or len(values) % 2):
        boxes.refuse(where, f"holds {len(values) + 1} numbers, not {_BOX} (class, x, y, width, height)")
    elif not label.is_integer() or not 0 <= label < classes:
        boxes.refuse(where, f"its class is {label:g}, not from 0 to {classes - 1}")
    else:
        mask = _mask(boxes, where, values) if told.masks and len(values) + 1 > _BOX else None
        boxes.add(where, int(label), _in_pixels(values, boxes.size_wh), mask)


def _mask(boxes: BoxList, where: str, values: list[float]) -> Mask | None:
    """The mask of a polygon in shares of the picture; one that cannot be used is listed."""
    corners = np.array(values).reshape(-1, 2) * boxes.size_wh
    mask, fault = labelled_mask([corners.ravel().tolist()], boxes.size_wh)
    if fault:
        boxes.problems.append(Problem(where, fault))
    return mask


def _in_pixels(values: list[float], size_wh: tuple[int, int]) -> tuple[float, float, float, float]:
    width, height = size_wh
    if len(values) + 1 == _BOX:
        x, y, w, h = values
        return (x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height
    xs, ys = values[::2], values[1::2]
    return min(xs) * width, min(ys) * height, max(xs) * width, max(ys) * height


def _names_without_list(root: Path, rows: _Rows) -> tuple[str, ...]:
    count = max((label for one in rows.boxes for label in one.labels), default=0) + 1
    if count == 1:
        return (FISH,)
    if "aquarium" in root.resolve().name.lower() and count <= len(AQUARIUM):
        return AQUARIUM
    return tuple(str(number) for number in range(count))


def _id(path: Path | str, root: Path) -> str:
    inside = Path(path)
    return inside.relative_to(root).as_posix() if inside.is_relative_to(root) else inside.as_posix()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(path, "is not UTF-8 text") from error
    except OSError as error:
        raise FileAccessError(path, f"cannot be read ({error.strerror})") from error


def _walk(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place) / name for name in sorted(names) if not name.startswith("."))


def _refuse(error: OSError) -> None:
    raise FileAccessError(error.filename, f"cannot be read ({error.strerror or error})") from error
