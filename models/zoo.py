"""The zoo: every network by its name, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Final, Literal

import torch
from torch import nn

from data.errors import ConfigurationError
from models.detector import Detector
from models.digits import CompactNet, Vgg5


def _yolox_nano(**options: Any) -> Detector:
    from models.yolox import YoloxNano  # noqa: PLC0415 - who reads digits needs no detector

    return YoloxNano(**options)


def _ultralytics(layout: Literal["yolo11n", "yolo26n"], **options: Any) -> Detector:
    from models.ultralytics_detectors import UltralyticsDetector  # noqa: PLC0415 - takes seconds

    return UltralyticsDetector(layout, **options)


_DIGIT_NETWORKS: Final[Mapping[str, Callable[..., nn.Module]]] = MappingProxyType(
    {
        "compact": CompactNet,
        "vgg5": Vgg5,
        "vgg5-spinal": partial(Vgg5, spinal_width=32),
    }
)
_DETECTORS: Final[Mapping[str, Callable[..., Detector]]] = MappingProxyType(
    {
        "yolox-nano": _yolox_nano,
        "yolo11n": partial(_ultralytics, "yolo11n"),
        "yolo26n": partial(_ultralytics, "yolo26n"),
    }
)


def digit_networks() -> tuple[str, ...]:
    """Names of the networks that read digits."""
    return tuple(_DIGIT_NETWORKS)


def detectors() -> tuple[str, ...]:
    """Names of the networks that find objects."""
    return tuple(_DETECTORS)


def names() -> tuple[str, ...]:
    """Names of all networks."""
    return digit_networks() + detectors()


def build(name: str, **options: Any) -> nn.Module:
    """A fresh network.

    Args:
        name: One of `names()`.
        options: What its class takes; see there.

    Raises:
        ConfigurationError: No network has that name, or it does not take an option.
    """
    if name not in names():
        raise ConfigurationError(
            "network.name", f"no network is called {name!r}", expected=f"one of {', '.join(names())}"
        )
    try:
        return {**_DIGIT_NETWORKS, **_DETECTORS}[name](**options)
    except TypeError as error:
        raise ConfigurationError("network.options", f"network {name!r}: {error}", cure="mend the recipe") from error


def parameters(network: nn.Module) -> int:
    """Number of weights that inference needs; side heads of deep supervision are left out."""
    return sum(weight.numel() for name, weight in network.named_parameters() if not name.startswith("side_head"))


def multiply_adds(network: nn.Module, example: torch.Tensor) -> int:
    """Multiply-adds of convolutions and linear layers for the example (N = 1)."""
    counted: list[int] = []

    def count(layer: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        if isinstance(layer, nn.Conv2d):
            counted.append(layer.weight[0].numel() * output[0].numel())
        elif isinstance(layer, nn.Linear):
            counted.append(layer.weight.numel())

    hooks = [layer.register_forward_hook(count) for layer in network.modules()]
    was_training = network.training
    try:
        with torch.no_grad():
            network.eval()(example)
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return sum(counted)
