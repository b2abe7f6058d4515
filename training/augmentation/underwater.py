"""What water and camera do to a picture, part by part: light, colour, haze, particles, blur, noise and compression."""

from __future__ import annotations

from typing import Any, Final

import albumentations as A  # noqa: N812 - its documentation's own name for it
import cv2
import numpy as np
from numpy.typing import NDArray

from data.preprocess import Image
from training.augmentation.spec import SceneAugmentation

Plane = NDArray[np.float32]

_WATERS: Final = np.array([[0.03, 0.06, 0.35], [0.06, 0.07, 0.38], [0.14, 0.11, 0.42], [0.26, 0.17, 0.48]])
"""Attenuation per metre of blue, green and red light, from clear ocean to green coast (rounded, after Jerlov)."""
_VEILS: Final = np.array([[200, 150, 60], [190, 180, 90], [160, 185, 120], [130, 165, 140], [175, 175, 165]])
"""BGR colours of water lit by the sun: blue ocean, lagoon, green coast, silt, overcast."""
_LEAST_CONTRAST: Final = 14.0
"""Standard deviation of grey levels that haze and darkness leave: with less nobody could tell the fish."""
_LEAST_LIGHT: Final = 45.0
"""Mean level that is not darkened further."""
_BANK_SIDE: Final = 512


