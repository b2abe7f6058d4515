"""ONNX graphs on disk: from a torch network, cleaned, checked, and run."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from deploy.runtime.artifact import load_session
from deploy.runtime.spec import INPUT_NAME, OUTPUT_NAME

OPSET: Final = 17
"""Old enough for every ONNX Runtime that this project allows, new enough for per-channel int8."""
_BATCH: Final = 256


def write_graph(network: nn.Module, size: int, to: Path) -> None:
    """Write the network as ONNX: `ink` (N, 1, size, size) -> `logits` (N, classes), batch norm folded, any N.

    The exporter that traces is used, not the newer one: it keeps the global average pool one operator, which has an
    int8 kernel, where the newer one takes it apart into means that have none.
    """
    example = torch.zeros(2, 1, size, size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            copy.deepcopy(network).cpu().eval(),
            (example,),
            str(to),
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            dynamic_axes={INPUT_NAME: {0: "N"}, OUTPUT_NAME: {0: "N"}},
            opset_version=OPSET,
            dynamo=False,
        )
    clean(to)


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


def run_graph(path: Path, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, classes) logits of inputs (N, 1, size, size)."""
    session = load_session(path.read_bytes(), path)
    starts = range(0, len(inputs), _BATCH)
    parts = [session.run([OUTPUT_NAME], {INPUT_NAME: inputs[start : start + _BATCH]})[0] for start in starts]
    return np.concatenate([np.asarray(part, np.float32) for part in parts])
