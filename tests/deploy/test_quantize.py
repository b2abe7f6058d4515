from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import numpy_helper
from rich.console import Console

from data.errors import InputError
from data.metrics import softmax
from data.preprocess import DigitPreprocessing
from deploy.graph import run_graph, write_graph
from deploy.parity import compare, digit_accuracy, divergence, write_parity
from deploy.quantize import CHUNK, METHODS, quantize
from deploy.runtime.spec import digit_graph
from models import zoo

INK = digit_graph(DigitPreprocessing())


@pytest.fixture(scope="module")
def float_graph(tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("graphs") / "float.onnx"
    write_graph(tiny.network, INK, path)
    return path


@pytest.fixture(scope="module")
def int8_graph(tiny, float_graph):
    path = float_graph.with_name("int8.onnx")
    quantize(float_graph, path, tiny.data.calibration)
    return path


def kinds(path):
    return Counter(node.op_type for node in onnx.load(path).graph.node)


@pytest.mark.parametrize("name", zoo.digit_networks())
@pytest.mark.parametrize("count", [1, 3])
def test_every_network_becomes_a_graph_with_the_same_answers(name, count, tmp_path):
    torch.manual_seed(1)
    network = zoo.build(name).train()
    for _ in range(2):  # batch norm gets statistics worth folding
        network(torch.randn(16, 1, 32, 32))
    network.eval()
    write_graph(network, INK, tmp_path / "net.onnx")
    inputs = torch.randn(count, 1, 32, 32)
    with torch.no_grad():
        np.testing.assert_allclose(run_graph(tmp_path / "net.onnx", inputs.numpy()), network(inputs), atol=1e-4)
    assert kinds(tmp_path / "net.onnx")["BatchNormalization"] == 0


def test_writing_a_graph_leaves_the_network_as_it_was(tiny, tmp_path):
    network = zoo.build("compact").train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    write_graph(network, INK, tmp_path / "net.onnx")
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_graphs_carry_no_notes_of_the_tools_that_made_them(float_graph, int8_graph):
    for path in (float_graph, int8_graph):
        model = onnx.load(path)
        assert not model.metadata_props
        assert not any(node.doc_string or node.metadata_props for node in model.graph.node)
        assert [opset.domain for opset in model.opset_import] == [""]
        assert b".py" not in path.read_bytes()
        assert str(Path.cwd()).encode() not in path.read_bytes()


def test_weights_are_seven_bits_per_channel_and_activations_unsigned(tiny, int8_graph):
    model = onnx.load(int8_graph)
    constants = {constant.name: numpy_helper.to_array(constant) for constant in model.graph.initializer}
    nodes = {output: node for node in model.graph.node for output in node.output}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 3
    for node in convolutions:
        activation, weight = nodes[node.input[0]], nodes[node.input[1]]
        values, scales = constants[weight.input[0]], constants[weight.input[1]]
        assert values.dtype == np.int8
        assert np.abs(values.astype(int)).max() <= 64
        assert scales.shape == (values.shape[0],)
        assert not constants[weight.input[2]].any()
        assert constants[activation.input[2]].dtype == np.uint8


def test_the_last_thing_the_int8_graph_does_is_not_rounding(tiny, int8_graph):
    model = onnx.load(int8_graph)
    last = next(node for node in model.graph.node if "logits" in node.output)
    assert last.op_type == "Gemm"
    logits = run_graph(int8_graph, tiny.data.validation)
    assert len(np.unique(logits)) > 512  # 256 levels at most, had they been rounded to bytes


def test_onnx_runtime_runs_it_in_integers(int8_graph, tmp_path):
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(str(int8_graph), options)
    found = kinds(tmp_path / "optimized.onnx")
    assert found["QLinearConv"] == 3
    assert found["QGemm"] == 2
    assert not {"Conv", "Gemm", "MatMul", "Relu", "DequantizeLinear"} & set(found)


def test_the_method_nearest_to_float_is_taken(tiny, float_graph, tmp_path):
    done = quantize(float_graph, tmp_path / "best.onnx", tiny.data.calibration)
    assert set(done.divergences) == set(METHODS)
    assert done.divergences[done.method] == min(done.divergences.values())
    reference = run_graph(float_graph, tiny.data.calibration)
    again = divergence(reference, run_graph(tmp_path / "best.onnx", tiny.data.calibration))
    assert again == pytest.approx(done.divergences[done.method])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("count", [1, CHUNK, CHUNK + 1, 2 * CHUNK])
def test_any_number_of_calibration_inputs_will_do(tiny, float_graph, tmp_path, method, count):
    done = quantize(float_graph, tmp_path / "q.onnx", tiny.data.calibration[:count], methods=(method,))
    assert done.method == method
    parity = compare(float_graph, tmp_path / "q.onnx", tiny.data.validation, tiny.data.labels)
    assert parity.agreement > (0.9 if count > 1 else 0.3)


def test_no_calibration_inputs_are_an_error(float_graph, tmp_path):
    with pytest.raises(InputError, match="without calibration inputs"):
        quantize(float_graph, tmp_path / "q.onnx", np.zeros((0, 1, 32, 32), np.float32))
    assert not (tmp_path / "q.onnx").exists()


def test_quantizing_says_nothing_to_the_terminal(tiny, float_graph, tmp_path, capfd):
    quantize(float_graph, tmp_path / "q.onnx", tiny.data.calibration[:64])
    assert capfd.readouterr() == ("", "")


def test_a_model_is_at_parity_with_itself(tiny, float_graph):
    parity = compare(float_graph, float_graph, tiny.data.validation, tiny.data.labels)
    assert (parity.agreement, parity.max_logit_difference, parity.divergence) == (1.0, 0.0, 0.0)
    assert parity.float_accuracy == parity.int8_accuracy > 0.95


def test_parity_of_the_int8_model(tiny, float_graph, int8_graph, tmp_path):
    parity = compare(float_graph, int8_graph, tiny.data.validation, tiny.data.labels)
    assert parity.inputs == len(tiny.data.labels)
    assert parity.agreement > 0.98
    assert 0 < parity.mean_logit_difference <= parity.max_logit_difference
    assert 0 < parity.mean_probability_difference <= parity.max_probability_difference <= 1
    assert parity.int8_bytes < parity.float_bytes
    write_parity(parity, tmp_path / "parity.json")
    assert json.loads((tmp_path / "parity.json").read_text())["agreement"] == parity.agreement
    shown = io.StringIO()
    Console(file=shown, width=120).print(parity.table())
    assert f"{parity.agreement:.2%}" in shown.getvalue()


def test_divergence_by_hand():
    one, two = np.log([[0.5, 0.5]]), np.log([[0.25, 0.75]])
    by_hand = 0.5 * np.log(0.5 / 0.25) + 0.5 * np.log(0.5 / 0.75)
    assert divergence(one, two) == pytest.approx(by_hand)
    np.testing.assert_allclose(softmax(two), [[0.25, 0.75]])


def test_accuracy_is_a_forced_choice_among_digits():
    logits = np.zeros((3, 11))
    logits[:, 10] = 9.0
    logits[0, 4] = logits[1, 5] = 1.0
    assert digit_accuracy(logits, np.array([4, 6, 10])) == 0.5
