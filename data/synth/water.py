"""Water in a made-up clip: its colour, what it takes from the light, sun rays, caustics and drifting particles.

A thing of colour J at distance z looks J * t + V * (1 - t) with t = exp(-c z): the water takes light away, red first,
and lays its own colour V over it (Jaffe's and McGlamery's model without the blur).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from data.synth.footage_spec import ClipSpec, Water
from data.synth.swimming import CAMERA_HEIGHT_M, HORIZON

Field = NDArray[np.float32]
Image = NDArray[np.uint8]

# BGR of the open water at eye level, and how the water weakens blue, green and red against each other
_COLOURS: Final[dict[Water, tuple[tuple[float, float, float], tuple[float, float, float]]]] = {
    "green": ((128, 150, 52), (1.0, 0.85, 1.9)),
    "blue": ((168, 128, 36), (0.8, 1.0, 2.1)),
    "grey": ((128, 138, 130), (1.05, 0.95, 1.2)),
}
_TILE: Final = 256
_COARSE: Final = 4


@dataclass(frozen=True)
class WaterLook:
    """The water of one clip.

    `colour` is BGR at eye level, `above` and `below` factors on it at the top and bottom edge, `attenuation` (3,) per
    metre and channel, `daylight` (3,) the light that falls on things, `sun` where the sun stands (share of the width),
    `rays` and `caustics` their strengths.
    """

    colour: tuple[float, ...]
    above: float
    below: float
    attenuation: tuple[float, ...]
    daylight: tuple[float, ...]
    sun: float
    rays: float
    caustics: float

    @classmethod
    def draw(cls, spec: ClipSpec, rng: np.random.Generator) -> WaterLook:
        """The water of a clip."""
        base, weakening = _COLOURS[spec.water]
        colour = np.array(base) * rng.normal(1, 0.06, 3).clip(0.85, 1.15) * rng.uniform(0.95, 1.35)
        clear = float(np.clip(1 - 1.6 * spec.turbidity, 0.1, 1))
        tinted = colour / colour.max()
        return cls(
            colour=tuple(colour.tolist()),
            above=float(rng.uniform(1.2, 1.55)),
            below=float(rng.uniform(0.5, 0.7)),
            attenuation=tuple((spec.turbidity * np.array(weakening)).tolist()),
            daylight=tuple((0.36 + 0.5 * tinted).tolist()),
            sun=float(rng.uniform(0.1, 0.9)),
            rays=float(rng.uniform(0, 0.07)) * (0.4 + 0.6 * clear),
            caustics=float(rng.uniform(0.3, 0.9)) * clear,
        )

    def transmission(self, depth: float | NDArray[np.float64]) -> Field:
        """(..., 3): the share of a thing's own colour that crosses that many metres (...) of water."""
        return np.asarray(np.exp(-np.array(self.attenuation) * np.asarray(depth)[..., None]), np.float32)


def veil(spec: ClipSpec, look: WaterLook, margin: int) -> Field:
    """(H + 2 margin, W + 2 margin, 3) BGR: open water, brighter to the top and to the sun."""
    y = _axis(spec.size_wh[1], margin)[:, None]
    x = _axis(spec.size_wh[0], margin)[None]
    level = np.interp(y, [0, HORIZON, 1], [look.above, 1.0, look.below])
    glow = 0.28 * np.exp(-(((x - look.sun) / 0.35) ** 2)) * np.clip(1 - y / HORIZON, 0, 1.2) ** 1.5
    field = (level + glow)[..., None] * np.array(look.colour)
    # water that is lit from above is paler there, as every channel nears saturation
    return np.asarray(255 * (1 - np.exp(-field / 255 * 1.25)), np.float32)


def _axis(side: int, margin: int) -> NDArray[np.float64]:
    return (np.arange(-margin, side + margin) + 0.5) / side


def clouds(rng: np.random.Generator, side: int = _TILE, across: int = 8, octaves: int = 4) -> Field:
    """(side, side): smooth noise of mean 0 and spread 1 whose edges join, `across` blotches wide."""
    total = np.zeros((side, side), np.float32)
    for octave in range(octaves):
        cells = min(side, across << octave)
        coarse = np.pad(rng.standard_normal((cells, cells), np.float32), 2, mode="wrap")
        ratio = side / cells
        large = cv2.resize(coarse, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_CUBIC)
        edge = round(2 * ratio)
        total += large[edge : edge + side, edge : edge + side] / 2**octave
    return np.asarray((total - total.mean()) / total.std(), np.float32)


