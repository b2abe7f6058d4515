"""CVAT: "CVAT for images 1.1" to write, that and "CVAT for video 1.1" to read.

Written are annotations.xml, to upload into a task of these pictures; the pictures in images/, each by a name of its
own; cvat.zip, which holds both and makes a task by itself; and labels.json, the labels for CVAT's "Raw" editor, with
the attributes that carry who said something, how sure, and the track. Attributes `item`, `part`, `group`, `complete`
and `tags` of an image are ours, and CVAT drops them. An outline in one piece is a polygon, any other a mask.

Source: https://docs.cvat.ai/docs/dataset_management/formats/format-xml.
"""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from xml.etree.ElementTree import Element, SubElement

import numpy as np

from data.curation.collection import WHOLE_PICTURE, Collection, Label, Part, Picture, Provenance
from data.curation.exchange.format import Format, Library, Spoken, check_kind
from data.curation.exchange.gathering import (
    BY,
    TRACK_ID,
    Draft,
    Finder,
    Gathered,
    Said,
    attributes_of,
    confidence,
    provenance,
    turned_box,
)
from data.curation.exchange.places import copy_pictures
from data.curation.exchange.sequence import flat_places
from data.curation.exchange.times import utc
from data.curation.exchange.tracks import between
from data.curation.exchange.xml import read_xml, write_xml
from data.errors import ShankhaError
from data.files import whole_file, write_text
from data.masks import Mask, fitted, polygons, without_holes
from data.readers.digitset import Problem
from data.rle import rle

FILE: Final = "annotations.xml"
speaks: Final = Spoken(FILE, ".xml", re.compile(rb"<annotations\b"))
ARCHIVE: Final = "cvat.zip"
_ROOT: Final = "annotations"
_CONFIDENCE: Final = "confidence"
_OTHERS: Final = frozenset({"polyline", "points", "cuboid", "skeleton", "ellipse"})
_ATTRIBUTES: Final = (*BY, _CONFIDENCE, TRACK_ID)
_DIGITS: Final = 10
_LARGEST: Final = 1 << 28
_SAME_DAY: Final = (1980, 1, 1, 0, 0, 0)
_PARTS: Final[Mapping[str, Part]] = {"train": "train", "val": "val", "validation": "val", "test": "test"}


def read(path: Path, library: Library | None = None) -> Collection:
    """The pictures of an annotations.xml, or of a folder that holds one; see `Reader`.

    Polylines, points and cuboids are listed, not read. Of a track in a video, the box in frames between two of its
    keyframes lies between theirs.
    """
    file = speaks.file(path)
    tree = read_xml(file, _ROOT)
    reader = _Reader(file, Finder(file.parent, library), tree.find("meta"))
    for number, image in enumerate(tree.iterfind("image")):
        reader.take_image(image, f"{file.name}: image[{number}]")
    for number, track in enumerate(tree.iterfind("track")):
        reader.take_track(track, number, f"{file.name}: track[{number}]")
    return reader.finished()


