"""A set of pictures with boxes around what is to be detected; pictures are decoded one by one when asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from data.boxes import Boxes, ious
from data.errors import InputError, ShankhaError
from data.images import read_image
from data.masks import Mask
from data.preprocess import Image
from data.readers.digitset import ImageStore, Problem

Labels = NDArray[np.int64]
Masks = tuple[Mask | None, ...]
"""The masks of a picture's boxes, None for a box without one."""

FISH: Final = "fish"
FISH_NAMES: Final = frozenset({FISH, "shark", "stingray", "luderick", "bream"})
"""Classes of the known datasets that a survey counts as fish."""

_SAME: Final = 0.5
"""Overlap (IoU) from which two labels are one object."""
_DEEPFISH_NAME: Final = re.compile(r"((\d{4})_.+)_f\d+")


@dataclass(frozen=True)
class PictureFiles:
    """Pictures in files, decoded at each call."""

    paths: Sequence[Path]

    def read(self, index: int) -> Image:
        """Decode the file; raises InputError or FileAccessError."""
        return read_image(self.paths[index])


@dataclass(frozen=True)
class DetectionSet:
    """N pictures with the boxes of the things in them.

    Attributes:
        name: What the set is called in tables.
        names: The classes; `labels` count into them.
        ids: (N,) str, path of each picture within the dataset ("images/val/7482_F1_f000000.jpg", "fish.mp4#7").
        sites: (N,) str, where the camera stood; "" where that is not known.
        clips: (N,) str, the recording that a picture comes from: neighbouring frames share one. Where it is not
            known, the picture's own id.
        exhaustive: (N,) whether everything of the classes is labelled, so that the rest is background.
        sizes_wh: (N, 2) int64, width and height of each picture in pixels.
        xyxy: N arrays of boxes in pixels of their picture, all of them inside it.
        labels: N arrays (n,) int64, the class of each box.
        masks: N tuples of n masks, None for a box without one; None where no masks were read.
        places: (N,) int64, index of each picture in `images`.
        images: Where the pictures are.
        problems: Pictures and boxes that could not be taken in, by file and line.
        left_out: Files left out on purpose.
    """

    name: str
    names: tuple[str, ...]
    ids: NDArray[np.str_]
    sites: NDArray[np.str_]
    clips: NDArray[np.str_]
    exhaustive: NDArray[np.bool_]
    sizes_wh: NDArray[np.int64]
    xyxy: tuple[Boxes, ...]
    labels: tuple[Labels, ...]
    places: NDArray[np.int64]
    images: ImageStore
    problems: tuple[Problem, ...] = ()
    left_out: tuple[Problem, ...] = ()
    masks: tuple[Masks, ...] | None = None

    def __post_init__(self) -> None:
        lengths = {len(getattr(self, part)) for part in (*_PER_PICTURE, "xyxy", "labels")}
        if len(lengths) != 1:
            raise ValueError(f"{self.name}: its parts differ in length")
        for boxes, labels in zip(self.xyxy, self.labels, strict=True):
            if boxes.shape != (len(labels), 4):
                raise ValueError(f"{self.name}: boxes of shape {boxes.shape} with {len(labels)} labels")
            if len(labels) and not 0 <= labels.min() <= labels.max() < len(self.names):
                raise ValueError(f"{self.name}: labels must be from 0 to {len(self.names) - 1}")
        if self.masks is not None and [len(own) for own in self.masks] != [len(own) for own in self.labels]:
            raise ValueError(f"{self.name}: there must be a mask, or None, for every box")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def boxes(self) -> int:
        """Number of boxes in all pictures."""
        return sum(len(boxes) for boxes in self.xyxy)

    def size_wh(self, index: int) -> tuple[int, int]:
        """Width and height of one picture in pixels."""
        width, height = self.sizes_wh[index]
        return int(width), int(height)

    def read(self, index: int) -> Image:
        """Decode one picture: (H, W, 3) BGR uint8 of the size in `sizes_wh`.

        Raises:
            InputError: The picture is damaged, or no longer of its size.
            FileAccessError: It cannot be read.
        """
        picture = self.images.read(int(self.places[index]))
        if picture.shape[1::-1] != self.size_wh(index):
            found = f"is {picture.shape[1]} x {picture.shape[0]} pixels"
            raise InputError(str(self.ids[index]), found, expected="{} x {}".format(*self.size_wh(index)))
        return np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR), np.uint8) if picture.ndim == 2 else picture

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.int64] | Sequence[int]) -> DetectionSet:
        """The chosen pictures, by mask or by index, in that order; problems stay with the whole."""
        index = np.asarray(chosen)
        index = np.flatnonzero(index) if index.dtype == np.bool_ else index.astype(np.int64)
        parts: dict[str, Any] = {part: getattr(self, part)[index] for part in _PER_PICTURE}
        for part in _PER_BOX:
            whole = getattr(self, part)
            parts[part] = None if whole is None else tuple(whole[i] for i in index)
        return replace(self, **parts)

    def check(self, tick: Callable[[int], None] | None = None) -> tuple[Problem, ...]:
        """Decode every picture; the set's problems and those found now. `tick` hears how many were tried so far."""
        found = list(self.problems)
        for index in range(len(self)):
            try:
                self.read(index)
            except ShankhaError as error:
                found.append(Problem.of(error, str(self.ids[index])))
            if tick:
                tick(index + 1)
        return tuple(found)


_PER_PICTURE: Final = ("ids", "sites", "clips", "exhaustive", "sizes_wh", "places")
_PER_BOX: Final = ("xyxy", "labels", "masks")


