from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import onnx
import pytest

from data.errors import ArgumentError, FileAccessError, InputError, MissingDependencyError
from deploy.packing import write_artifact
from deploy.runtime import artifact as artifacts
from deploy.runtime.artifact import Artifact
from deploy.runtime.detector import FishDetector
from deploy.runtime.engines import BLOCK, check_graph, installed, load
from deploy.runtime.spec import MODEL_FILE, SPEC_FILE, DetectionSpec, DigitSpec, detector_graph
from tests.deploy.bright import SPEC, frame, graph_bytes, spec

FLOAT = {"engine": "onnxruntime", "precision": "float32", "file": MODEL_FILE}
OPENVINO = FLOAT | {"engine": "openvino"}


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """An artifact whose one ONNX file is for both engines, OpenVINO first."""
    place = tmp_path_factory.mktemp("both")
    return write_artifact(place / "art", spec(models=(OPENVINO, FLOAT)), {MODEL_FILE: graph_bytes(place)})


@pytest.fixture
def folder(both, tmp_path):
    """A copy, to be spoilt."""
    return shutil.copytree(both.folder, tmp_path / "art")


def change(folder, **keys):
    path = folder / SPEC_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


def test_the_best_engine_that_is_installed_is_taken(both):
    assert both.choice.engine == "openvino"
    assert both.choice.precision == "float32"
    assert both.of(DetectionSpec).spec.labels == ("fish",)


def test_another_engine_can_be_forced(both):
    assert Artifact.open(both.folder, "onnxruntime").choice.engine == "onnxruntime"


def without_openvino(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)  # what an import of a missing package finds


def test_without_openvino_the_portable_network_runs(both, monkeypatch):
    without_openvino(monkeypatch)
    assert not installed("openvino")
    fallen_back = Artifact.open(both.folder)
    assert fallen_back.choice.engine == "onnxruntime"
    assert len(FishDetector(fallen_back).detect([frame((1, 1))])[0]) == 1


def test_a_forced_engine_that_is_missing_is_an_error_with_its_cure(both, monkeypatch):
    without_openvino(monkeypatch)
    with pytest.raises(MissingDependencyError, match=r"openvino: is not installed\. Run uv sync --extra export"):
        Artifact.open(both.folder, "openvino")
    with pytest.raises(MissingDependencyError, match="openvino: is not installed"):
        load("openvino", b"", both.folder)


def test_an_engine_that_the_artifact_is_not_for_is_an_error(tiny):
    with pytest.raises(ArgumentError, match="has no network for openvino; expected onnxruntime"):
        Artifact.open(tiny.int8.artifact.folder, "openvino")


@pytest.mark.parametrize("count", [1, 2, BLOCK, BLOCK + 3, 2 * BLOCK])
def test_engines_agree_whatever_the_batch(both, count):
    inputs = np.random.default_rng(1).uniform(0, 255, (count, 3, 64, 96)).astype(np.float32)
    one, other = (Artifact.open(both.folder, engine).session() for engine in ("openvino", "onnxruntime"))
    for left, right in zip(one.run(inputs), other.run(inputs), strict=True):
        assert left.shape == right.shape
        assert left.dtype == right.dtype == np.float32
        np.testing.assert_allclose(left, right, atol=1e-3)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_answers_do_not_depend_on_what_else_is_in_the_batch(both, engine):
    inputs = np.random.default_rng(2).uniform(0, 255, (BLOCK + 1, 3, 64, 96)).astype(np.float32)
    session = Artifact.open(both.folder, engine).session()
    together = session.run(inputs)
    for number in range(len(inputs)):
        for part, alone in zip(together, session.run(inputs[number : number + 1]), strict=True):
            assert np.array_equal(part[number], alone[0])


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_earlier_answers_are_not_overwritten(both, engine):
    session = Artifact.open(both.folder, engine).session()
    first = session.run(np.zeros((1, 3, 64, 96), np.float32))
    kept = [part.copy() for part in first]
    session.run(np.full((1, 3, 64, 96), 255, np.float32))
    assert all(np.array_equal(part, copy) for part, copy in zip(first, kept, strict=True))


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_what_an_engine_cannot_load_is_an_input_error(engine, tmp_path):
    with pytest.raises(InputError, match=r"net\.onnx: cannot be loaded"):
        load(engine, b"not a graph", tmp_path / "net.onnx")
    with pytest.raises(ArgumentError, match="threads: is 0"):
        load(engine, b"", tmp_path / "net.onnx", threads=0)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("spoil", ["input name", "output name", "order", "type", "size"])
