"""Each input and label regularizer is tested for what it does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from training.regularization import cutmix, cutout, mixup, random_erasing, regularized, smoothed, soft_cross_entropy
from training.regularization_spec import InputRegularization


def batch(count: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    inputs = torch.arange(count, dtype=torch.float32)[:, None, None, None].expand(count, 1, 16, 16).contiguous() + 1
    return inputs, torch.eye(count)


def test_smoothing_moves_its_share_evenly() -> None:
    targets = smoothed(torch.tensor([0, 2]), classes=4, smoothing=0.2)
    assert targets[0].tolist() == pytest.approx([0.85, 0.05, 0.05, 0.05])
    assert targets[1, 2].item() == pytest.approx(0.85)


def test_soft_cross_entropy_of_hard_targets_is_the_usual_one() -> None:
    logits, labels = torch.randn(6, 5), torch.tensor([0, 1, 2, 3, 4, 0])
    expected = functional.cross_entropy(logits, labels)
    assert soft_cross_entropy(logits, smoothed(labels, 5, 0.0)).item() == pytest.approx(expected.item(), rel=1e-6)


def test_cutout_erases_one_rectangle_of_the_asked_area_in_its_share_of_examples() -> None:
    inputs = torch.rand(400, 1, 32, 32) + 1
    inputs[:, 0, 0, 0] = 0.5  # paper
    out = cutout(inputs, 0.5, (0.1, 0.2), np.random.default_rng(0))
    changed = (out != inputs)[:, 0]
    touched = changed.flatten(1).any(dim=1)
    assert touched.float().mean().item() == pytest.approx(0.5, abs=0.08)
    for mask, picture in zip(changed[touched], out[touched], strict=True):
        rows, columns = mask.any(dim=1).nonzero(), mask.any(dim=0).nonzero()
        top, bottom, left, right = rows.min(), rows.max(), columns.min(), columns.max()
        hole = picture[0, top : bottom + 1, left : right + 1]
        assert (hole == 0.5).all()
        assert 0.07 < hole.numel() / 1024 < 0.24
    assert torch.equal(inputs[:, 0, 0, 1:], (inputs)[:, 0, 0, 1:])  # the batch that was given is left alone


def test_random_erasing_fills_its_hole_with_noise_of_the_examples_own_range() -> None:
    inputs = 10 * torch.rand(60, 3, 32, 32) + torch.arange(60)[:, None, None, None]
    out = random_erasing(inputs, 1.0, (0.1, 0.2), np.random.default_rng(0))
    for before, after in zip(inputs, out, strict=True):
        changed = (before != after).any(dim=0)
        assert 0.07 < changed.float().mean() < 0.24
        noise = after[:, changed]
        assert noise.min() >= before.min()
        assert noise.max() <= before.max()
        assert noise.std() > 2  # of an even distribution over ten: 2.9
    assert torch.equal(random_erasing(inputs, 1.0, (0.1, 0.2), np.random.default_rng(0)), out)
    assert torch.equal(random_erasing(inputs, 0.0, (0.1, 0.2), np.random.default_rng(0)), inputs)


@given(st.integers(0, 10_000), st.floats(0.1, 4))
def test_mixup_blends_inputs_and_targets_by_the_same_weight(seed: int, alpha: float) -> None:
    inputs, targets = batch()
    mixed, mixed_targets = mixup(inputs, targets, alpha, np.random.default_rng(seed))
    values = torch.arange(1, 33, dtype=torch.float32)
    assert torch.allclose(mixed_targets.sum(dim=1), torch.ones(32), atol=1e-5)
    assert torch.allclose(mixed[:, 0, 0, 0], mixed_targets @ values, atol=1e-3)


@given(st.integers(0, 10_000), st.floats(0.1, 4))
def test_cutmix_targets_weigh_by_the_area_that_is_left(seed: int, alpha: float) -> None:
    inputs, targets = batch()
    mixed, mixed_targets = cutmix(inputs, targets, alpha, np.random.default_rng(seed))
    values = torch.arange(1, 33, dtype=torch.float32)
    assert torch.allclose(mixed.mean(dim=(1, 2, 3)), mixed_targets @ values, atol=1e-3)
    assert set(np.unique(mixed[0].numpy())) <= set(values.tolist())


def test_nothing_is_changed_when_nothing_is_switched_on() -> None:
    inputs, targets = batch()
    same, same_targets = regularized(inputs, targets, InputRegularization(), np.random.default_rng(0))
    assert same is inputs
    assert same_targets is targets


def test_mixing_is_applied_to_its_share_of_the_batches() -> None:
    spec = InputRegularization(mixup=1.0, cutmix=1.0, mixed_share=0.3)
    inputs, targets = batch()
    rng = np.random.default_rng(0)
    mixed = [regularized(inputs, targets, spec, rng)[1] is not targets for _ in range(400)]
    assert np.mean(mixed) == pytest.approx(0.3, abs=0.08)
