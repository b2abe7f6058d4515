"""Masks that follow the pixels through every part of a scene."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from data.masks import Mask, area, from_picture, semantic
from data.preprocess import Image
from tests.training.augmentation.pictures import WATER, picture_with
from training.augmentation.pasting import with_pasted
from training.augmentation.scenes import SceneAugmenter
from training.augmentation.spec import SceneAugmentation
from training.augmentation.windows import LabelledPicture, Pose, laid, moved_mask, pose_matrix

WINDOW = (416, 256)


def swimmer(
    middle: tuple[int, int] = (150, 90), halves: tuple[int, int] = (40, 18), angle: float = 25.0
) -> LabelledPicture:
    """A slanting bright ellipse in plain water, with its mask."""
    picture = picture_with()
    drawn = np.zeros(picture.image.shape[:2], np.uint8)
    cv2.ellipse(drawn, middle, halves, angle, 0, 360, 255, -1)
    picture.image[drawn > 0] = 255
    mask = from_picture(drawn)
    return LabelledPicture(picture.image, mask.xyxy[None], np.zeros(1, np.int64), True, (mask,))


def bright(image: Image) -> np.ndarray:
    return image.astype(int).min(axis=2) > (255 + max(WATER)) // 2


def agreement(picture: LabelledPicture) -> float:
    """Intersection over union of the picture's masks with its bright pixels."""
    assert picture.masks is not None
    masks = semantic([mask for mask in picture.masks if mask is not None], picture.size_wh) > 0
    shown = bright(picture.image)
    either = np.count_nonzero(masks | shown)
    return np.count_nonzero(masks & shown) / either if either else 1.0


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("angle", [0.0, 12.0, -7.5])
@pytest.mark.parametrize(
    ("inner_wh", "left_top"), [((360, 202), (20, 30)), ((540, 303), (-100, -20)), ((200, 112), (50, 60))]
)
def test_a_laid_mask_lies_on_its_fish(
    flipped: bool, angle: float, inner_wh: tuple[int, int], left_top: tuple[int, int]
) -> None:
    window, _ = laid(swimmer(), Pose(inner_wh, left_top, flipped, angle), WINDOW)
    assert len(window) == 1
    assert agreement(window) > 0.9
    assert window.masks is not None
    (mask,) = window.masks
    assert mask is not None
    # The box is around what is seen of the fish, whatever the angle.
    np.testing.assert_allclose(window.xyxy[0], mask.xyxy, atol=1.5)


def test_what_leaves_the_window_leaves_the_mask() -> None:
    window, _ = laid(swimmer(), Pose((360, 202), (-140, 0)), WINDOW)
    assert window.masks is not None
    (mask,) = window.masks
    assert mask is not None
    assert mask.left == 0
    assert agreement(window) > 0.95
    assert len(laid(swimmer(), Pose((360, 202), (-185, 0)), WINDOW)[0]) == 0


def test_an_unmoved_mask_is_the_same_mask() -> None:
    picture = swimmer()
    assert picture.masks is not None
    (mask,) = picture.masks
    assert mask is not None
    matrix = pose_matrix(picture.size_wh, Pose(picture.size_wh, (0, 0)), picture.size_wh)
    assert moved_mask(mask, matrix, picture.size_wh) == mask


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("part", ["mosaic", "copy_paste", "scale", "rotation"])
def test_scenes_carry_their_masks(part: str, seed: int) -> None:
    strength = {"scale": 0.7, "rotation": 10.0}.get(part, 1.0)
    augmenter = SceneAugmenter(SceneAugmentation.off().model_copy(update={part: strength}), WINDOW)
    augmenter.seed(seed)
    scene = augmenter.scene(lambda: swimmer((200, 120), (30, 12), -40), swimmer())
    assert scene.masks is not None
    assert len(scene.masks) == len(scene) > 0
    assert agreement(scene) > 0.85
    for box, mask in zip(scene.xyxy, scene.masks, strict=True):
        assert mask is not None
        assert (box[:2] >= mask.xyxy[:2] - 0.51).all()
        assert (box[2:] <= mask.xyxy[2:] + 0.51).all()


def test_mixed_scenes_have_the_masks_of_both() -> None:
    augmenter = SceneAugmenter(SceneAugmentation.off().model_copy(update={"mixup": 1.0}), WINDOW)
    augmenter.seed(1)
    scene = augmenter.scene(lambda: swimmer((250, 60)), swimmer((100, 140)))
    assert scene.masks is not None
    assert [mask is not None for mask in scene.masks] == [True, True]


def test_a_pasted_fish_hides_what_is_behind_it() -> None:
    crowd = [from_picture(np.ones((60, 90)), x, y) for x in (20, 130, 240) for y in (10, 80)]
    picture = picture_with(*[tuple(int(side) for side in one.xyxy) for one in crowd], colour=(90, 90, 90))  # type: ignore[arg-type]
    picture = replace(picture, masks=tuple(crowd))
    before = sum(map(area, crowd))
    hidden = 0
    for seed in range(20):
        scene = with_pasted(picture, swimmer, WINDOW, np.random.default_rng(seed))
        assert scene.masks is not None
        masks = [mask for mask in scene.masks if mask is not None]
        whole = semantic(masks, picture.size_wh) > 0
        assert sum(map(area, masks)) == np.count_nonzero(whole)  # no pixel belongs to two
        hidden += before - sum(map(area, masks[: len(crowd)]))
    assert hidden > 0


def test_a_fish_without_a_mask_is_not_pasted_among_masks() -> None:
    unmasked = replace(swimmer(), masks=(None,))
    empty = replace(picture_with(), masks=())
    scene = with_pasted(empty, lambda: unmasked, WINDOW, np.random.default_rng(1))
    assert (len(scene), scene.masks) == (0, ())


def test_boxes_without_masks_stay_as_they_are() -> None:
    mask = Mask(100, 60, np.ones((20, 40), np.bool_))
    picture = replace(picture_with((20, 20, 60, 40), (100, 60, 140, 80)), masks=(None, mask))
    window, _ = laid(picture, Pose(picture.size_wh, (10, 0)), WINDOW)
    assert window.xyxy.tolist() == [[30, 20, 70, 40], [110, 60, 150, 80]]
    assert window.masks == (None, Mask(110, 60, mask.inside))
