"""ONNX graphs on disk: from a torch network, cleaned, checked, and run."""

from __future__ import annotations

import copy
import math
import warnings
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from deploy.runtime.engines import load
from deploy.runtime.spec import Graph

OPSET: Final = 17
"""Old enough for every ONNX Runtime that this project allows, new enough for per-channel int8."""
_BATCH: Final = 256
_LARGE: Final = 1024
"""Numbers in a weight from which half of them are worth an operation more."""


def write_graph(network: nn.Module, graph: Graph, to: Path) -> None:
    """Write the network, in evaluation mode, as ONNX with those ends; batch norm folded, any N.

    The exporter that traces is used, not the newer one: it keeps the global average pool one operator, which has an
    int8 kernel, where the newer one takes it apart into means that have none.
    """
    names = [name for name, _ in graph.outputs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        torch.onnx.export(
            copy.deepcopy(network).cpu().eval(),
            (torch.zeros(2, *graph.input_shape),),
            str(to),
            input_names=[graph.input_name],
            output_names=names,
            dynamic_axes={name: {0: "N"} for name in (graph.input_name, *names)},
            opset_version=OPSET,
            dynamo=False,
        )
    _declare_outputs(to, graph)
    clean(to)


def _declare_outputs(path: Path, graph: Graph) -> None:
    """Write the outputs' known sides into the file: with an open batch the exporter loses track of some."""
    model = onnx.load(path)
    for output, (_, shape) in zip(model.graph.output, graph.outputs, strict=True):
        for side, length in zip(list(output.type.tensor_type.shape.dim)[1:], shape, strict=True):
            if length is not None:
                side.dim_value = length
    onnx.save_model(model, str(path))


def clean(path: Path) -> None:
    """Drop notes of the tools that made the graph (names of files and functions among them); check what is left."""
    model = onnx.load(path)
    model.doc_string = model.graph.doc_string = ""
    del model.metadata_props[:]
    used = {node.domain for node in model.graph.node}
    for opset in [opset for opset in model.opset_import if opset.domain not in used]:
        model.opset_import.remove(opset)
    for part in (*model.graph.node, *model.graph.initializer, *model.graph.value_info):
        part.doc_string = ""
        del part.metadata_props[:]
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, str(path))


def half_weights(content: bytes) -> bytes:
    """The same ONNX network with its large float32 weights kept as float16, half as long; it computes in float32.

    An engine widens them once, when it loads the network. Weights beyond the range of float16 stay as they are.
    """
    model = onnx.load_from_string(content)
    casts = []
    for weight in model.graph.initializer:
        if weight.data_type != onnx.TensorProto.FLOAT or math.prod(weight.dims) < _LARGE:
            continue
        values = onnx.numpy_helper.to_array(weight)
        if np.abs(values).max() > np.finfo(np.float16).max:
            continue
        name = f"{weight.name}.half"
        casts.append(onnx.helper.make_node("Cast", [name], [weight.name], name=f"{name}/Cast", to=weight.data_type))
        weight.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), name))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def run_graph(path: Path, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a graph of one output gives for inputs (N, ...), in ONNX Runtime; N must not be 0."""
    session = load("onnxruntime", path.read_bytes(), path)
    return np.concatenate([session.run(inputs[start : start + _BATCH])[0] for start in range(0, len(inputs), _BATCH)])
