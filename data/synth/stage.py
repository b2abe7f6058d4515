"""Puts a made-up clip's frames together: water and bed, fish and what hides them, then light, lens and sensor."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from data.synth.fish_sprites import Sprite, paint, posed
from data.synth.foreground import SHIFT, Polygons, Rock, Tuft, fixed_point
from data.synth.scene import PlacedFish, Scene, stream
from data.synth.seabed import Setting, blade_colours, paint_backdrop, paint_rock
from data.synth.swimming import HORIZON
from data.synth.water import Caustics, Field, Rays, Snow, WaterLook, veil

Image = NDArray[np.uint8]

_GRAIN_ROOM: Final = 96
_COARSE: Final = 8
_UPPER_BLADE: Final = slice(3, 13)


class Stage:
    """Draws the frames of one scene, in their order."""

    def __init__(self, scene: Scene, seed: int) -> None:
        self._scene = scene
        spec, rng = scene.spec, stream(seed, "water")
        self._look = WaterLook.draw(spec, rng)
        reach = np.radians(spec.sway_degrees) * spec.focal
        self._margin = int(np.ceil(1.1 * reach)) + 8
        self._setting = Setting(spec, self._look, veil(spec, self._look, self._margin), self._margin)
        inner = slice(self._margin, -self._margin)
        self._veil = np.ascontiguousarray(self._setting.water[inner, inner])
        self._backdrop = paint_backdrop(self._setting, rng)
        self._current = _Current(scene, self._margin, rng)
        self._caustics = Caustics(spec, self._look, rng)
        self._rays = Rays(spec, self._look, rng)
        self._snow = Snow(spec, self._look, rng)
        self._sprites: dict[int, Sprite] = {}
        self._rocks: dict[int, tuple[Field, tuple[int, int]]] = {}
        self._blades = {
            number: blade_colours(obstacle, self._setting, rng)
            for number, obstacle in enumerate(scene.foreground)
            if isinstance(obstacle, Tuft)
        }
        self._sensor = _Sensor(scene, stream(seed, "grain"))

    def frame(self, number: int) -> Image:
        """(H, W, 3) BGR uint8."""
        seconds = number / self._scene.spec.fps
        shift = self._scene.shift_at(number)
        picture = self._current.moved(self._backdrop, seconds, shift)
        _light_bed(picture, self._caustics.at(seconds), shift[1])
        self._stand(picture, number, shift)
        scene = picture.astype(np.float32)
        scene += self._rays.at(seconds)
        self._snow.add(scene, seconds, shift)
        return self._sensor.develop(scene)

    def _stand(self, picture: Image, number: int, shift: tuple[float, float]) -> None:
        """Set the fish and the obstacles into the picture, the farthest first."""
        waiting = list(enumerate(self._scene.obstacles_at(number)))
        for fish in self._scene.fish_at(number):
            while waiting and waiting[0][1][0].depth >= fish.depth:
                index, (_, edges) = waiting.pop(0)
                self._stand_obstacle(picture, index, edges, shift)
            self._stand_fish(picture, fish)
        for index, (_, edges) in waiting:
            self._stand_obstacle(picture, index, edges, shift)

    def _stand_fish(self, picture: Image, fish: PlacedFish) -> None:
        animal = self._scene.animals[fish.index]
        sprite = self._sprites.get(fish.index)
        if sprite is None:
            sprite = self._sprites[fish.index] = paint(animal.plan, animal.look)
        spec = self._scene.spec
        found = posed(sprite, fish.pose, spec.size_wh)
        if found is None:
            return
        pixels = found.pixels.astype(np.float32)
        # water scatters what comes from afar
        spread = spec.size_wh[0] / 640 * (0.15 + 0.55 * spec.turbidity * fish.depth)
        if spread > 0.3:
            pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), spread, borderType=cv2.BORDER_REPLICATE), np.float32)
        alpha = pixels[..., 3:] / 255
        seen = self._look.transmission(fish.depth)
        part = picture[found.rows, found.columns]
        own = pixels[..., :3] * (np.array(self._look.daylight, np.float32) * seen)
        over = alpha * self._veil[found.rows, found.columns] * (1 - seen)
        part[:] = np.clip(part * (1 - alpha) + own + over, 0, 255).astype(np.uint8)

    def _stand_obstacle(self, picture: Image, index: int, edges: Polygons, shift: tuple[float, float]) -> None:
        obstacle = self._scene.foreground[index]
        if isinstance(obstacle, Rock):
            if index not in self._rocks:
                self._rocks[index] = paint_rock(obstacle, self._setting)
            _paste(picture, *self._rocks[index], shift)
            return
        corners = fixed_point(edges)
        for blade, (lower, upper) in zip(corners, self._blades[index], strict=True):
            cv2.fillPoly(picture, [blade], lower, cv2.LINE_AA, SHIFT)
            cv2.fillPoly(picture, [blade[_UPPER_BLADE]], upper, cv2.LINE_AA, SHIFT)


def _light_bed(picture: Image, gain: Field, drop: float) -> None:
    """Throw the net of light on what lies below the horizon."""
    top = int(np.clip(HORIZON * len(picture) + drop, 0, len(picture)))
    lit = picture[top:] * gain[top:, :, None]
    picture[top:] = np.minimum(lit, 255).astype(np.uint8)


def _paste(picture: Image, pixels: Field, corner: tuple[int, int], shift: tuple[float, float]) -> None:
    """Lay a picture with alpha (colours multiplied by it) so that its first pixel lies at corner + shift."""
    whole = np.floor(shift).astype(int)
    rest = np.array(shift) - whole
    if rest.any():
        move = np.array([[1, 0, rest[0]], [0, 1, rest[1]]], np.float32)
        pixels = np.asarray(cv2.warpAffine(pixels, move, (pixels.shape[1], pixels.shape[0])), np.float32)
    left, top = int(corner[0] + whole[0]), int(corner[1] + whole[1])
    part = picture[max(top, 0) : max(top + len(pixels), 0), max(left, 0) : max(left + pixels.shape[1], 0)]
    inside = pixels[max(-top, 0) :, max(-left, 0) :][: part.shape[0], : part.shape[1]]
    part[:] = np.clip(part * (1 - inside[..., 3:] / 255) + inside[..., :3], 0, 255).astype(np.uint8)


class _Current:
    """Moves the backdrop: with the camera, and the meadow with the swell."""

    def __init__(self, scene: Scene, margin: int, rng: np.random.Generator) -> None:
        width, height = scene.spec.size_wh
        self._size_wh = width, height
        self._margin = margin
        self._x = np.broadcast_to(np.arange(width, dtype=np.float32)[None] + margin, (height, width))
        self._y = np.broadcast_to(np.arange(height, dtype=np.float32)[:, None] + margin, (height, width))
        self._waves = scene.spec.bed == "meadow"
        y = ((np.arange(height // _COARSE) + 0.5) / (height // _COARSE))[:, None]
        x = ((np.arange(width // _COARSE) + 0.5) / (width // _COARSE))[None]
        self._reach = (np.clip(y - HORIZON, 0, None) * 0.035 * width).astype(np.float32)
        self._phase = (9 * x + 5 * y + rng.uniform(0, 6)).astype(np.float32)

    def moved(self, backdrop: Image, seconds: float, shift: tuple[float, float]) -> Image:
        """The backdrop (with its margin) as it stands in the frame."""
        if not self._waves:
            move = np.array([[1, 0, shift[0] - self._margin], [0, 1, shift[1] - self._margin]], np.float64)
            return np.asarray(cv2.warpAffine(backdrop, move, self._size_wh, flags=cv2.INTER_LINEAR), np.uint8)
        swell = self._reach * (
            0.75 * np.sin(1.5 * seconds - self._phase) + 0.25 * np.sin(3.1 * seconds - 2.3 * self._phase)
        )
        aside = np.asarray(cv2.resize(swell.astype(np.float32), self._size_wh), np.float32)
        map_x = self._x + (aside - np.float32(shift[0]))
        map_y = self._y - np.float32(shift[1])
        moved = cv2.remap(backdrop, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(moved, np.uint8)


class _Sensor:
    """Lens and sensor: a little softness, darker corners, exposure, flicker of the waves' light, noise."""

    def __init__(self, scene: Scene, rng: np.random.Generator) -> None:
        spec = scene.spec
        width, height = spec.size_wh
        y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
        x = np.linspace(-1, 1, width, dtype=np.float32)[None]
        self._gain = np.asarray(spec.light * (1 - 0.22 * ((x**2 + y**2) / 2) ** 1.5), np.float32)[..., None]
        room = height + _GRAIN_ROOM, width + _GRAIN_ROOM
        grey = rng.standard_normal((*room, 1), np.float32)
        hues = cv2.GaussianBlur(rng.standard_normal((*room, 3), np.float32), (0, 0), 1.2)
        self._grain = np.asarray(spec.noise * (0.8 * grey + 0.9 * hues), np.float32)
        self._size_wh = spec.size_wh
        self._soft = 0.55 * width / 640
        self._rng = rng

    def develop(self, light: Field) -> Image:
        """(H, W, 3) float32 light -> uint8."""
        soft = np.asarray(cv2.GaussianBlur(light, (0, 0), self._soft), np.float32)
        soft *= self._gain * np.float32(1 + self._rng.normal(0, 0.004))
        top, left = self._rng.integers(0, _GRAIN_ROOM, 2)
        width, height = self._size_wh
        soft += self._grain[top : top + height, left : left + width]
        return np.clip(soft, 0, 255).astype(np.uint8)
