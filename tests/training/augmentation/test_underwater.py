from __future__ import annotations

import albumentations as A  # noqa: N812
import numpy as np
import pytest

from data.preprocess import Image
from tests.training.augmentation.pictures import noise_picture
from training.augmentation.spec import SceneAugmentation
from training.augmentation.underwater import (
    Attenuation,
    Caustics,
    Compression,
    Haze,
    MarineSnow,
    SensorNoise,
    UnderwaterOptics,
    UnevenLight,
    WhiteBalance,
)

PARTS = [Attenuation, Haze, MarineSnow, Caustics, UnevenLight, SensorNoise, Compression, WhiteBalance]
PIXEL_FIELDS = (
    "attenuation",
    "haze",
    "snow",
    "caustics",
    "uneven_light",
    "blur",
    "low_light",
    "exposure",
    "colour",
    "compression",
)
SEEDS = range(8)


def applied(part: A.ImageOnlyTransform, image: Image, seed: int) -> Image:
    chain = A.Compose([part], seed=seed)
    return chain(image=image)["image"]


def luminance(image: Image) -> np.ndarray:
    return image.astype(np.float64).mean(axis=2)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("size_wh", [(416, 256), (64, 32), (33, 47)])
def test_a_part_keeps_size_and_type_and_leaves_its_input_alone(part: type, size_wh: tuple[int, int]) -> None:
    image = noise_picture(1, size_wh)
    before = image.copy()
    after = applied(part(p=1.0), image, 4)
    assert after.shape == image.shape
    assert after.dtype == np.uint8
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_acts_and_repeats_itself_only_with_the_same_seed(part: type) -> None:
    image = noise_picture(2, (416, 256))
    one, same, other = (applied(part(p=1.0), image, seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one, same)
    assert (one != image).any()
    assert (one != other).any()


@pytest.mark.parametrize("seed", SEEDS)
def test_attenuation_takes_red_first(seed: int) -> None:
    grey = np.full((256, 416, 3), 128, np.uint8)
    blue, green, red = applied(Attenuation(p=1.0), grey, seed).reshape(-1, 3).mean(axis=0)
    assert red < 0.95 * blue
    assert red < 0.95 * green


@pytest.mark.parametrize("seed", SEEDS)
def test_haze_lowers_the_contrast_but_leaves_some(seed: int) -> None:
    image = noise_picture(seed, (416, 256))
    before, after = luminance(image).std(), luminance(applied(Haze(p=1.0), image, seed)).std()
    assert after < before
    assert after > 5


def test_haze_spares_a_picture_without_contrast() -> None:
    murky = (noise_picture(1, (416, 256)) // 8 + 90).astype(np.uint8)
    before = luminance(murky).std()
    assert before < 5
    for seed in SEEDS:
        assert luminance(applied(Haze(p=1.0), murky, seed)).std() > 0.8 * before


@pytest.mark.parametrize("seed", SEEDS)
def test_snow_adds_bright_specks_to_little_of_the_picture(seed: int) -> None:
    dark = np.full((256, 416, 3), 40, np.uint8)
    snowed = applied(MarineSnow(p=1.0), dark, seed).astype(int)
    assert (snowed >= 39).all()
    assert snowed.max() > 80
    assert 0 < (snowed.max(axis=2) > 60).mean() < 0.15


@pytest.mark.parametrize("seed", SEEDS)
def test_caustics_brighten_lines_and_keep_the_mean(seed: int) -> None:
    grey = np.full((256, 416, 3), 100, np.uint8)
    lit = luminance(applied(Caustics(p=1.0), grey, seed))
    assert lit.max() > 112
    assert abs(lit.mean() - 100) < 8


@pytest.mark.parametrize("seed", SEEDS)
def test_uneven_light_changes_smoothly(seed: int) -> None:
    grey = np.full((256, 416, 3), 120, np.uint8)
    lit = luminance(applied(UnevenLight(p=1.0), grey, seed))
    assert lit.std() > 2
    assert np.abs(np.diff(lit, axis=0)).max() <= 5
    assert np.abs(np.diff(lit, axis=1)).max() <= 5


@pytest.mark.parametrize("seed", SEEDS)
def test_low_light_darkens_and_adds_noise(seed: int) -> None:
    plain = np.full((256, 416, 3), 160, np.uint8)
    plain[:, 200:] = 60
    dark = applied(SensorNoise(p=1.0), plain, seed).astype(np.float64)
    assert dark[:, :200].mean() < 0.9 * 160
    assert dark[:, :190].std(axis=(0, 1)).min() > 0.4
    assert dark.mean() > 40


def test_low_light_does_not_darken_what_is_dark_or_flat() -> None:
    for image in (noise_picture(3) // 3, (noise_picture(3) // 8 + 90).astype(np.uint8)):
        for seed in SEEDS:
            after = applied(SensorNoise(p=1.0), image, seed)
            assert abs(after.mean() - image.mean()) < 3


@pytest.mark.parametrize("seed", SEEDS)
def test_compression_loses_detail_not_the_picture(seed: int) -> None:
    image = noise_picture(seed, (416, 256))
    coded = applied(Compression(p=1.0), image, seed)
    difference = np.abs(coded.astype(int) - image)
    assert 0 < difference.mean() < 25
    assert abs(coded.mean() - image.mean()) < 3


@pytest.mark.parametrize("field", PIXEL_FIELDS)
def test_every_pixel_part_is_switched_by_its_own_field(field: str) -> None:
    image = noise_picture(4, (416, 256))
    optics = UnderwaterOptics(SceneAugmentation.off().model_copy(update={field: 1.0}))
    changed = 0
    for seed in range(4):
        optics.seed(seed)
        changed += bool((optics(image) != image).any())
    assert changed >= 3


def test_optics_with_all_parts_off_change_nothing() -> None:
    image = noise_picture(5, (416, 256))
    optics = UnderwaterOptics(SceneAugmentation.off())
    optics.seed(1)
    np.testing.assert_array_equal(optics(image), image)