def as_fish(detections: DetectionSet, kinds: Collection[str] = FISH_NAMES) -> DetectionSet:
    """The same pictures with one class, "fish": boxes of the classes that are fish, without all others.

    Args:
        detections: Any set.
        kinds: Names of the classes that are fish, in small letters; the set's own may be written in any case.
    """
    return _renamed(detections, (FISH,), dict.fromkeys(kinds, FISH))


def with_classes(detections: DetectionSet, names: tuple[str, ...]) -> DetectionSet:
    """The same pictures with these classes in this order: boxes of the same names, in any case, without all others."""
    return _renamed(detections, names, {name.lower(): name for name in names})


def _renamed(detections: DetectionSet, names: tuple[str, ...], known: Mapping[str, str]) -> DetectionSet:
    """Labels counting into `names`; `known` tells which of them a class, in small letters, stands for."""
    meant = [known.get(name.lower()) for name in detections.names]
    places = np.array([-1 if name is None else names.index(name) for name in meant], np.int64)
    labels = [places[own] for own in detections.labels]
    return replace(
        detections,
        names=names,
        xyxy=tuple(boxes[own >= 0] for boxes, own in zip(detections.xyxy, labels, strict=True)),
        labels=tuple(own[own >= 0] for own in labels),
        masks=None if detections.masks is None else tuple(map(_kept_masks, detections.masks, labels)),
    )


def _kept_masks(masks: Masks, labels: Labels) -> Masks:
    return tuple(mask for mask, label in zip(masks, labels, strict=True) if label >= 0)


def outlined_once(detections: DetectionSet) -> DetectionSet:
    """The same pictures without boxes of what has an outline too.

    People who outline fish may have boxed some of them before: a box without a mask that overlaps one of its class with
    a mask by half or more is the same object, labelled twice. A set without masks stays as it is.
    """
    if detections.masks is None:
        return detections
    parts = zip(detections.xyxy, detections.labels, detections.masks, strict=True)
    kept = [np.flatnonzero(~_doubles(*one)) for one in parts]
    return replace(
        detections,
        xyxy=tuple(boxes[own] for boxes, own in zip(detections.xyxy, kept, strict=True)),
        labels=tuple(labels[own] for labels, own in zip(detections.labels, kept, strict=True)),
        masks=tuple(tuple(masks[i] for i in own) for masks, own in zip(detections.masks, kept, strict=True)),
    )


def _doubles(xyxy: Boxes, labels: Labels, masks: Masks) -> NDArray[np.bool_]:
    """(n,) which boxes are those of another one that has a mask."""
    plain = np.array([mask is None for mask in masks], np.bool_)
    same: NDArray[np.bool_] = (labels[:, None] == labels[None]) & ~plain[None] & (ious(xyxy, xyxy) >= _SAME)
    return np.asarray(plain & same.any(axis=1))


def joined_detections(name: str, sets: Sequence[DetectionSet]) -> DetectionSet:
    """All pictures of several sets in one; equal names become one class. Masks stay where every set has them.

    Ids and clips get the set's name in front ("deepfish/images/val/..."), so that those of two sets never meet; so do
    the sites that are known.
    """
    if not sets:
        raise ValueError("there are no sets to join")
    names = tuple(dict.fromkeys(label for one in sets for label in one.names))
    offsets = np.cumsum([0] + [len(one) for one in sets])
    return DetectionSet(
        name,
        names,
        ids=_prefixed(sets, "ids"),
        sites=_prefixed(sets, "sites"),
        clips=_prefixed(sets, "clips"),
        exhaustive=np.concatenate([one.exhaustive for one in sets]),
        sizes_wh=np.concatenate([one.sizes_wh for one in sets]),
        xyxy=tuple(boxes for one in sets for boxes in one.xyxy),
        labels=tuple(labels for one in sets for labels in _renumbered(one, names)),
        places=np.arange(offsets[-1]),
        images=_JoinedPictures(tuple(sets), offsets),
        problems=tuple(problem for one in sets for problem in one.problems),
        left_out=tuple(problem for one in sets for problem in one.left_out),
        masks=_joined_masks(sets),
    )


def _joined_masks(sets: Sequence[DetectionSet]) -> tuple[Masks, ...] | None:
    parts = [one.masks for one in sets if one.masks is not None]
    return tuple(own for part in parts for own in part) if len(parts) == len(sets) else None


def _prefixed(sets: Sequence[DetectionSet], part: str) -> NDArray[np.str_]:
    values = ((one.name, str(value)) for one in sets for value in getattr(one, part))
    return np.array([f"{name}/{value}" if value else "" for name, value in values], np.str_)


def _renumbered(one: DetectionSet, names: tuple[str, ...]) -> list[Labels]:
    places = np.array([names.index(name) for name in one.names], np.int64)
    return [places[labels] for labels in one.labels]


@dataclass(frozen=True)
class _JoinedPictures:
    sets: tuple[DetectionSet, ...]
    offsets: NDArray[np.int64]

    def read(self, index: int) -> Image:
        which = int(np.searchsorted(self.offsets, index, side="right")) - 1
        return self.sets[which].read(index - int(self.offsets[which]))


def site_and_clip(path: str) -> tuple[str, str]:
    """Camera site and recording that a picture's path tells of.

    Names like DeepFish's, `7482_F1_f000003.jpg`, hold both: the site is the four digits, the clip is what stands
    before the frame's number. Any other name tells neither: "", and the path itself.
    """
    match = _DEEPFISH_NAME.fullmatch(Path(path).stem)
    return (match[2], match[1]) if match else ("", path)