def test_a_network_with_other_ends_is_refused(engine, spoil, tmp_path):
    model = onnx.load_from_string(graph_bytes(tmp_path))
    graph = detector_graph(SPEC, 1)
    if spoil == "order":
        model.graph.output.reverse()
    elif spoil == "size":
        graph = detector_graph(SPEC.model_copy(update={"size_wh": (96, 96)}), 1)
    elif spoil == "type":
        graph = detector_graph(SPEC, 2)
    else:
        name = "frames" if spoil == "input name" else "boxes"
        model = onnx.load_from_string(model.SerializeToString().replace(name.encode(), name[::-1].encode()))
    session = load(engine, model.SerializeToString(), tmp_path / "net.onnx")
    with pytest.raises(InputError, match=r"net\.onnx: maps .* expected frames \(N, 3, \d+, 96\) to boxes .*any, 4"):
        check_graph(session, graph, tmp_path / "net.onnx")


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"models": [OPENVINO]}, "models: none is float32 for onnxruntime"),
        ({"models": []}, "models"),
        ({"models": [FLOAT | {"engine": "ncnn"}]}, "engine is 'ncnn'; expected openvino or onnxruntime"),
        ({"models": [FLOAT | {"file": "other.onnx"}]}, r"files: other\.onnx is missing"),
        ({"models": [FLOAT, OPENVINO | {"weights": "int8.bin"}]}, r"files: int8\.bin is missing"),
        ({"models": [FLOAT | {"file": "../model.onnx"}]}, r"models\.0\.file"),
        ({"models": 3}, "models"),
        ({"labels": []}, "labels"),
        ({"score_scale": 0}, "score_scale"),
        ({"threshold": 0.001}, "threshold: 0.001 lies below least_score 0.01"),
        ({"nms_iou": 1.5}, "nms_iou"),
        ({"preprocessing": {"size_wh": [100, 64]}}, "preprocessing.size_wh"),
        ({"temperature": 1.0}, "temperature: unknown key"),
        ({"task": "digits"}, "engine is 'openvino'; expected onnxruntime"),
        ({"format_version": 2}, "format_version is 2; expected 1"),
    ],
)
def test_a_detection_spec_that_says_something_else_is_refused(folder, keys, says):
    change(folder, **keys)
    with pytest.raises(InputError, match=says) as caught:
        Artifact.open(folder)
    assert str(folder / SPEC_FILE) in str(caught.value)


def test_every_file_is_checked_whichever_engine_runs(folder):
    (folder / MODEL_FILE).write_bytes(b"other")
    for engine in (None, "openvino", "onnxruntime"):
        with pytest.raises(InputError, match=r"model\.onnx: has sha256"):
            Artifact.open(folder, engine)
    (folder / MODEL_FILE).unlink()
    with pytest.raises(FileAccessError, match="is missing"):
        Artifact.open(folder)


def test_the_artifact_of_a_task_is_known_by_its_spec(both, tiny):
    assert tiny.int8.artifact.of(DigitSpec).spec.temperature > 0
    with pytest.raises(InputError, match="task is 'detection'; expected digits"):
        both.of(DigitSpec)


def test_digits_do_not_wait_for_openvino_to_load(tiny, monkeypatch):
    asked = []
    monkeypatch.setattr(artifacts, "installed", lambda engine: asked.append(engine) or True)
    Artifact.open(tiny.int8.artifact.folder)
    assert asked == ["onnxruntime"]
