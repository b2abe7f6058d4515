"""Every internal regularizer does what its paper says while a network trains, and leaves no trace in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from data.errors import ConfigurationError
from data.preprocess import DigitPreprocessing
from deploy.graph import run_graph, write_graph
from deploy.runtime.spec import digit_graph
from models import zoo
from models.places import branches, feature_maps
from training.internal import InternalRegularizer, max_dropout, shaken
from training.optimization import MovingAverage
from training.regularization_spec import ClassifierInternal

WIDTHS = [4, 8, 8, 12]
EACH: list[dict[str, object]] = [
    {"dropout": 0.4},
    {"spatial_dropout": 0.4},
    {"drop_block": 0.3},
    {"max_dropout": 0.3},
    {"stochastic_depth": 0.6},
    {"shake_shake": True},
]
INK = torch.rand(6, 1, 32, 32, generator=torch.Generator().manual_seed(1))


def built(**spec: object) -> tuple[nn.Module, InternalRegularizer]:
    torch.manual_seed(0)
    network = zoo.build("compact", widths=WIDTHS)
    return network, InternalRegularizer(network, ClassifierInternal.model_validate(spec), classes=11)


def logits(network: nn.Module, regularizer: InternalRegularizer, seed: int) -> torch.Tensor:
    torch.manual_seed(seed)
    with regularizer.acting():
        return network(INK)


@pytest.mark.parametrize("spec", EACH, ids=lambda spec: next(iter(spec)))
def test_it_acts_in_training_by_the_seed_alone_and_its_gradients_reach_every_weight(spec: dict[str, object]) -> None:
    network, regularizer = built(**spec)
    plain = network.train()(INK)
    first, again, other = (logits(network, regularizer, seed) for seed in (1, 1, 2))
    assert not torch.allclose(first, plain)
    assert torch.equal(first, again)
    # The strongest activations are the strongest whatever the seed.
    assert torch.equal(first, other) == ("max_dropout" in spec)
    first.square().sum().backward()
    assert all(weight.grad is not None and torch.isfinite(weight.grad).all() for weight in network.parameters())


@pytest.mark.parametrize("spec", EACH, ids=lambda spec: next(iter(spec)))
def test_it_rests_in_evaluation_and_after_it_acted(spec: dict[str, object]) -> None:
    network, regularizer = built(**spec)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    expected = network.eval()(INK)
    assert torch.equal(logits(network, regularizer, 1), expected)
    network.train()
    with torch.no_grad():
        plain = network(INK)
        logits(network, regularizer, 1)
        assert torch.equal(network(INK), plain)
    assert network.state_dict().keys() == before.keys()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_an_average_made_while_it_acts_rests() -> None:
    network, regularizer = built(dropout=0.5, stochastic_depth=0.5, max_dropout=0.3)
    with regularizer.acting():
        average = MovingAverage(network, 0.9)
        expected = network.eval()(INK)
        assert torch.equal(average.network(INK), expected)


def test_an_exported_graph_has_no_trace_of_it(tmp_path: Path) -> None:
    everything = {key: value for spec in EACH for key, value in spec.items()} | {"deep_supervision": 0.5}
    network, regularizer = built(**everything)
    regular = zoo.build("compact", widths=WIDTHS)
    regular.load_state_dict(network.state_dict())
    with regularizer.acting() as side:
        graph = digit_graph(DigitPreprocessing())
        write_graph(network, graph, tmp_path / "with.onnx")
        write_graph(regular, graph, tmp_path / "without.onnx")
    assert not side
    assert (tmp_path / "with.onnx").read_bytes() == (tmp_path / "without.onnx").read_bytes()
    assert np.isfinite(run_graph(tmp_path / "with.onnx", INK.numpy())).all()


class _OneLayer(nn.Module):
    """A network whose only map is that of its only layer, which is also its answer."""

    answer_layers = ("layer",)

    def __init__(self) -> None:
        super().__init__()
        self.feature_maps = {"layer": 8}
        self.layer = nn.Identity()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.layer(features)


def acted(features: torch.Tensor, **spec: object) -> torch.Tensor:
    network = _OneLayer().train()
    torch.manual_seed(3)
    with InternalRegularizer(network, ClassifierInternal.model_validate(spec)).acting():
        return network(features)


@pytest.mark.parametrize("spec", [{"dropout": 0.4}, {"spatial_dropout": 0.4}, {"drop_block": 0.3}])
def test_what_is_dropped_is_made_up_for_in_the_mean(spec: dict[str, object]) -> None:
    assert acted(torch.ones(3000, 8, 6, 6), **spec).mean().item() == pytest.approx(1, abs=0.02)


def test_dropout_takes_values_spatial_dropout_channels_and_drop_block_squares() -> None:
    ones = torch.ones(400, 8, 7, 7)
    single, channels, squares = (
        acted(ones, **spec) == 0 for spec in ({"dropout": 0.3}, {"spatial_dropout": 0.3}, {"drop_block": 0.3})
    )
    for dropped in (single, channels):
        assert dropped.float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert single.any(dim=(2, 3)).float().mean() > 0.99
    assert torch.equal(channels.any(dim=(2, 3)), channels.all(dim=(2, 3)))
    whole = -nn.functional.max_pool2d(-squares.float(), 3, stride=1)
    grown = nn.functional.max_pool2d(nn.functional.pad(whole, (2,) * 4), 3, stride=1)
    assert torch.equal(grown > 0, squares)


@pytest.mark.parametrize("side", [1, 2, 4])
def test_drop_block_takes_maps_smaller_than_its_block(side: int) -> None:
    out = acted(torch.ones(8, 2, side, side), drop_block=0.5, drop_block_size=7)
    assert out.shape == (8, 2, side, side)
    assert torch.isfinite(out).all()


def test_stochastic_depth_skips_the_last_branch_by_its_rate_and_the_first_by_less() -> None:
    torch.manual_seed(0)
    network = zoo.build("compact", widths=WIDTHS).train()
    seen: list[torch.Tensor] = []
    with InternalRegularizer(network, ClassifierInternal(stochastic_depth=0.5)).acting():
        handles = [
            branch.output.register_forward_hook(lambda _m, _i, output: seen.append(output))
            for branch in branches(network)
        ]
        network(INK.repeat(200, 1, 1, 1))
    for handle in handles:
        handle.remove()
    skipped = [(branch == 0).all(dim=(1, 2, 3)).float().mean().item() for branch in seen]
    assert skipped == pytest.approx([0.125, 0.25, 0.375, 0.5], abs=0.06)


@given(st.floats(0.01, 0.9), st.integers(0, 1000))
def test_max_dropout_takes_the_strongest_of_each_example_and_leaves_the_rest(rate: float, seed: int) -> None:
    features = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    out = max_dropout(features, rate)
    for before, after in zip(features, out, strict=True):
        dropped = after != before
        limit = before.max() - rate * (before.max() - before.min())
        assert dropped[before == before.max()].all()
        assert (before[dropped] > limit - 1e-5).all()
        assert (before[~dropped] <= limit + 1e-5).all()
        assert (after[dropped] == 0).all()


def test_shaking_weighs_halves_anew_for_the_gradients_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    features = torch.ones(4000, 6, 1, 1, requires_grad=True)
    out = shaken(features)
    out.sum().backward()
    first, last = out[:, 0].flatten(), out[:, -1].flatten()
    assert torch.allclose(first + last, torch.full((4000,), 2.0), atol=1e-5)
    assert torch.equal(out[:, :3], out[:, :1].expand(-1, 3, -1, -1))
    assert out.mean(dim=0).flatten().tolist() == pytest.approx([1.0] * 6, abs=0.03)
    assert features.grad is not None
    back = features.grad[:, 0].flatten()
    assert back.min() >= 0
    assert back.max() <= 2
    assert abs(torch.corrcoef(torch.stack([first.detach(), back]))[0, 1]) < 0.06


def test_a_shaken_branch_of_an_odd_number_of_channels_is_whole() -> None:
    assert shaken(torch.ones(2, 5, 3, 3)).shape == (2, 5, 3, 3)


def test_side_heads_answer_for_all_maps_but_the_last_and_learn() -> None:
    network, regularizer = built(deep_supervision=0.5)
    network.train()
    with regularizer.acting() as side:
        network(INK)
    assert [answer.shape for answer in side] == [(6, 11)] * (len(feature_maps(network)) - 1)
    sum(answer.square().sum() for answer in side).backward()  # type: ignore[union-attr]
    assert all(weight.grad is not None for weight in regularizer.parameters())
    assert network.head[-1].weight.grad is None
    network.eval()
    with regularizer.acting() as side:
        network(INK)
    assert not side


def test_what_a_network_or_a_task_lacks_is_told() -> None:
    with pytest.raises(ConfigurationError, match="residual branches"):
        InternalRegularizer(zoo.build("vgg5"), ClassifierInternal(shake_shake=True))
    with pytest.raises(ConfigurationError, match="side heads"):
        InternalRegularizer(zoo.build("vgg5"), ClassifierInternal(deep_supervision=0.3), classes=None)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"drop_block": 0.1, "drop_block_size": 4}, "odd"),
        ({"manifold_mixup": 1.0, "deep_supervision": 0.3}, "do not go together"),
        ({"dropout": 1.0}, "less than 1"),
        ({"drop_path": 0.1}, "Extra inputs"),
    ],
)
def test_faults_of_a_recipe_are_named(spec: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ClassifierInternal.model_validate(spec)
