"""Paints a fish from its plan: body, fins, eye, markings, shading; nose to the right, in white light from above."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from data.synth.fish_plans import Colour, Fin, FishPlan, Profile

Field = NDArray[np.float32]
Points = NDArray[np.float64]

PAINTED_LENGTH: Final = 400
"""Pixels from the snout to the end of the tail."""
_BORDER: Final = 6
_SHIFT: Final = 4


@dataclass(frozen=True)
class _Canvas:
    """Coordinates of every pixel: `along` (1, W) from the snout (0) to the tail (1), `up` (H, 1) above the axis."""

    along: Field
    up: Field
    axis_row: float

    @property
    def shape(self) -> tuple[int, int]:
        return self.up.shape[0], self.along.shape[1]

    def mask(self, outline: Points) -> Field:
        """(H, W) 0..1: inside the outline, given as (K, 2) along and up."""
        x = (1 - outline[:, 0]) * PAINTED_LENGTH + _BORDER
        y = self.axis_row - outline[:, 1] * PAINTED_LENGTH
        corners = np.round((np.stack([x, y], 1) - 0.5) * (1 << _SHIFT)).astype(np.int32)
        filled = np.zeros(self.shape, np.uint8)
        cv2.fillPoly(filled, [corners], 255, cv2.LINE_AA, _SHIFT)
        return np.asarray(filled, np.float32) / np.float32(255)


@dataclass(frozen=True)
class FishFigure:
    """A fish's parts on the canvas: `masks` (H, W) 0..1 by name, and the row of the body's axis."""

    canvas: _Canvas
    masks: Mapping[str, Field]
    height: float

    @classmethod
    def of(cls, plan: FishPlan, height: float) -> FishFigure:
        """The parts of a fish whose height is that of its plan, times `height`."""
        outlines = _outlines(plan)
        for outline in outlines.values():
            outline[:, 1] *= height
        canvas = _canvas(np.concatenate(list(outlines.values())))
        return cls(canvas, {name: canvas.mask(outline) for name, outline in outlines.items()}, height)

    @property
    def axis_row(self) -> float:
        """Row of the body's axis."""
        return self.canvas.axis_row

    def cover(self) -> Field:
        """(H, W) 0..1: the whole animal."""
        return np.asarray(np.maximum.reduce(list(self.masks.values())), np.float32)


def painted(plan: FishPlan, figure: FishFigure, rng: np.random.Generator) -> Field:
    """Paint a fish.

    Args:
        plan: Its species.
        figure: Its parts.
        rng: For its markings.

    Returns:
        (H, W, 4) float32 BGRA, 0 to 255, colours multiplied by alpha.
    """
    canvas, masks = figure.canvas, figure.masks
    picture = np.zeros((*canvas.shape, 4), np.float32)
    for name in sorted(masks.keys() - {"body", "pectoral"}):
        colour = plan.tail_fin if name == "tail" else plan.fins
        _lay(picture, masks[name] * _webbing(name, plan, canvas), _fin_colour(name, colour, plan, canvas))
    _lay(picture, masks["body"], _body_colour(plan, canvas, figure.height, rng))
    _lay(picture, 0.5 * masks["pectoral"], 1.1 * _fin_colour("pectoral", plan.fins, plan, canvas))
    _draw_eye(picture, canvas, plan, figure.height)
    return picture


def _outlines(plan: FishPlan) -> dict[str, Points]:
    outlines = {f"dorsal {number}": _fin(fin, plan.upper, 1) for number, fin in enumerate(plan.dorsal)}
    outlines |= {f"anal {number}": _fin(fin, plan.lower, -1) for number, fin in enumerate(plan.anal)}
    return outlines | {
        "pelvic": _fin(plan.pelvic, plan.lower, -1),
        "tail": _tail(plan),
        "body": _body(plan),
        "pectoral": _pectoral(plan),
    }


