"""How the fish of a made-up clip swim: positions and headings of every animal in every frame, known exactly.

The camera looks along z from the origin; x is to its right, y down, in metres. A fish has momentum: it turns no faster
than fish of its size do, and its speed changes gradually. It swims to one waypoint after another within a space
somewhat wider than the view, so it leaves and comes back. A school follows an unseen leader, each animal in its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.synth.fish_plans import FishPlan, plan_of
from data.synth.fish_sprites import Look
from data.synth.footage_spec import ClipSpec

Track = NDArray[np.float64]

CAMERA_HEIGHT_M: Final = 0.55
HORIZON: Final = 0.56
"""Where level lies: this share of the frame's height from its top."""
_SETTLING_S: Final = 4.0
_TURN: Final = 2.6
_STEEPEST: Final = 0.45
_NEARER: Final = 1.7
"""Above 1, more of the fish are near than the water's depth alone would give."""


@dataclass(frozen=True)
class Animal:
    """One individual: identity from 1, plan, looks, its school (-1 for none) and its place in it (metres)."""

    identity: int
    plan: FishPlan
    look: Look
    school: int
    place: tuple[float, float, float]


@dataclass(frozen=True)
class Swim:
    """Where N animals are in T frames.

    `position` (T, N, 3) metres; `yaw` (T, N) radians, 0 to the right, pi/2 away from the camera; `pitch` (T, N)
    radians, positive up; `beat` (T, N) the tail's phase, `bend` (T, N) its swing, both in radians.
    """

    position: Track
    yaw: Track
    pitch: Track
    beat: Track
    bend: Track


def draw_animals(spec: ClipSpec, rng: np.random.Generator) -> tuple[Animal, ...]:
    """The animals of a clip, in the order of its stocks."""
    animals: list[Animal] = []
    schools = 0
    for stock in spec.stocks:
        plan = plan_of(stock.species)
        spacing = 0.65 * plan.length_m[0] * max(1.0, stock.individuals) ** (1 / 3)
        for _ in range(stock.individuals):
            place = rng.normal(0, spacing, 3) * (1.25, 0.55, 0.9) if stock.school else np.zeros(3)
            school = schools if stock.school else -1
            at = (float(place[0]), float(place[1]), float(place[2]))
            animals.append(Animal(len(animals) + 1, plan, Look.draw(plan, rng), school, at))
        schools += stock.school
    return tuple(animals)


def swim(spec: ClipSpec, animals: tuple[Animal, ...], rng: np.random.Generator) -> Swim:
    """Let the animals swim for the clip's length.

    The first seconds, in which schools form, lie before the clip.
    """
    schools = max((animal.school for animal in animals), default=-1) + 1
    leaders = [next(animal for animal in animals if animal.school == school) for school in range(schools)]
    shoal = _Shoal(spec, (*leaders, *animals), schools, rng)
    settling = round(_SETTLING_S * spec.fps)
    states = []
    for step in range(-settling, spec.frames):
        shoal.step(1 / spec.fps)
        if step >= 0:
            states.append(shoal.state(schools))
    position, yaw, pitch, beat, bend = (np.stack(parts) for parts in zip(*states, strict=True))
    return Swim(position, yaw, pitch, beat, bend)