def smooth_field(knots: NDArray[np.float64], shape: tuple[int, ...]) -> Plane:
    """A smooth (H, W) plane through the few knots of a grid (rows, columns)."""
    return np.asarray(cv2.resize(knots.astype(np.float32), (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC))


def distances(rng: np.random.Generator) -> NDArray[np.float64]:
    """Knots of a random plane of distances, 0 near to 1 far: the top of a picture mostly shows what is farther."""
    slope, tilt = rng.uniform(-0.2, 1.0), rng.uniform(-0.4, 0.4)
    rows, columns = np.linspace(0.5, -0.5, 4)[:, None], np.linspace(-0.5, 0.5, 5)[None]
    return np.clip(0.5 + slope * rows + tilt * columns + rng.normal(0, 0.15, (4, 5)), 0, 1)


class _Optics(A.ImageOnlyTransform):
    """A part that acts on an image (H, W, 3) BGR uint8; its random numbers come from `random_generator`."""

    @property
    def rng(self) -> np.random.Generator:
        return self.random_generator


class Attenuation(_Optics):
    """Water between fish and camera: channel c loses exp(-k_c * metres), so red falls first, more where it is farther.

    k is of a water drawn between clear ocean and green coast; the camera's exposure wins back part of the brightness.
    """

    def get_params(self) -> dict[str, Any]:
        """The drawn water, its thickness and the plane of distances."""
        kind = self.rng.uniform(0, len(_WATERS) - 1)
        lower = min(int(kind), len(_WATERS) - 2)
        water = _WATERS[lower] + (kind - lower) * (_WATERS[lower + 1] - _WATERS[lower])
        return {
            "water": water * self.rng.uniform(0.9, 1.1),
            "metres": self.rng.uniform(0.6, 3.2),
            "knots": distances(self.rng),
            "exposure": self.rng.uniform(0.5, 1.0),
        }

    def apply(
        self,
        img: Image,
        water: NDArray[np.float64],
        metres: float,
        knots: NDArray[np.float64],
        exposure: float,
        **_params: Any,
    ) -> Image:
        """The image through the water."""
        through = np.exp(-water[None, None] * metres * (0.5 + knots[..., None]))
        through /= through.mean(axis=(0, 1)).max() ** exposure
        planes = cv2.resize(through.astype(np.float32), (img.shape[1], img.shape[0]), interpolation=cv2.INTER_LINEAR)
        return np.asarray(cv2.multiply(img, planes, dtype=cv2.CV_8U))


class Haze(_Optics):
    """Turbid water: J t + V (1 - t), V the veil's light and t falling with distance. Some contrast is always left."""

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """The drawn veil and the knots of t; the veil's brightness goes with the picture's."""
        mean, spread = _grey_levels(data["image"])
        number = self.rng.uniform(0, len(_VEILS) - 1)
        lower = min(int(number), len(_VEILS) - 2)
        veil = _VEILS[lower] + (number - lower) * (_VEILS[lower + 1] - _VEILS[lower])
        brightness = mean * self.rng.uniform(0.8, 1.5) / veil.mean()
        least = min(1.0, max(0.25, _LEAST_CONTRAST / max(spread, 1.0)))
        density = self.rng.uniform(0.3, 1.6)
        return {
            "veil": np.clip(veil * brightness, 15, 235),
            "knots": np.maximum(np.exp(-density * (0.3 + distances(self.rng))), least),
        }

    def apply(self, img: Image, veil: NDArray[np.float64], knots: NDArray[np.float64], **_params: Any) -> Image:
        """The image behind the veil."""
        t = smooth_field(np.clip(knots, 0, 1), img.shape)[..., None]
        light = veil.astype(np.float32)
        return _to_image(light + (img - light) * np.clip(t, 0, 1))


class MarineSnow(_Optics):
    """Particles lit by sun or lamp: many small specks, some streaked by motion, a few big discs out of focus."""

    def get_params(self) -> dict[str, Any]:
        """Places (shares of the picture's sides), sizes (pixels), brightness, streak and colour."""
        count = int(np.exp(self.rng.uniform(np.log(15), np.log(150))))
        discs = int(self.rng.integers(0, 7)) if self.rng.random() < 0.5 else 0
        streak = self.rng.normal(0, 1, 2) * self.rng.uniform(1, 4) if self.rng.random() < 0.35 else np.zeros(2)
        return {
            "specks": self.rng.random((count, 2)),
            "radii": self.rng.gamma(2.0, 0.28, count) + 0.35,
            "lights": self.rng.uniform(0.2, 1.0, count),
            "streak": streak,
            "discs": self.rng.random((discs, 2)),
            "disc_radii": self.rng.uniform(3, 10, discs),
            "disc_lights": self.rng.uniform(0.08, 0.3, discs),
            "tint": np.clip(
                np.array([235, 240, 225]) * self.rng.uniform(0.75, 1.05) + self.rng.normal(0, 8, 3), 0, 255
            ),
        }

    def apply(self, img: Image, **drawn: Any) -> Image:
        """The image behind the particles."""
        cover = np.zeros(img.shape[:2], np.uint8)
        _draw_specks(cover, drawn["specks"], drawn["radii"], drawn["lights"], drawn["streak"])
        cover = np.asarray(cv2.GaussianBlur(cover, (3, 3), 0.7), np.uint8)
        if len(drawn["discs"]):
            far = np.zeros(img.shape[:2], np.uint8)
            _draw_specks(far, drawn["discs"], drawn["disc_radii"], drawn["disc_lights"], np.zeros(2))
            cover = np.maximum(cover, np.asarray(cv2.GaussianBlur(far, (0, 0), 1.6), np.uint8))
        share = cover.astype(np.float32)[..., None] * np.float32(0.85 / 255)
        return _to_image(img + share * (drawn["tint"].astype(np.float32) - img))


def _draw_specks(cover: Image, places: Plane, radii: Plane, lights: Plane, streak: NDArray[np.float64]) -> None:
    """Draw discs, or thick lines along the streak, into a (H, W) plane; places in sixteenths of a pixel."""
    size = np.array([cover.shape[1], cover.shape[0]])
    starts = np.round(places * size * 16).astype(int)
    ends = starts + np.round(streak * 16).astype(int)
    streaked = bool(np.abs(streak).max() > 0)
    for start, end, radius, light in zip(starts.tolist(), ends.tolist(), radii.tolist(), lights.tolist(), strict=True):
        if streaked:
            cv2.line(cover, start, end, 255 * light, max(1, round(radius * 1.5)), cv2.LINE_AA, shift=4)
        else:
            cv2.circle(cover, start, round(radius * 16), 255 * light, -1, cv2.LINE_AA, shift=4)


class Caustics(_Optics):
    """The web of light that waves throw on what lies below.

    A surface of a few plane waves bends the light; its brightness is 1 / |det(1 - depth * Hessian)|: a thin prism's
    map from surface to bottom, whose folds are the bright lines.
    """

    def get_params(self) -> dict[str, Any]:
        """The waves (per picture height), the depth that focuses them, the strength and where the web lies."""
        count = 7
        direction, turns = (
            self.rng.uniform(0, 2 * np.pi, count),
            self.rng.uniform(2, 5) * self.rng.uniform(0.6, 1.8, count),
        )
        waves = 2 * np.pi * turns[:, None] * np.stack([np.cos(direction), np.sin(direction) * 1.7], axis=1)
        return {
            "waves": waves,
            "phases": self.rng.uniform(0, 2 * np.pi, count),
            "focus": self.rng.uniform(0.3, 0.55),
            "strength": self.rng.uniform(0.15, 0.45),
            "low": self.rng.uniform(-0.1, 0.6),
        }

    def apply(
        self,
        img: Image,
        waves: NDArray[np.float64],
        phases: NDArray[np.float64],
        focus: float,
        strength: float,
        low: float,
        **_params: Any,
    ) -> Image:
        """The image under the moving web."""
        height, width = img.shape[:2]
        web = _web(waves, phases, focus, (max(2, height // 2), max(2, width // 2)))
        fade = np.clip((np.linspace(0, 1, web.shape[0], dtype=np.float32) - low) * 2.5, 0, 1)[:, None]
        gain = cv2.resize(1 + strength * fade * (web - web.mean()), (width, height), interpolation=cv2.INTER_LINEAR)
        return _scaled(img, gain)


def _web(waves: NDArray[np.float64], phases: NDArray[np.float64], focus: float, shape: tuple[int, int]) -> Plane:
    """(H, W) float32, 0 to 3: light below the waves."""
    y, x = np.linspace(0, 1, shape[0]), np.linspace(0, shape[1] / shape[0], shape[1])
    bend = np.zeros((3, *shape), np.float32)
    for (across, down), phase in zip(waves, phases, strict=True):
        # sin(a + b) of an angle along x and one along y: four short sines instead of a plane of them.
        a, b = across * x + phase, down * y
        wave = np.outer(np.cos(b), np.sin(a)) + np.outer(np.sin(b), np.cos(a))
        shares = np.array([across**2, down**2, across * down]) / (across**2 + down**2)
        bend += (shares[:, None, None] * wave).astype(np.float32)
    bend *= focus / np.sqrt(len(waves) / 2)
    folded = (1 + bend[0]) * (1 + bend[1]) - bend[2] ** 2
    return np.asarray(np.minimum(0.7 / (np.abs(folded) + 0.15), 3.5), np.float32)


class UnevenLight(_Optics):
    """Light from above, a vignette, a lamp's spot: brightness that changes smoothly over the picture."""

    def get_params(self) -> dict[str, Any]:
        """Strengths of the fall from top to bottom and of the vignette or spot, with its middle."""
        return {
            "from_above": self.rng.uniform(-0.15, 0.5),
            "vignette": self.rng.uniform(0, 0.55),
            "middle": self.rng.uniform(0.3, 0.7, 2),
            "knots": self.rng.normal(0, 0.06, (3, 4)),
        }

    def apply(
        self,
        img: Image,
        from_above: float,
        vignette: float,
        middle: NDArray[np.float64],
        knots: NDArray[np.float64],
        **_params: Any,
    ) -> Image:
        """The image in that light."""
        y, x = np.linspace(0, 1, 18)[:, None], np.linspace(0, 1, 26)[None]
        away = (x - middle[0]) ** 2 + (y - middle[1]) ** 2
        coarse = (1 + from_above * (0.5 - y)) * (1 - vignette * np.minimum(2 * away, 1)) * (1 + 0.3 * vignette)
        light = smooth_field(coarse + smooth_field(knots, coarse.shape), img.shape)
        return _scaled(img, np.maximum(light, 0.1))


class SensorNoise(_Optics):
    """Too little light: the picture darkens, and the camera's gain lifts shot and read noise with what is left.

    The noise is cut from a bank drawn once: drawing a picture's worth each time would cost more than all other parts.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p=p)
        white = np.random.default_rng(0).normal(0, 1, (_BANK_SIDE, _BANK_SIDE, 3)).astype(np.float32)
        # Colour is interpolated from neighbouring pixels: the noise is a little smooth.
        soft = cv2.GaussianBlur(white, (3, 3), 0.6)
        self.bank = soft / soft.std()

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """The drawn light, noise, and where the bank is cut; a picture that is dark or flat already stays so."""
        mean, spread = _grey_levels(data["image"])
        darkest = min(1.0, max(_LEAST_LIGHT / max(mean, 1.0), _LEAST_CONTRAST / max(spread, 1.0)))
        return {
            "light": max(darkest, self.rng.uniform(0.3, 0.85)),
            "shot": self.rng.uniform(0.05, 0.5),
            "read": self.rng.uniform(0.5, 3.0),
            "grey": self.rng.uniform(0.2, 0.9),
            "cut": self.rng.random(2),
        }

    def apply(
        self, img: Image, light: float, shot: float, read: float, grey: float, cut: NDArray[np.float64], **_params: Any
    ) -> Image:
        """The image in the dark."""
        rows, columns = (_cyclic(share, length) for share, length in zip(cut, img.shape[:2], strict=True))
        noise = self.bank[rows[:, None], columns[None]]
        noise = grey * noise[..., :1] + (1 - grey) * noise
        dark = img * np.float32(light)
        return _to_image(dark + noise * np.sqrt(np.float32(shot) * dark + np.float32(read**2)))


def _cyclic(share: float, length: int) -> NDArray[np.int64]:
    """So many consecutive places in the noise bank, from that share of it on, around its end."""
    return (int(share * _BANK_SIDE) + np.arange(length)) % _BANK_SIDE


class Compression(_Optics):
    """JPEG, or a video codec's look: coded small at low quality, its block edges smoothed."""

    def get_params(self) -> dict[str, Any]:
        """Whether it is video, the quality and the size at which it is coded."""
        video = bool(self.rng.random() < 0.5)
        quality = int(self.rng.integers(18, 50)) if video else int(self.rng.integers(20, 80))
        return {"quality": quality, "shrink": self.rng.uniform(0.6, 1.0) if video else 1.0, "video": video}

    def apply(self, img: Image, quality: int, shrink: float, video: bool, **_params: Any) -> Image:
        """The image coded and decoded."""
        height, width = img.shape[:2]
        size = (max(8, round(width * shrink)), max(8, round(height * shrink)))
        small = cv2.resize(img, size, interpolation=cv2.INTER_AREA) if size != (width, height) else img
        coded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        decoded = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
        if video:
            decoded = np.asarray(cv2.bilateralFilter(decoded, 3, 20, 2), np.uint8)
        return np.asarray(cv2.resize(decoded, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


class WhiteBalance(_Optics):
    """The camera's idea of white: each channel its own gain."""

    def get_params(self) -> dict[str, Any]:
        """The drawn gains."""
        return {"gains": np.exp(self.rng.normal(0, 0.12, 3))}

    def apply(self, img: Image, gains: NDArray[np.float64], **_params: Any) -> Image:
        """The image with its channels scaled."""
        table = np.arange(256)[:, None] * gains[None]
        return np.asarray(cv2.LUT(img, np.clip(table + 0.5, 0, 255).astype(np.uint8)[None]))


class UnderwaterOptics:
    """All parts in the order of the light: from the surface through the water and the lens to the file.

    Args:
        spec: The probability of each part.
    """

    def __init__(self, spec: SceneAugmentation) -> None:
        self.chain = A.Compose(
            [
                UnevenLight(p=spec.uneven_light),
                Caustics(p=spec.caustics),
                Attenuation(p=spec.attenuation),
                Haze(p=spec.haze),
                MarineSnow(p=spec.snow),
                A.OneOf(
                    [
                        A.GaussianBlur(sigma_limit=(0.4, 1.3), blur_limit=0),
                        A.MotionBlur(blur_limit=(3, 7)),
                        A.Defocus(radius=(1, 2), alias_blur=(0.1, 0.3)),
                    ],
                    p=spec.blur,
                ),
                A.OneOf(
                    [A.RandomGamma(gamma_limit=(65, 145)), A.RandomBrightnessContrast(0.15, (-0.3, 0.35))],
                    p=spec.exposure,
                ),
                A.OneOf([A.HueSaturationValue(8, 35, 0), WhiteBalance()], p=spec.colour),
                SensorNoise(p=spec.low_light),
                Compression(p=spec.compression),
            ]
        )

    def seed(self, seed: int) -> None:
        """Start the drawing anew."""
        self.chain.set_random_seed(seed)

    def __call__(self, image: Image) -> Image:
        """(H, W, 3) BGR uint8 -> the same, of the same size."""
        return np.asarray(self.chain(image=image)["image"])


def _grey_levels(image: Image) -> tuple[float, float]:
    """Mean and standard deviation of the grey levels."""
    mean, spread = cv2.meanStdDev(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))
    return float(mean[0, 0]), float(spread[0, 0])


def _scaled(image: Image, light: Plane) -> Image:
    """The image times a (H, W) plane of light."""
    return np.asarray(cv2.multiply(image, cv2.merge([light, light, light]), dtype=cv2.CV_8U))


def _to_image(values: Plane) -> Image:
    return np.clip(values + np.float32(0.5), 0, 255).astype(np.uint8)
