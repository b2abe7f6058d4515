"""Labelled datasets, as the readers give them, as collections; packed pictures are written out as files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import cv2

from data.curation.collection import Collection, Kind, Label, Part, Picture, Provenance
from data.curation.detected import group_of, labels_of
from data.errors import ArgumentError, FileAccessError, InputError, ShankhaError
from data.images import image_size
from data.labels import DIGIT_CLASSES
from data.preprocess import Image
from data.readers.crops import CropSet, CropSplit, read_crops, read_parts
from data.readers.detections import read_detections
from data.readers.detectionset import DetectionSet, PictureFiles, outlined_once
from data.readers.digits import read_digits
from data.readers.digitset import MAX_EXAMPLE_PIXELS, DigitSet, FileImages, Problem
from data.readers.npz import CMATERDB_TEST, CMATERDB_TRAIN, read_cmaterdb

Tick = Callable[[int, int], None]
"""Hears how many of how many pictures are done."""
SetT = TypeVar("SetT", DigitSet, DetectionSet)

PARTS: Final[tuple[Part, ...]] = ("train", "val", "test")
_TICK_EVERY: Final = 256


def read_collection(
    source: Path, kind: Kind, media: Path, split: str | None = None, tick: Tick | None = None
) -> Collection:
    """A labelled dataset with all of its parts.

    Pictures that are packed in an archive or a video are written as PNG files; others stay where they are. A picture
    that is missing or damaged is a problem of the collection. Boxes with outlines make a "segmentation" of what is
    called a "detection".

    Args:
        source: What the readers of that kind of dataset read.
        kind: What the labels speak of.
        media: Folder for pictures that are packed; those that lie there already are left as they are.
        split: One part (or source) alone.
        tick: Hears of the progress.

    Raises:
        ShankhaError: As the readers; or `media` cannot be written, or there is not one picture.
    """
    if kind == "digits":
        made = digits_collection(_digit_parts(source, split), source, media, tick)
    elif kind == "species":
        made = crops_collection(_crop_parts(source, split), source, tick)
    else:
        made = detections_collection(_detection_parts(source, split), source, media, tick)
    if not made.pictures:
        first = f"; the first of {len(made.problems)}: {made.problems[0].name} {made.problems[0].why}"
        raise InputError(source, f"holds no readable picture{first if made.problems else ''}")
    return made


def digits_collection(
    parts: Mapping[Part, DigitSet], source: Path, media: Path, tick: Tick | None = None
) -> Collection:
    """Digits of the parts of a dataset; see `read_collection`.

    The group of a digit is its writer or sheet; the source that it comes from is one only where no part is told.
    """
    gathered = _Gathered(source, media, _total(parts.values()), tick)
    for part, digits in parts.items():
        by = Provenance(kind="source", name=digits.name)
        labels = [(Label(name, by),) for name in DIGIT_CLASSES]
        gathered.problems += digits.problems
        files = digits.images.paths if isinstance(digits.images, FileImages) else None
        for index, place in enumerate(digits.places.tolist()):
            group = str(digits.groups[index]) if not part or digits.groups[index] != digits.sources[index] else ""
            said = _Said(labels[digits.labels[index]], part, group)
            if files is not None:
                gathered.add_file(files[place], said)
            else:
                gathered.add_packed(str(digits.names[index]), digits.images.read(place), said)
    return gathered.collection(next(iter(parts.values())).name, "digits", DIGIT_CLASSES)


def crops_collection(parts: Mapping[Part, CropSet], source: Path, tick: Tick | None = None) -> Collection:
    """Crops of fish of the parts of a dataset; see `read_collection`. The group of a crop is the fish that it shows."""
    gathered = _Gathered(source, source, _total(parts.values()), tick)
    names = tuple(dict.fromkeys(name for crops in parts.values() for name in crops.names))
    for part, crops in parts.items():
        by = Provenance(kind="source", name=crops.name)
        labels = [(Label(name, by),) for name in crops.names]
        gathered.problems += crops.problems
        for index, path in enumerate(crops.images.paths):
            gathered.add_file(path, _Said(labels[crops.labels[index]], part, str(crops.groups[index])))
    return gathered.collection(next(iter(parts.values())).name, "species", names)


def detections_collection(
    parts: Mapping[Part, DetectionSet], source: Path, media: Path, tick: Tick | None = None
) -> Collection:
    """Pictures with boxes, and outlines where there are any; see `read_collection`.

    The group of a picture is its camera site, else its clip. Where something is both boxed and outlined, the outline
    is taken.
    """
    gathered = _Gathered(source, media, _total(parts.values()), tick)
    names = tuple(dict.fromkeys(name for detections in parts.values() for name in detections.names))
    for part, detections in parts.items():
        once = outlined_once(detections)
        gathered.problems += detections.problems
        if once.boxes < detections.boxes:
            why = f"{detections.boxes - once.boxes} boxes of what is outlined too are left out"
            gathered.problems.append(Problem(part or detections.name, why))
        _take_boxes(gathered, once, part)
    outlined = any(label.mask is not None for picture in gathered.pictures for label in picture.labels)
    kind: Kind = "segmentation" if outlined else "detection"
    return gathered.collection(next(iter(parts.values())).name, kind, names)


def _take_boxes(gathered: _Gathered, detections: DetectionSet, part: Part) -> None:
    by = Provenance(kind="source", name=detections.name)
    for index, name in enumerate(detections.ids.tolist()):
        whole = bool(detections.exhaustive[index])
        said = _Said(labels_of(detections, index, by), part, group_of(detections, index), whole)
        if isinstance(detections.images, PictureFiles):
            path = detections.images.paths[int(detections.places[index])]
            gathered.add_file(path, said, detections.size_wh(index))
            continue
        try:
            gathered.add_packed(name, detections.read(index), said)
        except InputError as error:
            gathered.problems.append(Problem.of(error, name))


@dataclass(frozen=True)
class _Said:
    """What is known of a picture."""

    labels: tuple[Label, ...]
    part: Part
    group: str
    complete: bool = True


@dataclass
class _Gathered:
    """Pictures gathered so far, of `total` that there are."""

    source: Path
    media: Path
    total: int
    tick: Tick | None
    pictures: list[Picture] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def add_file(self, path: Path, said: _Said, size_wh: tuple[int, int] | None = None) -> None:
        """Take a picture that is a file; its head is read where its size is not known."""
        root = self.source if self.source.is_dir() else self.source.parent
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix().lstrip("/")
        try:
            if size_wh is not None and not path.is_file():
                raise FileAccessError(path, "is not there")
            self._add(name, path, size_wh or image_size(path, max_pixels=MAX_EXAMPLE_PIXELS), said)
        except ShankhaError as error:
            self.problems.append(Problem.of(error, name))

    def add_packed(self, name: str, image: Image, said: _Said) -> None:
        """Take picture `name`, "archive#number", that has no file, and give it one."""
        archive, _, number = name.rpartition("#")
        item = f"{Path(archive).stem}/{int(number):06d}.png"
        path = self.media / item
        if not path.is_file():
            _write(path, image)
        self._add(item, path, (image.shape[1], image.shape[0]), said)

    def _add(self, item: str, path: Path, size_wh: tuple[int, int], said: _Said) -> None:
        picture = Picture(item, path, size_wh, said.labels, said.part, said.group, said.complete)
        self.pictures.append(picture)
        if self.tick and (len(self.pictures) % _TICK_EVERY == 0 or len(self.pictures) == self.total):
            self.tick(len(self.pictures), self.total)

    def collection(self, name: str, kind: Kind, names: tuple[str, ...]) -> Collection:
        """All of it; of two pictures of one path the first is taken."""
        first: dict[str, Picture] = {}
        for picture in self.pictures:
            if first.setdefault(picture.id, picture) is not picture:
                self.problems.append(Problem(picture.id, "is in the dataset twice: the first is taken"))
        return Collection(name, kind, names, tuple(first.values()), tuple(dict.fromkeys(self.problems)))


def _write(path: Path, image: Image) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink()
        cure = "choose a folder that you may write to, with free space"
        raise FileAccessError(path, f"cannot be written ({error.strerror or error})", cure=cure) from error


def _total(parts: Iterable[DigitSet | DetectionSet | CropSet]) -> int:
    return sum(len(part) for part in parts)


def _digit_parts(source: Path, split: str | None) -> dict[Part, DigitSet]:
    """The parts of a set of digits; CMATERdb with the test pictures that repeat training pictures."""
    if (source / CMATERDB_TRAIN).is_file() or (source / CMATERDB_TEST).is_file():
        return _parts(lambda part: read_cmaterdb(source, part, copies=True), split)
    return _parts(lambda part: read_digits(source, part), split)


def _detection_parts(source: Path, split: str | None) -> dict[Part, DetectionSet]:
    return _parts(lambda part: read_detections(source, part, masks=True), split)


def _parts(read: Callable[[str | None], SetT], split: str | None) -> dict[Part, SetT]:
    """Every part of a dataset that has parts, else all of it under ""."""
    if split is not None:
        return {_part(split): read(split)}
    found: dict[Part, SetT] = {}
    for part in PARTS:
        try:
            found[part] = read(part)
        except ArgumentError:
            continue  # the readers say so where there is no such part
    return found or {"": read(None)}


def _crop_parts(source: Path, split: str | None) -> dict[Part, CropSet]:
    """The parts that a training on the folder has."""
    if split is not None:
        return {_part(split): read_crops(source, split)}
    try:
        parts = read_parts(source, CropSplit())
    except ArgumentError:  # parts of its own, but none to learn from
        return {"test": read_crops(source)}
    return {part: parts[part] for part in PARTS if part in parts}


def _part(split: str) -> Part:
    return next((part for part in PARTS if part == split), "")
