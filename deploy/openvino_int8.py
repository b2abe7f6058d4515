"""Post-training int8 quantization of a detector for OpenVINO, by NNCF.

A real number r is stored as q = clip(round(r / scale) + zero, low, high). Weights: symmetric, a scale per output
channel. Activations: one scale a tensor, its range from calibration, with a zero point where values are not symmetric
about 0, as after SiLU. The decoding of boxes and scores, everything after the last learnt convolution, stays in float:
boxes reach hundreds of pixels, of which 256 levels would leave a grid of several pixels each.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

# NNCF calls home unless it is told that it runs in a build.
os.environ.setdefault("NNCF_CI", "1")

import nncf
import numpy as np
import openvino
from nncf import IgnoredScope, QuantizationPreset
from numpy.typing import NDArray

from data.errors import InputError
from deploy.quantize import quiet

ENOUGH: Final = 0.003
"""A drop of the measure that is left as it is: on other waters than the measured ones it may be three times that."""
_LEARNT: Final = {"Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul"}
_NO_WORK: Final = {"Constant", "Parameter", "Result"}

Measure = Callable[["OpenVinoModel"], float]


@dataclass(frozen=True)
class OpenVinoModel:
    """A network in OpenVINO's own format: the contents of its two files."""

    graph: bytes
    weights: bytes


@dataclass(frozen=True)
class Int8:
    """A quantized network, how it was made, and what every way that was tried gave."""

    model: OpenVinoModel
    method: str
    measured: Mapping[str, float]


def quantize_openvino(model: Path, calibration: NDArray[np.float32], measure: Measure, reference: float) -> Int8:
    """Quantize a float detector; of several ways the first whose measure is near the float model's, else the best.

    Args:
        model: The float ONNX file.
        calibration: (K, 3, height, width) float32 inputs like those that the network will see.
        measure: How good a quantized network is, higher is better.
        reference: The same of the float network.

    Raises:
        InputError: There are no calibration inputs.
    """
    if not len(calibration):
        raise InputError(model, "cannot be quantized without calibration inputs", cure="give the run's training data")
    tried: dict[str, tuple[OpenVinoModel, float]] = {}
    for name, floats in _WAYS.items():
        made = _quantized(model, calibration, floats)
        tried[name] = made, measure(made)
        if tried[name][1] >= reference - ENOUGH:
            break
    best = max(tried, key=lambda name: tried[name][1])
    return Int8(tried[best][0], best, MappingProxyType({name: value for name, (_, value) in tried.items()}))


_CONVOLUTIONS: Final = ("Convolution", "GroupConvolution")
_FIRST: Final = 4
_WAYS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "all convolutions": (),
        "first four convolutions in float32": ("first",),
        "depthwise convolutions in float32": ("depthwise",),
        "depthwise and last convolutions in float32": ("depthwise", "last"),
    }
)
"""What stays in float, fastest first.

The first convolutions see few channels of many kinds of picture, and what they lose nothing brings back: on
EfficientNet-Lite0 they make up nearly all of the loss. The channels of a depthwise convolution share one activation
scale though they differ most; no later layer evens out the errors of the last ones. On YOLOX-Nano ranges by extremes or
quantiles, bias correction layer by layer, none at all, smoothed activations and the first three convolutions in float32
were all worse than depthwise ones in float32.
"""


def _quantized(model: Path, calibration: NDArray[np.float32], floats: Sequence[str]) -> OpenVinoModel:
    # Read by the converter, x * sigmoid(x) becomes one operation: left as two, each would be quantized by itself.
    network = openvino.convert_model(str(model))
    sensitive = _sensitive(network)
    kept = dict.fromkeys(decoding(network) + [name for kind in floats for name in sensitive[kind]])
    with quiet():
        made = nncf.quantize(
            network,
            nncf.Dataset([picture[None] for picture in calibration]),
            preset=QuantizationPreset.MIXED,
            subset_size=len(calibration),
            ignored_scope=IgnoredScope(names=list(kept)),
        )
    with tempfile.TemporaryDirectory(prefix="shankha-int8-") as folder:
        path = Path(folder) / "model.xml"
        openvino.save_model(made, str(path), compress_to_fp16=False)
        return OpenVinoModel(path.read_bytes(), path.with_suffix(".bin").read_bytes())


def decoding(network: Any) -> list[str]:
    """Names of the operations after the last learnt convolution: they decode boxes and scores."""
    return [
        node.get_friendly_name()
        for node in _after_learning(network)
        if node.get_type_name() not in _NO_WORK and not _learnt(node)
    ]


def _sensitive(network: Any) -> Mapping[str, list[str]]:
    """Names of the first convolutions, of the depthwise ones, and of the last learnt ones."""
    convolutions = [node for node in network.get_ordered_ops() if node.get_type_name() in _CONVOLUTIONS]
    depthwise = [node for node in convolutions if node.get_type_name() == "GroupConvolution"]
    kinds = {
        "first": convolutions[:_FIRST],
        "depthwise": depthwise,
        "last": [node for node in _after_learning(network) if _learnt(node)],
    }
    return {kind: [node.get_friendly_name() for node in nodes] for kind, nodes in kinds.items()}


def _after_learning(network: Any) -> list[Any]:
    """The operations that feed no learnt convolution."""
    feeds: dict[str, bool] = {}
    ordered = network.get_ordered_ops()
    for node in reversed(ordered):
        fed = [port.get_node() for output in node.outputs() for port in output.get_target_inputs()]
        feeds[node.get_friendly_name()] = any(_learnt(one) or feeds[one.get_friendly_name()] for one in fed)
    return [node for node in ordered if not feeds[node.get_friendly_name()]]


def _learnt(node: Any) -> bool:
    """Whether it is a convolution or product with learnt weights; distribution focal loss sums bins by a fixed one."""
    if node.get_type_name() not in _LEARNT:
        return False
    weights = node.input_value(1).get_node()
    if weights.get_type_name() != "Constant":
        return True
    values = np.ravel(weights.get_data())
    return not np.array_equal(values, np.arange(len(values)))
