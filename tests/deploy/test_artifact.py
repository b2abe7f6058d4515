from __future__ import annotations

import hashlib
import json
import shutil

import onnx
import pytest

from data.errors import ArgumentError, FileAccessError, InputError
from deploy.runtime.artifact import Artifact
from deploy.runtime.digits import DigitReader
from deploy.runtime.spec import MODEL_FILE, SPEC_FILE


@pytest.fixture
def folder(tiny, tmp_path):
    """A copy of a real int8 artifact, to be spoilt."""
    return shutil.copytree(tiny.int8.artifact.folder, tmp_path / "art")


def change(folder, **keys):
    path = folder / SPEC_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


def swap_model(folder, content):
    """Another model under its right hash."""
    (folder / MODEL_FILE).write_bytes(content)
    files = json.loads((folder / SPEC_FILE).read_text())["files"]
    change(folder, files=files | {MODEL_FILE: hashlib.sha256(content).hexdigest()})


def test_a_whole_artifact_opens(folder, tiny):
    artifact = Artifact.open(folder)
    assert artifact.spec == tiny.int8.artifact.spec
    assert artifact.model == (folder / MODEL_FILE).read_bytes()
    assert str(artifact.model[:9]) not in repr(artifact)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"format_version": 2}, "format_version is 2; expected 1"),
        ({"format_version": "1"}, "format_version is '1'"),
        ({"format_version": True}, "format_version is True"),
        ({"task": "fish"}, "task is 'fish'; expected digits"),
        ({"engine": "openvino"}, "engine is 'openvino'; expected onnxruntime"),
        ({"extra": 1}, "extra: unknown key"),
        ({"temperature": 0}, "temperature"),
        ({"temperature": "warm"}, "temperature"),
        ({"accept_threshold": -0.1}, "accept_threshold"),
        ({"labels": list("9876543210x")}, "labels: are 9, 8"),
        ({"preprocessing": {"size": 32, "blur": 1}}, "preprocessing.blur: unknown key"),
        ({"precision": "int4"}, "precision"),
        ({"files": {}}, "model.onnx is missing"),
        ({"files": {"../model.onnx": "0" * 64}}, "files"),
        ({"files": {"model.onnx": "abc"}}, "files"),
        ({"metrics": {"accuracy": None}}, "metrics.accuracy"),
    ],
)
def test_a_spec_that_says_something_else_is_refused(folder, keys, says):
    change(folder, **keys)
    with pytest.raises(InputError, match=says) as caught:
        Artifact.open(folder)
    assert str(folder / SPEC_FILE) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"format_version": 1}', "\x00\xff", "[" * 100_000, '{"temperature": NaN}']
)
def test_a_spec_that_is_none_is_refused(folder, text):
    (folder / SPEC_FILE).write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=r"spec\.json"):
        Artifact.open(folder)


@pytest.mark.parametrize("name", [MODEL_FILE, "card.md"])
def test_a_changed_file_is_refused(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}: has sha256 .*; expected .*export the artifact again"):
        Artifact.open(folder)


@pytest.mark.parametrize("name", [MODEL_FILE, "card.md"])
def test_a_missing_file_is_refused(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileAccessError, match=f"{name}: is missing"):
        Artifact.open(folder)


def test_what_is_no_artifact_folder_is_refused(folder, tmp_path):
    with pytest.raises(FileAccessError, match="no such folder"):
        Artifact.open(tmp_path / "nowhere")
    with pytest.raises(InputError, match="is a file; expected an artifact folder"):
        Artifact.open(folder / MODEL_FILE)
    (folder / SPEC_FILE).unlink()
    with pytest.raises(InputError, match=r"holds no spec\.json"):
        Artifact.open(folder)


def test_a_model_that_is_none_is_refused_when_loaded(folder):
    swap_model(folder, b"not a graph")
    with pytest.raises(InputError, match="cannot be loaded"):
        Artifact.open(folder).session()


def test_a_model_of_another_shape_is_refused(folder):
    model = onnx.load(folder / MODEL_FILE)
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 28
    swap_model(folder, model.SerializeToString())
    with pytest.raises(InputError, match=r"model\.onnx: "):
        DigitReader(Artifact.open(folder))


def test_a_model_with_other_names_is_refused(folder):
    model = onnx.load(folder / MODEL_FILE)
    old = model.graph.input[0].name
    model.graph.input[0].name = "image"
    for node in model.graph.node:
        node.input[:] = ["image" if name == old else name for name in node.input]
    swap_model(folder, model.SerializeToString())
    with pytest.raises(InputError, match=r"maps .*image.* expected .*ink"):
        DigitReader(Artifact.open(folder))


def test_threads_are_checked(folder):
    with pytest.raises(ArgumentError, match="threads: is 0"):
        Artifact.open(folder).session(threads=0)
