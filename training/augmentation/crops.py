"""Varied crops of fish: the fish turned, scaled and moved a little, then seen through other water and cameras."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from data.frames import FramePreprocessing, place_frame
from data.preprocess import Image
from training.augmentation.crops_spec import CropAugmentation
from training.augmentation.spec import SceneAugmentation
from training.augmentation.underwater import UnderwaterOptics

_MIDDLE = (0.4, 0.65)
"""Radii that hold most fish, as shares of half the side of a crop."""
_OPTICS = ("attenuation", "haze", "uneven_light", "blur", "low_light", "exposure", "colour", "compression")


class CropAugmenter:
    """Makes varied crops in the network's input size.

    Args:
        spec: How much of everything.
        preprocessing: How a crop lies in the network's input when nothing is varied.
    """

    def __init__(self, spec: CropAugmentation, preprocessing: FramePreprocessing) -> None:
        self.spec, self.preprocessing = spec, preprocessing
        parts = {name: getattr(spec, name) for name in _OPTICS}
        self.optics = UnderwaterOptics(SceneAugmentation.off().model_copy(update=parts))
        self.rng = np.random.default_rng(0)

    def seed(self, seed: int) -> None:
        """Start the drawing anew."""
        self.rng = np.random.default_rng(seed)
        self.optics.seed(seed)

    def __call__(self, crop: Image, other: Image) -> Image:
        """Vary a crop (H, W, 3) BGR uint8 of any size; `other` is one whose surroundings it may get.

        Returns:
            (height, width, 3) uint8 of the network's input.
        """
        laid = self._laid(crop)
        if self.rng.random() < self.spec.background:
            inside = self._middle()
            laid = np.asarray(inside * laid + (1 - inside) * self._laid(other) + 0.5, np.uint8)
        return laid if self.rng.random() < self.spec.clean else self.optics(laid)

    def _laid(self, crop: Image) -> Image:
        placement = self._placement((crop.shape[1], crop.shape[0]))
        padding = (self.preprocessing.padding,) * 3
        # Shrinking without a blur before it would leave jagged edges that no real crop has.
        shrink = float(np.sqrt(abs(np.linalg.det(placement[:, :2]))))
        if shrink < 0.8:
            crop = np.asarray(cv2.GaussianBlur(crop, (0, 0), 0.4 / shrink))
        size_wh = self.preprocessing.size_wh
        return np.asarray(
            cv2.warpAffine(crop, placement, size_wh, borderMode=cv2.BORDER_CONSTANT, borderValue=padding), np.uint8
        )

    def _middle(self) -> NDArray[np.float32]:
        """(height, width, 1) an ellipse of ones about the middle, zeros around it, softly joined."""
        width, height = self.preprocessing.size_wh
        radii = self.rng.uniform(*_MIDDLE, 2)
        centre = self.rng.normal(0, 0.04, 2)
        x = (np.linspace(-1, 1, width) - centre[0]) / radii[0]
        y = (np.linspace(-1, 1, height) - centre[1]) / radii[1]
        away = np.sqrt(x[None] ** 2 + y[:, None] ** 2)
        return np.clip((1.15 - away) / 0.3, 0, 1).astype(np.float32)[..., None]

    def _placement(self, crop_wh: tuple[int, int]) -> NDArray[np.float64]:
        """(2, 3) from pixels of the crop to pixels of the network's input, about the crop's middle."""
        spec, rng = self.spec, self.rng
        turn = np.deg2rad(rng.normal(0, spec.rotation)) if spec.rotation else 0.0
        scale = np.exp(np.clip(rng.normal(0, 1), -2.5, 2.5) * spec.scale)
        aspect = np.exp(np.clip(rng.normal(0, 1), -2.5, 2.5) * spec.aspect)
        size = np.array(self.preprocessing.size_wh, np.float64)
        shift = np.clip(rng.normal(0, 1, 2), -2.5, 2.5) * spec.shift * size
        mirrored = -1.0 if rng.random() < spec.flip else 1.0
        fit = np.array(place_frame(crop_wh, self.preprocessing).scale_xy)
        stretch = np.diag(scale * fit * np.array([aspect * mirrored, 1 / aspect]))
        turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ stretch
        middle = (np.array(crop_wh, np.float64) - 1) / 2
        return np.hstack([turned, ((size - 1) / 2 + shift - turned @ middle)[:, None]])
