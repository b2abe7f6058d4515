"""Looking at fish to name them: crops of each along its way, scored while the frames are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.fish.footage import SampledFrame
from apps.fish.parts.blocks import pack, pack_texts
from apps.fish.parts.choosing import Chooser, Chosen, qualities, spread
from apps.fish.parts.found import PartModel
from data.boxes import Boxes
from data.detections import Detections
from data.preprocess import Image
from data.taxonomy import Taxonomy

PICTURES: Final = 3
"""Pictures that are kept of a fish: of a segment, and in the end of its whole track."""
PICTURE_SIDE: Final = 160
"""Pixels of their longer side."""
_BATCH: Final = 32
_QUALITY: Final = 88


class Namer(Protocol):
    """Names fish in crops; see `deploy.runtime.species.SpeciesNamer`."""

    @property
    def names(self) -> tuple[str, ...]:
        """The C species."""

    def crops(self, frame: Image, xyxy: Boxes) -> list[Image]:
        """Cut the fish of boxes (N, 4) out of a frame."""

    def score(self, crops: Sequence[Image]) -> NDArray[np.float32]:
        """(N, C) log-probabilities of crops."""


@dataclass(frozen=True)
class SpeciesModel(PartModel):
    """A species model: its names, the probability of being known from which a fish gets one, and their taxonomy."""

    names: tuple[str, ...]
    threshold: float
    taxonomy: Taxonomy


class SpeciesLooker:
    """Scores the crops of each segment's fish, one a second and fish.

    Args:
        namer: What scores them.
        least_score: Detections below it are not looked at.
    """

    def __init__(self, namer: Namer, least_score: float) -> None:
        self._namer = namer
        self._least = np.float32(least_score)
        self.drop()

    def look(self, frames: Sequence[SampledFrame], found: Sequence[Detections]) -> None:
        """See `PartLooker.look`."""
        for frame, seen in zip(frames, found, strict=True):
            looked = np.flatnonzero(seen.scores >= self._least)
            size_wh = frame.image.shape[1], frame.image.shape[0]
            self._waiting += self._chooser.choose(
                frame.seconds,
                self._rows + looked,
                seen.xyxy[looked],
                qualities(seen.xyxy[looked], seen.scores[looked], size_wh),
                self._namer.crops(frame.image, seen.xyxy[looked]),
            )
            self._samples += 1
            self._rows += len(seen)
            while len(self._waiting) >= _BATCH:
                self._score(_BATCH)

    def end(self) -> bytes:
        """The block: `row` (K,), `scores` (K, C) and `weight` (K,) of the crops, and pictures of some of them."""
        self._waiting += self._chooser.end()
        self._score(len(self._waiting))
        kept = sorted(self._scored, key=lambda one: one.row)
        pictures = _pictures(kept)
        joined, edges = pack_texts([one.jpeg for one in pictures])
        scores = [one.scores for one in kept]
        block = pack(
            self._samples,
            self._rows,
            row=np.array([one.row for one in kept], np.int64),
            scores=np.stack(scores) if scores else np.zeros((0, len(self._namer.names)), np.float32),
            weight=np.array([one.quality for one in kept], np.float32),
            pictured=np.array([one.row for one in pictures], np.int64),
            jpeg=joined,
            edges=edges,
        )
        self.drop()
        return block

    def drop(self) -> None:
        """See `PartLooker.drop`."""
        self._chooser = Chooser()
        self._waiting: list[Chosen] = []
        self._scored: list[_Scored] = []
        self._samples = self._rows = 0

    def _score(self, count: int) -> None:
        now, self._waiting = self._waiting[:count], self._waiting[count:]
        if now:
            scores = self._namer.score([one.picture for one in now])
            self._scored += [_Scored.of(one, row) for one, row in zip(now, scores, strict=True)]


@dataclass(frozen=True)
class _Scored:
    """A crop that was looked at; its picture is packed at once."""

    row: int
    quality: float
    fish: int
    seconds: float
    scores: NDArray[np.float32]
    jpeg: bytes

    @classmethod
    def of(cls, one: Chosen, scores: NDArray[np.float32]) -> _Scored:
        return cls(one.row, one.quality, one.fish, one.seconds, scores, _jpeg(one.picture))


def _pictures(scored: Sequence[_Scored]) -> list[_Scored]:
    """A few of each fish, in the order of their rows."""
    of_fish: dict[int, list[_Scored]] = {}
    for one in scored:
        of_fish.setdefault(one.fish, []).append(one)
    chosen = [
        mine[at]
        for mine in of_fish.values()
        for at in spread(np.array([one.seconds for one in mine]), np.array([one.quality for one in mine]), PICTURES)
    ]
    return sorted(chosen, key=lambda one: one.row)


def _jpeg(picture: Image) -> bytes:
    height, width = picture.shape[:2]
    scale = PICTURE_SIDE / max(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    _, packed = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return packed.tobytes()
