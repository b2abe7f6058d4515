"""Pictures that repeat others: exactly, pixel by pixel, or nearly - cropped, compressed, brighter, resized.

Nearly alike is decided in four steps, each dearer and stricter than the one before:

1. Candidates: for every picture the others nearest to it by a descriptor of its edges (how strong they are in each of
   eight directions and sixteen cells), which a crop moves little.
2. A coarse search over crops of one of the two, at ten pixels a side, by normalised correlation.
3. Registration of the two from the best crop by the enhanced correlation coefficient (Evangelidis and Psarakis,
   "Parametric image alignment using enhanced correlation coefficient maximization", PAMI 2008): only a stretch and a
   shift, as a crop makes them, are believed.
4. The correlation of their gradients where they overlap.

Brightness and contrast change none of these. The last step looks at edges because what two people write alike, or two
fish that look alike, differ in where edges run by a pixel or so, which grey levels hide and gradients show.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from data.curation.neighbours import nearest
from data.errors import ShankhaError
from data.preprocess import Image
from data.readers.digitset import Problem

Grey = NDArray[np.float32]

LEAST_LIKENESS: Final = 0.955
"""Correlation of gradients from which two pictures are one; chosen on planted copies of training pictures."""
_NEIGHBOURS: Final = 15
_SMALL, _LARGE = 32, 64
"""Sides that pictures are compared at: those of up to 48 pixels at the small one."""
_COARSE: Final = 10
_CUTS: Final = (0.0, 0.06, 0.12)
"""What a crop may take from each edge, as shares of the side; registration finds what lies between."""
_LEAST_COARSE: Final = 0.945
_EVEN: Final = 10
_MOST_UNEVEN: Final = 0.02
_STANDS_OUT: Final = 0.25
_CELLS, _DIRECTIONS = 4, 8
_SMOOTH: Final = 0.8
_ITERATIONS: Final = 30
_MOST_SHEAR: Final = 0.08
_MOST_STRETCH: Final = 1.45
_LEAST_OVERLAP: Final = 0.5
_BLOCK: Final = 500
_THREADS: Final = 2
_EVERYWHERE: Final = {side: np.full((side, side), 255, np.uint8) for side in (_SMALL, _LARGE)}


@dataclass(frozen=True)
class Duplicates:
    """Which of N pictures are one.

    Attributes:
        count: N.
        pairs: (P, 2) int64, the earlier picture first, sorted. Of several exact copies each is paired with the first;
            only that one is compared with others for being nearly alike.
        exact: (P,) whether they are the same pixel by pixel.
        likeness: (P,) float32, correlation of their gradients after registration; 1 for exact copies.
        problems: Pictures that could not be read; they repeat nothing.
    """

    count: int
    pairs: NDArray[np.int64]
    exact: NDArray[np.bool_]
    likeness: NDArray[np.float32]
    problems: tuple[Problem, ...] = ()

    def first(self) -> NDArray[np.int64]:
        """(N,) the first picture that each repeats itself, not by way of others; -1 where it repeats none before it."""
        found = np.full(self.count, self.count, np.int64)
        np.minimum.at(found, self.pairs[:, 1], self.pairs[:, 0])
        return np.where(found < self.count, found, -1)

    def groups(self) -> NDArray[np.int64]:
        """(N,) lowest picture of the group that each belongs to, by way of any others."""
        group = np.arange(self.count)
        while True:
            lowest = np.minimum(group[self.pairs[:, 0]], group[self.pairs[:, 1]])
            before = group.copy()
            np.minimum.at(group, self.pairs[:, 0], lowest)
            np.minimum.at(group, self.pairs[:, 1], lowest)
            group = group[group]
            if np.array_equal(group, before):
                return group


def find_duplicates(
    read: Callable[[int], Image],
    count: int,
    name: Callable[[int], str] = str,
    tick: Callable[[int], None] | None = None,
) -> Duplicates:
    """Find pictures that repeat others.

    Args:
        read: Decodes a picture by index: (H, W) or (H, W, 3) BGR uint8; may raise a ShankhaError.
        count: How many there are.
        name: What a picture is called in problems.
        tick: Hears how many have been decoded.
    """
    looks, problems = _looks(read, count, name, tick)
    first_of: dict[bytes, int] = {}
    copies = [
        (first, look.index) for look in looks if (first := first_of.setdefault(look.hash, look.index)) != look.index
    ]
    alone = [look for look in looks if first_of[look.hash] == look.index]
    near = _near([look.grey for look in alone])
    rows = [(*pair, True, 1.0) for pair in copies]
    rows += [(alone[one].index, alone[other].index, False, likeness) for one, other, likeness in near]
    rows.sort()
    return Duplicates(
        count,
        np.array([row[:2] for row in rows], np.int64).reshape(-1, 2),
        np.array([row[2] for row in rows], np.bool_),
        np.array([row[3] for row in rows], np.float32),
        problems,
    )


@dataclass(frozen=True)
class _Look:
    """One picture: its index, a hash of its pixels, and its grey levels at the side that it is compared at, uint8."""

    index: int
    hash: bytes
    grey: Image


def _looks(
    read: Callable[[int], Image], count: int, name: Callable[[int], str], tick: Callable[[int], None] | None
) -> tuple[list[_Look], tuple[Problem, ...]]:
    looks: list[_Look] = []
    problems: list[Problem] = []
    for index in range(count):
        try:
            looks.append(_look(index, read(index)))
        except ShankhaError as error:
            problems.append(Problem.of(error, name(index)))
        if tick:
            tick(index + 1)
    return looks, tuple(problems)


def _look(index: int, image: Image) -> _Look:
    if image.ndim == 3 and (image[..., 0] == image[..., 1]).all() and (image[..., 1] == image[..., 2]).all():
        image = image[..., 0]  # grey is grey, however many channels a file has
    told = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
    told.update(np.ascontiguousarray(image).tobytes())
    grey = image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
    grey = _content(grey)
    side = _SMALL if max(grey.shape) <= (_SMALL + _LARGE) // 2 else _LARGE
    return _Look(index, told.digest(), _resized(grey, side))


def _content(grey: Image) -> Image:
    """What stands out from an even ground, such as a small digit in an empty cell; elsewhere the whole picture.

    What is small is thereby compared as closely as what fills its picture.
    """
    rim = np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]]).astype(np.int16)
    ground = int(np.median(rim))
    if (np.abs(rim - ground) > _EVEN).mean() > _MOST_UNEVEN:
        return grey
    away = np.abs(grey.astype(np.int16) - ground)
    there = away > max(_EVEN, _STANDS_OUT * int(away.max()))
    rows, columns = np.flatnonzero(there.any(axis=1)), np.flatnonzero(there.any(axis=0))
    if not len(rows):
        return grey
    top, left = max(int(rows[0]) - 1, 0), max(int(columns[0]) - 1, 0)
    return grey[top : int(rows[-1]) + 2, left : int(columns[-1]) + 2]


def _resized(grey: Image, side: int) -> Image:
    how = cv2.INTER_AREA if min(grey.shape) > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(grey, (side, side), interpolation=how), np.uint8)


def _near(pictures: list[Image]) -> list[tuple[int, int, float]]:
    """Pairs of pictures that are nearly alike, the earlier first, with their likeness."""
    if len(pictures) < 2:
        return []
    small = np.stack([_smoothed(_resized(grey, _SMALL), 1.0) for grey in pictures])
    near = nearest(_descriptors(small), _NEIGHBOURS).indices
    one, other = np.repeat(np.arange(len(near)), near.shape[1]), near.ravel()
    pairs = np.unique(np.stack([np.minimum(one, other), np.maximum(one, other)], axis=1)[other >= 0], axis=0)
    likely = _coarsely(small, pairs)
    # OpenCV leaves the interpreter to the others while it works.
    with ThreadPoolExecutor(_THREADS) as threads:
        likenesses = list(threads.map(lambda pair: _likeness(pictures[pair[0]], pictures[pair[1]], pair[2]), likely))
    return [
        (min(inner, outer), max(inner, outer), likeness)
        for (inner, outer, _), likeness in zip(likely, likenesses, strict=True)
        if likeness >= LEAST_LIKENESS
    ]


def _smoothed(grey: Image | Grey, deviation: float) -> Grey:
    return np.asarray(cv2.GaussianBlur(np.asarray(grey, np.float32), (0, 0), deviation), np.float32)


def _gradient(grey: Grey) -> tuple[Grey, Grey]:
    along, down = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    return np.asarray(along, np.float32), np.asarray(down, np.float32)


def _unit(values: Grey) -> Grey:
    """Less the mean and of length 1 along the last axis; what is even becomes zeros."""
    away = values - values.mean(axis=-1, keepdims=True)
    lengths = np.linalg.norm(away, axis=-1, keepdims=True)
    return np.asarray(away / np.where(lengths > 1e-3, lengths, np.inf), np.float32)


def _descriptors(small: Grey) -> Grey:
    """(N, 128) square roots of how strong edges are by cell and direction, of pictures (N, 32, 32)."""
    return np.concatenate([_edges(small[start : start + _BLOCK]) for start in range(0, len(small), _BLOCK)])


def _edges(small: Grey) -> Grey:
    pairs = [_gradient(grey) for grey in small]
    along, down = np.stack([pair[0] for pair in pairs]), np.stack([pair[1] for pair in pairs])
    place = np.arctan2(down, along) / (2 * np.pi) * _DIRECTIONS % _DIRECTIONS
    strength = np.hypot(along, down)
    weights = _cell_weights()
    cells = [
        weights @ (strength * np.clip(1 - np.abs((place - towards + 4) % _DIRECTIONS - 4), 0, None)) @ weights.T
        for towards in range(_DIRECTIONS)
    ]
    return _unit(np.sqrt(np.stack(cells, axis=-1).reshape(len(small), -1)))


def _cell_weights() -> Grey:
    """(4, 32) how much each row counts for each row of cells: smooth, so that an edge may move a little."""
    middles = (np.arange(_CELLS)[:, None] + 0.5) * _SMALL / _CELLS
    weights = np.exp(-0.5 * ((np.arange(_SMALL) + 0.5 - middles) / (0.6 * _SMALL / _CELLS)) ** 2)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


_CROPS: Final = tuple((first, 1 - last) for first in _CUTS for last in _CUTS)
"""Where a crop begins and ends along one side; the first is the whole side."""


def _crop_weights() -> Grey:
    """(crops * 10, 32) that shrink each of `_CROPS` of a side to ten pixels, by area."""
    rows = []
    for begin, end in _CROPS:
        edges = np.linspace(begin, end, _COARSE + 1) * _SMALL
        pixels = np.arange(_SMALL)
        covered = np.minimum(pixels + 1, edges[1:, None]) - np.maximum(pixels, edges[:-1, None])
        rows.append(np.clip(covered, 0, None))
    weights = np.concatenate(rows)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


Crop = tuple[float, float, float, float]
"""Left, top, right, bottom as shares of a picture's sides."""


