"""Static int8 quantization of an ONNX graph (QDQ): int8 weights per channel, uint8 activations.

A real number r is stored as q = clip(round(r / scale) + zero, low, high), and stands for (q - zero) * scale. Weights:
scale per output channel, zero = 0. Activations: one scale and zero a tensor, from the range seen in calibration.

Weights use 7 of their 8 bits, -64 to 64. CPUs without dot-product instructions (VNNI) multiply unsigned by signed
bytes with an instruction that adds pairs of products in 16 bits; 2 * 255 * 127 overflows there and 2 * 255 * 64
does not, so that the accuracy measured on one x86 machine holds on all.

The logits themselves stay float32: the last layer multiplies bytes, sums in 32 bits and gives what it has. Rounded
to 256 levels, two classes would often tie and confidences would come in steps.
"""

from __future__ import annotations

import io
import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from data.errors import InputError
from deploy.graph import clean, run_graph
from deploy.parity import divergence

Method = Literal["minmax", "percentile", "entropy"]
METHODS: Final[tuple[Method, ...]] = get_args(Method)
CHUNK: Final = 128
"""Calibration inputs whose inner activations are in memory at once."""

_CALIBRATION: Final[Mapping[Method, tuple[CalibrationMethod, dict[str, Any]]]] = MappingProxyType(
    {
        "minmax": (CalibrationMethod.MinMax, {}),
        "percentile": (CalibrationMethod.Percentile, {"CalibPercentile": 99.99, "CalibTensorRangeSymmetric": False}),
        "entropy": (CalibrationMethod.Entropy, {"CalibTensorRangeSymmetric": False}),
    }
)


@dataclass(frozen=True)
class Quantization:
    """How a model was quantized: the calibration method, and the divergence (nats) from float that each one gave."""

    method: Method
    divergences: Mapping[Method, float]


def quantize(
    model: Path, to: Path, calibration: NDArray[np.float32], methods: tuple[Method, ...] = METHODS
) -> Quantization:
    """Quantize a float model, with the calibration method whose result stays nearest to the float model.

    Nearest is the smallest mean divergence of the class probabilities on the calibration inputs: it needs no labels,
    and unlike counts of changed answers it is no matter of a few borderline inputs.

    Args:
        model: The float ONNX file.
        to: Where the int8 ONNX file goes.
        calibration: (N, 1, size, size) preprocessed inputs like those that the model will see.
        methods: Calibration methods to try.

    Raises:
        InputError: There are no calibration inputs.
    """
    if not len(calibration):
        raise InputError(model, "cannot be quantized without calibration inputs", cure="give the run's training data")
    reference = run_graph(model, calibration)
    candidates: dict[Method, Path] = {}
    with tempfile.TemporaryDirectory(prefix="shankha-int8-") as folder, quiet():
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(model), str(prepared))
        for method in methods:
            candidates[method] = Path(folder) / f"{method}.onnx"
            _quantize(prepared, candidates[method], calibration, method)
        divergences = {way: divergence(reference, run_graph(path, calibration)) for way, path in candidates.items()}
        best = min(divergences, key=divergences.__getitem__)
        to.write_bytes(candidates[best].read_bytes())
    return Quantization(best, MappingProxyType(divergences))


def _quantize(prepared: Path, to: Path, calibration: NDArray[np.float32], method: Method) -> None:
    way, options = _CALIBRATION[method]
    inputs = _Inputs(onnx.load(prepared).graph.input[0].name, calibration)
    quantize_static(
        str(prepared),
        str(to),
        inputs,
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=way,
        # The option's name says MinMax, but it feeds every method piece by piece.
        extra_options={**options, "CalibStridedMinMax": CHUNK if len(inputs) > CHUNK else None},
    )
    _free_logits(to)
    clean(to)


def _free_logits(path: Path) -> None:
    """Take away the pair of nodes that quantizes the graph's output and turns it back."""
    model = onnx.load(path)
    nodes, name = model.graph.node, model.graph.output[0].name
    made_by = {output: node for node in nodes for output in node.output}
    back = made_by[name]
    forth = made_by.get(back.input[0])
    if back.op_type != "DequantizeLinear" or forth is None or forth.op_type != "QuantizeLinear":
        return
    last = made_by[forth.input[0]]
    nodes.remove(back)
    nodes.remove(forth)
    last.output[list(last.output).index(forth.input[0])] = name
    needed = {used for node in nodes for used in node.input}
    unused = [constant for constant in model.graph.initializer if constant.name not in needed]
    for constant in unused:
        model.graph.initializer.remove(constant)
    onnx.save_model(model, str(path))


class _Inputs(CalibrationDataReader):
    """Hands calibration inputs to ONNX Runtime, a chunk at a time; its length must be a whole number of chunks."""

    def __init__(self, name: str, inputs: NDArray[np.float32]) -> None:
        self.name = name
        self.inputs = inputs[: len(inputs) // CHUNK * CHUNK] if len(inputs) > CHUNK else inputs
        self.set_range(0, len(self.inputs))

    def __len__(self) -> int:
        return len(self.inputs)

    def set_range(self, start_index: int, end_index: int) -> None:
        self.pending: Iterator[NDArray[np.float32]] = iter([self.inputs[start_index:end_index]])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        batch = next(self.pending, None)
        return None if batch is None else {self.name: batch}


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the quantizer's running commentary, printed and logged, from the user's terminal."""
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)
