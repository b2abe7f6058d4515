"""What stands between the camera and the fish of a made-up clip: rocks, and seagrass that sways.

Both the picture and the truth of who is hidden are made from the same polygons.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.synth.footage_spec import ClipSpec
from data.synth.swimming import CAMERA_HEIGHT_M, HORIZON

Polygon = NDArray[np.float32]
"""(K, 2) pixels of the frame, a pixel's centre at its number plus a half."""
Polygons = NDArray[np.float32]
"""(P, K, 2): P polygons."""

SHIFT: Final = 4
"""Fractional bits of the coordinates that OpenCV draws with."""
_NODES: Final = np.linspace(0, 1, 8)


@dataclass(frozen=True)
class Rock:
    """A rock on the bed: its depth in metres and outline."""

    depth: float
    outline: Polygon
    markings: int

    def polygons(self, seconds: float) -> Polygons:
        """The outline, at any time."""
        del seconds
        return self.outline[None]


@dataclass(frozen=True)
class Tuft:
    """Blades of seagrass that share a depth in metres.

    `base` (B, 2) and `height` (B,), `width` (B,) in pixels; `lean` and `curl` (B,) say how far the tip lies aside, in
    heights; `phase` (B,) is where each blade is in its sway, `surge` how far it goes, `rate` how fast (radians/s).
    """

    depth: float
    base: Polygon
    height: NDArray[np.float32]
    width: NDArray[np.float32]
    lean: NDArray[np.float32]
    phase: NDArray[np.float32]
    surge: float
    rate: float

    def polygons(self, seconds: float) -> Polygons:
        """Outlines of the blades: up the left side, down the right side, (16, 2) each."""
        nodes = _NODES[None]
        swing = self.surge * np.sin(self.rate * seconds + self.phase[:, None] - 1.4 * nodes)
        aside = (self.lean[:, None] * nodes**1.6 + swing * nodes**1.5) * self.height[:, None]
        up = nodes * self.height[:, None] * (1 - 0.18 * (self.lean[:, None] + swing) ** 2 * nodes)
        half = self.width[:, None] / 2 * (1.05 - nodes**2.2)
        x, y = self.base[:, :1] + aside, self.base[:, 1:] - up
        left, right = np.stack([x - half, y], 2), np.stack([x + half, y], 2)
        return np.concatenate([left, right[:, ::-1]], axis=1).astype(np.float32)


Obstacle = Rock | Tuft


def draw_foreground(spec: ClipSpec, rng: np.random.Generator) -> tuple[Obstacle, ...]:
    """The rocks and tufts of a clip, the farthest first."""
    near, far = spec.range_m
    rocks = [_rock(spec, float(rng.uniform(near + 0.5, min(far, 4.5))), rng) for _ in range(spec.rocks)]
    tufts = [_tuft(spec, float(rng.uniform(1.1, min(far, 3.5))), rng) for _ in range(spec.seagrass)]
    return tuple(sorted([*rocks, *tufts], key=lambda obstacle: -obstacle.depth))


def fixed_point(polygons: NDArray[np.float32]) -> NDArray[np.int32]:
    """Pixels, a pixel's centre at its number plus a half -> OpenCV's fixed-point coordinates."""
    return np.round((polygons - np.float32(0.5)) * (1 << SHIFT)).astype(np.int32)


def bed_row(spec: ClipSpec, depth: float) -> float:
    """The row in which the bed lies at that depth."""
    return HORIZON * spec.size_wh[1] + spec.focal * CAMERA_HEIGHT_M / depth


def _rock(spec: ClipSpec, depth: float, rng: np.random.Generator) -> Rock:
    scale = spec.focal / depth
    half_width = rng.uniform(0.14, 0.42) * scale
    height = half_width * rng.uniform(0.6, 1.25)
    foot = np.array([rng.uniform(0.02, 0.98) * spec.size_wh[0], bed_row(spec, depth)], np.float32)
    return Rock(depth, foot + lump(rng, half_width, height), int(rng.integers(2**31)))


def lump(rng: np.random.Generator, half_width: float, height: float) -> Polygon:
    """(64, 2): the outline of a stone that stands on (0, 0), broad at its foot, y down."""
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    rough = 1 + sum(rng.normal(0, 0.17 / wave) * np.cos(wave * angle + rng.uniform(0, 6)) for wave in range(2, 14))
    foot = -0.22 + 0.08 * np.cos(7 * angle + rng.uniform(0, 6)) + 0.05 * np.cos(17 * angle)
    x, y = half_width * rough * np.cos(angle), -height * np.maximum(rough * np.sin(angle), foot)
    return np.stack([x, y], 1).astype(np.float32)


def _tuft(spec: ClipSpec, depth: float, rng: np.random.Generator) -> Tuft:
    scale = spec.focal / depth
    blades = int(rng.integers(9, 22))
    spread = rng.uniform(0.08, 0.3) * scale
    x = rng.uniform(0, 1) * spec.size_wh[0] + rng.normal(0, spread, blades)
    y = bed_row(spec, depth) + rng.uniform(-0.02, 0.03, blades) * scale
    return Tuft(
        depth=depth,
        base=np.stack([x, y], 1).astype(np.float32),
        height=(rng.uniform(0.18, 0.55, blades) * scale).astype(np.float32),
        width=(rng.uniform(0.006, 0.011, blades) * scale).astype(np.float32),
        lean=rng.normal(0.12, 0.25, blades).astype(np.float32),
        phase=rng.normal(rng.uniform(0, 6), 0.5, blades).astype(np.float32),
        surge=float(rng.uniform(0.08, 0.22)),
        rate=float(rng.uniform(1.1, 2.2)),
    )
