"""Made-up fish seen from the side: painted once, then posed in every frame.

`Look` holds what is drawn for one animal, `paint` makes its `Sprite`, a `Pose` says how it swims, `outline` gives its
silhouette in that pose and `posed` its pixels. Silhouette and pixels come from one mapping, so they agree.

A fish bends sideways, in the plane of its swimming: seen from its side the tail beat shows as a shortening and
lengthening of the rear body. So the pose maps the body's length to the picture's columns, and leaves heights alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from data.synth.fish_paint import PAINTED_LENGTH, FishFigure, painted
from data.synth.fish_plans import FishPlan

Points = NDArray[np.float32]
Image = NDArray[np.uint8]

_LEVELS: Final = 6
_JOINTS: Final = np.linspace(-0.5, 0.5, 33)
_MARGIN: Final = 2


@dataclass(frozen=True)
class Look:
    """One animal of its species.

    Its total length; brightness, tint and height (factors on the species' own); and the seed of its markings.
    """

    length_m: float
    brightness: float
    tint: tuple[float, float, float]
    height: float
    markings: int

    @classmethod
    def draw(cls, plan: FishPlan, rng: np.random.Generator) -> Look:
        """A new animal."""
        usual, spread = plan.length_m
        tint = rng.normal(1, 0.02, 3).clip(0.94, 1.06)
        return cls(
            length_m=float(np.clip(rng.normal(usual, spread), 0.6 * usual, 1.5 * usual)),
            brightness=float(np.clip(rng.normal(1, 0.1), 0.75, 1.25)),
            tint=(float(tint[0]), float(tint[1]), float(tint[2])),
            height=float(np.clip(rng.normal(1, 0.04), 0.9, 1.1)),
            markings=int(rng.integers(2**31)),
        )


@dataclass(frozen=True)
class Silhouette:
    """What a fish covers, its nose to the right.

    `points` (K, 2) float32 go round the animal in shares of its length: x from the tail (-0.5) to the nose (0.5), y
    down from its axis. `width` is its thickness, also in lengths.
    """

    points: Points
    width: float


@dataclass(frozen=True)
class Sprite:
    """A painted fish, its nose to the right.

    `levels` are pictures (H, W, 4) BGRA uint8, colours multiplied by alpha, each half as large as the one before.
    `axis` is the axis' row as a share of the picture's height, `span` the picture's width in lengths of the fish.
    """

    levels: tuple[Image, ...]
    silhouette: Silhouette
    axis: float
    span: float


@dataclass(frozen=True)
class Pose:
    """How a fish is seen: its middle and length in pixels, and its angles in radians.

    `yaw` 0 swims to the right, pi/2 away from the camera, pi to the left. `pitch` is positive upwards. `beat` is the
    phase of the tail, `bend` how far the tail swings.
    """

    centre_xy: tuple[float, float]
    length: float
    yaw: float
    pitch: float
    beat: float
    bend: float

    @property
    def facing(self) -> int:
        """1 to the right, -1 to the left."""
        return 1 if np.cos(self.yaw) >= 0 else -1


@dataclass(frozen=True)
class PosedFish:
    """Pixels of a posed fish: its place in the frame (rows, columns) and (h, w, 4) BGRA uint8, multiplied by alpha."""

    rows: slice
    columns: slice
    pixels: Image


def paint(plan: FishPlan, look: Look) -> Sprite:
    """Paint an animal."""
    figure = FishFigure.of(plan, look.height)
    picture = painted(plan, figure, np.random.default_rng(look.markings))
    gain = np.array([*look.tint, 1], np.float32) * np.array([look.brightness] * 3 + [1], np.float32)
    picture = np.minimum(picture * gain, picture[..., 3:])
    height, width = picture.shape[:2]
    levels = [np.rint(picture).astype(np.uint8)]
    for _ in range(_LEVELS - 1):
        size_wh = max(1, round(levels[-1].shape[1] / 2)), max(1, round(levels[-1].shape[0] / 2))
        levels.append(np.asarray(cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA).round(), np.uint8))
    return Sprite(
        levels=tuple(levels),
        silhouette=silhouette(plan, look),
        axis=figure.axis_row / height,
        span=width / PAINTED_LENGTH,
    )


def silhouette(plan: FishPlan, look: Look) -> Silhouette:
    """The animal's silhouette, without painting it."""
    figure = FishFigure.of(plan, look.height)
    solid = (figure.cover() >= 0.5).astype(np.uint8)
    contours, _ = cv2.findContours(solid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = max(contours, key=cv2.contourArea)
    smooth = cv2.approxPolyDP(largest, 0.8, True)[:, 0].astype(np.float32) + 0.5
    middle = np.array([solid.shape[1] / 2, figure.axis_row], np.float32)
    return Silhouette(np.asarray((smooth - middle) / PAINTED_LENGTH, np.float32), plan.width)


def _columns(pose: Pose, width: float) -> NDArray[np.float64]:
    """Where the joints of the body lie across the picture, in lengths from the middle; rising."""
    behind = 0.5 - _JOINTS
    wave = pose.bend * behind**1.4 * np.sin(pose.beat + 4.2 * behind)
    # never thinner than the fish is thick: what a flat picture cannot show is a fish from ahead
    seen = np.maximum(pose.facing * np.cos(pose.yaw + wave), width)
    steps = (seen[1:] + seen[:-1]) / 2 * np.diff(_JOINTS)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    return np.asarray(along - along[-1] / 2)


def outline(shape: Silhouette, pose: Pose) -> Points:
    """(K, 2) float32: the silhouette in pixels of the frame, also beyond its edges."""
    across = np.interp(shape.points[:, 0], _JOINTS, _columns(pose, shape.width)) * pose.facing * pose.length
    down = shape.points[:, 1] * pose.length
    turn = pose.pitch * pose.facing
    x = across * np.cos(turn) + down * np.sin(turn) + pose.centre_xy[0]
    y = down * np.cos(turn) - across * np.sin(turn) + pose.centre_xy[1]
    return np.stack([x, y], axis=1).astype(np.float32)


def posed(sprite: Sprite, pose: Pose, size_wh: tuple[int, int]) -> PosedFish | None:
    """The fish's pixels in a frame of that size; None where it lies outside.

    Args:
        sprite: The painted fish.
        pose: How it is seen.
        size_wh: The frame's width and height.
    """
    points = outline(sprite.silhouette, pose)
    low = np.maximum(np.floor(points.min(0)).astype(int) - _MARGIN, 0)
    high = np.minimum(np.ceil(points.max(0)).astype(int) + _MARGIN, size_wh)
    if (high <= low).any():
        return None
    x = np.arange(low[0], high[0], dtype=np.float32)[None] + np.float32(0.5 - pose.centre_xy[0])
    y = np.arange(low[1], high[1], dtype=np.float32)[:, None] + np.float32(0.5 - pose.centre_xy[1])
    turn = pose.pitch * pose.facing
    across = (x * np.cos(turn) - y * np.sin(turn)) * (pose.facing / pose.length)
    down = (x * np.sin(turn) + y * np.cos(turn)) / pose.length
    along = np.interp(across, _columns(pose, sprite.silhouette.width), _JOINTS, left=-9, right=9)
    level = _level(sprite, pose)
    picture = sprite.levels[level]
    scale = picture.shape[1] / sprite.span
    map_x = ((along + sprite.span / 2) * scale - 0.5).astype(np.float32)
    map_y = (down * scale + sprite.axis * picture.shape[0] - 0.5).astype(np.float32)
    pixels = cv2.remap(picture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return PosedFish(slice(low[1], high[1]), slice(low[0], high[0]), np.asarray(pixels, np.uint8))


def _level(sprite: Sprite, pose: Pose) -> int:
    """The smallest picture that is not enlarged."""
    shrink = PAINTED_LENGTH / max(pose.length, 1e-6)
    return int(np.clip(np.floor(np.log2(max(shrink, 1))), 0, len(sprite.levels) - 1))
