"""COCO json: `annotations/instances_<part>.json` beside `images/`.

Of each label the attributes tell who said it (`by_kind`, `by_name`, `by_when`) and its track; `score` is the
confidence. Of each picture `item` is its id, `site` its group, `exhaustive` whether everything in it is labelled, and
`tags` the words on it. Other tools ignore these keys. Source: the format of the COCO dataset (Lin et al. 2014), and
how CVAT writes attributes and tracks in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

from data.curation.collection import Collection, Label, Part, Picture, Provenance
from data.curation.exchange.format import Format, Library, check_kind
from data.curation.exchange.gathering import (
    TRACK_ID,
    Gathered,
    attributes_of,
    confidence,
    pictures_of,
    provenance,
    with_identity,
)
from data.curation.exchange.places import IMAGES, copy_pictures, distinct, inner_path
from data.errors import InputError
from data.files import whole_file
from data.masks import Mask, area, polygons, without_holes
from data.readers.detections_coco import Written, is_coco, looks_right, read_annotated, splits_of
from data.readers.detections_yolo import UNSORTED
from data.readers.digitset import Problem
from data.rle import rle

_PARTS: Final[Mapping[str, Part]] = {"train": "train", "val": "val", "test": "test"}
_DECIMALS: Final = 3
"""Of a pixel, in the sides of boxes."""


def read(path: Path, library: Library | None = None) -> Collection:
    """The pictures of a folder of COCO json with all its parts, or of one file; see `Reader`."""
    gathered = Gathered(path)
    whole = None if library is None else True
    names: list[str] = []
    for split in splits_of(path):
        try:
            detections, written = read_annotated(path, split, whole, masks=True, find=_finder(library))
        except InputError as error:
            gathered.problems.append(Problem.of(error))
            continue
        names += [name for name in detections.names if name not in names]
        gathered.problems += detections.problems
        by = Provenance(kind="source", name=detections.name or "COCO")
        pictures = pictures_of(detections, by, _PARTS.get(split, ""))
        for picture, said in zip(pictures, written, strict=True):
            gathered.add(_told(picture, said, library, gathered.problems))
    return gathered.collection(names)


def _finder(library: Library | None) -> Callable[[str], Path | None]:
    def find(name: str) -> Path | None:
        known = library.one(name) if library else None
        return known.path if known else None

    return find


def _told(picture: Picture, said: Written, library: Library | None, problems: list[Problem]) -> Picture:
    """The picture with what only the file's own words tell."""
    pairs = zip(picture.labels, said.boxes, strict=True)
    labels = tuple(_label(label, entry, picture.id, problems) for label, entry in pairs)
    tags = said.picture.get("tags")
    words = tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else ()
    return with_identity(replace(picture, labels=labels, tags=words), said.picture.get("item"), library)


def _label(label: Label, entry: Mapping[str, Any], where: str, problems: list[Problem]) -> Label:
    own = entry.get("attributes")
    attributes: Mapping[str, Any] = own if isinstance(own, dict) else {}
    sure = confidence(entry.get("score"), where, problems)
    return replace(label, by=provenance(attributes, label.by), confidence=sure, track=_track(entry, attributes))


def _track(entry: Mapping[str, Any], attributes: Mapping[str, Any]) -> int:
    """The track; CVAT, which tells it in the attributes alone, counts from 0."""
    told, theirs = entry.get(TRACK_ID), attributes.get(TRACK_ID)
    if type(told) is int and told >= 0:
        return told
    return theirs + 1 if type(theirs) is int and theirs >= 0 else 0


def write(collection: Collection, folder: Path) -> None:
    """Write a json for each part, and copy the pictures to images/; see `Format.write`."""
    check_kind(collection, FORMAT)
    places = places_of(collection)
    below = {name: place.relative_to(IMAGES) for name, place in places.items()}
    copy_pictures(collection.pictures, places, folder)
    for part in dict.fromkeys(picture.part for picture in collection.pictures):
        pictures = [picture for picture in collection.pictures if picture.part == part]
        name = f"instances_{part or UNSORTED}.json"
        _write_json(folder / "annotations" / name, collection, pictures, below)


