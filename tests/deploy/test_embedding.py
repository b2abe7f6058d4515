"""Embeddings: where in a graph they are taken, that the last layer takes them, and what boxes of a map hold."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from data.boxes import no_boxes
from data.errors import InputError, MissingDependencyError
from data.preprocess import Image, ink_batch, network_input
from deploy.graph import write_graph
from deploy.packing import write_artifact
from deploy.runtime.artifact import Artifact
from deploy.runtime.digits import DigitReader
from deploy.runtime.embedding import Embedder
from deploy.runtime.graphs import before_last_layer, last_layers, level_maps
from deploy.runtime.spec import MODEL_FILE, detector_graph
from deploy.runtime.species import SpeciesNamer
from tests.deploy.bright import CELL, SIZE_WH, SPEC, BrightCells, bright_artifact, frame, graph_bytes, spec
from tests.tiny import SPEC as DIGITS

SHIPPED = Path(__file__).parents[2] / "models" / "weights"
Floats = NDArray[np.float32]


def noise(count: int, seed: int = 0) -> list[Image]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (*rng.integers(24, 90, 2), 3), np.uint8) for _ in range(count)]


def last_layer(artifact: Artifact[Any]) -> tuple[Floats, Floats]:
    """Weights (classes, D) and bias of the layer that gives the logits, quantized or not."""
    model = onnx.load_from_string(artifact.model)
    made = {name: node for node in model.graph.node for name in node.output}
    kept = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}

    def value(name: str) -> Floats:
        if name in kept:
            return kept[name]
        if len(made[name].input) == 1:  # kept in half precision
            return kept[made[name].input[0]].astype(np.float32)
        quantized, scale, zero = (kept[part] for part in made[name].input)
        sides = (-1, *([1] * (quantized.ndim - 1)))
        return (quantized.astype(np.float32) - zero.astype(np.float32).reshape(sides)) * scale.reshape(sides)

    node = next(node for node in model.graph.node if "logits" in node.output)
    weights, bias = value(node.input[1]), value(node.input[2])
    return (weights if weights.shape[0] == len(bias) else weights.T), bias


@pytest.mark.parametrize("name", ["digits-int8", "species-int8"])
def test_logits_are_the_last_layers_weights_times_the_embedding(name):
    artifact = Artifact.open(SHIPPED / name, "onnxruntime")
    embedder = Embedder(artifact)
    looked = embedder.look(embedder.prepare(noise(9)))
    weights, bias = last_layer(artifact)
    assert looked.embeddings.shape == (9, embedder.width)
    assert looked.embeddings.dtype == np.float32
    np.testing.assert_allclose(looked.embeddings @ weights.T + bias, looked.outputs[0], atol=2e-3)


def test_digits_are_answered_to_the_bit_as_by_the_reader():
    artifact = Artifact.open(SHIPPED / "digits-int8")
    embedder, images = Embedder(artifact), noise(7)
    assert embedder.answers
    np.testing.assert_array_equal(
        embedder.look(embedder.prepare(images)).outputs[0], DigitReader(artifact).read(images).logits
    )


def test_a_species_model_answers_in_the_run_that_embeds_only_where_onnx_is_what_answers():
    plain = Artifact.open(SHIPPED / "species-int8", "onnxruntime")
    embedder, images = Embedder(plain), noise(3)
    assert embedder.answers
    prepared = embedder.prepare(images)
    outputs, (logits, familiarity) = embedder.look(prepared).outputs, SpeciesNamer(plain).raw(prepared.inputs)
    np.testing.assert_allclose(outputs[0], logits, atol=1e-4)
    np.testing.assert_allclose(outputs[1], familiarity, atol=1e-3)
    assert Embedder(Artifact.open(SHIPPED / "species-int8")).answers == (
        Artifact.open(SHIPPED / "species-int8").choice == plain.choice
    )


def test_embeddings_are_those_of_the_network_that_was_exported(tiny):
    taken: list[torch.Tensor] = []
    network = copy.deepcopy(tiny.network).eval()
    layer = [one for one in network.modules() if isinstance(one, nn.Linear)][-1]
    layer.register_forward_hook(lambda _, inputs, __: taken.append(inputs[0]))
    images = noise(5)
    with torch.no_grad():
        network(torch.from_numpy(network_input(ink_batch(images, DIGITS), DIGITS)))
    embedder = Embedder(tiny.float32.artifact)
    np.testing.assert_allclose(embedder.pictures(images), taken[0].numpy(), atol=1e-4)
    assert embedder.width == layer.in_features


@pytest.mark.parametrize("name", ["digits-int8", "species-int8", "fish-int8", "masks-int8", "dense-int8"])
def test_every_shipped_model_embeds_pictures_and_boxes(name):
    embedder = Embedder(Artifact.open(SHIPPED / name))
    images = noise(2)
    rows = embedder.pictures(images)
    assert rows.shape == (2, embedder.width)
    assert np.isfinite(rows).all()
    assert not np.allclose(rows[0], rows[1])
    height, width = images[1].shape[:2]
    whole = np.array([[0, 0, width, height]], np.float32)
    np.testing.assert_allclose(embedder.boxes(images[1], whole)[0], rows[1], rtol=1e-4, atol=1e-4)
    assert embedder.pictures([]).shape == embedder.boxes(images[0], no_boxes()).shape == (0, embedder.width)


def test_pictures_are_embedded_alike_alone_and_in_batches():
    embedder = Embedder(Artifact.open(SHIPPED / "fish-int8"))
    images = noise(embedder.batch + 1)
    together = embedder.pictures(images)
    np.testing.assert_allclose(embedder.pictures(images[-1:])[0], together[-1], rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def bright(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    """Its only map is the mean brightness of every cell, eight times over."""
    return Embedder(bright_artifact(tmp_path_factory.mktemp("bright")))


def test_a_box_is_as_bright_as_what_it_covers(bright):
    image = frame((1, 1), (2, 1))
    cell = np.array([CELL, CELL, 2 * CELL, 2 * CELL], np.float32)
    half = cell - np.array([CELL / 2, 0, CELL / 2, 0], np.float32)
    dark = cell + 2 * CELL
    np.testing.assert_allclose(
        bright.boxes(image, np.stack([cell, half, dark])), [[1] * 8, [0.5] * 8, [0] * 8], atol=1e-5
    )
    assert bright.width == 8


def test_a_whole_frame_is_averaged_without_the_grey_around_it(bright):
    upright = np.full((SIZE_WH[1], SIZE_WH[1] // 2, 3), 255, np.uint8)
    np.testing.assert_allclose(bright.pictures([upright])[0], 1, atol=0.02)


@given(
    cut=st.floats(1, SIZE_WH[0] - 1),
    top=st.floats(0, SIZE_WH[1] - 2),
    seed=st.integers(0, 50),
)
@settings(max_examples=40)
def test_two_halves_weigh_as_much_as_the_whole(bright, cut, top, seed):
    image = np.random.default_rng(seed).integers(0, 256, (SIZE_WH[1], SIZE_WH[0], 3), np.uint8)
    xyxy = np.array([[0, top, SIZE_WH[0], SIZE_WH[1]], [0, top, cut, SIZE_WH[1]], [cut, top, *SIZE_WH]], np.float32)
    whole, left, right = bright.boxes(image, xyxy)
    share = cut / SIZE_WH[0]
    np.testing.assert_allclose(share * left + (1 - share) * right, whole, atol=1e-4)


@pytest.mark.parametrize(
    "box", [(5, 5, 5, 5), (-40, -40, -20, -20), (400, 400, 500, 500), (95.9, 0, 96, 64), (0, 0, 1e4, 1e4)]
)
def test_a_box_without_area_or_beyond_the_frame_gives_numbers(bright, box):
    rows = bright.boxes(frame((0, 0)), np.array([box], np.float32))
    assert np.isfinite(rows).all()
    assert ((rows >= 0) & (rows <= 1 + 1e-5)).all()


def test_what_is_no_number_is_an_error(tmp_path):
    model = onnx.load_from_string(graph_bytes(tmp_path))
    bias = next(one for one in model.graph.initializer if one.name == "logits.bias")
    bias.CopyFrom(numpy_helper.from_array(np.array([np.nan], np.float32), bias.name))
    broken = write_artifact(tmp_path / "art", spec(), {MODEL_FILE: model.SerializeToString()})
    with pytest.raises(InputError, match=r"model\.onnx: answers with what is no number"):
        Embedder(broken)


@pytest.mark.parametrize("wrong", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)])
def test_what_is_no_frame_is_refused(bright, wrong):
    with pytest.raises(InputError, match="expected uint8"):
        bright.pictures([wrong])
    with pytest.raises(InputError, match="expected uint8"):
        bright.boxes(wrong, no_boxes())


def test_without_the_package_onnx_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingDependencyError, match=r"onnx: is not installed.*--extra curate"):
        Embedder(Artifact.open(SHIPPED / "digits-int8"))


class NoLayer(BrightCells):
    """Answers with a map that no layer gave."""

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pooled = nn.functional.avg_pool2d(frames[:, :1], CELL).flatten(2).transpose(1, 2)
        return self.cells + 0 * pooled, pooled


def test_a_network_without_layers_has_no_embedding(tmp_path):
    write_graph(NoLayer(), detector_graph(SPEC, 1), tmp_path / "none.onnx")
    artifact = write_artifact(tmp_path / "art", spec(), {MODEL_FILE: (tmp_path / "none.onnx").read_bytes()})
    with pytest.raises(InputError, match="has no layer"):
        Embedder(artifact)


def made_of(*nodes: onnx.NodeProto, outputs: tuple[str, ...], weights: tuple[str, ...] = ()) -> onnx.ModelProto:
    """A graph that takes `x` (weights and outputs without shapes: it is only looked at)."""
    kept = [numpy_helper.from_array(np.ones((2, 2), np.float32), name) for name in weights]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", *outputs)]
    return helper.make_model(helper.make_graph(list(nodes), "g", ports[:1], ports[1:], kept))


@pytest.mark.parametrize(
    "after",
    [
        (("Add", ("d", "bias"), "logits"),),
        (("Cast", ("d",), "c"), ("Mul", ("c", "bias"), "logits")),
        (("QuantizeLinear", ("d", "bias"), "q"), ("DequantizeLinear", ("q", "bias"), "logits")),
    ],
)
def test_the_last_layer_is_found_behind_bias_scale_and_quantization(after):
    nodes = [
        helper.make_node("Relu", ["x"], ["features"]),
        helper.make_node("MatMul", ["features", "w"], ["d"]),
        *(helper.make_node(kind, list(inputs), [output]) for kind, inputs, output in after),
    ]
    assert before_last_layer(made_of(*nodes, outputs=("logits",), weights=("w", "bias")), "logits") == ("features",)


def test_no_last_layer_where_logits_are_joined_from_two():
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("MatMul", ["x", "w"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["logits"]),
    ]
    assert before_last_layer(made_of(*nodes, outputs=("logits",), weights=("w",)), "logits") == ()


def test_maps_are_taken_where_the_branches_of_a_level_part():
    """Two levels; the fine one feeds the coarse one, too, and each has a branch for boxes and one for classes."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["fine"]),
        helper.make_node("Conv", ["fine", "w"], ["coarse"]),
        helper.make_node("Conv", ["fine", "w"], ["stem"]),
        helper.make_node("Sigmoid", ["stem"], ["gate"]),
        helper.make_node("Mul", ["stem", "gate"], ["swish"]),
        helper.make_node("Conv", ["swish", "w"], ["box8"]),
        helper.make_node("Conv", ["swish", "w"], ["class8"]),
        helper.make_node("Conv", ["coarse", "w"], ["box16"]),
        helper.make_node("Conv", ["coarse", "w"], ["class16"]),
        helper.make_node("Shape", ["x"], ["size"]),
        helper.make_node("Concat", ["box8", "box16", "size"], ["boxes"]),
        helper.make_node("Concat", ["class8", "class16"], ["logits"]),
    ]
    model = made_of(*nodes, outputs=("boxes", "logits"), weights=("w",))
    layers = last_layers(model)
    assert [name for name, _ in layers] == ["box8", "class8", "box16", "class16"]
    assert level_maps(model, layers, [(8, 8), (8, 8), (4, 4), (4, 4)]) == ("swish", "coarse")
    assert level_maps(model, layers[:1], [(8, 8)]) == ("swish",)
    assert level_maps(model, layers, [(), (), (), ()]) == ()
