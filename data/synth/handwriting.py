"""A synthetic writer of Bengali digits: pen paths bent by a hand's habits, inked by a pen.

Everything comes from the paths of `data.synth.glyphs`; no outside picture is used. A `Hand` (one person with one
pen) is drawn once and writes many digits; each digit differs a little, as nobody writes one twice alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from data.synth.glyphs import ASPECTS, GLYPHS, Glyph

Image = NDArray[np.uint8]
Points = NDArray[np.float64]
Pen = Literal["ballpoint", "gel", "pencil", "marker"]

PENS: Final[tuple[Pen, ...]] = ("ballpoint", "gel", "pencil", "marker")
_PER_SEGMENT: Final = 12
_SHIFT: Final = 4
_SCALE: Final = 1 << _SHIFT
_MARGIN: Final = 2


@dataclass(frozen=True)
class Hand:
    """One person's way of writing with one pen.

    `ways` is the preferred variant of each digit. `slant` leans the digits (tangent, positive to the right),
    `turn` rotates them (radians), `stretch` widens them (factor), `unsteadiness` is how far points stray (share of
    the digit's height). `width` is the stroke's width (share of the height), `speed` how much it thins on straight
    runs (0 to 1). `darkness` is the ink's grey level on white, `grain` how much paper shows through (0 to 1).
    """

    ways: tuple[int, ...]
    slant: float
    turn: float
    stretch: float
    unsteadiness: float
    width: float
    speed: float
    darkness: int
    grain: float
    pen: Pen

    @classmethod
    def draw(cls, rng: np.random.Generator, pen: Pen | None = None) -> Hand:
        """A new person; with a pen of any kind unless `pen` names it."""
        pen = pen or PENS[rng.choice(len(PENS), p=(0.5, 0.2, 0.15, 0.15))]
        width, darkness, grain = _pen_habits(pen, rng)
        return cls(
            ways=tuple(int(rng.integers(len(ways))) for ways in GLYPHS),
            slant=float(np.clip(rng.normal(0.06, 0.14), -0.3, 0.4)),
            turn=float(np.clip(rng.normal(0, 0.06), -0.18, 0.18)),
            stretch=float(np.exp(rng.normal(0, 0.1))),
            unsteadiness=float(rng.uniform(0.015, 0.045)),
            width=width,
            speed=float(rng.uniform(0.0, 0.6)),
            darkness=darkness,
            grain=grain,
            pen=pen,
        )


def _pen_habits(pen: Pen, rng: np.random.Generator) -> tuple[float, int, float]:
    """Stroke width as a share of the height, grey level, grain."""
    if pen == "ballpoint":
        return rng.uniform(0.045, 0.085), int(rng.integers(20, 90)), rng.uniform(0.0, 0.25)
    if pen == "gel":
        return rng.uniform(0.06, 0.11), int(rng.integers(5, 50)), 0.0
    if pen == "pencil":
        return rng.uniform(0.05, 0.1), int(rng.integers(60, 130)), rng.uniform(0.3, 0.7)
    return rng.uniform(0.12, 0.19), int(rng.integers(5, 60)), 0.0


def write_digit(value: int, hand: Hand, rng: np.random.Generator, height: int = 64) -> Image:
    """Write one digit.

    Args:
        value: 0 to 9.
        hand: Who writes.
        rng: Makes this one differ from the last.
        height: Height of the digit in pixels, about; its width follows.

    Returns:
        (H, W) uint8, dark ink on white (255), cropped to the ink with a margin of two pixels.
    """
    strokes = _paths(value, hand, rng)
    return _inked([stroke * height for stroke in strokes], hand, rng, height)


def _paths(value: int, hand: Hand, rng: np.random.Generator) -> list[Points]:
    """The pen's way, densely sampled: x, y in heights of the digit."""
    ways = GLYPHS[value]
    way = hand.ways[value] if rng.random() < 0.85 else int(rng.integers(len(ways)))
    width = ASPECTS[value] * hand.stretch * float(np.exp(rng.normal(0, 0.06)))
    slant = hand.slant + rng.normal(0, 0.04)
    turn = hand.turn + rng.normal(0, 0.04)
    cos, sin = np.cos(turn), np.sin(turn)
    matrix = np.array([[cos, -sin], [sin, cos]]) @ np.array([[width, -slant], [0.0, 1.0]])
    return [_strayed(_smooth(stroke), rng) @ matrix.T for stroke in _loosened(ways[way], hand, rng)]


def _loosened(glyph: Glyph, hand: Hand, rng: np.random.Generator) -> list[Points]:
    """Control points moved by the hand's unsteadiness; the two of a sharp turn move together."""
    strokes = []
    for stroke in glyph:
        points = np.array(stroke)
        shift = rng.normal(0, hand.unsteadiness, points.shape)
        same = np.concatenate([[False], (points[1:] == points[:-1]).all(1)])
        shift[same] = shift[np.flatnonzero(same) - 1]
        strokes.append(points + shift)
    return strokes


def _smooth(points: Points) -> Points:
    """A Catmull-Rom curve through the points, `_PER_SEGMENT` samples a segment."""
    ends = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    before, here, there, after = ends[:-3], ends[1:-2], ends[2:-1], ends[3:]
    t = np.linspace(0, 1, _PER_SEGMENT, endpoint=False)[None, :, None]
    p0, p1, p2, p3 = (part[:, None] for part in (before, here, there, after))
    curve = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
    return np.asarray(np.concatenate([curve.reshape(-1, 2), points[-1:]]), np.float64)


def _strayed(path: Points, rng: np.random.Generator) -> Points:
    """Bend the whole path by a slow wave, and shake it by a fast faint one."""
    phase = rng.uniform(0, 6.283, (4, 2))
    slow = rng.uniform(0, 0.03, 2) * np.sin(3.5 * path[:, ::-1] + phase[0])
    along = np.linspace(0, len(path) / _PER_SEGMENT, len(path))[:, None]
    fast = rng.uniform(0, 0.006, 2) * np.sin(5.0 * along + phase[1])
    return np.asarray(path + slow + fast, np.float64)


def _inked(strokes: list[Points], hand: Hand, rng: np.random.Generator, height: int) -> Image:
    """Draw the paths as the pen would, anti-aliased, cropped to the ink."""
    base = max(1.2, hand.width * height * float(np.exp(rng.normal(0, 0.06))))
    room = base + _MARGIN + 1
    low = np.min([stroke.min(0) for stroke in strokes], 0) - room
    high = np.max([stroke.max(0) for stroke in strokes], 0) + room
    size = np.ceil(high - low).astype(int)
    cover = np.zeros((size[1], size[0]), np.uint8)
    for stroke in strokes:
        _draw_stroke(cover, stroke - low, _widths(stroke, base, hand))
    ink = _grained(cover, hand, rng)
    level = np.clip(hand.darkness + rng.normal(0, 8), 0, 160)
    image = np.round(255 - ink * ((255 - level) / 255.0)).astype(np.uint8)
    return _cropped(image, cover)


def _widths(stroke: Points, base: float, hand: Hand) -> NDArray[np.float64]:
    """Stroke width at every sample: thinner where the pen runs fast, tapered at both ends."""
    pace = np.linalg.norm(np.gradient(stroke, axis=0), axis=1)
    pace = cv2.GaussianBlur(pace[:, None], (1, 15), 0)[:, 0]
    relative = pace / max(1e-9, float(pace.mean()))
    widths = base * np.clip(1.0 - 0.45 * hand.speed * (relative - 1), 0.6, 1.25)
    ramp = np.minimum(np.arange(len(stroke)), np.arange(len(stroke))[::-1]) / (0.6 * _PER_SEGMENT)
    return np.asarray(widths * (1 - 0.35 * hand.speed * np.clip(1 - ramp, 0, 1)))


def _draw_stroke(cover: Image, stroke: Points, widths: NDArray[np.float64]) -> None:
    """Discs along the path, close enough that a thin line shows no beads."""
    run = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(stroke, axis=0), axis=1))])
    stops = np.linspace(0, run[-1], max(2, int(np.ceil(run[-1] / (0.2 * float(widths.min()))))))
    dense = np.stack([np.interp(stops, run, stroke[:, 0]), np.interp(stops, run, stroke[:, 1])], 1)
    fixed = np.round(dense * _SCALE).astype(int)
    radii = np.maximum(6, np.round(np.interp(stops, run, widths) * (_SCALE / 2))).astype(int)
    for (x, y), radius in zip(fixed.tolist(), radii.tolist(), strict=True):
        cv2.circle(cover, (x, y), radius, 255, -1, cv2.LINE_AA, _SHIFT)


def _grained(cover: Image, hand: Hand, rng: np.random.Generator) -> NDArray[np.float64]:
    """The ink's strength, 0 to 255: a pencil leaves the paper's hollows white, a ball skips a little."""
    strength = cover.astype(np.float64)
    if hand.grain:
        paper = rng.random(cover.shape)
        paper = 0.5 * paper + 0.5 * cv2.GaussianBlur(paper, (0, 0), 1.2)
        strength *= 1 - hand.grain * np.clip(2.2 * (paper - 0.35), 0, 1)
    return strength


def _cropped(image: Image, cover: Image) -> Image:
    x, y, width, height = cv2.boundingRect(cover)
    top, left = max(0, y - _MARGIN), max(0, x - _MARGIN)
    return np.ascontiguousarray(image[top : y + height + _MARGIN, left : x + width + _MARGIN])
