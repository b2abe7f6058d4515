"""Footage of red, white and green blobs, and parts of a survey that name, outline and count them from their pixels."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from apps.fish.footage import SampledFrame
from apps.fish.parts.dense import DenseLooker, DenseModel
from apps.fish.parts.found import PartModel
from apps.fish.parts.looking import FrameDetector
from apps.fish.parts.masks import MaskLooker
from apps.fish.parts.sources import ArtifactPart
from apps.fish.parts.species import SpeciesLooker, SpeciesModel
from data.boxes import Boxes, no_boxes
from data.detections import Detections
from data.errors import InputError
from data.masks import Mask, from_picture
from data.preprocess import Image
from data.species import crops_around
from data.taxonomy import Taxon, Taxonomy

WIDTH, HEIGHT, RATE = 160, 96, 30
WATER = (60, 40, 20)
COLOURS = {"r": (150, 150, 255), "w": (250, 250, 250), "g": (140, 255, 140)}
NAMES = ("Pagrus rubra", "Girella alba")
TAXONOMY = Taxonomy(
    taxa=(
        Taxon(key="Pagrus rubra", family="Sparidae", genus="Pagrus", species="rubra", caab="37353001", worms=218),
        Taxon(key="Girella alba", family="Kyphosidae", genus="Girella", species="alba"),
    )
)
BROKEN = "broken"
"""A model of this name fails when it is loaded; one of the name `DAMAGED` fails when it is described."""
DAMAGED = "damaged"
STUMBLES = "stumbles"
"""A model of this name fails where a frame shows five blobs or more."""


def school(number: int, kinds: str) -> Image:
    """Blobs of those colours, one below the other, swimming to the right."""
    frame = np.full((HEIGHT, WIDTH, 3), WATER, np.uint8)
    for place, kind in enumerate(kinds):
        left = (number // 2 + 23 * place) % (WIDTH - 20)
        cv2.ellipse(frame, (left + 9, 8 + 13 * place), (8, 4), 0, 0, 360, COLOURS[kind], -1)
    return frame


def write_school(path: Path, spells: Sequence[tuple[int, str]]) -> Path:
    """A video of spells: so many frames each, with blobs of those colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shown = [kinds for frames, kinds in spells for _ in range(frames)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "crf": "12", "g": "30"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number, kinds in enumerate(shown):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(school(number, kinds), format="bgr24")))
        container.mux(stream.encode(None))
    return path


def blobs(frame: Image) -> list[Mask]:
    """The pixels of every blob."""
    count, numbers = cv2.connectedComponents((frame.max(axis=2) > 120).astype(np.uint8))
    found = [from_picture(numbers == number) for number in range(1, count)]
    return [one for one in found if one.inside.sum() >= 10]


def _check(frame: Image, name: str) -> None:
    if name == STUMBLES and len(blobs(frame)) >= 5:
        raise InputError("models/stumbles", "answers with what is no number", cure="export the artifact again")


@dataclass(frozen=True)
class ColourNamer:
    """Red ones are Pagrus rubra, white ones Girella alba, and green ones nobody knows."""

    name: str
    names: tuple[str, ...] = NAMES

    def crops(self, frame: Image, xyxy: Boxes) -> list[Image]:
        _check(frame, self.name)
        return crops_around(frame, xyxy, 0.1)

    def score(self, crops: Sequence[Image]) -> NDArray[np.float32]:
        return np.stack([self._of(crop) for crop in crops])

    def _of(self, crop: Image) -> NDArray[np.float32]:
        bright = crop[crop.max(axis=2) > 120]
        blue, green, red = bright.mean(axis=0) if len(bright) else (0, 255, 0)
        known = 0.05 if green > max(blue, red) + 40 else 0.95
        rubra = 0.9 if red > green + 40 else 0.1
        return np.log(np.array([known * rubra, known * (1 - rubra)], np.float32))


@dataclass(frozen=True)
class Outlined:
    detections: Detections
    masks: tuple[Mask, ...]


class BlobSegmenter:
    def __init__(self, name: str) -> None:
        self.name = name

    def segment(self, frames: Sequence[Image]) -> list[Outlined]:
        return [self._of(frame) for frame in frames]

    def _of(self, frame: Image) -> Outlined:
        _check(frame, self.name)
        masks = tuple(blobs(frame))
        boxes = np.stack([mask.xyxy for mask in masks]) if masks else no_boxes()
        return Outlined(Detections(boxes, np.ones(len(masks), np.float32), np.zeros(len(masks), np.int64)), masks)


@dataclass(frozen=True)
class Count:
    count: float
    points: NDArray[np.float32]


class BlobCounter:
    """Counts every blob, and half a blob more."""

    def __init__(self, name: str) -> None:
        self.name = name

    def count(self, frames: Sequence[Image]) -> list[Count]:
        for frame in frames:
            _check(frame, self.name)
        found = [np.stack([mask.xyxy for mask in blobs(frame)]) if blobs(frame) else no_boxes() for frame in frames]
        return [Count(len(boxes) + 0.5, ((boxes[:, :2] + boxes[:, 2:]) / 2).astype(np.float32)) for boxes in found]


class _Blobs(ArtifactPart):
    def described(self) -> tuple[str, str]:
        if self.folder.name == DAMAGED:
            raise InputError(self.folder / "spec.json", "is not valid JSON (char 0)", cure="export the artifact again")
        return f"{self.name}-{self.folder.name}", self.folder.name

    def loaded(self) -> str:
        if self.folder.name == BROKEN:
            raise InputError(self.folder / "model.onnx", "cannot be loaded (bad protobuf)", cure="copy it again")
        return self.folder.name


class BlobSpecies(_Blobs):
    name = "species"

    def describe(self) -> SpeciesModel:
        return SpeciesModel(*self.described(), NAMES, 0.5, TAXONOMY)

    def load(self, detector: FrameDetector) -> SpeciesLooker:
        return SpeciesLooker(ColourNamer(self.loaded()), self.least_score)


class BlobMasks(_Blobs):
    name = "masks"

    def describe(self) -> PartModel:
        return PartModel(*self.described())

    def load(self, detector: FrameDetector) -> MaskLooker:
        return MaskLooker(BlobSegmenter(self.loaded()), self.least_score)


class BlobDense(_Blobs):
    name = "dense"

    def describe(self) -> DenseModel:
        return DenseModel(*self.described(), 5.0)

    def load(self, detector: FrameDetector) -> DenseLooker:
        return DenseLooker(BlobCounter(self.loaded()))


class Death(SpeciesLooker):
    """Ends its process, as a network does that runs out of memory."""

    def look(self, frames: Sequence[SampledFrame], found: Sequence[Detections]) -> None:
        if any(len(one) >= 5 for one in found):
            os.kill(os.getpid(), signal.SIGKILL)
        super().look(frames, found)


class DeadlySpecies(BlobSpecies):
    """Loads the one that ends its process."""

    def load(self, detector: FrameDetector) -> SpeciesLooker:
        return Death(ColourNamer(self.loaded()), self.least_score)