def profile_at(profile: Profile, along: NDArray[np.floating]) -> Points:
    """Distance of the body's edge from the axis; rounded at the snout, smooth behind it."""
    knots = np.array(profile)
    # in the root of the length a straight line is a parabola: the snout comes out round
    fine = np.linspace(0, np.sqrt(knots[-1, 0]), 240)
    heights = np.interp(fine, np.sqrt(knots[:, 0]), knots[:, 1])
    kernel = np.hanning(31) / np.hanning(31).sum()
    padded = np.pad(heights, 15, mode="reflect", reflect_type="odd")
    smooth = np.convolve(padded, kernel, "valid")
    return np.asarray(np.interp(np.sqrt(np.clip(along, 0, None)), fine, np.maximum(smooth, 0)))


def _body(plan: FishPlan) -> Points:
    along = np.linspace(0, np.sqrt(plan.tail.root + 0.015), 70) ** 2
    upper = np.stack([along, profile_at(plan.upper, along)], 1)
    lower = np.stack([along, -profile_at(plan.lower, along)], 1)
    return np.concatenate([upper, lower[::-1]])


def _fin(fin: Fin, profile: Profile, side: int) -> Points:
    share = np.linspace(0, 1, 24)
    roots = fin.start + share * (fin.end - fin.start)
    rise = np.minimum(share / 0.16, 1) ** 0.7
    heights = (fin.front * (1 - share) ** 1.3 + fin.back * share**0.8) * rise
    tips = roots + fin.sweep * heights / max(heights.max(), 1e-9)
    edge = profile_at(profile, roots)
    top = np.stack([tips, edge + heights], 1)
    root = np.stack([roots, edge - 0.02], 1)
    outline = np.concatenate([top, root[::-1]])
    outline[:, 1] *= side
    return outline


def _tail(plan: FishPlan) -> Points:
    tail = plan.tail
    length = 1 - tail.root
    neck = float(profile_at(plan.upper, np.array([tail.root]))[0])
    if tail.fork >= 0:
        notch = 1 - tail.fork * length
        upper = _curve(
            (tail.root - 0.02, neck * 0.9), (tail.root + 0.35 * length, 0.26 * tail.span), (1, tail.span / 2)
        )
        inner = _curve((1, tail.span / 2), (notch + 0.15 * (1 - notch), 0.14 * tail.span), (notch, 0))
    else:
        corner = 1 + tail.fork * length
        upper = _curve(
            (tail.root - 0.02, neck * 0.9), (tail.root + 0.4 * length, 0.5 * tail.span), (corner, tail.span / 2)
        )
        inner = _curve((corner, tail.span / 2), (1, 0.36 * tail.span), (1, 0))
    half = np.concatenate([upper, inner])
    return np.concatenate([half, half[::-1] * (1, -1)])


def _pectoral(plan: FishPlan) -> Points:
    start, low = 0.265, -0.2 * float(profile_at(plan.lower, np.array([0.27]))[0])
    upper = _curve((start, low + 0.012), (start + 0.07, low + 0.005), (start + 0.14, low - 0.035))
    lower = _curve((start + 0.14, low - 0.035), (start + 0.05, low - 0.06), (start, low - 0.012))
    return np.concatenate([upper, lower])


def _curve(start: tuple[float, float], control: tuple[float, float], end: tuple[float, float]) -> Points:
    share = np.linspace(0, 1, 14)[:, None]
    return np.asarray((1 - share) ** 2 * start + 2 * share * (1 - share) * np.array(control) + share**2 * np.array(end))


def _canvas(points: Points) -> _Canvas:
    top, bottom = points[:, 1].max(), points[:, 1].min()
    axis_row = float(np.ceil(top * PAINTED_LENGTH) + _BORDER)
    rows = int(np.ceil(axis_row - bottom * PAINTED_LENGTH)) + _BORDER
    columns = np.arange(PAINTED_LENGTH + 2 * _BORDER) + 0.5
    along = 1 - (columns - _BORDER) / PAINTED_LENGTH
    up = (axis_row - np.arange(rows) - 0.5) / PAINTED_LENGTH
    return _Canvas(along.astype(np.float32)[None], up.astype(np.float32)[:, None], axis_row)


