"""Marks on frames of footage: boxes with their track and score, in colours that colour-blind people can tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.fish.colours import PALETTE
from apps.pictures import line_of_text
from data.points import Points
from data.preprocess import Image

SMALLEST_WIDTH: Final = 640
"""Pixels: a narrower frame is enlarged before anything is written on it."""
_INK: Final = (20, 20, 20)
_PAPER: Final = (245, 245, 245)
_DASH: Final = 6
_TINT: Final = 0.25

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Mark:
    """A box in pixels of the frame (left, top, right, bottom), what is written at it, the number of its species and
    that of its colour, and whether it is counted: what is not is dashed. `outline` are the parts of its fish's outline,
    each (V, 2) pixels of the frame; it is drawn in place of the box."""

    box: Box
    text: str
    species: int
    colour: int
    counted: bool
    outline: tuple[NDArray[np.float64], ...] = ()


def bgr_of(colour: int) -> tuple[int, int, int]:
    """The colour at that position of the palette."""
    text = PALETTE[colour]
    return int(text[5:7], 16), int(text[3:5], 16), int(text[1:3], 16)


def sized(frame: Image, width: int) -> Image:
    """The frame scaled to that width; both sides are even, as video needs."""
    height, wide = frame.shape[:2]
    size = width // 2 * 2, max(2, round(height * width / wide / 2) * 2)
    if size == (wide, height):
        return frame.copy()
    way = cv2.INTER_AREA if width < wide else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(frame, size, interpolation=way), np.uint8)


def draw_marks(picture: Image, marks: Sequence[Mark], scale: float) -> None:
    """Draw the marks, in place, on a frame that was scaled so; the marks that count lie on top."""
    size = _text_size(picture)
    taken: list[tuple[int, int, int, int]] = []
    for mark in sorted(marks, key=lambda mark: mark.counted):
        if mark.outline:
            _draw_outline(picture, mark, scale)
        else:
            _draw_box(picture, _corners(picture, mark.box, scale), bgr_of(mark.colour), solid=mark.counted)
    for mark in sorted(marks, key=lambda mark: not mark.counted):
        taken.append(_draw_label(picture, mark, _corners(picture, mark.box, scale), size, taken))


def draw_points(picture: Image, points: Points, scale: float) -> None:
    """Draw a dot at each point (P, 2) of a frame that was scaled so, in place."""
    size = max(3, _text_size(picture) // 4)
    for x, y in np.round(points * scale).astype(int).tolist():
        cv2.circle(picture, (x, y), size + 1, _INK, -1, cv2.LINE_AA)
        cv2.circle(picture, (x, y), size, bgr_of(0), -1, cv2.LINE_AA)


def draw_caption(picture: Image, lines: Sequence[str], species: Sequence[tuple[int, str]], note: str) -> Image:
    """The picture with a strip below it: the lines of text, then each species by the number of its colour and its name,
    and the note."""
    size, width = _text_size(picture), picture.shape[1]
    row = round(size * 1.6)
    strip = np.full((row * (len(lines) + 1) // 2 * 2, width, 3), _INK, np.uint8)
    for number, line in enumerate(lines):
        _write(strip, fitting(line, size, width - size), (size // 2, number * row + size // 6), _PAPER)
    x, y = size // 2, len(lines) * row
    for colour, name in species:
        cv2.rectangle(strip, (x, y + row // 4), (x + size, y + row // 4 + size * 3 // 4), bgr_of(colour), -1)
        x += size * 3 // 2
        x += _write(strip, fitting(name, size, max(size, width - x)), (x, y + size // 6), _PAPER) + size
    if x + 6 * size < width:
        _write(strip, fitting(note, size, width - x), (x, y + size // 6), (190, 190, 190))
    return np.concatenate([picture, strip])


def draw_banner(picture: Image, text: str) -> None:
    """Frame the picture and write the text across its top, in place."""
    size = round(_text_size(picture) * 1.2)
    edge = max(3, size // 4)
    height, width = picture.shape[:2]
    cv2.rectangle(picture, (0, 0), (width - 1, height - 1), _PAPER, edge)
    glyphs = fitting(text, size, width - 2 * size)
    wide = glyphs.shape[1] + size
    left = (width - wide) // 2
    cv2.rectangle(picture, (left, 0), (left + wide, glyphs.shape[0] + size // 2), _PAPER, -1)
    _write(picture, glyphs, (left + size // 2, size // 4), _INK)


def fitting(text: str, size: int, width: int) -> Image:
    """(h, w) uint8 coverage of the text, cut short where it is wider than that."""
    glyphs = line_of_text(text, size)
    while glyphs.shape[1] > width and len(text) > 1:
        text = text[: max(1, min(len(text) - 1, int(len(text) * width / glyphs.shape[1])) - 1)]
        glyphs = line_of_text(f"{text}…", size)
    return glyphs


def _text_size(picture: Image) -> int:
    return max(14, round(picture.shape[1] * 0.0145))


def _corners(picture: Image, box: Box, scale: float) -> tuple[int, int, int, int]:
    left, top, right, bottom = (round(edge * scale) for edge in box)
    height, width = picture.shape[:2]
    return max(0, left), max(0, top), min(width, right) - 1, min(height, bottom) - 1


def _draw_outline(picture: Image, mark: Mark, scale: float) -> None:
    """Lines on dark edges around a light tint; what does not count is left without the tint."""
    parts = [np.round(part * scale).astype(np.int32)[:, None] for part in mark.outline]
    colour, thick = bgr_of(mark.colour), max(2, _text_size(picture) // 8)
    if mark.counted:
        low = np.clip(np.concatenate(parts).min(axis=(0, 1)), 0, None)
        high = np.concatenate(parts).max(axis=(0, 1)) + 1
        window = picture[low[1] : high[1], low[0] : high[0]]
        tinted = window.copy()
        cv2.fillPoly(tinted, parts, colour, offset=(-int(low[0]), -int(low[1])))
        window[:] = cv2.addWeighted(window, 1 - _TINT, tinted, _TINT, 0)
    cv2.polylines(picture, parts, True, _INK, thick + 2, cv2.LINE_AA)
    cv2.polylines(picture, parts, True, colour, thick, cv2.LINE_AA)


def _draw_box(picture: Image, corners: tuple[int, int, int, int], colour: tuple[int, int, int], *, solid: bool) -> None:
    """On dark edges, so that it shows on any water."""
    left, top, right, bottom = corners
    thick = max(2, _text_size(picture) // 8)
    if solid:
        cv2.rectangle(picture, (left, top), (right, bottom), _INK, thick + 2)
        cv2.rectangle(picture, (left, top), (right, bottom), colour, thick)
        return
    for start, end in (((left, top), (right, top)), ((left, bottom), (right, bottom))):
        _dashed(picture, start, end, colour, thick)
    for start, end in (((left, top), (left, bottom)), ((right, top), (right, bottom))):
        _dashed(picture, start, end, colour, thick)


def _dashed(
    picture: Image, start: tuple[int, int], end: tuple[int, int], colour: tuple[int, int, int], thick: int
) -> None:
    step = _DASH * thick
    length = max(abs(end[0] - start[0]), abs(end[1] - start[1]))
    across = end[0] > start[0]
    for at in range(0, length, 2 * step):
        to = min(at + step, length)
        ends = [(start[0] + part, start[1]) if across else (start[0], start[1] + part) for part in (at, to)]
        cv2.line(picture, ends[0], ends[1], _INK, thick + 2)
        cv2.line(picture, ends[0], ends[1], colour, thick)


def _draw_label(
    picture: Image,
    mark: Mark,
    corners: tuple[int, int, int, int],
    size: int,
    taken: Sequence[tuple[int, int, int, int]],
) -> tuple[int, int, int, int]:
    """Write at the box where nothing else is written: above it, below it, or in its corner; the place it took."""
    glyphs = line_of_text(mark.text, size)
    height, width = glyphs.shape[0], glyphs.shape[1] + 6
    left, top, _, bottom = corners
    x = max(0, min(left, picture.shape[1] - width))
    heights = [top - height, bottom + 2, top, bottom - height]
    places = [(x, y, x + width, y + height) for y in heights if 0 <= y <= picture.shape[0] - height]
    places = places or [(x, 0, x + width, height)]
    place = next((one for one in places if not any(_meet(one, other) for other in taken)), places[0])
    ground = _INK if not mark.counted else bgr_of(mark.colour)
    cv2.rectangle(picture, place[:2], (place[2] - 1, place[3] - 1), ground, -1)
    _write(picture, glyphs, (place[0] + 3, place[1]), _INK if mark.counted else _PAPER)
    return place


def _meet(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _write(picture: Image, glyphs: Image, corner: tuple[int, int], colour: tuple[int, int, int]) -> int:
    """Set the glyphs with their top left at the corner, as far as they lie in the picture; their width."""
    x, y = corner
    ground = picture[y : y + glyphs.shape[0], x : x + glyphs.shape[1]]
    cover = glyphs[: ground.shape[0], : ground.shape[1], None].astype(np.float32) / 255
    ground[:] = np.round(ground * (1 - cover) + np.array(colour, np.float32) * cover).astype(np.uint8)
    return int(glyphs.shape[1])
