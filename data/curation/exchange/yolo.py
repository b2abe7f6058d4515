"""YOLO folders, as Ultralytics reads them: data.yaml, images/PART and labels/PART.

Boxes are lines of `class x y width height`, outlines lines of `class` and corners, all in shares of the picture. The
format knows neither who said something nor how sure, and one outline a line: parts of a mask are joined by lines of no
width, and in a folder of outlines a box is written as its four corners, because Ultralytics takes no folder of both.
Pictures of which nobody has said what they are for lie in images/unsorted, which training does not read.

Source: https://docs.ultralytics.com/datasets/detect and /segment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
import yaml

from data.curation.collection import Collection, Kind, Label, Part, Picture, Provenance
from data.curation.exchange.format import Format, Library, check_kind
from data.curation.exchange.gathering import Gathered, pictures_of, with_identity
from data.curation.exchange.places import IMAGES, copy_pictures, distinct, inner_path
from data.errors import InputError, ShankhaError
from data.files import write_text
from data.images import IMAGE_SUFFIXES
from data.masks import Polygon, polygons
from data.readers.classfolders import files_below
from data.readers.detections_yolo import (
    NAME_LISTS,
    UNSORTED,
    YAML_NAMES,
    YoloDescription,
    described,
    is_yolo,
    label_folder,
    read_labels,
)
from data.readers.detections_yolo import read_yolo as read_set
from data.readers.detectionset import DetectionSet
from data.readers.digitset import Problem

_PARTS: Final[Mapping[str, Part]] = {UNSORTED: "", "train": "train", "val": "val", "test": "test", "": ""}
"""A picture that data.yaml names in two parts is of the first of these."""


def read(path: Path, library: Library | None = None) -> Collection:
    """The pictures of a YOLO folder, or its data.yaml, with all its parts; see `Reader`.

    Text files without a picture beside them label the picture of the library that they are named after.
    """
    told = described(path)
    gathered = Gathered(path if path.is_dir() else path.parent)
    by = Provenance(kind="source", name=gathered.where.resolve().name or "YOLO")
    names: list[str] = list(told.names or ())
    whole = None if library is None else True
    faults: list[Problem] = []
    for split in [split for split in _PARTS if split in told.parts] or (None,):
        try:
            _read_part(gathered, names, read_set(path, split, whole, masks=True), split, by, library)
        except InputError as error:
            faults.append(Problem.of(error))
    if library is not None:
        _read_texts(gathered, names, told, by, library)
    if not gathered.pictures:
        gathered.problems += faults
    return gathered.collection(names)


def _read_part(
    gathered: Gathered,
    names: list[str],
    detections: DetectionSet,
    split: str | None,
    by: Provenance,
    library: Library | None,
) -> None:
    names += [name for name in detections.names if name not in names]
    gathered.problems += [problem for problem in detections.problems if problem not in gathered.problems]
    for picture in pictures_of(detections, by, _PARTS[split or ""]):
        if picture.id not in gathered.pictures:  # data.yaml may name a folder in two parts
            gathered.add(with_identity(picture, None, library))


def _read_texts(gathered: Gathered, names: list[str], told: YoloDescription, by: Provenance, library: Library) -> None:
    """Labels that came back without their pictures."""
    if not names:
        gathered.problems.append(Problem(told.root.name, "tells no names of classes, so text files alone are not read"))
        return
    taken = {one.path for one in gathered.pictures.values()}
    told = replace(told, names=tuple(names), masks=True)
    left = {Path(name).name for name in NAME_LISTS}
    beside = {label_folder(path.parent) / f"{path.stem}.txt" for path in taken}
    texts = [path for path in files_below(told.root) if path.suffix.lower() == ".txt" and path not in beside]
    for text in (path for path in texts if path.name not in left):
        name = text.relative_to(told.root).as_posix()
        near = {one.id: one for suffix in sorted(IMAGE_SUFFIXES) for one in library.find(f"{name[:-4]}{suffix}")}
        found = [one for one in near.values() if one.path not in taken]
        if len(found) == 1:
            gathered.problems = [problem for problem in gathered.problems if problem.name != name]
            _read_text(gathered, told, text, found[0], by)
            taken.add(found[0].path)
        elif found:
            gathered.problems.append(Problem(name, f"may label {found[0].id} or {found[1].id}"))


def _read_text(gathered: Gathered, told: YoloDescription, text: Path, known: Picture, by: Provenance) -> None:
    try:
        boxes = read_labels(known.path, text, told)
    except ShankhaError as error:
        gathered.problems.append(Problem.of(error))
        return
    classes = told.names or ()
    said = zip(boxes.labels, boxes.xyxy, boxes.masks, strict=True)
    labels = tuple(Label(classes[label], by, xyxy, mask) for label, xyxy, mask in said)
    gathered.problems += boxes.problems
    gathered.add(Picture(known.id, known.path, boxes.size_wh, labels, known.part, known.group, boxes.complete))


def write(collection: Collection, folder: Path) -> None:
    """Write data.yaml, the labels, and copies of the pictures; see `Format.write`."""
    check_kind(collection, FORMAT)
    places = places_of(collection)
    numbers = {name: number for number, name in enumerate(collection.names)}
    copy_pictures(collection.pictures, places, folder)
    for picture in collection.pictures:
        lines = [_line(label, numbers, picture.size_wh, collection.kind) for label in picture.labels]
        write_text(folder / _text_of(places[picture.id]), "".join(lines))
    write_text(folder / YAML_NAMES[0], _description(collection))


def places_of(collection: Collection) -> dict[str, PurePosixPath]:
    """Where `write` puts each picture below the folder, by id."""
    pictures = collection.pictures
    return distinct({one.id: PurePosixPath(IMAGES, one.part or UNSORTED, inner_path(one)) for one in pictures})


def _text_of(place: PurePosixPath) -> PurePosixPath:
    return PurePosixPath("labels", *place.parts[1:]).with_suffix(".txt")


def _description(collection: Collection) -> str:
    """data.yaml, without `path`: Ultralytics takes it to be the folder that the file lies in."""
    parts = {picture.part for picture in collection.pictures}
    told: dict[str, Any] = {
        part or UNSORTED: f"{IMAGES}/{part or UNSORTED}" for part in ("train", "val", "test", "") if part in parts
    }
    told["names"] = dict(enumerate(collection.names))
    told["exhaustive"] = all(picture.complete for picture in collection.pictures)
    return yaml.safe_dump(told, allow_unicode=True, sort_keys=False)


def _line(label: Label, numbers: Mapping[str, int], size_wh: tuple[int, int], kind: Kind) -> str:
    if label.xyxy is None:
        raise ValueError("a label without a box")
    left, top, right, bottom = label.xyxy.astype(float).tolist()
    if kind == "segmentation":
        corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
        line = one_line(polygons(label.mask)) if label.mask is not None else corners
        values = (line / np.array(size_wh)).ravel().tolist()
    else:
        width, height = size_wh
        x, y = (left + right) / 2 / width, (top + bottom) / 2 / height
        values = [x, y, (right - left) / width, (bottom - top) / height]
    return f"{numbers[label.name]} {' '.join(f'{value:.8f}' for value in values)}\n"


def one_line(parts: Sequence[Polygon]) -> Polygon:
    """(V, 2) one closed line around all parts: it goes to and fro between them on lines of no width."""
    line = parts[0]
    for part in parts[1:]:
        gaps = np.abs(line[:, None] - part[None]).sum(axis=2)
        at, start = np.unravel_index(int(gaps.argmin()), gaps.shape)
        around = np.roll(part, -int(start), axis=0)
        line = np.concatenate([line[: at + 1], around, around[:1], line[at:]])
    return line


def speaks(path: Path) -> bool:
    """Whether it is a YOLO folder, or the data.yaml of one."""
    return is_yolo(path) if path.is_dir() else path.name in YAML_NAMES


FORMAT: Final = Format("yolo", frozenset({"detection", "segmentation"}), read, write, places_of, speaks)