def _lay(picture: Field, cover: Field, colour: Field) -> None:
    """Lay a colour (H, W, 3) over the picture where `cover` says."""
    picture *= 1 - cover[..., None]
    picture[..., :3] += cover[..., None] * np.clip(colour, 0, 255)
    picture[..., 3] += cover * 255


def _rays(name: str, plan: FishPlan, canvas: _Canvas) -> Field:
    """-1..1: the rays of a fin."""
    if name == "tail":
        angle = np.arctan2(canvas.up, canvas.along - plan.tail.root + 0.12)
        return np.asarray(np.cos(angle * 70), np.float32)
    lean = -0.7 if name.startswith(("anal", "pelvic", "pectoral")) else 0.7
    return np.asarray(np.cos((canvas.along - lean * canvas.up) * 330), np.float32)


def _webbing(name: str, plan: FishPlan, canvas: _Canvas) -> Field:
    """Alpha of a fin: the skin between the rays lets some water through."""
    return np.asarray(0.78 + 0.12 * _rays(name, plan, canvas), np.float32)


def _fin_colour(name: str, colour: Colour, plan: FishPlan, canvas: _Canvas) -> Field:
    shade = 1 - 0.14 * _rays(name, plan, canvas)
    if name == "tail":
        shade = shade * (1.05 - 0.9 * np.clip(canvas.along - plan.tail.root, 0, None))
    return np.asarray(shade[..., None] * np.array(colour, np.float32), np.float32)


def _body_colour(plan: FishPlan, canvas: _Canvas, height: float, rng: np.random.Generator) -> Field:
    upper = np.maximum(profile_at(plan.upper, canvas.along[0]) * height, 1e-3)
    lower = np.maximum(profile_at(plan.lower, canvas.along[0]) * height, 1e-3)
    # -1 at the back, 0 on the axis, 1 at the belly
    low = np.clip(np.where(canvas.up > 0, -canvas.up / upper, -canvas.up / lower), -1, 1).astype(np.float32)
    blotches = _clouds(canvas.shape, 5, rng)
    depth = low + 0.16 * blotches
    stops = np.array([-1, -0.55, 0.05, 0.6, 1])
    ramp = np.array([plan.back, plan.back, plan.flank, plan.belly, plan.belly], np.float32)
    colour = np.stack([np.interp(depth, stops, ramp[:, channel]) for channel in range(3)], -1).astype(np.float32)
    ink = (_pattern(plan, canvas, low, blotches, rng) * plan.pattern_strength)[..., None]
    colour = colour * (1 - ink) + np.array(plan.pattern_colour, np.float32) * ink
    colour *= (1 + 0.07 * _scales(canvas) + 0.05 * _clouds(canvas.shape, 40, rng))[..., None]
    colour *= _shading(plan, canvas, low)[..., None]
    return np.asarray(colour + _sheen(plan, canvas, low, rng)[..., None], np.float32)


