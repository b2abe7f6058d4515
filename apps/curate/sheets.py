"""Pictures with their labels drawn on, and many of them side by side: people look before they read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from apps.pictures import line_of_text
from data.curation.collection import Label, Picture
from data.curation.exchange.places import frame_number, is_frame
from data.errors import ShankhaError
from data.images import read_image
from data.preprocess import Image
from data.readers.detections_video import VideoFrames

BEFORE_BGR: Final = (40, 40, 210)
AFTER_BGR: Final = (60, 150, 30)
TILE: Final = 220
"""Longer side of a picture on a sheet, in pixels."""
_TEXT: Final = 14
_GAP: Final = 8
_COLUMNS: Final = 6
_PAPER: Final = 255
_LITTLE: Final = 64
"""Pictures smaller than this are enlarged without smoothing."""


@dataclass(frozen=True)
class Drawn:
    """A box to draw: `xyxy` of the label in its picture, in a colour."""

    label: Label
    bgr: tuple[int, int, int]


def tile(picture: Picture, boxes: Sequence[Drawn] = (), side: int = TILE) -> Image:
    """(h, w, 3) the picture with boxes on it, its longer side `side` pixels; grey and crossed where it cannot be read.

    Where boxes are drawn and all of them are small, what is around them is shown larger.
    """
    try:
        image = _read(picture)
    except ShankhaError:
        image = np.full((side, side, 3), 200, np.uint8)
        cv2.line(image, (0, 0), (side, side), (120, 120, 120), 2)
        return image
    left, top, right, bottom = _window(image, boxes)
    image = image[top:bottom, left:right]
    scale = side / max(image.shape[:2])
    way = cv2.INTER_NEAREST if max(image.shape[:2]) < _LITTLE else cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    shown = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=way), np.uint8)
    for one in boxes:
        if one.label.xyxy is not None:
            corners = ((one.label.xyxy - np.array([left, top, left, top], np.float32)) * scale).round().astype(int)
            x1, y1, x2, y2 = corners.tolist()
            cv2.rectangle(shown, (x1, y1), (x2, y2), one.bgr, 2)
    return shown


def _read(picture: Picture) -> Image:
    if is_frame(picture):
        image = VideoFrames(picture.path, (frame_number(picture),)).read(0)
    else:
        image = read_image(picture.path)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8) if image.ndim == 2 else image


def _window(image: Image, boxes: Sequence[Drawn]) -> tuple[int, int, int, int]:
    """The part to show: all of it, or the boxes with as much again around them."""
    height, width = image.shape[:2]
    own = [one.label.xyxy for one in boxes if one.label.xyxy is not None]
    if not own:
        return 0, 0, width, height
    corners = np.stack(own)
    low, high = corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)
    half = max(float((high - low).max()), max(width, height) / 4)
    middle = (low + high) / 2
    left, top = np.clip(np.floor(middle - half), 0, None).astype(int)
    right, bottom = np.minimum(np.ceil(middle + half), [width, height]).astype(int)
    return int(left), int(top), int(right), int(bottom)


def sheet(tiles: Sequence[Image], captions: Sequence[str], columns: int = _COLUMNS) -> Image:
    """(H, W, 3) the tiles in rows, a line of text below each; N of 1 or more."""
    width = max(one.shape[1] for one in tiles)
    rows = [
        _row(tiles[start : start + columns], captions[start : start + columns], width, columns)
        for start in range(0, len(tiles), columns)
    ]
    return np.concatenate(rows)


def _row(tiles: Sequence[Image], captions: Sequence[str], width: int, columns: int) -> Image:
    height = max(one.shape[0] for one in tiles)
    line = line_of_text("", _TEXT).shape[0]
    row = np.full((height + line + 2 * _GAP, columns * (width + _GAP) + _GAP, 3), _PAPER, np.uint8)
    for number, (one, caption) in enumerate(zip(tiles, captions, strict=True)):
        left = _GAP + number * (width + _GAP)
        row[_GAP : _GAP + one.shape[0], left : left + one.shape[1]] = one
        ink = line_of_text(caption, _TEXT)[:, :width]
        place = row[_GAP + height : _GAP + height + line, left : left + ink.shape[1]]
        place[:] = (place * (1 - ink[..., None] / 255.0)).round().astype(np.uint8)
    return row
