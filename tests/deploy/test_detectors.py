from __future__ import annotations

import json
import math

import numpy as np
import openvino
import pytest

from data.detection_metrics import judge, operating_point, score_detections
from data.detections import Detections
from data.errors import ArgumentError, MissingDependencyError
from deploy import detectors
from deploy.bench import measure, open_on_engines
from deploy.detectors import (
    LEAST_SCORE,
    DetectionDeployData,
    Seen,
    calibrate,
    detect_all,
    engine_for,
    export_detector,
    rescored,
)
from deploy.openvino_int8 import ENOUGH, decoding, quantize_openvino
from deploy.parity import box_agreement, write_parity
from deploy.runtime.artifact import Artifact
from deploy.runtime.detector import FishDetector
from tests.deploy.bright import SIZE_WH, BrightCells, box, graph_bytes, pictures
from training.recipe import DetectionRecipe

RECIPE = DetectionRecipe.model_validate(
    {
        "name": "bright",
        "task": "detection",
        "network": {"name": "yolox-nano"},
        "data": {"train": [{"folder": "fish/deepfish"}]},
        "preprocessing": {"size_wh": SIZE_WH},
        "epochs": 2,
    }
)


@pytest.fixture(scope="module")
def data():
    calibration = np.stack([picture.transpose(2, 0, 1) for picture in pictures(24, seed=1).images.frames])
    return DetectionDeployData(calibration.astype(np.float32), pictures(60, seed=2))