class _Reader:
    """Pictures of one file, in the order in which it names them."""

    def __init__(self, file: Path, finder: Finder, meta: Element | None) -> None:
        self.finder = finder
        self.gathered = Gathered(file)
        self.meta = meta if meta is not None else Element("meta")
        labels = [label for label in self.meta.iter("label") if label.find("parent") is None]
        self.names = [name for label in labels if (name := label.findtext("name"))]
        self.drafts: dict[str, Draft] = {}
        self.frames: dict[int, Draft | None] = {}

    def take_image(self, image: Element, where: str) -> None:
        name = image.get("name", "")
        try:
            picture = self.finder.picture(name, image.get("item", ""), _size(image))
        except (ShankhaError, ValueError) as error:
            found = error.found if isinstance(error, ShankhaError) else str(error)
            self.gathered.problems.append(Problem(where, f"{name} {found}"))
            return
        picture = replace(
            picture,
            part=_PARTS.get(image.get("part", image.get("subset", "")).lower(), ""),
            group=image.get("group", ""),
            complete=self.finder.library is not None or image.get("complete") != "0",
            tags=tuple(filter(None, image.get("tags", "").split(";"))),
        )
        draft = self._draft(picture)
        if draft is None:
            self.gathered.problems.append(Problem(where, f"{name} is named twice: the first is used"))
            return
        for number, shape in enumerate(image):
            place = f"{where} {name}, {shape.tag}[{number}]"
            _take_shape(draft, shape, place, self._said(shape, place))

    def _draft(self, picture: Picture) -> Draft | None:
        if picture.id in self.drafts:
            return None
        self.drafts[picture.id] = Draft(picture, self.gathered.problems)
        return self.drafts[picture.id]

    def take_track(self, track: Element, number: int, where: str) -> None:
        """Take the shapes of a track that are seen; one that is seen once is no track but a shape."""
        shapes: dict[int, Element] = {}
        for shape in track:
            told = shape.get("frame", "")
            if told.isdecimal() and len(told) < _DIGITS:
                shapes[int(told)] = shape
            else:
                self.gathered.problems.append(Problem(where, f"has a {shape.tag} in no frame"))
        seen = {frame: shape for frame, shape in shapes.items() if shape.get("outside") != "1"}
        told_track = number + 1 if len(seen) > 1 else 0
        for frame, shape in sorted(seen.items()):
            shape.set("label", track.get("label", ""))
            if draft := self._frame(frame, where):
                _take_shape(draft, shape, f"{where}, frame {frame}", self._said(shape, where, told_track, track))
        boxes = {frame: sides for frame, shape in shapes.items() if shape.tag == "box" and (sides := _sides(shape))}
        try:
            for frame, sides in between(boxes, seen):
                if draft := self._frame(frame, where):
                    said = self._said(seen[max(known for known in seen if known < frame)], where, told_track, track)
                    draft.add_box(f"{where}, frame {frame}", track.get("label", ""), sides, said)
        except ValueError as error:
            self.gathered.problems.append(Problem(where, str(error)))

    def _frame(self, frame: int, where: str) -> Draft | None:
        """The picture of a frame of the video: a file of images/, or the frame of a video that is there."""
        if frame not in self.frames:
            self.frames[frame] = None
            video = self.meta.findtext(".//source") or ""
            names = [f"frame_{frame:06d}{suffix}" for suffix in (".png", ".PNG", ".jpg")]
            names += [f"{video}#{frame}"] if video else []
            size = self.meta.find(".//original_size")
            told = None if size is None else (int(size.findtext("width", "0")), int(size.findtext("height", "0")))
            for name in names:
                try:
                    self.frames[frame] = self._draft(self.finder.picture(name, told_wh=told))
                    break
                except ShankhaError as error:
                    fault = f"frame {frame} {error.found}"
            else:
                self.gathered.problems.append(Problem(where, fault))
        return self.frames[frame]

    def _said(self, shape: Element, where: str, track: int = 0, tracked: Element | None = None) -> Said:
        attributes = {one.get("name", ""): one.text or "" for one in shape.iterfind("attribute")}
        source = shape.get("source") or (tracked.get("source") if tracked is not None else None)
        own = attributes.get(TRACK_ID, "")
        sure = confidence(attributes.get(_CONFIDENCE), where, self.gathered.problems)
        number = int(own) if own.isdecimal() and len(own) < _DIGITS else track
        return Said(provenance(attributes, self._speaker(source)), sure, number)

    def _speaker(self, source: str | None) -> Provenance:
        if source == "manual":
            person = self.meta.findtext(".//assignee/username") or self.meta.findtext(".//owner/username")
            return Provenance(kind="person", name=person or "CVAT", when=utc(self.meta.findtext(".//updated")))
        if source == "auto":
            return Provenance(kind="model", name="CVAT")
        return Provenance(kind="source", name=self.meta.findtext(".//name") or self.gathered.where.stem)

    def finished(self) -> Collection:
        for draft in self.drafts.values():
            self.gathered.add(draft.finished())
        return self.gathered.collection(self.names)


def _size(image: Element) -> tuple[int, int] | None:
    width, height = image.get("width"), image.get("height")
    return None if width is None or height is None else (int(width), int(height))


def _take_shape(draft: Draft, shape: Element, where: str, said: Said) -> None:
    name = shape.get("label", "")
    if shape.tag in _OTHERS:
        draft.refuse(where, f"is a {shape.tag}, which is not read")
    elif not name:
        draft.refuse(where, "has no label")
    elif shape.tag == "tag":
        draft.add_whole(where, name, said)
    elif shape.tag == "box":
        _take_box(draft, shape, where, said)
    elif shape.tag == "polygon":
        corners = _numbers(shape.get("points", "").replace(";", ","))
        draft.add_outline(where, name, [corners], said) if corners else draft.refuse(where, "holds no numbers")
    elif shape.tag == "mask":
        _take_mask(draft, shape, where, said)


def _take_box(draft: Draft, shape: Element, where: str, said: Said) -> None:
    sides = _sides(shape)
    if sides is None:
        draft.refuse(where, "has no box of four numbers")
        return
    turned = _numbers(shape.get("rotation", "0"))
    if turned and turned[0] % 360:
        draft.problems.append(Problem(where, f"is turned by {turned[0]:g} degrees: the upright box around it is taken"))
        sides = turned_box(sides, turned[0])
    draft.add_box(where, shape.get("label", ""), sides, said)


def _sides(shape: Element) -> tuple[float, float, float, float] | None:
    numbers = _numbers(",".join(shape.get(side, "") for side in ("xtl", "ytl", "xbr", "ybr")))
    return (numbers[0], numbers[1], numbers[2], numbers[3]) if len(numbers) == 4 else None


