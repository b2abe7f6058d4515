"""Which pictures of a fish are looked at: along its way the best one of every second, while the frames are there.

Tracks are only known when a deployment has been read to its end, so fish are followed here by a plain rule: a box goes
on from the box of the sample before that it overlaps most, both grown by a margin. An error costs little: two fish
that are mixed up are still looked at once a second together, and every fish is looked at as soon as it appears.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from data.boxes import Boxes, areas, clipped, ious
from data.preprocess import Image

SLOT: Final = 1.0
"""Seconds of which the best picture of a fish is looked at."""
LARGEST: Final = 256
"""Pixels: a larger picture is shrunk to so long a side; species models look at smaller ones."""
_MARGIN: Final = 1.0
"""Part of its size by which a box is grown on each side to find the one before it."""
_LEAST_OVERLAP: Final = 0.1
_PATIENCE: Final = 1.0
"""Seconds that a fish may be out of sight and still be taken for the same."""
_AT_EDGE: Final = 0.5
"""What a picture that the frame's edge cuts is worth, of one that is whole."""
_SHARPEST: Final = 96.0
"""Pixels: sides (as the root of the area) beyond which a larger picture shows no more."""


@dataclass
class Chosen:
    """A picture of a fish: the detection's row in the segment, how good it is, which fish it is taken for, and when."""

    row: int
    quality: float
    fish: int
    seconds: float
    picture: Image


@dataclass
class _Fish:
    number: int
    xyxy: NDArray[np.float32]
    seen: float
    slot: float
    best: Chosen | None = None


class Chooser:
    """Follows fish through the samples of a segment and keeps for each the best picture of the second at hand."""

    def __init__(self) -> None:
        self._fish: list[_Fish] = []
        self._count = 0

    def choose(
        self, seconds: float, rows: NDArray[np.int64], xyxy: Boxes, worth: NDArray[np.float64], crops: Sequence[Image]
    ) -> list[Chosen]:
        """The next sample: N boxes, with their rows in the segment, what they are worth and views of their pictures.

        Returns:
            The pictures of seconds that have ended with it.
        """
        done = self._forget(seconds)
        fish = self._followed(seconds, xyxy)
        for at, one in enumerate(fish):
            if one.best is not None and seconds - one.slot >= SLOT:
                done.append(one.best)
                one.best, one.slot = None, seconds
            if one.best is None or worth[at] > one.best.quality:
                picture = _small(crops[at])
                one.best = Chosen(int(rows[at]), float(worth[at]), one.number, seconds, picture)
        return done

    def end(self) -> list[Chosen]:
        """The pictures that are left; the next sample begins anew."""
        left = [one.best for one in self._fish if one.best is not None]
        self._fish, self._count = [], 0
        return left

    def _forget(self, seconds: float) -> list[Chosen]:
        gone = [one for one in self._fish if seconds - one.seen > _PATIENCE]
        self._fish = [one for one in self._fish if seconds - one.seen <= _PATIENCE]
        return [one.best for one in gone if one.best is not None]

    def _followed(self, seconds: float, xyxy: Boxes) -> list[_Fish]:
        """The fish of each box; pairs that overlap most are joined first."""
        known = np.array([one.xyxy for one in self._fish], np.float32).reshape(-1, 4)
        overlaps = ious(grown(xyxy), grown(known))
        found: list[_Fish | None] = [None] * len(xyxy)
        taken: set[int] = set()
        order = np.argsort(-overlaps, axis=None, kind="stable")
        for box, fish in zip(*np.unravel_index(order, overlaps.shape), strict=True):
            if overlaps[box, fish] < _LEAST_OVERLAP:
                break
            if found[box] is None and fish not in taken:
                found[box] = self._fish[fish]
                taken.add(int(fish))
        return [self._seen(one, box, seconds) for one, box in zip(found, xyxy, strict=True)]

    def _seen(self, one: _Fish | None, box: NDArray[np.float32], seconds: float) -> _Fish:
        if one is None:
            self._count += 1
            one = _Fish(self._count, box, seconds, seconds)
            self._fish.append(one)
        one.xyxy, one.seen = box, seconds
        return one


def qualities(xyxy: Boxes, scores: NDArray[np.float32], size_wh: tuple[int, int]) -> NDArray[np.float64]:
    """(N,) how well boxes (N, 4) show their fish: surely one, large, and not cut by the edge of the frame."""
    inside = clipped(xyxy, size_wh)
    sides = np.minimum(np.sqrt(areas(inside)), _SHARPEST)
    width, height = size_wh
    cut = (xyxy[:, :2] <= 1).any(axis=1) | (xyxy[:, 2] >= width - 1) | (xyxy[:, 3] >= height - 1)
    return np.asarray(scores * sides * np.where(cut, _AT_EDGE, 1.0), np.float64)


def grown(xyxy: Boxes) -> Boxes:
    """Boxes (N, 4) grown on every side, so that a small fish that has left its box still meets it."""
    room = _MARGIN * (xyxy[:, 2:] - xyxy[:, :2])
    return np.concatenate([xyxy[:, :2] - room, xyxy[:, 2:] + room], axis=1).astype(np.float32)


def spread(seconds: NDArray[np.float64], worth: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """Positions, rising, of at most so many of N pictures: the best of each of equal parts of their time.

    Args:
        seconds: (N,) when each is, never falling.
        worth: (N,) how good each is.
        most: How many.
    """
    if len(seconds) <= most:
        return np.arange(len(seconds))
    span = max(float(seconds[-1] - seconds[0]), 1e-9)
    part = np.minimum((seconds - seconds[0]) / span * most, most - 1).astype(np.int64)
    best = [np.flatnonzero(part == one) for one in range(most)]
    return np.array([mine[worth[mine].argmax()] for mine in best if len(mine)], np.int64)


def _small(crop: Image) -> Image:
    """A copy: a view would keep its whole frame in memory."""
    height, width = crop.shape[:2]
    scale = LARGEST / max(height, width)
    if scale >= 1:
        return crop.copy()
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_AREA), np.uint8)