def _coarsely(small: Grey, pairs: NDArray[np.int64]) -> list[tuple[int, int, Crop]]:
    """Pairs of which one is nearly a crop of the other: which one, of which, and the crop."""
    weights = _crop_weights()
    whole = _unit(np.asarray(weights[:_COARSE] @ small @ weights[:_COARSE].T, np.float32).reshape(len(small), -1))
    both = np.concatenate([pairs, pairs[:, ::-1]])
    order = np.argsort(both[:, 0], kind="stable")
    outer, inner = both[order].T
    starts = np.searchsorted(outer, np.arange(len(small) + 1))
    best = np.full(len(both), -1.0, np.float32)
    which = np.zeros(len(both), np.int64)
    for number in np.unique(outer):
        own = slice(starts[number], starts[number + 1])
        crops = _cropped(small[number], weights)
        alike = crops @ whole[inner[own]].T
        best[own], which[own] = alike.max(axis=0), alike.argmax(axis=0)
    back = np.empty(len(both), np.int64)
    back[order] = np.arange(len(both))
    one_way, other_way = back[: len(pairs)], back[len(pairs) :]
    better = np.where(best[one_way] >= best[other_way], one_way, other_way)
    kept = better[best[better] >= _LEAST_COARSE]
    return [(int(inner[place]), int(outer[place]), _crop(int(which[place]))) for place in kept]


