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


def _yolox_nano_seg(**options: Any) -> Detector:
    from models.yolox_seg import YoloxNanoSeg  # noqa: PLC0415 - who reads digits outlines nothing

    return YoloxNanoSeg(**options)


def _yolo_seg(**options: Any) -> Detector:
    from models.ultralytics_seg import UltralyticsSegmenter  # noqa: PLC0415 - takes seconds

    return UltralyticsSegmenter(**options)


def _density(**options: Any) -> nn.Module:
    from models.counting import DensityNet  # noqa: PLC0415 - who reads digits needs no counter

    return DensityNet(**options)


def _count_regressor(**options: Any) -> nn.Module:
    from models.counting import CountRegressor  # noqa: PLC0415 - who reads digits needs no counter

    return CountRegressor(**options)


def _species(kind: str, *layout: str, **options: Any) -> nn.Module:
    from models import species  # noqa: PLC0415 - who reads digits names no fish

    make: Callable[..., nn.Module] = getattr(species, kind)
    return make(*layout, **options)


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

_SEGMENTERS: Final[Mapping[str, Callable[..., Detector]]] = MappingProxyType(
    {"yolox-nano-seg": _yolox_nano_seg, "yolo11n-seg": _yolo_seg}
)
_COUNTERS: Final[Mapping[str, Callable[..., nn.Module]]] = MappingProxyType(
    {"density-nano": _density, "count-nano": _count_regressor}
)
_SPECIES_NETWORKS: Final[Mapping[str, Callable[..., nn.Module]]] = MappingProxyType(
    {
        "crop-residual": partial(_species, "residual"),
        "crop-yolox": partial(_species, "yolox"),
        "crop-efficientnet-lite0": partial(
            _species, "from_timm", "tf_efficientnet_lite0", maps=("blocks.3", "blocks.4", "blocks.5")
        ),
        "crop-mobilenetv2": partial(_species, "from_timm", "mobilenetv2_100"),
        "crop-mobilenetv3-small": partial(_species, "from_timm", "mobilenetv3_small_100"),
        "crop-ghostnet": partial(_species, "from_timm", "ghostnet_100"),
        "crop-resnet18": partial(_species, "from_timm", "resnet18"),
        "crop-densenet121": partial(_species, "from_timm", "densenet121"),
    }
)


def digit_networks() -> tuple[str, ...]:
    """Names of the networks that read digits."""
    return tuple(_DIGIT_NETWORKS)


def detectors() -> tuple[str, ...]:
    """Names of the networks that find objects."""
    return tuple(_DETECTORS)


def segmenters() -> tuple[str, ...]:
    """Names of the networks that find objects and outline them."""
    return tuple(_SEGMENTERS)


def counters() -> tuple[str, ...]:
    """Names of the networks that count objects without boxes."""
    return tuple(_COUNTERS)


def species_networks() -> tuple[str, ...]:
    """Names of the networks that name fish in crops; each takes the number of `classes`."""
    return tuple(_SPECIES_NETWORKS)


def names() -> tuple[str, ...]:
    """Names of all networks."""
    return digit_networks() + detectors() + segmenters() + counters() + species_networks()


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
        return {**_DIGIT_NETWORKS, **_DETECTORS, **_SEGMENTERS, **_COUNTERS, **_SPECIES_NETWORKS}[name](**options)
    except TypeError as error:
        raise ConfigurationError("network.options", f"network {name!r}: {error}", cure="mend the recipe") from error


def parameters(network: nn.Module) -> int:
    """Number of weights."""
    return sum(weight.numel() for weight in network.parameters())


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
