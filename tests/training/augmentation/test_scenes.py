from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from data.boxes import areas
from data.frames import FramePreprocessing, fit_frame
from tests.training.augmentation.pictures import bright_box, fish_picture, noise_picture, picture_with
from training.augmentation.scenes import LabelledPicture, SceneAugmenter
from training.augmentation.spec import SceneAugmentation

SIZE = (416, 256)
OFF = SceneAugmentation.off()


def augmenter(seed: int = 0, size_wh: tuple[int, int] = SIZE, **parts: float) -> SceneAugmenter:
    made = SceneAugmenter(OFF.model_copy(update=parts), size_wh)
    made.seed(seed)
    return made


def never() -> LabelledPicture:
    raise AssertionError("asked for another picture")


def shuffled(*pictures: LabelledPicture, seed: int = 0) -> Callable[[], LabelledPicture]:
    rng = np.random.default_rng(seed)
    return lambda: pictures[int(rng.integers(len(pictures)))]


def test_unknown_parts_and_impossible_strengths_are_refused() -> None:
    for wrong in ({"rain": 0.5}, {"haze": 1.5}, {"scale": -0.1}):
        with pytest.raises(ValidationError):
            SceneAugmentation.model_validate(wrong)


@pytest.mark.parametrize("clean", [0.0, 1.0])
def test_with_all_parts_off_a_scene_is_the_fitted_frame(clean: float) -> None:
    picture = LabelledPicture(noise_picture(1), np.array([[10, 20, 40, 60]], np.float32), np.zeros(1, np.int64), False)
    scene = augmenter(clean=clean).scene(never, picture)
    np.testing.assert_array_equal(scene.image, fit_frame(picture.image, FramePreprocessing(size_wh=SIZE)))
    assert not scene.exhaustive
    assert len(scene) == 1


def test_clean_scenes_are_at_most_mirrored() -> None:
    picture = LabelledPicture(noise_picture(1), np.array([[10, 20, 40, 60]], np.float32), np.zeros(1, np.int64), True)
    fitted = fit_frame(picture.image, FramePreprocessing(size_wh=SIZE))
    made = SceneAugmenter(SceneAugmentation(clean=1.0), SIZE)
    mirrored = 0
    for seed in range(20):
        made.seed(seed)
        image = made.scene(never, picture).image
        if (image == fitted).all():
            continue
        np.testing.assert_allclose(image[:, ::-1], fitted, atol=1)
        mirrored += 1
    assert 4 < mirrored < 16


@pytest.mark.parametrize("seed", range(30))
def test_boxes_follow_pixels_through_scale_and_flip(seed: int) -> None:
    picture = picture_with((120, 60, 200, 120))
    scene = augmenter(seed, scale=0.7, flip=0.5).scene(never, picture)
    assert len(scene) == 1
    np.testing.assert_allclose(scene.xyxy, bright_box(scene.image), atol=1.5)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("size_wh", [(360, 202), (300, 400)])
def test_boxes_follow_pixels_through_mosaic(seed: int, size_wh: tuple[int, int]) -> None:
    picture = picture_with((100, 60, 160, 110), size_wh=size_wh)
    others = iter([picture_with(), picture_with(size_wh=(640, 360)), picture_with(size_wh=(200, 300))])
    scene = augmenter(seed, mosaic=1.0, flip=0.5).scene(lambda: next(others), picture)
    assert len(scene) == 1
    np.testing.assert_allclose(scene.xyxy, bright_box(scene.image), atol=1.5)


def test_a_mosaic_shows_fish_of_all_four() -> None:
    pictures = [picture_with((100, 60, 160, 110)) for _ in range(4)]
    pictures = [replace(picture, labels=np.array([number])) for number, picture in enumerate(pictures)]
    made = augmenter(mosaic=1.0, flip=0.5)
    for seed in range(10):
        others = iter(pictures[1:])
        made.seed(seed)
        scene = made.scene(lambda others=others: next(others), pictures[0])
        assert sorted(scene.labels) == [0, 1, 2, 3]
        assert not (scene.image == 114).all(axis=2).any()


def test_mixup_joins_the_boxes_of_both() -> None:
    one, other = picture_with((20, 20, 80, 60)), picture_with((200, 100, 260, 150), (300, 20, 340, 60))
    scene = augmenter(mixup=1.0).scene(lambda: other, one)
    assert len(scene) == 3
    middle = scene.xyxy.reshape(-1, 2, 2).mean(axis=1).astype(int)
    for x, y in middle:
        assert scene.image[y, x].min() > 80
        assert scene.image[y, x].max() < 255


def test_padding_does_not_shine_through_a_mixup() -> None:
    wide, tall = picture_with(size_wh=(416, 256)), picture_with((40, 40, 80, 80), size_wh=(128, 256))
    scene = augmenter(mixup=1.0).scene(lambda: tall, wide)
    np.testing.assert_array_equal(scene.image[:, :100], wide.image[:, :100])


