"""Augmented underwater scenes: what a detector sees while it learns, at the size of its input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from data.masks import Mask
from data.preprocess import Image
from training.augmentation.pasting import with_pasted
from training.augmentation.spec import SceneAugmentation
from training.augmentation.underwater import UnderwaterOptics
from training.augmentation.windows import (
    PADDING,
    LabelledPicture,
    Pose,
    centred,
    cover_scale,
    draw_pose,
    fit_scale,
    kindest_scale,
    laid,
)

__all__ = ["LabelledPicture", "SceneAugmenter"]

Pick = Callable[[], LabelledPicture]
_Window = tuple[LabelledPicture, NDArray[np.bool_]]
_TRIES: Final = 8


class SceneAugmenter:
    """Draws augmented scenes; the same seed draws the same pixels.

    A scene joins only pictures of one kind: with every object labelled, or not.

    Args:
        spec: Strengths and probabilities.
        size_wh: Size of the network's input in pixels.
    """

    def __init__(self, spec: SceneAugmentation, size_wh: tuple[int, int]) -> None:
        self.spec = spec
        self.size_wh = size_wh
        self.rng = np.random.default_rng(0)
        self.optics = UnderwaterOptics(spec)

    def seed(self, seed: int) -> None:
        """Start the drawing anew."""
        self.rng = np.random.default_rng(seed)
        self.optics.seed(seed + 1)

    def scene(self, pick: Pick, first: LabelledPicture) -> LabelledPicture:
        """A scene with the first picture in it.

        Args:
            pick: Gives another training picture, by chance.
            first: The picture that the scene is made of.

        Returns:
            The scene, of the network's input size, padded with its grey; every box inside it and with an area.
        """
        spec = self.spec
        if self._happens(spec.clean):
            return laid(first, centred(first.size_wh, self.size_wh, self._happens(spec.flip)), self.size_wh)[0]
        scene, shown = self._mosaic(pick, first) if self._happens(spec.mosaic) else self._single(pick, first)
        if self._happens(spec.mixup):
            scene, shown = self._mixed(pick, (scene, shown))
        image = self.optics(scene.image)
        if not shown.all():
            image[~shown] = PADDING
        return replace(scene, image=image)

    def _happens(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def _partner(self, pick: Pick, exhaustive: bool) -> LabelledPicture | None:
        """Another picture of the same kind; None where chance gives none."""
        for _ in range(_TRIES):
            other = pick()
            if other.exhaustive == exhaustive:
                return other
        return None

    def _single(self, pick: Pick, picture: LabelledPicture) -> _Window:
        """One picture in the whole window."""
        if self._happens(self.spec.copy_paste):
            picture = with_pasted(picture, pick, self.size_wh, self.rng)
        return laid(picture, self._pose(picture), self.size_wh)

    def _pose(self, picture: LabelledPicture) -> Pose:
        flip = self._happens(self.spec.flip)
        pose = centred(picture.size_wh, self.size_wh, flip)
        if self.spec.scale:
            fit = fit_scale(picture.size_wh, self.size_wh)
            factor = np.exp(self.rng.uniform(-0.4 * self.spec.scale, self.spec.scale))
            pose = draw_pose(picture, self.size_wh, kindest_scale(picture.xyxy, fit * factor, fit), self.rng, flip=flip)
        return replace(pose, angle=self.rng.uniform(-1, 1) * self.spec.rotation)

    def _mosaic(self, pick: Pick, first: LabelledPicture) -> _Window:
        """Four pictures around a random middle, each filling its part; the first alone where no others fit it."""
        others = [self._partner(pick, first.exhaustive) for _ in range(3)]
        pictures = [first, *(other for other in others if other is not None)]
        if len(pictures) < 4:
            return self._single(pick, first)
        middle = np.round(np.array(self.size_wh) * self.rng.uniform(0.3, 0.7, 2)).astype(int)
        image = np.empty((self.size_wh[1], self.size_wh[0], 3), np.uint8)
        tiles = []
        for corner, number in enumerate(self.rng.permutation(4)):
            low = np.where([corner % 2, corner // 2], middle, 0)
            high = np.where([corner % 2, corner // 2], self.size_wh, middle)
            tile = self._tile(pictures[number], (int(high[0] - low[0]), int(high[1] - low[1])))
            image[low[1] : high[1], low[0] : high[0]] = tile.image
            tiles.append(_shifted(tile, (int(low[0]), int(low[1]))))
        scene = _with_objects(image, tiles)
        return scene, np.ones(image.shape[:2], np.bool_)

    def _tile(self, picture: LabelledPicture, tile_wh: tuple[int, int]) -> LabelledPicture:
        """A crop that fills the tile; smaller than in a scene of its own, unless its fish are tiny."""
        fit = fit_scale(picture.size_wh, self.size_wh)
        scale = kindest_scale(picture.xyxy, fit * np.exp(self.rng.uniform(-0.7, 0.2)), fit)
        scale = max(scale, cover_scale(picture.size_wh, tile_wh))
        return laid(picture, draw_pose(picture, tile_wh, scale, self.rng, flip=self._happens(self.spec.flip)), tile_wh)[
            0
        ]

    def _mixed(self, pick: Pick, window: _Window) -> _Window:
        """The scene with another shining through, the objects of both in it."""
        scene, shown = window
        other = self._partner(pick, scene.exhaustive)
        if other is None:
            return window
        other, other_shown = laid(other, self._pose(other), self.size_wh)
        weight = self.rng.uniform(0.4, 0.6)
        image = np.asarray(cv2.addWeighted(scene.image, weight, other.image, 1 - weight, 0), np.uint8)
        # Padding does not shine through.
        np.copyto(image, scene.image, where=~other_shown[..., None])
        np.copyto(image, other.image, where=~shown[..., None])
        return _with_objects(image, [scene, other]), shown | other_shown


def _shifted(tile: LabelledPicture, by: tuple[int, int]) -> LabelledPicture:
    """The tile's objects in the pixels of a scene in which it lies there."""
    masks = tile.masks
    if masks is not None:
        masks = tuple(one and Mask(one.left + by[0], one.top + by[1], one.inside) for one in masks)
    return replace(tile, xyxy=tile.xyxy + np.tile(by, 2).astype(np.float32), masks=masks)


def _with_objects(image: Image, pictures: Sequence[LabelledPicture]) -> LabelledPicture:
    """A picture with the objects of all these, which are of one kind."""
    masks = [one.masks for one in pictures if one.masks is not None]
    return LabelledPicture(
        image,
        np.concatenate([one.xyxy for one in pictures]),
        np.concatenate([one.labels for one in pictures]),
        pictures[0].exhaustive,
        tuple(mask for own in masks for mask in own) if len(masks) == len(pictures) else None,
    )
