"""Internal regularization finds its places in every network of the zoo, and says so where there is none."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from data.errors import ConfigurationError
from models import zoo
from models.places import answer_layers, branches, feature_maps

DIGITS = torch.rand(2, 1, 32, 32)
SCENES = torch.rand(2, 3, 64, 64) * 255


def outputs(network: nn.Module, modules: list[nn.Module], inputs: torch.Tensor) -> list[torch.Tensor]:
    """What the modules give while the network runs, in the order in which they run."""
    seen: list[torch.Tensor] = []
    handles = [module.register_forward_hook(lambda _m, _i, output: seen.append(output)) for module in modules]
    network.train()(inputs)
    for handle in handles:
        handle.remove()
    return seen


def networks() -> list[tuple[str, torch.Tensor]]:
    return [(name, DIGITS) for name in zoo.digit_networks()] + [(name, SCENES) for name in zoo.detectors()]


@pytest.mark.parametrize(("name", "inputs"), networks(), ids=lambda value: value if isinstance(value, str) else "")
def test_maps_have_the_channels_that_they_are_said_to_have_and_run_from_early_to_late(
    name: str, inputs: torch.Tensor
) -> None:
    network = zoo.build(name)
    maps = feature_maps(network)
    seen = outputs(network, [place.module for place in maps], inputs)
    assert [output.shape[1] for output in seen] == [place.channels for place in maps]
    assert len(seen) >= 2
    assert answer_layers(network)


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "resnet18", "ghostnet_050"])
def test_backbones_of_timm_are_understood(name: str) -> None:
    network = timm.create_model(name, num_classes=3)
    maps = feature_maps(nn.Sequential(network))
    seen = outputs(network, [place.module for place in maps], SCENES)
    assert [output.shape[1] for output in seen] == [place.channels for place in maps]
    assert answer_layers(network) == (network.get_classifier(),)
    for branch in branches(network):
        assert branch.last.groups == 1


def test_the_branches_of_a_residual_network_are_its_residual_blocks() -> None:
    network = zoo.build("compact", depths=(1, 2, 1))
    assert [branch.output for branch in branches(network)] == [
        block.branch for stage in network.stages for block in list(stage)[1:]
    ]


def test_a_branch_without_shortcut_is_none() -> None:
    with_shortcut = branches(zoo.build("yolox-nano"))
    assert len(with_shortcut) == 7  # of eleven bottlenecks; those of the neck add to nothing


@pytest.mark.parametrize("find", [feature_maps, branches, answer_layers])
def test_a_network_without_such_places_is_named(find: object) -> None:
    with pytest.raises(ConfigurationError, match="Sequential"):
        find(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()))  # type: ignore[operator]
