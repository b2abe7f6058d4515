from __future__ import annotations

import numpy as np
import pytest

from data.boxes import areas, ious
from tests.training.augmentation.pictures import bright_box, fish_picture, noise_picture, picture_with
from training.augmentation.pasting import with_pasted
from training.augmentation.windows import LabelledPicture

WINDOW = (416, 256)
FISH = fish_picture()


def pasted(picture: LabelledPicture, other: LabelledPicture, seed: int) -> LabelledPicture:
    return with_pasted(picture, lambda: other, WINDOW, np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize("size_wh", [(360, 202), (640, 480)])
def test_the_box_lies_where_the_fish_was_pasted(seed: int, size_wh: tuple[int, int]) -> None:
    empty = picture_with(size_wh=size_wh)
    scene = pasted(empty, FISH, seed)
    assert len(scene) == 1
    np.testing.assert_allclose(scene.xyxy, bright_box(scene.image), atol=2)
    assert (empty.image == empty.image[0, 0]).all()


@pytest.mark.parametrize("seed", range(10))
def test_the_size_in_the_scene_is_kept(seed: int) -> None:
    large = picture_with(size_wh=(1440, 808))
    scene = pasted(large, FISH, seed)
    width = scene.xyxy[0, 2] - scene.xyxy[0, 0]
    assert 0.68 * 160 <= width <= 1.32 * 160


@pytest.mark.parametrize("seed", range(20))
def test_fish_already_there_stay_in_view(seed: int) -> None:
    crowd = picture_with(*[(x, y, x + 50, y + 40) for x in (20, 120, 220) for y in (10, 80, 150)])
    scene = pasted(crowd, FISH, seed)
    np.testing.assert_array_equal(scene.xyxy[:9], crowd.xyxy)
    new, old = scene.xyxy[9:], crowd.xyxy
    shared = ious(new, old) / (1 + ious(new, old)) * (areas(new)[:, None] + areas(old))
    assert (shared <= 0.31 * areas(old)).all()


def test_colours_take_those_of_the_new_water() -> None:
    green = picture_with()
    green.image[:] = (60, 140, 20)
    scene = pasted(green, fish_picture(colour=(160, 140, 80)), 3)
    left, top, right, bottom = scene.xyxy[0].astype(int)
    inside = scene.image[top + 4 : bottom - 4, left + 6 : right - 6].reshape(-1, 3).mean(axis=0)
    np.testing.assert_allclose(inside, [100, 180, 60], atol=6)


def test_fish_on_rough_ground_stay_where_they_are() -> None:
    rough = LabelledPicture(noise_picture(1), FISH.xyxy, FISH.labels, True)
    rough.image[::2] //= 4
    scene = pasted(picture_with(), rough, 1)
    assert len(scene) == 0


@pytest.mark.parametrize("box", [(10, 10, 14, 13), (0, 0, 360, 202)])
def test_specks_and_giants_are_not_pasted(box: tuple[int, int, int, int]) -> None:
    assert len(pasted(picture_with(), fish_picture(box), 1)) == 0


def test_nothing_is_pasted_where_no_picture_has_fish() -> None:
    picture = picture_with((50, 50, 80, 80))
    assert pasted(picture, picture_with(), 1) is picture


@pytest.mark.parametrize("box", [(0, 90, 40, 120), (320, 90, 360, 120), (90, 0, 130, 30), (90, 172, 130, 202)])
def test_fish_cut_by_the_edge_of_their_picture_are_not_pasted(box: tuple[int, int, int, int]) -> None:
    assert len(pasted(picture_with(), fish_picture(box), 1)) == 0


@pytest.mark.parametrize("box", [(2, 2, 42, 32), (318, 170, 358, 200)])
@pytest.mark.parametrize("seed", range(5))
def test_fish_near_the_edge_of_their_picture_can_be_pasted(box: tuple[int, int, int, int], seed: int) -> None:
    scene = pasted(picture_with(size_wh=(300, 200)), fish_picture(box), seed)
    assert len(scene) == 1
    np.testing.assert_allclose(scene.xyxy, bright_box(scene.image), atol=2)
