"""RandAugment, TrivialAugment and AugMix on our frames."""

from __future__ import annotations

import numpy as np
import pytest

from training.augmentation.policies import varied

POLICIES = ("augmix", "randaugment", "trivialaugment")
GREY = np.random.default_rng(0).integers(0, 256, (6, 24, 32), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (6, 24, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("frames", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("moves", [True, False])
def test_the_seed_alone_decides(policy: str, frames: np.ndarray, moves: bool) -> None:
    before = frames.copy()
    one, same, other = (varied(frames, policy, seed, moves=moves) for seed in (5, 5, 6))  # type: ignore[arg-type]
    assert one.shape == frames.shape
    assert one.dtype == np.uint8
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one, frames)
    assert np.array_equal(frames, before)


def test_no_policy_leaves_the_frames_alone() -> None:
    assert varied(GREY, None, 1, moves=True) is GREY


@pytest.mark.parametrize("policy", POLICIES)
def test_where_places_are_labelled_nothing_moves(policy: str) -> None:
    """A flat picture with one square: its edges stay, whatever becomes of its colours."""
    frames = np.full((40, 20, 30, 3), 90, np.uint8)
    frames[:, 5:12, 8:20] = 170
    inside = np.zeros((20, 30), np.bool_)
    inside[5:12, 8:20] = True
    shrunk = inside.copy()  # sharpening blurs the pixels at the edge itself
    shrunk[[5, 11]] = False
    shrunk[:, [8, 19]] = False
    outside = ~np.pad(inside, 1)[1:-1, 1:-1]
    outside[4:13, 7:21] = False
    for picture in varied(frames, policy, 3, moves=False):  # type: ignore[arg-type]
        for area in (shrunk, outside):
            assert (picture[area] == picture[area][0]).all()


def test_moving_does_move() -> None:
    frames = np.zeros((30, 24, 24), np.uint8)
    frames[:, 12, 4:20] = 255
    made = varied(frames, "randaugment", 3, moves=True)
    assert any((picture[12, 4:20] != 255).all() or (picture[:8] > 0).any() for picture in made)
