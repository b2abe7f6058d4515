from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from deploy.graph import half_weights, write_graph
from deploy.runtime.engines import load
from deploy.runtime.spec import Graph

GRAPH = Graph(input_name="frames", input_shape=(3, 16, 16), outputs=(("maps", (64, 16, 16)),))
FRAMES = np.random.default_rng(1).normal(size=(2, 3, 16, 16)).astype(np.float32)


def written(path: Path, scale: float = 1.0) -> bytes:
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 1))
    with torch.no_grad():
        network[2].weight.mul_(scale)
    write_graph(network, GRAPH, path / "net.onnx")
    return (path / "net.onnx").read_bytes()


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_halved_weights_say_nearly_the_same_in_half_the_bytes(engine: str, tmp_path: Path) -> None:
    whole = written(tmp_path)
    half = half_weights(whole)
    assert len(half) < 0.65 * len(whole)
    one, other = (load(engine, content, tmp_path).run(FRAMES)[0] for content in (whole, half))  # type: ignore[arg-type]
    assert other.dtype == np.float32
    assert 0 < np.abs(one - other).max() < 2e-3 * np.abs(one).max()


def test_they_are_halved_once(tmp_path: Path) -> None:
    half = half_weights(written(tmp_path))
    assert half_weights(half) == half


def test_what_float16_cannot_hold_and_what_is_small_stays(tmp_path: Path) -> None:
    model = onnx.load_from_string(half_weights(written(tmp_path, scale=1e7)))
    kinds = {tuple(weight.dims): weight.data_type for weight in model.graph.initializer}
    assert kinds[64, 64, 1, 1] == onnx.TensorProto.FLOAT
    assert kinds[64, 3, 3, 3] == onnx.TensorProto.FLOAT16
    assert kinds[64,] == onnx.TensorProto.FLOAT
