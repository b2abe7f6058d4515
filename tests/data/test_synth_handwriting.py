"""The synthetic writer: digits of the right shape, that differ as hands and pens do, and repeat by seed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from data.preprocess import DigitPreprocessing, ink_batch
from data.synth.glyphs import ASPECTS, GLYPHS
from data.synth.handwriting import PENS, Hand, write_digit


def steady_hand(way: int = 0) -> Hand:
    return Hand(
        ways=(way,) * 10,
        slant=0.0,
        turn=0.0,
        stretch=1.0,
        unsteadiness=0.0,
        width=0.06,
        speed=0.0,
        darkness=30,
        grain=0.0,
        pen="ballpoint",
    )


def holes(image: np.ndarray) -> int:
    """Islands of paper that ink encloses, those of a pixel or two left out."""
    padded = cv2.copyMakeBorder(image, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=255)
    count, _, stats, _ = cv2.connectedComponentsWithStats((padded > 140).astype(np.uint8), connectivity=4)
    return sum(stats[i, cv2.CC_STAT_AREA] > 12 for i in range(1, count)) - 1


def test_every_digit_has_several_ways_inside_its_box():
    assert len(GLYPHS) == len(ASPECTS) == 10
    for ways in GLYPHS:
        assert len(ways) >= 3
        points = np.concatenate([stroke for glyph in ways for stroke in glyph])
        assert points.min() >= 0
        assert points.max() <= 1


@pytest.mark.parametrize(("digit", "enclosed"), [(0, {1}), (1, {1}), (2, {0}), (4, {2}), (5, {1}), (6, {0}), (9, {0})])
def test_digits_enclose_as_much_paper_as_their_shape_says(digit, enclosed):
    rng = np.random.default_rng(0)
    found = [holes(write_digit(digit, steady_hand(), rng, height=96)) for _ in range(20)]
    assert np.mean([count in enclosed for count in found]) >= 0.8


@pytest.mark.parametrize("digit", range(10))
@pytest.mark.parametrize("height", [24, 64, 160])
def test_a_digit_is_dark_on_white_cropped_and_of_the_height_asked_for(digit, height):
    rng = np.random.default_rng(digit)
    image = write_digit(digit, Hand.draw(rng), rng, height)
    assert image.dtype == np.uint8
    assert image.ndim == 2
    assert 0.75 * height < image.shape[0] < 1.5 * height + 8
    frame = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    assert (frame == 255).all()
    assert image.min() < 170
    assert (image[2:-2] < 250).any(1).mean() > 0.95


def test_seeds_repeat_and_hands_differ():
    images = [write_digit(3, Hand.draw(rng), rng) for rng in map(np.random.default_rng, (1, 1, 2))]
    assert images[0].shape == images[1].shape
    assert (images[0] == images[1]).all()
    assert images[0].shape != images[2].shape or (images[0] != images[2]).any()


def test_nobody_writes_one_digit_twice_alike():
    rng = np.random.default_rng(4)
    hand = Hand.draw(rng)
    one, other = write_digit(5, hand, rng), write_digit(5, hand, rng)
    assert one.shape != other.shape or (one != other).any()


def test_pens_differ_in_width_and_darkness():
    def share_and_level(pen: str) -> tuple[float, float]:
        rng = np.random.default_rng(8)
        images = [write_digit(int(rng.integers(10)), Hand.draw(rng, pen), rng) for _ in range(40)]
        return float(np.mean([(i < 180).mean() for i in images])), float(np.mean([i.min() for i in images]))

    share, level = zip(*map(share_and_level, PENS), strict=True)
    assert share[PENS.index("marker")] > 1.5 * share[PENS.index("ballpoint")]
    assert level[PENS.index("pencil")] > level[PENS.index("gel")] + 20


def test_real_digits_know_ours_by_their_nearest_neighbours(shankha_data):
    with np.load(shankha_data / "digits/cmaterdb/training-images.npz") as real:
        images, labels = real["images"][::2], real["labels"][::2]
    rng = np.random.default_rng(6)
    values = np.arange(300) % 10
    ours = [write_digit(int(value), Hand.draw(rng), rng) for value in values]
    known, asked = (features(batch) for batch in (list(images), ours))
    nearest = labels[np.argsort(-(asked @ known.T), axis=1)[:, :5]]
    votes = np.stack([(nearest == digit).sum(1) for digit in range(10)], 1)
    assert (votes.argmax(1) == values).mean() > 0.93


def features(images: list[np.ndarray]) -> np.ndarray:
    ink = ink_batch(images, DigitPreprocessing(size=20, margin=1, squareness=1.0), "dark").astype(np.float32)
    flat = np.stack([cv2.GaussianBlur(frame, (0, 0), 1.2) for frame in ink]).reshape(len(ink), -1)
    flat -= flat.mean(1, keepdims=True)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)