@pytest.fixture(scope="module")
def int8(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("int8") / "art"
    return export_detector(BrightCells(), RECIPE, data, folder, "openvino", int8=True)


@pytest.fixture(scope="module")
def float32(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("float32") / "art"
    return export_detector(BrightCells(), RECIPE, data, folder, "onnxruntime", int8=False)


def test_an_int8_artifact_holds_float_onnx_too(int8):
    spec = int8.artifact.spec
    assert [(model.engine, model.precision) for model in spec.models] == [
        ("openvino", "int8"), ("onnxruntime", "float32")
    ]  # fmt: skip
    assert set(spec.files) == {"card.md", "int8.bin", "int8.xml", "model.onnx"}
    assert int8.artifact.choice.engine == "openvino"
    assert Artifact.open(int8.artifact.folder, "onnxruntime").choice.precision == "float32"
    assert spec.name == "bright-int8"
    assert spec.labels == ("fish",)
    assert spec.training["quantization"].startswith("NNCF all convolutions")


def test_a_float_artifact_needs_onnx_runtime_alone(float32):
    assert [(model.engine, model.precision) for model in float32.artifact.spec.models] == [("onnxruntime", "float32")]
    assert float32.parity is None
    assert "quantization" not in float32.artifact.spec.training


def test_a_float_artifact_may_be_for_openvino(data, tmp_path):
    made = export_detector(BrightCells(), RECIPE, data, tmp_path / "art", "openvino", int8=False)
    assert set(made.artifact.spec.files) == {"card.md", "model.onnx"}
    one, other = (
        detect_all(FishDetector(Artifact.open(tmp_path / "art", engine)), data.validation)
        for engine in ("openvino", "onnxruntime")
    )
    for left, right in zip(one, other, strict=True):
        np.testing.assert_allclose(left.xyxy, right.xyxy, atol=1e-3)
        np.testing.assert_allclose(left.scores, right.scores, atol=1e-4)


def test_what_the_spec_promises_is_what_the_artifact_gives(int8, data):
    """The numbers were measured on a draft; the finished artifact must give the very same."""
    spec = int8.artifact.spec
    found = detect_all(FishDetector(int8.artifact), data.validation)
    scores = score_detections(data.validation, found)
    assert scores.map50 == pytest.approx(spec.metrics["validation_map50"], abs=1e-6)
    assert scores.map50_95 == pytest.approx(spec.metrics["validation_map50_95"], abs=1e-6)
    # Scores come back from the draft through a sigmoid and its inverse: a hair below the threshold is still on it.
    point = operating_point(judge(data.validation, found), spec.threshold - 1e-5)
    assert point.f1 == pytest.approx(spec.metrics["validation_f1"])
    assert point.precision == pytest.approx(spec.metrics["validation_precision"])
    assert min(seen.scores.min() for seen in found if len(seen)) >= LEAST_SCORE - 1e-6


def test_parity_tells_both_networks(int8, float32, data, tmp_path):
    parity = int8.parity
    assert parity.pictures == len(data.validation)
    assert parity.float_map50 == pytest.approx(float32.artifact.spec.metrics["validation_map50"])
    assert abs(parity.float_map50 - parity.int8_map50) < 0.02
    assert parity.agreement > 0.9
    assert parity.mean_iou > 0.99
    assert parity.int8_bytes == sum((int8.artifact.folder / name).stat().st_size for name in ("int8.xml", "int8.bin"))
    write_parity(parity, tmp_path / "parity.json")
    assert json.loads((tmp_path / "parity.json").read_text())["agreement"] == parity.agreement


def test_calibration_makes_scores_honest(data):
    found = [Detections(np.array([box(0, 0)], np.float32), np.array([0.9], np.float32), np.zeros(1, np.int64))] * 60
    fitted = calibrate(data.validation, Seen(found))
    right = judge(data.validation, found).right.mean()
    scores = rescored(Seen(found), fitted.scale, fitted.shift).found[0].scores
    assert scores == pytest.approx([right], abs=0.03)
    assert fitted.ece_after < fitted.ece_before


def test_pictures_that_are_not_wholly_labelled_calibrate_nothing(data):
    found = [Detections(np.array([box(0, 0)], np.float32), np.array([0.9], np.float32), np.zeros(1, np.int64))] * 60
    some = data.validation.select(np.arange(60))
    object.__setattr__(some, "exhaustive", np.arange(60) < 30)
    half = calibrate(data.validation.select(np.arange(30)), Seen(found[:30]))
    assert calibrate(some, Seen(found)) == half


def test_rescoring_keeps_the_order_and_drops_the_hopeless():
    seen = Detections(np.zeros((3, 4), np.float32), np.array([0.9, 0.5, 0.1], np.float32), np.zeros(3, np.int64))
    (moved,) = rescored(Seen([seen]), 2.0, 0.0).found
    assert moved.scores == pytest.approx([81 / 82, 0.5, 1 / 82], rel=1e-4)
    (moved,) = rescored(Seen([seen]), 2.0, -2.0).found
    assert len(moved) == 2
    (moved,) = rescored(Seen([Detections.none()]), 2.0, -2.0).found
    assert len(moved) == 0


def test_the_card_says_what_was_measured(int8):
    card = (int8.artifact.folder / "card.md").read_text(encoding="utf-8")
    spec = int8.artifact.spec
    for needed in (
        f"| mAP50 | {spec.metrics['validation_map50']:.2%} | 60 pictures of held-out sites",
        f"score of {spec.threshold:.3f}",
        "int8 for openvino",
        "float32 for onnxruntime",
        "DeepFish",
        "## Limits",
        "Recipe `bright`",
    ):
        assert needed in card


@pytest.mark.parametrize(
    ("asked", "int8", "engine"),
    [(None, True, "openvino"), (None, False, "onnxruntime"), ("openvino", False, "openvino")],
)
def test_the_engine_is_the_one_that_is_faster(asked, int8, engine):
    assert engine_for(asked, int8=int8) == engine


def test_int8_is_not_made_for_the_engine_that_it_slows_down():
    with pytest.raises(ArgumentError, match="--engine: 'onnxruntime' is not for int8 detectors; expected openvino"):
        engine_for("onnxruntime", int8=True)


def test_an_engine_that_is_missing_is_said_before_any_work(monkeypatch):
    monkeypatch.setattr(detectors, "installed", lambda engine: engine != "openvino")
    with pytest.raises(MissingDependencyError, match=r"openvino: is not installed\. Run uv sync --extra export"):
        engine_for(None, int8=True)


def test_decoding_is_left_in_float(tmp_path):
    network = openvino.Core().read_model(graph_bytes(tmp_path), b"")
    names = decoding(network)
    kept = {node.get_friendly_name(): node.get_type_name() for node in network.get_ordered_ops()}
    assert names
    assert not {kept[name] for name in names} & {"Convolution", "Relu", "Constant", "Parameter", "Result"}
    assert {"Transpose", "Add"} <= {kept[name] for name in names}


def test_the_first_way_that_is_near_enough_is_taken(tmp_path, data):
    (tmp_path / "net.onnx").write_bytes(graph_bytes(tmp_path))
    done = quantize_openvino(tmp_path / "net.onnx", data.calibration[:2], lambda _: 0.9, 0.9 + ENOUGH / 2)
    assert done.measured == {"all convolutions": 0.9}
    assert b"FakeQuantize" in done.model.graph
    answers = iter([0.1, 0.2, 0.5, 0.3])
    done = quantize_openvino(tmp_path / "net.onnx", data.calibration[:2], lambda _: next(answers), 0.9)
    assert list(done.measured.values()) == [0.1, 0.2, 0.5, 0.3]
    assert done.measured[done.method] == 0.5


def quantized_convolutions(made):
    """How many convolutions of a network read quantized activations."""
    network = openvino.Core().read_model(made.graph, made.weights)
    nodes = [node for node in network.get_ordered_ops() if node.get_type_name() in {"Convolution", "GroupConvolution"}]
    return sum(node.input_value(0).get_node().get_type_name() == "FakeQuantize" for node in nodes), len(nodes)


def test_the_careful_way_leaves_the_last_convolution_in_float(tmp_path, data):
    (tmp_path / "net.onnx").write_bytes(graph_bytes(tmp_path))
    plain = quantize_openvino(tmp_path / "net.onnx", data.calibration[:2], lambda _: 1.0, 1.0).model
    answers = iter([0.1, 0.2, 0.2, 0.3])
    careful = quantize_openvino(tmp_path / "net.onnx", data.calibration[:2], lambda _: next(answers), 1.0).model
    answers = iter([0.1, 0.3, 0.2, 0.2])
    first = quantize_openvino(tmp_path / "net.onnx", data.calibration[:2], lambda _: next(answers), 1.0).model
    assert quantized_convolutions(plain) == (2, 2)
    assert quantized_convolutions(first) == (0, 2)
    assert quantized_convolutions(careful) == (1, 2)


def test_quantizing_says_nothing_to_the_terminal(tmp_path, data, capfd):
    (tmp_path / "net.onnx").write_bytes(graph_bytes(tmp_path))
    quantize_openvino(tmp_path / "net.onnx", data.calibration[:2], lambda _: 1.0, 1.0)
    assert capfd.readouterr() == ("", "")


def test_bench_measures_every_engine_of_an_artifact(int8):
    report = measure(open_on_engines(int8.artifact.folder), rounds=3)
    assert [(one.engine, one.precision, one.batch) for one in report.latencies] == [
        ("openvino", "int8", 1), ("openvino", "int8", 8), ("onnxruntime", "float32", 1), ("onnxruntime", "float32", 8)
    ]  # fmt: skip
    assert [one.choice.engine for one in open_on_engines(int8.artifact.folder, "onnxruntime")] == ["onnxruntime"]
    with pytest.raises(ArgumentError, match="'ncnn' does not run"):
        open_on_engines(int8.artifact.folder, "ncnn")


def test_artifacts_of_two_tasks_are_not_compared(int8, tiny):
    with pytest.raises(ArgumentError, match="are for detection and digits"):
        measure([int8.artifact, tiny.int8.artifact], rounds=1)


def seen(*boxes, scores=None, labels=None):
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores or [0.9] * len(boxes), np.float32),
        np.array(labels or [0] * len(boxes), np.int64),
    )


def test_box_agreement_by_hand():
    one = [seen(box(0, 0), box(1, 1), box(2, 2), scores=[0.9, 0.8, 0.1]), seen()]
    other = [seen(box(0, 0), box(4, 2), scores=[0.7, 0.9]), seen(box(0, 0))]
    found = box_agreement(one, other, threshold=0.5)
    assert found.agreement == pytest.approx(2 / 5)
    assert found.mean_iou == 1.0
    assert found.mean_score_difference == pytest.approx(0.2)
    assert box_agreement(one, one, 0.5).agreement == 1.0
    assert box_agreement([seen()], [seen()], 0.5).agreement == 1.0
    nothing = box_agreement([seen(box(0, 0))], [seen(box(0, 0), labels=[1])], 0.5)
    assert nothing.agreement == 0.0
    assert math.isnan(nothing.mean_iou)


def test_a_box_agrees_with_one_other_at_most():
    found = box_agreement([seen(box(0, 0), box(0, 0))], [seen(box(0, 0))], 0.5)
    assert found.agreement == pytest.approx(2 / 3)
