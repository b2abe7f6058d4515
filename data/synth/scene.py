"""A made-up clip's scene: the animals, how they swim, and what hides them; and the truth that follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from data.synth.fish_sprites import Pose, Silhouette, outline, silhouette
from data.synth.footage_spec import ClipSpec
from data.synth.footage_truth import ClipTruth, FishTruth
from data.synth.foreground import SHIFT, Obstacle, Polygon, Polygons, draw_foreground, fixed_point
from data.synth.swimming import HORIZON, Animal, Swim, draw_animals, swim

_OBSTACLE: Final = 255
_LEAST_SIDE: Final = 1.0
"""Boxes thinner than this, in pixels, are left out: the animal is out of the frame."""


@dataclass(frozen=True)
class PlacedFish:
    """One animal in one frame: its index, depth in metres, pose and silhouette in pixels."""

    index: int
    depth: float
    pose: Pose
    points: Polygon


@dataclass(frozen=True)
class Scene:
    """Everything of a clip but its picture; the same for the same specification and seed."""

    spec: ClipSpec
    animals: tuple[Animal, ...]
    shapes: tuple[Silhouette, ...]
    swim: Swim
    foreground: tuple[Obstacle, ...]
    sway: tuple[float, float]

    @classmethod
    def draw(cls, spec: ClipSpec, seed: int) -> Scene:
        """The scene of that specification and seed."""
        animals = draw_animals(spec, stream(seed, "animals"))
        rng = stream(seed, "foreground")
        return cls(
            spec=spec,
            animals=animals,
            shapes=tuple(silhouette(animal.plan, animal.look) for animal in animals),
            swim=swim(spec, animals, stream(seed, "swimming")),
            foreground=draw_foreground(spec, rng),
            sway=(float(rng.uniform(0, 6)), float(rng.uniform(0, 6))),
        )

    def shift_at(self, frame: int) -> tuple[float, float]:
        """How far the swaying camera has moved the picture in a frame, in pixels."""
        seconds = frame / self.spec.fps
        reach = np.radians(self.spec.sway_degrees) * self.spec.focal
        x = 0.7 * np.sin(1.3 * seconds + self.sway[0]) + 0.3 * np.sin(2.9 * seconds + self.sway[1])
        y = 0.35 * np.sin(1.7 * seconds + self.sway[1]) + 0.15 * np.sin(3.7 * seconds + self.sway[0])
        return float(reach * x), float(reach * y)

    def fish_at(self, frame: int) -> list[PlacedFish]:
        """The animals that touch the frame, the farthest first."""
        width, height = self.spec.size_wh
        dx, dy = self.shift_at(frame)
        placed = []
        scales = self.spec.focal / self.swim.position[frame, :, 2]
        away = np.abs(self.swim.position[frame, :, 0] * scales + dx) - width / 2
        lengths = np.array([animal.look.length_m for animal in self.animals])
        for index in np.flatnonzero(away < lengths * scales):
            shape, scale = self.shapes[index], float(scales[index])
            x, y, z = self.swim.position[frame, index]
            pose = Pose(
                centre_xy=(width / 2 + x * scale + dx, HORIZON * height + y * scale + dy),
                length=self.animals[index].look.length_m * scale,
                yaw=float(self.swim.yaw[frame, index]),
                pitch=float(self.swim.pitch[frame, index]),
                beat=float(self.swim.beat[frame, index]),
                bend=float(self.swim.bend[frame, index]),
            )
            points = outline(shape, pose)
            if (points.max(0) > 0).all() and (points.min(0) < (width, height)).all():
                placed.append(PlacedFish(int(index), float(z), pose, points))
        return sorted(placed, key=lambda fish: -fish.depth)

    def obstacles_at(self, frame: int) -> list[tuple[Obstacle, Polygons]]:
        """The obstacles with their outlines in a frame, the farthest first."""
        shift = np.array(self.shift_at(frame), np.float32)
        seconds = frame / self.spec.fps
        return [(obstacle, obstacle.polygons(seconds) + shift) for obstacle in self.foreground]

    def truth_at(self, frame: int) -> tuple[FishTruth, ...]:
        """The truth about one frame, by identity."""
        fish = self.fish_at(frame)
        shares = shares_seen(fish, self.obstacles_at(frame), self.spec.size_wh)
        found = [self._truth(frame, one, share) for one, share in zip(fish, shares, strict=True)]
        return tuple(sorted((one for one in found if one is not None), key=lambda one: one.identity))

    def _truth(self, frame: int, fish: PlacedFish, share: float) -> FishTruth | None:
        low, high = (np.clip(edge, 0, self.spec.size_wh) for edge in (fish.points.min(0), fish.points.max(0)))
        if (high - low < _LEAST_SIDE).any():
            return None
        animal = self.animals[fish.index]
        box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
        return FishTruth(frame, animal.identity, animal.plan.species, box, share, fish.depth)

    def truth(self) -> ClipTruth:
        """The truth about all frames."""
        rows = [row for frame in range(self.spec.frames) for row in self.truth_at(frame)]
        return ClipTruth.of(rows, self.spec.names, self.spec.frames, self.spec.fps)


def shares_seen(
    fish: list[PlacedFish], obstacles: list[tuple[Obstacle, Polygons]], size_wh: tuple[int, int]
) -> list[float]:
    """The share of each animal that shows, 0 to 1.

    Args:
        fish: Animals, the farthest first.
        obstacles: Obstacles with their outlines, the farthest first.
        size_wh: The frame's width and height.
    """
    labels = np.zeros((size_wh[1], size_wh[0]), np.uint8)
    whole = []
    waiting = list(obstacles)
    for number, one in enumerate(fish, start=1):
        while waiting and waiting[0][0].depth >= one.depth:
            _fill(labels, waiting.pop(0)[1], _OBSTACLE)
        _fill(labels, one.points[None], number)
        whole.append(_pixels(one.points))
    for _, edges in waiting:
        _fill(labels, edges, _OBSTACLE)
    showing = np.bincount(labels.ravel(), minlength=256)
    return [min(1.0, float(showing[number]) / pixels) for number, pixels in enumerate(whole, start=1)]


def _fill(labels: NDArray[np.uint8], polygons: Polygons, value: int) -> None:
    for corners in fixed_point(polygons):
        cv2.fillPoly(labels, [corners], value, cv2.LINE_8, SHIFT)


def _pixels(polygon: Polygon) -> int:
    """Pixels that the polygon covers, wherever it lies; at least one."""
    low = np.floor(polygon.min(0)).astype(int) - 1
    size = np.ceil(polygon.max(0)).astype(int) + 2 - low
    scratch = np.zeros((size[1], size[0]), np.uint8)
    _fill(scratch, (polygon - low)[None].astype(np.float32), 1)
    return max(1, cv2.countNonZero(scratch))


_STREAMS: Final = ("animals", "swimming", "foreground", "water", "grain")


def stream(seed: int, name: str) -> np.random.Generator:
    """The random numbers of one part of a clip, so that a change in one part leaves the others as they are."""
    return np.random.default_rng([seed, _STREAMS.index(name)])
