"""A counter that learnt on a detector's trunk becomes one network with it, and both answer as they do alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from pydantic import ValidationError

from data.detections import Detections
from data.errors import ArgumentError, InputError
from data.frames import FramePreprocessing
from data.preprocess import Image
from deploy.graph import write_graph
from deploy.networks import NetworkFiles, float_files, int8_files
from deploy.onepass import SharedTrunk
from deploy.packing import write_artifact
from deploy.runtime.artifact import Artifact
from deploy.runtime.counter import DenseCounter
from deploy.runtime.detector import FishDetector
from deploy.runtime.onepass import OnePass, one_pass
from deploy.runtime.spec import ArtifactSpec, counting_graph, detector_graph
from models.counting import DensityNet
from models.yolox import YoloxNano

SIZE_WH = (96, 64)
GRID_WH = (12, 8)
SPEC = FramePreprocessing(size_wh=SIZE_WH)
ENGINES = ("openvino", "onnxruntime")


@dataclass(frozen=True)
class Pair:
    """A detector and a counter on its trunk; and a counter whose trunk is another."""

    detector: Path
    counter: Path
    stranger: Path

    def open(self, engine: Any, counter: str = "counter") -> tuple[Artifact[ArtifactSpec], Artifact[ArtifactSpec]]:
        return Artifact.open(self.detector, engine), Artifact.open(getattr(self, counter), engine)


def frames(count: int, seed: int = 1) -> list[Image]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (70 + 9 * n, 110, 3), np.uint8) for n in range(count)]


def both_precisions(plain: NetworkFiles, graph: Path, shared: SharedTrunk | None) -> NetworkFiles:
    calibration = np.random.default_rng(2).uniform(0, 255, (4, 3, SIZE_WH[1], SIZE_WH[0])).astype(np.float32)
    return int8_files(plain, graph, calibration, lambda _: 0.0, 0.0, shared.openvino if shared else None)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    place = tmp_path_factory.mktemp("onepass")
    torch.manual_seed(3)
    detector = YoloxNano()
    write_graph(detector, detector_graph(SPEC, 1), place / "detector.onnx")
    files = both_precisions(
        float_files((place / "detector.onnx").read_bytes(), "openvino"), place / "detector.onnx", None
    )
    written = write_artifact(place / "detector", detector_spec(files), files.contents)
    counters = []
    for name in ("counter", "stranger"):
        torch.manual_seed(4)
        counter = DensityNet(fixed="trunk")
        if name == "counter":
            counter.take(detector)
        graph, content = counting_graph(SPEC, GRID_WH), place / f"{name}.onnx"
        write_graph(counter, graph, content)
        shared = SharedTrunk.of(written.folder, content.read_bytes(), graph)
        assert (shared is not None) == (name == "counter")
        whole = shared.onnx(content.read_bytes(), ["density"]) if shared else content.read_bytes()
        files = both_precisions(float_files(whole, "openvino"), content, shared)
        hashes = [shared.network_hash(model.precision) for model in files.models] if shared else []
        counters.append(write_artifact(place / name, counter_spec(files, detectors=hashes), files.contents).folder)
    return Pair(written.folder, *counters)


def detector_spec(files: NetworkFiles) -> dict[str, Any]:
    return {
        "task": "detection", "name": "one", "network": "yolox-nano", "labels": ("fish",), "preprocessing": SPEC,
        "models": files.models, "score_scale": 1.0, "score_shift": 0.0, "nms_iou": 0.6, "least_score": 1e-4,
        "threshold": 0.5,
    }  # fmt: skip


def counter_spec(files: NetworkFiles, **changes: Any) -> dict[str, Any]:
    return {
        "task": "counting", "name": "other", "network": "density-nano", "preprocessing": SPEC,
        "models": files.models, "grid_wh": GRID_WH, "scales": [1.0] * len(files.models),
    } | changes  # fmt: skip


def same(one: Detections, other: Detections) -> bool:
    return np.array_equal(one.xyxy, other.xyxy) and np.array_equal(one.scores, other.scores)


@pytest.mark.parametrize("engine", ENGINES)
def test_both_answer_to_the_bit_as_they_do_alone(pair: Pair, engine: str) -> None:
    detector, counter = pair.open(engine)
    assert one_pass(detector, counter)
    both, shown = OnePass(detector, counter), frames(3)
    found, counts = both.detector.detect(shown), both.counter.densities(shown)
    assert all(len(one) for one in found)
    assert all(same(*pairs) for pairs in zip(found, FishDetector(detector).detect(shown), strict=True))
    for own, alone in zip(counts, DenseCounter(counter).densities(shown), strict=True):
        np.testing.assert_allclose(own.amounts, alone.amounts, rtol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_counter_alone_is_the_one_that_learnt(pair: Pair, engine: str) -> None:
    torch.manual_seed(3)
    detector = YoloxNano()
    torch.manual_seed(4)
    learnt = DensityNet(fixed="trunk")
    learnt.take(detector)
    noise = np.random.default_rng(5).uniform(0, 255, (2, 3, SIZE_WH[1], SIZE_WH[0])).astype(np.float32)
    with torch.no_grad():
        right = learnt.eval()(torch.from_numpy(noise)).numpy()
    (seen,) = Artifact.open(pair.counter, engine).session().run(noise)  # type: ignore[arg-type]
    np.testing.assert_allclose(seen.sum(), right.sum(), rtol=0.05)


def test_a_frame_goes_through_the_network_once(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    detector, counter = pair.open("onnxruntime")
    both, shown = OnePass(detector, counter), frames(4)
    looked: list[int] = []
    monkeypatch.setattr("deploy.runtime.looking.fit_frame", _counting(looked))
    both.detector.detect(shown)
    assert len(looked) == 4
    both.counter.count([shown[1], shown[3]])
    both.counter.count([])
    assert len(looked) == 4
    both.counter.count([shown[1].copy()])
    assert len(looked) == 5


def _counting(looked: list[int]) -> Any:
    from data.frames import fit_frame  # noqa: PLC0415 - before it is replaced

    def fit(frame: Image, spec: FramePreprocessing) -> Image:
        looked.append(1)
        return fit_frame(frame, spec)

    return fit


def test_frames_of_another_batch_are_looked_at_anew(pair: Pair) -> None:
    detector, counter = pair.open("onnxruntime")
    both, alone = OnePass(detector, counter), DenseCounter(counter)
    first, second = frames(2, seed=6), frames(2, seed=7)
    both.detector.detect(first)
    both.detector.detect(second)
    for own, right in zip(both.counter.count([*first, *second]), alone.count([*first, *second]), strict=True):
        assert own.count == pytest.approx(right.count, rel=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_only_its_own_detector_shares_the_network(pair: Pair, engine: str, tmp_path: Path) -> None:
    detector, stranger = pair.open(engine, "stranger")
    assert not one_pass(detector, stranger)
    assert not one_pass(stranger, detector)
    with pytest.raises(ArgumentError, match="shares no network with"):
        OnePass(detector, stranger)
    contents = {name: (pair.detector / name).read_bytes() for name in detector.spec.files}
    model = onnx.load_from_string(contents["model.onnx"])
    model.producer_name = "another"
    other = contents | {"model.onnx": model.SerializeToString(), "int8.bin": contents["int8.bin"] + b"\0"}
    raw = detector.spec.model_dump(exclude={"files"})
    changed = write_artifact(tmp_path / "other", raw, other).folder
    assert not one_pass(Artifact.open(changed, engine), pair.open(engine)[1])  # type: ignore[arg-type]
    wide = raw | {"preprocessing": SPEC.model_copy(update={"padding": 0})}
    padded = write_artifact(tmp_path / "padded", wide, contents).folder
    assert not one_pass(Artifact.open(padded, engine), pair.open(engine)[1])  # type: ignore[arg-type]


def test_engines_are_not_mixed(pair: Pair) -> None:
    detector, _ = pair.open("openvino")
    _, counter = pair.open("onnxruntime")
    assert not one_pass(detector, counter)


def test_a_spec_names_a_detector_for_each_network(pair: Pair) -> None:
    spec = Artifact.open(pair.counter).spec.model_dump()
    assert [name for name, _ in Artifact.open(pair.counter).spec.graph.outputs] == ["boxes", "logits", "density"]
    with pytest.raises(ValidationError, match="detectors: are 1, expected one for each of 2 models"):
        type(Artifact.open(pair.counter).spec).model_validate(spec | {"detectors": spec["detectors"][:1]})


def test_a_network_that_lacks_the_detectors_answers_is_refused(pair: Pair, tmp_path: Path) -> None:
    stranger = Artifact.open(pair.stranger)
    contents = {name: (pair.stranger / name).read_bytes() for name in stranger.spec.files}
    hashes = Artifact.open(pair.counter).spec.model_dump()["detectors"]
    raw = stranger.spec.model_dump(exclude={"files"}) | {"detectors": hashes}
    boastful = write_artifact(tmp_path / "boastful", raw, contents)
    assert DenseCounter(boastful).count(frames(1))
    with pytest.raises(InputError, match=r"maps frames .*density .*; expected .* to boxes"):
        OnePass(Artifact.open(pair.detector), boastful)
