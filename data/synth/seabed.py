"""Paints what does not move in a made-up clip: the bed behind the fish, and the rocks and seagrass before them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from data.synth.footage_spec import ClipSpec
from data.synth.foreground import SHIFT, Polygons, Rock, Tuft, bed_row, fixed_point, lump
from data.synth.swimming import CAMERA_HEIGHT_M, HORIZON
from data.synth.water import Field, WaterLook, clouds

Image = NDArray[np.uint8]
Light = NDArray[np.float64]
Colour = tuple[float, float, float]
"""BGR, 0 to 255."""

_SizeDepth = tuple[float, float]

# BGR in white light
_SAND: Final = (138, 160, 172)
_RUBBLE: Final = (88, 104, 110)
_SOIL: Final = (40, 56, 54)
_GRASS: Final = ((52, 100, 96), (44, 84, 82), (70, 112, 126), (36, 70, 60), (92, 124, 138), (40, 66, 78))
_CORAL: Final = ((88, 108, 128), (66, 92, 108), (98, 122, 142), (80, 88, 100), (66, 104, 106), (58, 66, 74))
_STONE: Final = (112, 128, 134)
_WEED: Final = (62, 100, 98)
_CRUST: Final = (132, 134, 160)
_FAR_M: Final = 14.0
_GRAIN_PER_M: Final = 90
_BLADES: Final = 5600


@dataclass(frozen=True)
class Setting:
    """What all painters need: the clip's specification, its water, and open water with a margin, as `veil` gives it."""

    spec: ClipSpec
    look: WaterLook
    water: Field
    margin: int

    def behind(self, rows: Light) -> Light:
        """(N, 3): the open water in those rows of the frame."""
        lines = np.clip(rows + self.margin, 0, len(self.water) - 1).astype(int)
        return np.asarray(self.water[lines, self.water.shape[1] // 2], np.float64)

    def seen(self, colours: Light, depth: float | Light, rows: Light) -> list[Colour]:
        """How things of those colours (N, 3) look through so much water, before the water of their rows."""
        left = self.look.transmission(depth)
        mixed = colours * self.look.daylight * left + self.behind(rows) * (1 - left)
        return [(blue, green, red) for blue, green, red in mixed.clip(0, 255).tolist()]


def paint_backdrop(setting: Setting, rng: np.random.Generator) -> Image:
    """(H + 2 margin, W + 2 margin, 3) BGR: open water and the bed, with what grows on it."""
    picture = _bed(setting, rng)
    if setting.spec.bed == "meadow":
        _plant_meadow(picture, setting, rng)
    elif setting.spec.bed == "rubble":
        _strew_rubble(picture, setting, 700, rng)
    else:
        _strew_rubble(picture, setting, 50, rng)
    return picture


def _bed(setting: Setting, rng: np.random.Generator) -> Image:
    """Open water, and the bare bed under it, in perspective."""
    spec, water, margin = setting.spec, setting.water, setting.margin
    height, width = water.shape[:2]
    rows = (np.arange(height) - margin + 0.5 - HORIZON * spec.size_wh[1])[:, None]
    depth = np.minimum(spec.focal * CAMERA_HEIGHT_M / np.maximum(rows, 1e-3), 60)
    across = (np.arange(width) - margin + 0.5 - spec.size_wh[0] / 2)[None] / spec.focal * depth
    along = np.broadcast_to(depth, across.shape)
    # how much bed a row takes in: what is finer than that runs together
    taken = depth**2 / (spec.focal * CAMERA_HEIGHT_M)
    grain = _laid(clouds(rng, across=8, octaves=6), across * _GRAIN_PER_M, along * _GRAIN_PER_M)
    patches = _laid(clouds(rng, across=4, octaves=3), across * 20, along * 20)
    bright = 1 + 0.17 * grain / (1 + (taken * 30) ** 2) + 0.13 * patches / (1 + (taken * 4) ** 2)
    base = {"sand": _SAND, "rubble": _RUBBLE, "meadow": _SOIL}[spec.bed]
    left = np.exp(-np.array(setting.look.attenuation) * depth[..., None])
    mixed = bright[..., None] * np.array(base) * setting.look.daylight * left + water * (1 - left)
    # the bed rises and falls: its far edge is no straight line
    swell = np.interp(np.arange(width), np.linspace(0, width, 9), rng.normal(0, 0.012 * spec.size_wh[1], 9))
    ground = np.clip((rows - 2 - swell) / 4, 0, 1)[..., None]
    return np.asarray(np.clip(mixed * ground + water * (1 - ground), 0, 255), np.uint8)


def _laid(tile: Field, x: Light, y: Light) -> Field:
    side = tile.shape[0]
    map_x, map_y = (x % side).astype(np.float32), (y % side).astype(np.float32)
    return np.asarray(cv2.remap(tile, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP), np.float32)


def _places(spec: ClipSpec, count: int, nearest: float, rng: np.random.Generator) -> tuple[Light, Light]:
    """Feet on the bed (N, 2) and their depths (N,), the farthest first, about evenly thick in the picture."""
    near, far = bed_row(spec, nearest), bed_row(spec, _FAR_M)
    rows = far + (near - far) * np.sort(rng.random(count)) ** 1.2
    columns = rng.uniform(-0.08, 1.08, count) * spec.size_wh[0]
    return np.stack([columns, rows], 1), spec.focal * CAMERA_HEIGHT_M / (rows - HORIZON * spec.size_wh[1])


def _plant_meadow(picture: Image, setting: Setting, rng: np.random.Generator) -> None:
    """Thousands of blades, far ones first; they lean with the current, and grow in patches."""
    lean, tallest, patches = rng.normal(0, 0.3), rng.uniform(0.2, 0.32), clouds(rng, across=3, octaves=2)
    feet, depth = _places(setting.spec, _BLADES, 0.72, rng)
    scale = setting.spec.focal / depth
    patch = patches[(depth * 31).astype(int) % 256, (feet[:, 0] / scale * 31).astype(int) % 256]
    height = scale * tallest * np.clip(rng.normal(0.85 + 0.3 * patch, 0.22), 0.08, 1.9)
    tips = feet + np.stack([height * rng.normal(lean, 0.3, _BLADES), -height], 1)
    width = np.maximum(0.7, scale * rng.uniform(0.004, 0.009, _BLADES))
    shade = rng.uniform(0.5, 1.2, _BLADES) * (1 + 0.12 * patch)
    own = np.array(_GRASS)[rng.integers(len(_GRASS), size=_BLADES)] * shade[:, None]
    colours = setting.seen(own, depth, tips[:, 1])
    corners = fixed_point(_blades(feet, tips, width) + setting.margin)
    for blade, colour in zip(corners, colours, strict=True):
        cv2.fillPoly(picture, [blade], colour, cv2.LINE_AA, SHIFT)


def _blades(feet: Light, tips: Light, width: Light) -> Polygons:
    """(N, 10, 2): outlines of curved blades."""
    share = np.linspace(0, 1, 5)
    x = feet[:, :1] + (tips - feet)[:, :1] * share**1.7
    y = feet[:, 1:] + (tips - feet)[:, 1:] * share
    half = width[:, None] / 2 * (1 - share**2)
    left, right = np.stack([x - half, y], 2), np.stack([x + half, y], 2)
    return np.concatenate([left, right[:, ::-1]], axis=1).astype(np.float32)


def _strew_rubble(picture: Image, setting: Setting, count: int, rng: np.random.Generator) -> None:
    """Stones, coral heads and, on rubble, branching coral; the far ones first."""
    branching = 0.45 if setting.spec.bed == "rubble" else 0
    for foot, depth in zip(*_places(setting.spec, count, 0.8, rng), strict=True):
        scale = setting.spec.focal / depth
        colour = np.array(_CORAL[rng.integers(len(_CORAL))]) * rng.uniform(0.5, 1.1)
        if rng.random() < branching:
            _branches(picture, setting, foot, (scale * rng.uniform(0.05, 0.16), depth), colour, rng)
        else:
            size = scale * 0.035 * rng.pareto(2.2) + scale * 0.03
            _stone(picture, setting, foot, (min(size, 0.3 * scale), depth), colour, rng)


def _branches(
    picture: Image,
    setting: Setting,
    foot: Light,
    size_depth: _SizeDepth,
    colour: Light,
    rng: np.random.Generator,
) -> None:
    size, depth = size_depth
    count = int(rng.integers(10, 26))
    starts = foot + size * np.stack([rng.normal(0, 0.4, count), -rng.uniform(0, 0.35, count)], 1)
    angles = rng.normal(0, 0.75, count)
    reach = size * rng.uniform(0.25, 0.8, (count, 1))
    tips = starts + reach * np.stack([np.sin(angles), -np.cos(angles)], 1)
    own = colour * rng.uniform(0.5, 1.15, (count, 1))
    lower, upper = (setting.seen(own * lit, depth, tips[:, 1]) for lit in (0.85, 1.25))
    ends = fixed_point(np.stack([starts, (starts + 2 * tips) / 3, tips], 1).astype(np.float32) + setting.margin)
    thick = max(1, round(size * 0.07))
    for (start, middle, tip), dark, pale in zip(ends.tolist(), lower, upper, strict=True):
        cv2.line(picture, start, middle, dark, thick, cv2.LINE_AA, SHIFT)
        cv2.line(picture, middle, tip, pale, thick, cv2.LINE_AA, SHIFT)


def _stone(
    picture: Image,
    setting: Setting,
    foot: Light,
    size_depth: _SizeDepth,
    colour: Light,
    rng: np.random.Generator,
) -> None:
    """A lump, darker below, mottled where it is large enough to show it."""
    size, depth = size_depth
    outline = lump(rng, size, size * rng.uniform(0.4, 0.8)) + foot.astype(np.float32)
    low, high = outline.min(0), outline.max(0)
    spots = low + rng.random((int(np.clip(size * 7, 4, 300)), 2)) * (high - low)
    radii = (size * rng.uniform(0.02, 0.06, len(spots)) * (1 << SHIFT)).astype(int).tolist()
    lit = 0.55 + 0.6 * (high[1] - spots[:, 1]) / max(float(high[1] - low[1]), 1e-6) + rng.normal(0, 0.16, len(spots))
    colours = setting.seen(colour * np.maximum(lit, 0.25)[:, None], depth, np.full(len(spots), foot[1]))
    (dark,) = setting.seen(0.5 * colour[None], depth, foot[1:])
    cv2.fillPoly(picture, [fixed_point(outline + setting.margin)], dark, cv2.LINE_AA, SHIFT)
    for at, radius, seen in zip(spots.astype(np.float32), radii, colours, strict=True):
        if cv2.pointPolygonTest(outline[:, None], (float(at[0]), float(at[1])), measureDist=False) >= 0:
            spot = fixed_point(at + setting.margin).tolist()
            cv2.circle(picture, spot, radius, seen, -1, cv2.LINE_AA, SHIFT)


def blade_colours(tuft: Tuft, setting: Setting, rng: np.random.Generator) -> list[tuple[Colour, Colour]]:
    """The colours of a tuft's blades as they are seen through the water: of the lower and of the upper part."""
    count = len(tuft.height)
    own = np.array(_GRASS)[rng.integers(len(_GRASS), size=count)] * rng.uniform(0.55, 1.0, (count, 1))
    foot = tuft.base[:, 1].astype(np.float64)
    lower = setting.seen(0.8 * own, tuft.depth, foot - 0.3 * tuft.height)
    return list(zip(lower, setting.seen(1.2 * own, tuft.depth, foot - 0.9 * tuft.height), strict=True))


def paint_rock(rock: Rock, setting: Setting) -> tuple[Field, tuple[int, int]]:
    """A rock as it is seen through the water.

    Returns:
        (h, w, 4) float32 BGRA, colours multiplied by alpha, all 0 to 255; and the column and row of its first pixel.
    """
    rng = np.random.default_rng(rock.markings)
    low = np.floor(rock.outline.min(0)).astype(int) - 2
    width, height = np.ceil(rock.outline.max(0)).astype(int) + 3 - low
    alpha = np.zeros((height, width), np.uint8)
    cv2.fillPoly(alpha, [fixed_point(rock.outline - low.astype(np.float32))], 255, cv2.LINE_AA, SHIFT)
    own = _rock_colour((alpha > 127).astype(np.uint8), rng) * setting.look.daylight
    left = setting.look.transmission(rock.depth)
    colour = np.clip(own * left + setting.behind(low[1:] + height / 2) * (1 - left), 0, 255).astype(np.uint8)
    if setting.spec.bed == "meadow":
        _grow_over(colour, setting, rock.depth, rng)
    cover = alpha.astype(np.float32)[..., None] / 255
    return np.concatenate([colour * cover, cover * 255], axis=2).astype(np.float32), (int(low[0]), int(low[1]))


def _grow_over(picture: Image, setting: Setting, depth: float, rng: np.random.Generator) -> None:
    """Blades before a rock's foot, painted on the rock: what it hides stays the same."""
    height, width = picture.shape[:2]
    count = 12 + width
    feet = np.stack([rng.uniform(-0.1, 1.1, count) * width, height * rng.uniform(0.9, 1.1, count)], 1)
    rise = height * rng.gamma(4, 0.09, count)
    tips = feet + np.stack([rise * rng.normal(0.1, 0.3, count), -rise], 1)
    shade = rng.uniform(0.5, 1.2, (count, 1))
    own = np.array(_GRASS)[rng.integers(len(_GRASS), size=count)] * shade
    thick = setting.spec.focal / depth * rng.uniform(0.005, 0.009, count)
    colours = setting.seen(own, depth, np.full(count, float(bed_row(setting.spec, depth))))
    for blade, colour in zip(fixed_point(_blades(feet, tips, thick)), colours, strict=True):
        cv2.fillPoly(picture, [blade], colour, cv2.LINE_AA, SHIFT)


def _rock_colour(solid: Image, rng: np.random.Generator) -> Light:
    """(H, W, 3): stone with weed on top and crusts, lit from above, its relief from noise."""
    height, width = solid.shape
    y, x = np.mgrid[:height, :width] * (150 / max(width, 1))
    relief = _laid(clouds(rng, across=9, octaves=6), x, y)
    slope = np.clip(cv2.Sobel(relief, cv2.CV_32F, 0, 1, ksize=3), -4, 4)
    growth = _laid(clouds(rng, across=12, octaves=4), x, y)[..., None]
    inward = np.minimum(cv2.distanceTransform(solid, cv2.DIST_L2, 3) / max(4.0, 0.2 * min(width, height)), 1)
    lit = (1.1 - 0.8 * np.linspace(0, 1, height)[:, None]) * (0.72 + 0.28 * inward) * (1 + 0.1 * relief + 0.14 * slope)
    weed = np.clip(0.3 + 0.9 * growth, 0, 1)
    crust = np.clip(-growth - 0.7, 0, 0.7)
    own = np.array(_STONE) * (1 - weed) + np.array(_WEED) * weed
    own = own * (1 - crust) + np.array(_CRUST) * crust
    return np.asarray(own * np.clip(lit, 0.1, 1.6)[..., None], np.float64)