def _pattern(plan: FishPlan, canvas: _Canvas, low: Field, blotches: Field, rng: np.random.Generator) -> Field:
    """(H, W) 0..1: where the markings are."""
    phase = rng.uniform(-0.08, 0.08)
    along = canvas.along / plan.tail.root
    if plan.pattern == "bars":
        wave = np.cos(2 * np.pi * (along * plan.pattern_scale + phase) + 1.6 * low + 0.7 * blotches)
        body = np.clip((along - 0.22) * 9, 0, 1) * np.clip(1.15 - 0.75 * np.clip(low, 0, 1), 0, 1)
        return np.asarray(np.clip(0.5 + 1.6 * wave - 0.25, 0, 1) * body, np.float32)
    if plan.pattern == "stripes":
        wave = np.cos(2 * np.pi * (low * plan.pattern_scale / 2 + phase) + 0.3 * blotches)
        return np.asarray(
            np.clip(0.2 + wave, 0, 1) * np.clip(0.7 - low, 0, 1) * np.clip((along - 0.2) * 9, 0, 1), np.float32
        )
    if plan.pattern == "spots":
        spots = _clouds(canvas.shape, round(plan.pattern_scale * 2.2), rng)
        return np.asarray(np.clip((spots - 0.7) * 3, 0, 1) * np.clip(1.2 - low, 0, 1), np.float32)
    if plan.pattern == "mottled":
        mottle = _clouds(canvas.shape, round(plan.pattern_scale), rng)
        stripe = np.exp(-(((low + 0.1) / 0.22) ** 2))
        return np.asarray(np.clip(0.5 * (mottle - 0.2) * 2 + 0.45 * stripe, 0, 1), np.float32)
    if plan.pattern == "mask":
        over_eye = np.exp(-(((canvas.along - plan.eye[0] - 0.05 * np.abs(low)) / 0.028) ** 2))
        chevrons = 0.22 * np.clip(np.cos(2 * np.pi * (along * plan.pattern_scale - 1.1 * np.abs(low))), 0, 1)
        return np.asarray(np.clip(over_eye + chevrons * (along > 0.25), 0, 1), np.float32)
    return np.zeros(canvas.shape, np.float32)


def _shading(plan: FishPlan, canvas: _Canvas, low: Field) -> Field:
    """Round in the light from above: bright shoulders, a shaded belly, a dark rim; and the gill cover's edge."""
    shade = 1.04 - 0.3 * low - 0.3 * np.abs(low) ** 4
    nape = 0.235 + 0.03 * np.sqrt(np.clip(1 - low**2, 0, 1))
    gill = np.exp(-(((canvas.along - nape) / 0.006) ** 2)) * (np.abs(low - 0.1) < 0.75)
    mouth = np.exp(-(((low - 0.42) / 0.05) ** 2)) * (canvas.along < 0.055) * 0.5
    cheek = 0.05 * np.exp(-(((canvas.along - 0.17) / 0.05) ** 2)) * (low > -0.2)
    line = 0.1 * np.exp(-(((low + 0.28 * (1 - canvas.along)) / 0.035) ** 2)) * (canvas.along > 0.27)
    return np.asarray(shade - 0.26 * gill - mouth + cheek - line, np.float32)


def _sheen(plan: FishPlan, canvas: _Canvas, low: Field, rng: np.random.Generator) -> Field:
    """Grey levels that wet, silvery flanks throw back."""
    band = np.exp(-(((low + 0.3) / 0.24) ** 2)) * np.clip(0.75 + 0.6 * _clouds(canvas.shape, 7, rng), 0, 2)
    return np.asarray(plan.sheen * 26 * band, np.float32)


def _scales(canvas: _Canvas) -> Field:
    x, y = canvas.along * 300, canvas.up * 300
    return np.asarray(np.cos(x + y) * np.cos(x - y), np.float32)


def _clouds(shape: tuple[int, int], across: int, rng: np.random.Generator) -> Field:
    """Smooth noise of spread 1, about `across` blotches along the body."""
    coarse = rng.standard_normal((max(3, round(across * shape[0] / shape[1])), max(3, across)), np.float32)
    large = cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(large / max(float(large.std()), 1e-6), np.float32)


def _draw_eye(picture: Field, canvas: _Canvas, plan: FishPlan, height: float) -> None:
    along, up, radius = plan.eye
    away = np.hypot(canvas.along - along, canvas.up - up * height)
    glint = np.hypot(canvas.along - along + radius * 0.25, canvas.up - up * height - radius * 0.3)
    soft = 1 / PAINTED_LENGTH
    for distance, size, colour, alpha in (
        (away, radius, (150, 172, 170), 0.9),
        (away, radius * 0.68, (14, 14, 16), 1.0),
        (glint, radius * 0.2, (235, 235, 235), 0.7),
    ):
        cover = alpha * np.clip((size - distance) / soft + 0.5, 0, 1) * (picture[..., 3] > 128)
        _lay(picture, cover.astype(np.float32), np.broadcast_to(np.array(colour, np.float32), (*canvas.shape, 3)))
