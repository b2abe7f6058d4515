"""Finding the corner markers in a picture of a page, at the scale and contrast at which they show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from data.preprocess import Image

Points = NDArray[np.float32]
"""(N, 2) float32, x and y in pixels; the centre of the first pixel is (0, 0)."""

FIRST_SIDE: Final = 1400
"""Longer side, in pixels, of the picture in which markers are usually looked for."""
_WINDOWS: Final = (11, 31, 20)
_MODULES: Final = 7


@dataclass(frozen=True)
class Marker:
    """A marker in the picture: its id, and its corners clockwise from its own top left, (4, 2) float32 pixels."""

    id: int
    corners: Points

    @property
    def centre(self) -> NDArray[np.float32]:
        """(2,) mean of the corners."""
        return np.asarray(self.corners.mean(0), np.float32)

    @property
    def side(self) -> float:
        """Mean length of the sides in pixels."""
        return float(np.linalg.norm(self.corners - np.roll(self.corners, 1, 0), axis=1).mean())


def find_markers(grey: Image, enough: Callable[[Sequence[Marker]], bool]) -> list[Marker]:
    """Markers of the picture (H, W): one quick look, then harder ones until `enough` says so.

    The same id may come more than once, at places apart.
    """
    found: list[Marker] = []
    for look in _looks(grey):
        found = _merged(found, look())
        if enough(found):
            break
    return [_refined(grey, marker) for marker in found]


def find_near(grey: Image, middle: Points, reach: float) -> list[Marker]:
    """Markers within `reach` pixels of the point `middle` (2,), searched with every means."""
    height, width = grey.shape
    left, top = np.maximum(0, np.floor(middle - reach)).astype(int)
    right, bottom = np.minimum([width, height], np.ceil(middle + reach)).astype(int)
    if right - left < 24 or bottom - top < 24:
        return []
    part = np.ascontiguousarray(grey[top:bottom, left:right])
    found: list[Marker] = []
    for enhanced in (part, _equalised(part), _smoothed(part)):
        for side in (240, 480):
            found = _merged(found, _detected(_scaled(enhanced, side / max(part.shape)), part.shape, constant=4))
    shifted = [Marker(marker.id, (marker.corners + np.array([left, top])).astype(np.float32)) for marker in found]
    return [_refined(grey, marker) for marker in shifted]


def _looks(grey: Image) -> Iterator[Callable[[], list[Marker]]]:
    """From the usual to the desperate: noise, low contrast, small markers, hard shadows."""
    shape = grey.shape
    yield lambda: _detected(_halved(grey), shape, constant=9)
    yield lambda: _detected(_shrunk(grey, FIRST_SIDE), shape)
    yield lambda: _detected(_equalised(_shrunk(grey, FIRST_SIDE)), shape, constant=4)
    yield lambda: _detected(_shrunk(grey, 2600), shape, constant=4)
    yield lambda: _detected(_shrunk(grey, 800), shape)
    yield lambda: _detected(_smoothed(_shrunk(grey, 2000)), shape, constant=3)


@cache
def _detector(constant: float) -> cv2.aruco.ArucoDetector:
    parameters = cv2.aruco.DetectorParameters()
    first, last, step = _WINDOWS
    parameters.adaptiveThreshWinSizeMin = first
    parameters.adaptiveThreshWinSizeMax = last
    parameters.adaptiveThreshWinSizeStep = step
    parameters.adaptiveThreshConstant = constant
    parameters.minMarkerPerimeterRate = 0.025
    return cv2.aruco.ArucoDetector(cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_1000), parameters)


def _detected(view: Image, shape: tuple[int, ...], *, constant: float = 7) -> list[Marker]:
    """Markers seen in a view of the picture at any scale, in pixels of the picture of that shape."""
    corners, ids, _ = _detector(constant).detectMarkers(view)
    if ids is None:
        return []
    factor = np.array([shape[1] / view.shape[1], shape[0] / view.shape[0]])
    return [
        Marker(int(number), ((points.reshape(4, 2) + 0.5) * factor - 0.5).astype(np.float32))
        for number, points in zip(ids.ravel(), corners, strict=True)
    ]


def _shrunk(grey: Image, side: int) -> Image:
    return grey if max(grey.shape) <= side else _scaled(grey, side / max(grey.shape))


def _halved(grey: Image) -> Image:
    """About `FIRST_SIDE` pixels long, by a whole factor (fast), and smooth: noisy paper is full of small outlines."""
    factor = max(1, round(max(grey.shape) / FIRST_SIDE))
    height, width = grey.shape[0] // factor, grey.shape[1] // factor
    whole = grey[: height * factor, : width * factor]
    small = whole if factor == 1 else cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(small, (3, 3), 0), np.uint8)


def _scaled(grey: Image, factor: float) -> Image:
    size_wh = max(1, round(grey.shape[1] * factor)), max(1, round(grey.shape[0] * factor))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(grey, size_wh, interpolation=how), np.uint8)


def _equalised(grey: Image) -> Image:
    return np.asarray(cv2.createCLAHE(clipLimit=4.0, tileGridSize=(8, 8)).apply(grey), np.uint8)


def _smoothed(grey: Image) -> Image:
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), 1.6), np.uint8)


def _merged(markers: Iterable[Marker], more: Iterable[Marker]) -> list[Marker]:
    """All markers, those seen again at their place left out."""
    kept = list(markers)
    for marker in more:
        again = any(
            one.id == marker.id and np.linalg.norm(one.centre - marker.centre) < 0.7 * marker.side for one in kept
        )
        if not again:
            kept.append(marker)
    return sorted(kept, key=lambda marker: (marker.id, *marker.centre.tolist()))


def _refined(grey: Image, marker: Marker) -> Marker:
    """The marker with its corners to a fraction of a pixel of the full picture."""
    window = int(np.clip(0.35 * marker.side / _MODULES, 2, 12))
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 30, 0.01)
    corners = marker.corners.reshape(-1, 1, 2).copy()
    cv2.cornerSubPix(grey, corners, (window, window), (-1, -1), stop)
    moved = np.linalg.norm(corners.reshape(4, 2) - marker.corners, axis=1)
    settled = np.where((moved < 0.05 * marker.side)[:, None], corners.reshape(4, 2), marker.corners)
    return Marker(marker.id, settled.astype(np.float32))