@pytest.mark.parametrize("part", ["mosaic", "mixup"])
@pytest.mark.parametrize("exhaustive", [True, False])
def test_a_scene_joins_only_pictures_of_one_kind(part: str, exhaustive: bool) -> None:
    same, stranger = picture_with((20, 20, 80, 60), exhaustive=exhaustive), picture_with(exhaustive=not exhaustive)
    picks = iter([stranger, same, stranger, stranger, same, same] * 3)
    scene = augmenter(**{part: 1.0}).scene(lambda: next(picks), same)
    assert scene.exhaustive is exhaustive
    assert len(scene) == (4 if part == "mosaic" else 2)


@pytest.mark.parametrize("part", ["mosaic", "mixup"])
def test_a_picture_without_company_stays_alone(part: str) -> None:
    alone = picture_with((20, 20, 80, 60), exhaustive=False)
    scene = augmenter(**{part: 1.0}).scene(picture_with, alone)
    np.testing.assert_array_equal(scene.image, fit_frame(alone.image, FramePreprocessing(size_wh=SIZE)))


def test_copy_paste_adds_fish_to_an_empty_picture() -> None:
    scene = augmenter(3, copy_paste=1.0).scene(fish_picture, picture_with())
    assert len(scene) == 1
    np.testing.assert_allclose(scene.xyxy, bright_box(scene.image), atol=2.5)


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_tiny_fish_keep_their_size_in_every_scene(mosaic: float) -> None:
    tiny = picture_with((100, 60, 105, 64))
    made = augmenter(scale=1.0, mosaic=mosaic)
    for _ in range(25):
        scene = made.scene(lambda: tiny, tiny)
        assert len(scene) == (4 if mosaic else 1)
        # Windows start at whole pixels: a fish at their edge may lose half a pixel.
        assert (scene.xyxy[:, 2:] - scene.xyxy[:, :2] >= 3.5).all()


def test_padding_stays_grey_under_all_parts() -> None:
    tall = picture_with((40, 40, 80, 80), size_wh=(128, 256))
    full = SceneAugmentation().model_copy(update={"clean": 0.0, "mosaic": 0.0, "scale": 0.0, "rotation": 0.0})
    made = SceneAugmenter(full.model_copy(update={"mixup": 0.0}), SIZE)
    for seed in range(10):
        made.seed(seed)
        image = made.scene(lambda: tall, tall).image
        assert (image[:, :140] == 114).all()
        assert (image[:, 280:] == 114).all()


def test_the_same_seed_draws_the_same_scene() -> None:
    pictures = [picture_with((20 + 40 * k, 20, 60 + 40 * k, 60)) for k in range(5)]
    made = SceneAugmenter(SceneAugmentation(), SIZE)
    different = 0
    for seed in range(8):
        drawn = []
        for again in (seed, seed, seed + 100):
            made.seed(again)
            drawn.append(made.scene(shuffled(*pictures), pictures[0]))
        np.testing.assert_array_equal(drawn[0].image, drawn[1].image)
        np.testing.assert_array_equal(drawn[0].xyxy, drawn[1].xyxy)
        different += bool((drawn[0].image != drawn[2].image).any())
    assert different >= 7


def test_pictures_given_are_never_changed() -> None:
    picture, other = picture_with((20, 20, 80, 60), size_wh=SIZE), picture_with((200, 100, 260, 150), size_wh=SIZE)
    before = picture.image.copy(), other.image.copy()
    made = SceneAugmenter(SceneAugmentation(), SIZE)
    for seed in range(15):
        made.seed(seed)
        made.scene(lambda: other, picture)
    np.testing.assert_array_equal(picture.image, before[0])
    np.testing.assert_array_equal(other.image, before[1])


@st.composite
def pictures(draw: st.DrawFn) -> LabelledPicture:
    width, height = draw(st.integers(8, 300)), draw(st.integers(8, 300))
    shares = draw(st.lists(st.tuples(*[st.floats(0, 1)] * 4), max_size=6))
    corners = np.array(shares, np.float32).reshape(-1, 2, 2) * np.array([width, height], np.float32)
    xyxy = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)
    image = noise_picture(len(shares), (width, height))
    return LabelledPicture(image, xyxy, np.arange(len(xyxy), dtype=np.int64), draw(st.booleans()))


@settings(max_examples=40, deadline=None)
@given(
    some=st.lists(pictures(), min_size=1, max_size=4),
    seed=st.integers(0, 10_000),
    size=st.sampled_from([SIZE, (64, 96)]),
)
def test_any_scene_is_fit_for_training(some: list[LabelledPicture], seed: int, size: tuple[int, int]) -> None:
    everything = SceneAugmentation(clean=0.05, mosaic=0.5, mixup=0.4, copy_paste=0.8, rotation=8)
    made = SceneAugmenter(everything, size)
    made.seed(seed)
    scene = made.scene(shuffled(*some, seed=seed), some[0])
    assert scene.image.shape == (size[1], size[0], 3)
    assert scene.image.dtype == np.uint8
    assert scene.xyxy.dtype == np.float32
    assert scene.xyxy.shape == (len(scene.labels), 4)
    assert scene.labels.dtype == np.int64
    assert scene.exhaustive == some[0].exhaustive
    assert (areas(scene.xyxy) > 0).all()
    assert (scene.xyxy >= 0).all()
    assert (scene.xyxy[:, 2:] <= size).all()
