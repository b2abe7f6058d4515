"""Where internal regularization may act in a network: its feature maps, its residual branches, its answering layers.

A network says which of its modules give the maps (`feature_maps`: names from early to late, and their channels) and,
where it answers by convolutions, which those are (`answer_layers`). Networks of timm name their maps in their own way.
Residual branches are known by the class of their block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from torch import nn

from data.errors import ConfigurationError


@dataclass(frozen=True)
class FeatureMap:
    """A module whose output is a feature map (N, `channels`, H, W)."""

    module: nn.Module
    channels: int


@dataclass(frozen=True)
class Branch:
    """A residual branch: `output` gives what is added to the shortcut, `last` is its last convolution over channels."""

    output: nn.Module
    last: nn.Conv2d


_BRANCHES: Final[Mapping[str, tuple[str, str, str | None]]] = MappingProxyType(
    {
        "models.blocks.Residual": ("branch", "branch", None),
        "models.yolox.Bottleneck": ("branch", "branch", "shortcut"),
        "timm.models.resnet.BasicBlock": ("bn2", "conv2", None),
        "timm.models.resnet.Bottleneck": ("bn3", "conv3", None),
        "timm.models._efficientnet_blocks.InvertedResidual": ("bn3", "conv_pwl", "has_skip"),
        "timm.models._efficientnet_blocks.DepthwiseSeparableConv": ("bn2", "conv_pw", "has_skip"),
        "timm.models.ghostnet.GhostBottleneck": ("ghost2", "ghost2", None),
        "ultralytics.nn.modules.block.Bottleneck": ("cv2", "cv2", "add"),
    }
)
"""Class of a block -> which module gives its branch, where the branch's last convolution is, and which attribute says
whether the block has a shortcut at all."""


def feature_maps(network: nn.Module) -> tuple[FeatureMap, ...]:
    """The network's feature maps, from early to late.

    Raises:
        ConfigurationError: Neither the network nor a part of it names any.
    """
    for part in network.modules():
        found = _named_maps(part)
        if found:
            return found
    raise _nowhere(network, "feature_maps")


def branches(network: nn.Module) -> tuple[Branch, ...]:
    """The network's residual branches, from early to late.

    Raises:
        ConfigurationError: It has none that is known.
    """
    found = []
    for block in network.modules():
        output, last, condition = _BRANCHES.get(f"{type(block).__module__}.{type(block).__name__}", ("", "", None))
        if output and (condition is None or getattr(block, condition)):
            mixing = [m for m in block.get_submodule(last).modules() if isinstance(m, nn.Conv2d) and m.groups == 1]
            found.append(Branch(block.get_submodule(output), mixing[-1]))
    if not found:
        raise _nowhere(network, "residual branches")
    return tuple(found)


def answer_layers(network: nn.Module) -> tuple[nn.Module, ...]:
    """The layers that answer: those that the network names, else its linear layers.

    Raises:
        ConfigurationError: It has neither.
    """
    for part in network.modules():
        named: Sequence[str] | None = getattr(part, "answer_layers", None)
        if named:
            return tuple(part.get_submodule(name) for name in named)
    linear = tuple(layer for layer in network.modules() if isinstance(layer, nn.Linear))
    if not linear:
        raise _nowhere(network, "answer_layers")
    return linear


def _named_maps(part: nn.Module) -> tuple[FeatureMap, ...]:
    """The maps that this very module names, none where it names none."""
    own: Mapping[str, int] = getattr(part, "feature_maps", {})
    if own:
        return tuple(FeatureMap(part.get_submodule(name), channels) for name, channels in own.items())
    # timm: a list of what it says of each map, or that list behind `.info`.
    told = getattr(part, "feature_info", ())
    rows = getattr(told, "info", told)
    return tuple(FeatureMap(part.get_submodule(row["module"]), row["num_chs"]) for row in rows)


def _nowhere(network: nn.Module, what: str) -> ConfigurationError:
    return ConfigurationError(
        "regularization.internal", f"finds no {what} in {type(network).__name__}", cure="take another network or method"
    )