class _Shoal:
    """All swimmers at one moment, the unseen leaders of the schools first."""

    def __init__(self, spec: ClipSpec, swimmers: tuple[Animal, ...], schools: int, rng: np.random.Generator) -> None:
        self._spec, self._rng, self._schools = spec, rng, schools
        count = len(swimmers)
        self._plans = [animal.plan for animal in swimmers]
        self._leader = np.array([-1] * schools + [animal.school for animal in swimmers[schools:]], np.int64)
        self._place = np.array([animal.place for animal in swimmers]).reshape(count, 3)
        lengths = np.array([animal.look.length_m for animal in swimmers])
        self._heights = np.array([plan.heights_m for plan in self._plans]).reshape(count, 2)
        self._half = 0.25 * lengths
        self._cruise = np.array([plan.speed for plan in self._plans]) * lengths
        self._goal = np.array([self._waypoint(index, None) for index in range(count)]).reshape(count, 3)
        self._position = np.array([self._waypoint(index, None) for index in range(count)]).reshape(count, 3)
        follows = self._leader >= 0
        self._position[follows] = (self._position[self._leader] + self._place)[follows]
        self._vigour = rng.uniform(0.5, 1.2, count)
        self._speed = self._cruise * self._vigour
        self._yaw = rng.choice([0.0, np.pi], count) + rng.normal(0, 0.25, count)
        self._pitch = np.zeros(count)
        self._beat = rng.uniform(0, 2 * np.pi, count)
        self._stray = np.zeros((count, 3))

    def state(self, first: int) -> tuple[Track, Track, Track, Track, Track]:
        """Position, yaw, pitch, beat and bend of all from number `first` on."""
        effort = np.clip(self._speed / np.maximum(self._cruise, 1e-9), 0.15, 1.6)
        parts = (self._position, self._yaw, self._pitch, self._beat, 0.35 + 0.4 * effort)
        position, yaw, pitch, beat, bend = (np.array(part[first:]) for part in parts)
        return position, yaw, pitch, beat, bend

    def step(self, seconds: float) -> None:
        """Swim on for so long."""
        self._choose_waypoints(seconds)
        wanted = self._wanted_velocity(seconds)
        pace = np.linalg.norm(wanted, axis=1)
        yaw_error = _wrapped(np.arctan2(wanted[:, 2], wanted[:, 0]) - self._yaw)
        level = np.hypot(wanted[:, 0], wanted[:, 2])
        pitch = np.clip(np.arctan2(-wanted[:, 1], level + 1e-6), -_STEEPEST, _STEEPEST)
        ease = 1 - np.exp(-seconds / 0.35)
        fastest = _TURN * seconds
        self._yaw += np.clip(yaw_error * ease, -fastest, fastest)
        self._pitch += np.clip((pitch - self._pitch) * ease, -fastest, fastest)
        # a fish that has to turn slows down first
        aligned = np.clip(np.cos(yaw_error), 0.25, 1)
        self._speed += (np.minimum(pace, 2.2 * self._cruise) * aligned - self._speed) * (1 - np.exp(-seconds / 0.5))
        flat = self._speed * np.cos(self._pitch)
        step = np.stack([flat * np.cos(self._yaw), -self._speed * np.sin(self._pitch), flat * np.sin(self._yaw)], 1)
        self._position += step * seconds
        self._keep_in_water()
        rate = 2 * np.pi * (0.7 + 1.6 * self._speed / np.maximum(self._cruise, 1e-9))
        self._beat += rate * seconds

    def _wanted_velocity(self, seconds: float) -> Track:
        """(N, 3): to the waypoint, or, in a school, with the leader and to one's place."""
        noise = self._rng.standard_normal(self._stray.shape)
        self._stray += -self._stray * seconds / 1.5 + noise * np.sqrt(seconds) * 0.35 * self._cruise[:, None]
        way = self._goal - self._position
        far = np.linalg.norm(way, axis=1, keepdims=True)
        wanted = way / np.maximum(far, 1e-6) * (self._cruise * self._vigour)[:, None]
        follows = self._leader >= 0
        leader = self._leader[follows]
        flat = self._speed[leader] * np.cos(self._pitch[leader])
        ahead = np.stack([flat * np.cos(self._yaw[leader]), 0 * flat, flat * np.sin(self._yaw[leader])], 1)
        out_of_place = self._position[leader] + self._place[follows] - self._position[follows]
        wanted[follows] = ahead + 0.6 * out_of_place
        return np.asarray(wanted + self._stray * (0.5, 0.3, 0.5))

    def _choose_waypoints(self, seconds: float) -> None:
        near = np.linalg.norm(self._goal - self._position, axis=1) < 0.3
        bored = self._rng.random(len(near)) < 0.05 * seconds
        for index in np.flatnonzero(near | bored):
            self._goal[index] = self._waypoint(int(index), self._position[index])
            # a lone fish may hover; a school swims on
            hovers = index >= self._schools and self._rng.random() < 0.15
            self._vigour[index] = self._rng.uniform(0.08, 0.3) if hovers else self._rng.uniform(0.5, 1.4)

    def _waypoint(self, index: int, here: Track | None) -> Track:
        """A place to swim to: within the roaming space, at the species' height, not much nearer or farther than now."""
        spec, rng = self._spec, self._rng
        near, far = spec.range_m
        low, high = near + self._half[index], max(far, near + self._half[index] + 0.2)
        depth = (
            low + (high - low) * rng.random() ** _NEARER
            if here is None
            else float(np.clip(rng.normal(here[2], 0.6), low, high))
        )
        x = rng.uniform(-1, 1) * spec.roaming * spec.size_wh[0] / 2 / spec.focal * depth
        lowest, highest = self._heights[index]
        ceiling = CAMERA_HEIGHT_M + 0.85 * HORIZON * spec.size_wh[1] / spec.focal * depth
        height = rng.uniform(lowest, max(min(highest, ceiling), lowest + 0.05))
        return np.array([x, CAMERA_HEIGHT_M - height, depth])

    def _keep_in_water(self) -> None:
        near, far = self._spec.range_m
        lowest = CAMERA_HEIGHT_M - self._heights[:, 0] * 0.8
        np.clip(self._position[:, 1], None, lowest, out=self._position[:, 1])
        np.clip(self._position[:, 2], near + self._half * 0.8, far + 0.5, out=self._position[:, 2])


def _wrapped(angle: Track) -> Track:
    return np.asarray((angle + np.pi) % (2 * np.pi) - np.pi)