def places_of(collection: Collection) -> dict[str, PurePosixPath]:
    """Where `write` puts each picture below the folder, by id."""
    inner = distinct({picture.id: inner_path(picture) for picture in collection.pictures})
    return {name: IMAGES / place for name, place in inner.items()}


def _write_json(
    path: Path, collection: Collection, pictures: Sequence[Picture], places: Mapping[str, PurePosixPath]
) -> None:
    """An item a line, so that memory does not grow with the collection."""
    info = {"description": collection.name, "exhaustive": all(picture.complete for picture in pictures)}
    numbers = {name: number for number, name in enumerate(collection.names, 1)}
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        stream.write(f'{{"info": {_json(info)}')
        parts: tuple[tuple[str, Iterable[dict[str, Any]]], ...] = (
            ("categories", ({"id": number, "name": name} for name, number in numbers.items())),
            ("images", (_image(number, one, places[one.id].as_posix()) for number, one in enumerate(pictures, 1))),
            ("annotations", _annotations(pictures, numbers)),
        )
        for key, items in parts:
            stream.write(f',\n"{key}": [')
            stream.writelines(f"{',' if position else ''}\n{_json(item)}" for position, item in enumerate(items))
            stream.write("]")
        stream.write("}\n")


def _json(item: Mapping[str, Any]) -> str:
    return json.dumps(item, ensure_ascii=False, allow_nan=False)


def _image(number: int, picture: Picture, place: str) -> dict[str, Any]:
    width, height = picture.size_wh
    entry = {"id": number, "file_name": place, "width": width, "height": height, "item": picture.id}
    entry |= {"site": picture.group} if picture.group else {}
    entry |= {"tags": list(picture.tags)} if picture.tags else {}
    return {**entry, "exhaustive": picture.complete}


def _annotations(pictures: Sequence[Picture], numbers: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    number = 0
    for image, picture in enumerate(pictures, 1):
        for label in picture.labels:
            number += 1
            yield {"id": number, "image_id": image, **_annotation(label, picture.size_wh, numbers[label.name])}


def _annotation(label: Label, size_wh: tuple[int, int], category: int) -> dict[str, Any]:
    if label.xyxy is None:
        raise ValueError("a label without a box")
    left, top, right, bottom = label.xyxy.astype(float).tolist()
    told: dict[str, Any] = {
        "category_id": category,
        "bbox": [round(pixels, _DECIMALS) for pixels in (left, top, right - left, bottom - top)],
        "area": round((right - left) * (bottom - top), _DECIMALS) if label.mask is None else area(label.mask),
        "segmentation": [] if label.mask is None else _segmentation(label.mask, size_wh),
        "iscrowd": 0,
        "attributes": attributes_of(label),
    }
    if label.confidence is not None:
        told["score"] = round(label.confidence, 6)
    if label.track:
        told |= {TRACK_ID: label.track, "attributes": {**told["attributes"], TRACK_ID: label.track}}
    return told


def _segmentation(mask: Mask, size_wh: tuple[int, int]) -> Any:
    """Polygons, which people edit; run lengths of a mask with holes, which polygons cannot tell."""
    if without_holes(mask) != mask:
        return rle(mask, size_wh)
    return [part.astype(int).ravel().tolist() for part in polygons(mask)]


def speaks(path: Path) -> bool:
    """Whether it has keys of COCO json, or is a folder with such a file; tasks of Label Studio may have them too."""
    return is_coco(path) if path.is_dir() else path.suffix.lower() == ".json" and looks_right(path)


FORMAT: Final = Format("coco", frozenset({"detection", "segmentation"}), read, write, places_of, speaks)
