from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from training.optimization import MovingAverage, build_optimizer, rate_share
from training.recipe import Optimizer, Schedule


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_biases_and_norms_do_not_decay(name: str) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 3))
    optimizer = build_optimizer(network, Optimizer(name=name, weight_decay=0.1))
    decayed, free = optimizer.param_groups
    assert decayed["weight_decay"] == 0.1
    assert free["weight_decay"] == 0.0
    assert {weight.ndim for weight in decayed["params"]} == {4, 2}
    assert {weight.ndim for weight in free["params"]} == {1}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(network.parameters()))


@pytest.mark.parametrize("name", ["cosine", "one_cycle"])
def test_the_rate_rises_to_full_and_falls_to_its_last_share(name: str) -> None:
    spec = Schedule(name=name, final_share=0.02)
    shares = [rate_share(spec, done / 1000, warmup=0.1) for done in range(1001)]
    peak = shares.index(max(shares))
    assert max(shares) == pytest.approx(1.0)
    assert peak == (100 if name == "cosine" else 300)
    assert all(a <= b + 1e-12 for a, b in pairwise(shares[: peak + 1]))
    assert all(a >= b - 1e-12 for a, b in pairwise(shares[peak:]))
    assert shares[-1] == pytest.approx(0.02)
    assert 0 < shares[0] < 0.05


def test_no_warm_up_starts_at_full_rate() -> None:
    assert rate_share(Schedule(warmup_epochs=0), 0.0, warmup=0.0) == 1.0


def test_the_average_follows_weights_and_statistics() -> None:
    network = nn.BatchNorm1d(2)
    average = MovingAverage(network, decay=0.9)
    with torch.no_grad():
        network.weight.fill_(3.0)
        network.running_mean.fill_(3.0)  # type: ignore[union-attr]
        network.num_batches_tracked.fill_(7)  # type: ignore[union-attr]
    average.update(network)
    mine = average.network.state_dict()
    assert mine["weight"][0].item() == pytest.approx(0.1 * 1 + 0.9 * 3)  # the first step counts 9 / 10
    assert mine["running_mean"][0].item() == pytest.approx(0.9 * 3)
    assert mine["num_batches_tracked"].item() == 7
    for _ in range(500):
        average.update(network)
    assert average.network.state_dict()["weight"][0].item() == pytest.approx(3.0)
