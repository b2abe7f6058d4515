"""The loss of classifiers under label regularization and manifold mixup."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from models import zoo
from training.classification import ClassificationLoss, mixed_inside, smoothing_at, taught
from training.regularization import smoothed, soft_cross_entropy
from training.regularization_spec import LabelRegularization, Regularization
from training.task import Moment

INPUTS = torch.rand(8, 1, 32, 32, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(8)
START = Moment()


def loss(moment: Moment = START, seed: int = 0, **spec: object) -> Tensor:
    torch.manual_seed(0)
    network = zoo.build("compact", widths=[4, 8, 8, 12]).train()
    learn = ClassificationLoss(11, Regularization.model_validate(spec))
    return learn(network, INPUTS, LABELS, moment, np.random.default_rng(seed))


def test_without_regularization_it_is_cross_entropy() -> None:
    torch.manual_seed(0)
    network = zoo.build("compact", widths=[4, 8, 8, 12]).train()
    assert loss().item() == pytest.approx(nn.functional.cross_entropy(network(INPUTS), LABELS).item(), rel=1e-5)


@pytest.mark.parametrize(("done", "expected"), [(0.0, 0.2), (0.49, 0.2), (0.5, 0.0), (1.0, 0.0)])
def test_two_stage_smoothing_ends_with_hard_labels(done: float, expected: float) -> None:
    assert smoothing_at(LabelRegularization(smoothing=0.2, smoothed_share=0.5), done) == expected
    assert smoothing_at(LabelRegularization(smoothing=0.2), done) == 0.2 or done == 1.0


def test_the_stage_reaches_the_loss() -> None:
    label = {"smoothing": 0.3, "smoothed_share": 0.5}
    early, late = loss(Moment(done=0.2), label=label), loss(Moment(done=0.8), label=label)
    assert early.item() == pytest.approx(loss(label={"smoothing": 0.3}).item())
    assert late.item() == pytest.approx(loss().item())
    assert early.item() != late.item()


class _Teacher(nn.Module):
    """Sure that everything is class 3; beside its logits it tells something else, as species networks do."""

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        return 100 * nn.functional.one_hot(torch.full((len(inputs),), 3), 11).float(), inputs


@given(st.floats(0.01, 1))
def test_the_teachers_share_of_the_targets_is_as_asked(share: float) -> None:
    targets = taught(smoothed(LABELS, 11, 0.0), INPUTS, share, _Teacher())
    assert torch.allclose(targets.sum(dim=1), torch.ones(8))
    assert targets[0, 3].item() == pytest.approx(share, abs=1e-5)
    assert targets[0, 0].item() == pytest.approx(1 - share, abs=1e-5)
    assert targets[3, 3].item() == pytest.approx(1, abs=1e-5)


def test_distillation_grows_over_the_run_and_needs_a_teacher() -> None:
    plain = loss().item()
    losses = [loss(Moment(done, _Teacher()), label={"distillation": 0.8}).item() for done in (0.0, 0.5, 1.0)]
    assert losses[0] == pytest.approx(plain)
    assert abs(losses[2] - plain) > abs(losses[1] - plain) > 1e-4
    assert loss(Moment(1.0, None), label={"distillation": 0.8}).item() == pytest.approx(plain)


def test_no_gradient_reaches_the_teacher() -> None:
    teacher = zoo.build("compact", widths=[4, 8, 8, 12]).eval()
    loss(Moment(1.0, teacher), label={"distillation": 1.0}).backward()
    assert all(weight.grad is None for weight in teacher.parameters())


def test_side_heads_weigh_as_asked() -> None:
    side = [torch.zeros(8, 11, requires_grad=True)]
    with_side = loss(Moment(side=side), internal={"deep_supervision": 0.5})
    assert with_side.item() == pytest.approx(loss().item() + 0.5 * np.log(11), rel=1e-5)
    with_side.backward()
    assert side[0].grad is not None


class _Sums(nn.Module):
    """A linear network: mixing at any of its places gives the same logits."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 3, 1, bias=False), nn.Conv2d(3, 5, 1, bias=False)
        self.feature_maps = {"first": 3, "second": 5}

    def forward(self, inputs: Tensor) -> Tensor:
        return self.second(self.first(inputs)).mean(dim=(2, 3))


@given(st.integers(0, 200))
def test_manifold_mixup_mixes_logits_and_targets_alike(seed: int) -> None:
    network, targets = _Sums().train(), torch.eye(8)
    logits, mixed = mixed_inside(network, INPUTS, targets, 1.0, np.random.default_rng(seed))
    # Row i of the mixed targets says by which weights the examples went into example i.
    assert torch.allclose(mixed.sum(dim=1), torch.ones(8), atol=1e-5)
    assert torch.allclose(logits, mixed @ network(INPUTS), atol=1e-4)
    assert not network.first._forward_hooks
    assert not network.second._forward_hooks


def test_manifold_mixup_depends_on_the_seed_alone() -> None:
    internal = {"manifold_mixup": 1.0}
    assert loss(seed=4, internal=internal).item() == loss(seed=4, internal=internal).item()
    assert len({loss(seed=seed, internal=internal).item() for seed in range(4)}) == 4


def test_a_criterion_of_ones_own_is_used_for_everything() -> None:
    def halved(logits: Tensor, targets: Tensor) -> Tensor:
        return soft_cross_entropy(logits, targets) / 2

    torch.manual_seed(0)
    network = zoo.build("compact", widths=[4, 8, 8, 12]).train()
    learn = ClassificationLoss(11, Regularization(), halved)
    assert learn(network, INPUTS, LABELS, START, np.random.default_rng(0)).item() == pytest.approx(loss().item() / 2)