def _numbers(text: str) -> list[float]:
    """The numbers of a list with commas; none where one of them is no number."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        return []


def _take_mask(draft: Draft, shape: Element, where: str, said: Said) -> None:
    try:
        left, top, width, height = (int(shape.get(key, "")) for key in ("left", "top", "width", "height"))
        lengths = [int(part) for part in shape.get("rle", "").split(",")]
        if min(width, height, *lengths) < 0 or sum(lengths) != width * height or width * height > _LARGEST:
            raise ValueError("its run lengths do not fill its window")
        inside = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(height, width)
        segmentation = rle(fitted(Mask(left, top, inside)), draft.picture.size_wh)
    except ValueError as error:
        draft.refuse(where, f"is no mask within the picture ({error})")
        return
    draft.add_outline(where, shape.get("label", ""), segmentation, said)


def write(collection: Collection, folder: Path) -> None:
    """Write annotations.xml, images/, cvat.zip and labels.json; see `Format.write`."""
    check_kind(collection, FORMAT)
    places = flat_places(collection)
    copy_pictures(collection.pictures, places, folder)
    root = Element(_ROOT)
    SubElement(root, "version").text = "1.1"
    root.append(_meta(collection))
    for number, picture in enumerate(collection.pictures):
        root.append(_image(number, picture, places[picture.id].name))
    write_xml(folder / FILE, root)
    write_text(folder / "labels.json", json.dumps(_raw_labels(collection), ensure_ascii=False, indent=1) + "\n")
    with whole_file(folder / ARCHIVE) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name in (FILE, *(place.as_posix() for place in places.values())):
            with archive.open(zipfile.ZipInfo(name, _SAME_DAY), "w") as target, (folder / name).open("rb") as source:
                shutil.copyfileobj(source, target)


def _meta(collection: Collection) -> Element:
    meta = Element("meta")
    task = SubElement(meta, "task")
    told = {"name": collection.name, "size": str(len(collection)), "mode": "annotation", "overlap": "0"}
    for key, text in told.items():
        SubElement(task, key).text = text
    labels = SubElement(task, "labels")
    for name in collection.names:
        label = SubElement(labels, "label")
        SubElement(label, "name").text = name
        attributes = SubElement(label, "attributes")
        for key in _ATTRIBUTES:
            attribute = SubElement(attributes, "attribute")
            for part, text in (("name", key), ("mutable", "False"), ("input_type", "text"), ("default_value", "")):
                SubElement(attribute, part).text = text
            SubElement(attribute, "values")
    return meta


def _raw_labels(collection: Collection) -> list[dict[str, Any]]:
    plain = {"mutable": False, "input_type": "text", "default_value": "", "values": [""]}
    attributes = [{"name": key, **plain} for key in _ATTRIBUTES]
    kind = "tag" if collection.kind in WHOLE_PICTURE else "any"
    return [{"name": name, "type": kind, "attributes": attributes} for name in collection.names]


def _image(number: int, picture: Picture, name: str) -> Element:
    width, height = picture.size_wh
    told = {"id": str(number), "name": name, "width": str(width), "height": str(height), "item": picture.id}
    own = {"part": picture.part, "group": picture.group, "complete": "" if picture.complete else "0"}
    image = Element("image", told | {key: text for key, text in own.items() if text})
    if picture.tags:
        image.set("tags", ";".join(picture.tags))
    for label in picture.labels:
        image.append(_shape(label))
    return image


def _shape(label: Label) -> Element:
    source = {"source": "auto" if label.by.kind == "model" else "manual"}
    if label.xyxy is None:
        shape = Element("tag", {"label": label.name, **source})
    else:
        told = {"label": label.name, **source, "occluded": "0", **_geometry(label), "z_order": "0"}
        tag = "box" if label.mask is None else "polygon" if "points" in told else "mask"
        shape = Element(tag, told)
    said = attributes_of(label)
    said |= {_CONFIDENCE: f"{label.confidence:.6f}"} if label.confidence is not None else {}
    said |= {TRACK_ID: str(label.track)} if label.track else {}
    for key, text in said.items():
        SubElement(shape, "attribute", {"name": key}).text = text
    return shape


def _geometry(label: Label) -> dict[str, str]:
    mask = label.mask
    if mask is None:
        assert label.xyxy is not None  # noqa: S101 - told by the caller
        sides = zip(("xtl", "ytl", "xbr", "ybr"), label.xyxy.tolist(), strict=True)
        return {side: f"{pixels:.2f}" for side, pixels in sides}
    parts = polygons(mask)
    if len(parts) == 1 and without_holes(mask) == mask:
        return {"points": ";".join(f"{x:.2f},{y:.2f}" for x, y in parts[0].tolist())}
    flat = np.concatenate([[False], mask.inside.ravel(), [not mask.inside.ravel()[-1]]])
    edges = np.flatnonzero(np.diff(flat.astype(np.int8)))
    lengths = np.diff(np.concatenate([[0], edges])).tolist()
    height, width = mask.inside.shape
    told = {"rle": ", ".join(map(str, lengths)), "left": mask.left, "top": mask.top, "width": width, "height": height}
    return {key: str(value) for key, value in told.items()}


FORMAT: Final = Format(
    "cvat", frozenset({"digits", "species", "detection", "segmentation"}), read, write, flat_places, speaks
)