def _cropped(grey: Grey, weights: Grey) -> Grey:
    """(crops, 100) every crop of a picture (32, 32), shrunk to ten pixels a side."""
    count = len(_CROPS)
    parts = np.asarray(weights @ grey @ weights.T, np.float32).reshape(count, _COARSE, count, _COARSE)
    return _unit(parts.transpose(0, 2, 1, 3).reshape(count * count, -1))


def _crop(number: int) -> Crop:
    (top, bottom), (left, right) = _CROPS[number // len(_CROPS)], _CROPS[number % len(_CROPS)]
    return left, top, right, bottom


def _likeness(inner: Image, outer: Image, crop: Crop) -> float:
    """Correlation of the gradients of two pictures of which one is about a crop of the other; 0 where it is none."""
    side = min(len(inner), len(outer))
    one, other = (np.asarray(_resized(grey, side) if len(grey) > side else grey, np.float32) for grey in (inner, outer))
    warp = _registered(_smoothed(one, _SMOOTH), _smoothed(other, _SMOOTH), crop)
    if warp is None:
        return 0.0
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(other, warp, (side, side), flags=how, borderMode=cv2.BORDER_REPLICATE)
    covered = cv2.warpAffine(np.ones((side, side), np.uint8), warp, (side, side), flags=how)
    there = cv2.erode(covered, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=1) > 0
    if there.mean() < _LEAST_OVERLAP:
        return 0.0
    # Both are smoothed after the move, which smooths too: what it blurred is then blurred in the other alike.
    one_edges, other_edges = (
        np.concatenate([part[there] for part in _gradient(_smoothed(grey, _SMOOTH))])
        for grey in (one, np.asarray(moved, np.float32))
    )
    lengths = float(np.linalg.norm(one_edges)) * float(np.linalg.norm(other_edges))
    return float(one_edges @ other_edges) / lengths if lengths > 1e-6 else 0.0


def _registered(inner: Grey, outer: Grey, crop: Crop) -> NDArray[np.float32] | None:
    """(2, 3) from pixels of the inner picture to those of the outer one; None where they are no crop of each other."""
    side = len(inner)
    left, top, right, bottom = crop
    wide, high = right - left, bottom - top
    # Pixels are counted by their middles.
    shift_x, shift_y = left * side + (wide - 1) / 2, top * side + (high - 1) / 2
    warp = np.array([[wide, 0, shift_x], [0, high, shift_y]], np.float32)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _ITERATIONS, 1e-4)
    try:
        _, found = cv2.findTransformECC(inner, outer, warp, cv2.MOTION_AFFINE, stop, _EVERYWHERE[len(inner)], 3)
    except cv2.error:  # nothing in common, or nothing to see
        return None
    stretches = found[0, 0], found[1, 1]
    if max(abs(found[0, 1]), abs(found[1, 0])) > _MOST_SHEAR:
        return None
    if not all(1 / _MOST_STRETCH <= stretch <= _MOST_STRETCH for stretch in stretches):
        return None
    return np.asarray(found, np.float32)