class Caustics:
    """The net of light that waves throw on the bed."""

    def __init__(self, spec: ClipSpec, look: WaterLook, rng: np.random.Generator) -> None:
        width, height = spec.size_wh
        rows = np.arange(_COARSE / 2, height, _COARSE)
        columns = np.arange(_COARSE / 2, width, _COARSE)
        below = np.maximum(rows - HORIZON * height, 1e-3)
        depth = np.minimum(spec.focal * CAMERA_HEIGHT_M / below, 30)
        across = (columns[None] - width / 2) / spec.focal * depth[:, None]
        self._x = (across * 70).astype(np.float32)
        self._z = np.broadcast_to((depth * 70)[:, None], across.shape).astype(np.float32)
        fade = np.exp(-(look.attenuation[1] + 0.25) * depth) * (rows > HORIZON * height + 2)
        self._strength = (look.caustics * fade[:, None]).astype(np.float32)
        self._one, self._other = clouds(rng, octaves=2), clouds(rng, octaves=2)
        self._size_wh = spec.size_wh

    def at(self, seconds: float) -> Field:
        """(H, W): factor on the bed's brightness."""
        drift = seconds * 16
        one = self._sampled(self._one, drift, 0.4 * drift)
        other = self._sampled(self._other, -0.8 * drift, 0.7 * drift)
        net = np.exp(-(((one + other) / 0.5) ** 2))
        gain = 1 + self._strength * (1.1 * net - 0.4)
        return np.asarray(cv2.resize(gain, self._size_wh, interpolation=cv2.INTER_LINEAR), np.float32)

    def _sampled(self, tile: Field, dx: float, dz: float) -> Field:
        return np.asarray(
            cv2.remap(
                tile, (self._x + dx) % _TILE, (self._z + dz) % _TILE, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
            ),
            np.float32,
        )


class Rays:
    """Shafts of sunlight from the surface."""

    def __init__(self, spec: ClipSpec, look: WaterLook, rng: np.random.Generator) -> None:
        width, height = (max(2, side // 8) for side in spec.size_wh)
        y = ((np.arange(height) + 0.5) / height)[:, None]
        x = ((np.arange(width) + 0.5) / width)[None]
        self._angle = np.arctan2(x - look.sun, y + 0.45).astype(np.float32)
        self._fade = (np.clip(1.05 - y * 1.15, 0, 1) ** 1.3 * np.ones_like(x) * look.rays * 255).astype(np.float32)
        self._phases = rng.uniform(0, 2 * np.pi, 6)
        self._rates = rng.uniform(5, 60, 6)
        self._drifts = rng.normal(0, 0.5, 6)
        tint = np.array(look.colour)
        self._tint = (tint / tint.max()).astype(np.float32)
        self._size_wh = spec.size_wh

    def at(self, seconds: float) -> Field:
        """(H, W, 3): light to add."""
        waves = [
            np.sin(rate * self._angle + phase + drift * seconds)
            for rate, phase, drift in zip(self._rates, self._phases, self._drifts, strict=True)
        ]
        shafts = np.clip(np.sum(waves, axis=0) / 3, 0, None).astype(np.float32) ** 1.5 * self._fade
        coarse = np.ascontiguousarray(shafts[..., None] * self._tint)
        return np.asarray(cv2.resize(coarse, self._size_wh, interpolation=cv2.INTER_LINEAR), np.float32)


class Snow:
    """Particles that drift through the view; the near ones are large and out of focus."""

    def __init__(self, spec: ClipSpec, look: WaterLook, rng: np.random.Generator) -> None:
        count = spec.snow
        self._spec = spec
        self._at = rng.uniform(0, 1, (count, 2))
        self._depth = 0.25 + 2.6 * rng.random(count) ** 1.3
        self._drift = np.array([rng.normal(0, 0.05), 0.015])
        self._own = rng.normal(0, 0.008, (count, 2))
        self._flutter = rng.uniform(0, 6, count)
        size = spec.focal * rng.gamma(2.2, 0.0004, count) / self._depth
        blur = spec.focal * 0.0011 * np.abs(1 / self._depth - 1 / 2.0)
        self._sigma = np.clip(np.hypot(size, blur) + 0.35, 0.4, 5)
        # out of focus, the same light is spread over a larger disc
        faint = np.clip((size + 0.3) ** 2 / self._sigma**2, 0.05, 1)
        seen = np.exp(-look.attenuation[1] * self._depth)
        self._peak = rng.uniform(15, 80, count) * faint * seen
        tint = np.array(look.daylight)
        self._tint = (tint / tint.max()).astype(np.float32)

    def add(self, frame: Field, seconds: float, shift: tuple[float, float]) -> None:
        """Add the particles to a frame (H, W, 3), in place."""
        width, height = self._spec.size_wh
        scale = 1 / self._depth[:, None]
        swirl = 0.01 * np.stack([np.sin(0.9 * seconds + self._flutter), np.cos(0.7 * seconds + self._flutter)], 1)
        moved = (self._drift * scale + self._own) * seconds + swirl * scale
        x = (self._at[:, 0] + moved[:, 0]) % 1.1 * width - 0.05 * width + shift[0]
        y = (self._at[:, 1] + moved[:, 1]) % 1.1 * height - 0.05 * height + shift[1]
        for column, row, sigma, peak in zip(x, y, self._sigma, self._peak, strict=True):
            self._dot(frame, column, row, sigma, peak)

    def _dot(self, frame: Field, x: float, y: float, sigma: float, peak: float) -> None:
        reach = int(np.ceil(2.4 * sigma))
        left, top = max(int(x) - reach, 0), max(int(y) - reach, 0)
        patch = frame[top : max(int(y) + reach + 1, 0), left : max(int(x) + reach + 1, 0)]
        if not patch.size:
            return
        across = np.exp(-(((np.arange(left, left + patch.shape[1]) + 0.5 - x) / sigma) ** 2) / 2)
        down = np.exp(-(((np.arange(top, top + patch.shape[0]) + 0.5 - y) / sigma) ** 2) / 2)
        patch += (peak * down[:, None, None] * across[:, None] * self._tint).astype(np.float32)
