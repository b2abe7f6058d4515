"""Internal regularization: hooks that act inside any network while it learns, and leave no trace in it.

A hook acts during `InternalRegularizer.acting` only and only on a module that is in training: evaluation, the moving
average, saved weights and exported graphs know nothing of it. Random numbers come from torch's global generator,
which the loop seeds for every epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import stochastic_depth

from data.errors import ConfigurationError
from models.blocks import drop_blocks
from models.places import FeatureMap, answer_layers, branches, feature_maps
from training.regularization_spec import ClassifierInternal, InternalRegularization

Change = Callable[[Tensor], Tensor]


def max_dropout(features: Tensor, rate: float) -> Tensor:
    """Zero the strongest activations of each example: those within `rate` of the range below its maximum.

    Santos, Colombo, Roder, Papa: MaxDropout, ICPR 2020. What is left is not scaled, as there. (N, ...) -> the same.
    """
    flat = features.detach().flatten(1)
    low, high = flat.amin(dim=1), flat.amax(dim=1)
    limit = (high - rate * (high - low)).view(-1, *(1,) * (features.ndim - 1))
    return features.masked_fill(features > limit, 0)


class _Shaken(torch.autograd.Function):
    """Multiplies by `front` on the way forward and by `back` on the way back."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, front: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(back)
        return features * front

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (back,) = ctx.saved_tensors
        return gradients[0] * back, None, None


def shaken(features: Tensor) -> Tensor:
    """Weigh the two halves of the channels by 2a and 2 (1 - a), a uniform, drawn anew for the gradients.

    Gastaldi: Shake-Shake regularization, 2017, drawn for each example ("shake-shake-image"). There a block has two
    branches; up to its last convolution a branch of C channels is two branches of C / 2 channels whose sum is the
    same, so that a network of single branches can be shaken too, and rests as it was. (N, C, H, W) -> the same.
    """
    return _Shaken.apply(features, _halves(features), _halves(features))


def _halves(features: Tensor) -> Tensor:
    """(N, C, 1, 1) weights of the channels, of mean 1."""
    count, channels = features.shape[:2]
    share = torch.rand(count, 1, 1, 1, device=features.device, dtype=features.dtype)
    first = channels // 2
    return torch.cat([(2 * share).expand(-1, first, 1, 1), (2 - 2 * share).expand(-1, channels - first, 1, 1)], dim=1)


@contextmanager
def changed_output(module: nn.Module, change: Change) -> Iterator[None]:
    """While this lasts, a module that trains gives `change` of what it would give."""

    def hook(module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        return change(output) if module.training else output

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def changed_input(module: nn.Module, change: Change) -> Iterator[None]:
    """While this lasts, a module that trains takes `change` of what it is given."""

    def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (change(inputs[0]), *inputs[1:]) if module.training else inputs

    handle = module.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


class InternalRegularizer(nn.Module):
    """All internal regularization of a run; its own weights are those of the side heads.

    Side heads are those of Lee et al.: Deeply-supervised nets, AISTATS 2015: the mean over a map, then a linear layer.

    Args:
        network: What learns.
        spec: What acts on it.
        classes: What a side head tells apart; None where the task has no side heads.

    Raises:
        ConfigurationError: The network has no place for a part of it, or the task no side heads.
    """

    def __init__(self, network: nn.Module, spec: InternalRegularization, classes: int | None = None) -> None:
        super().__init__()
        self._outputs: list[tuple[nn.Module, Change]] = []
        self._inputs: list[tuple[nn.Module, Change]] = []
        self._side_maps: tuple[FeatureMap, ...] = ()
        self._act_on_maps(network, spec)
        if spec.dropout:
            drop = _rated(functional.dropout, spec.dropout)
            self._inputs += [(layer, drop) for layer in answer_layers(network)]
        if spec.stochastic_depth or spec.shake_shake:
            self._act_on_branches(network, spec)
        if isinstance(spec, ClassifierInternal) and spec.deep_supervision:
            if classes is None:
                raise ConfigurationError("regularization.internal.deep_supervision", "this task has no side heads")
            self._side_maps = feature_maps(network)[:-1]
        self.side_heads = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(place.channels, classes or 0))
            for place in self._side_maps
        )

    def _act_on_maps(self, network: nn.Module, spec: InternalRegularization) -> None:
        if not (spec.spatial_dropout or spec.max_dropout or spec.drop_block):
            return
        maps = [place.module for place in feature_maps(network)]
        if spec.spatial_dropout:
            self._outputs += [(module, _rated(functional.dropout2d, spec.spatial_dropout)) for module in maps]
        if spec.max_dropout:
            self._outputs += [(module, _rated(max_dropout, spec.max_dropout)) for module in maps]
        if spec.drop_block:
            self._outputs += [(module, _blocks(spec.drop_block, spec.drop_block_size)) for module in maps[-2:]]

    def _act_on_branches(self, network: nn.Module, spec: InternalRegularization) -> None:
        found = branches(network)
        for number, branch in enumerate(found, start=1):
            if spec.stochastic_depth:
                self._outputs.append((branch.output, _skips(spec.stochastic_depth * number / len(found))))
            if spec.shake_shake:
                self._inputs.append((branch.last, shaken))

    @contextmanager
    def acting(self) -> Iterator[Sequence[Tensor]]:
        """While this lasts, everything acts; what is given fills with the side heads' logits (N, classes)."""
        side: list[Tensor] = []
        with ExitStack() as hooks:
            # Side heads come first: they see the map before anything is dropped from it.
            for place, head in zip(self._side_maps, self.side_heads, strict=True):
                hooks.enter_context(changed_output(place.module, _watched(head, side)))
            for module, change in self._outputs:
                hooks.enter_context(changed_output(module, change))
            for module, change in self._inputs:
                hooks.enter_context(changed_input(module, change))
            yield side


def _rated(change: Callable[[Tensor, float], Tensor], rate: float) -> Change:
    return lambda features: change(features, rate)


def _blocks(rate: float, size: int) -> Change:
    return lambda features: drop_blocks(features, rate, size)


def _skips(rate: float) -> Change:
    return lambda branch: stochastic_depth(branch, rate, "row")


def _watched(head: nn.Module, side: list[Tensor]) -> Change:
    def change(features: Tensor) -> Tensor:
        side.append(head(features))
        return features

    return change
