"""The shipped detector and counter are one network in a survey; with any other they run one after the other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from apps.fish.model import SHIPPED_MODEL, ArtifactSource
from apps.fish.parts.sources import CountingDetector, DensePart
from data.preprocess import Image
from deploy.packing import write_artifact
from deploy.runtime.artifact import Artifact
from deploy.runtime.onepass import one_pass

COUNTER = DensePart.folder_of("shipped")
PART = DensePart.of("shipped", 0.1)


@pytest.fixture(scope="module")
def joint() -> CountingDetector:
    detector = ArtifactSource(SHIPPED_MODEL, COUNTER).load()
    assert isinstance(detector, CountingDetector)
    return detector


@pytest.fixture(scope="module")
def frames() -> list[Image]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, (180, 320, 3), np.uint8) for _ in range(2)]


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_the_shipped_ones_are_one_network(engine: str) -> None:
    detector, counter = (Artifact.open(folder, engine) for folder in (SHIPPED_MODEL, COUNTER))  # type: ignore[arg-type]
    assert one_pass(detector, counter), "export the counter again after the detector"


def test_the_part_takes_the_counter_that_the_detector_brings(joint: CountingDetector) -> None:
    assert PART.load(joint)._counter is joint.counter


@pytest.mark.parametrize("counter", ["none", "missing", "unshared"])
def test_with_any_other_counter_the_detector_is_alone(counter: str, tmp_path: Path) -> None:
    if counter == "unshared":
        spec = Artifact.open(COUNTER).spec
        files = {name: (COUNTER / name).read_bytes() for name in spec.files}
        write_artifact(tmp_path / counter, spec.model_dump(exclude={"files"}) | {"detectors": ()}, files)
    detector = ArtifactSource(SHIPPED_MODEL, None if counter == "none" else tmp_path / counter).load()
    assert not isinstance(detector, CountingDetector)


def test_a_survey_finds_and_counts_the_same_in_both_ways(joint: CountingDetector, frames: list[Image]) -> None:
    alone = ArtifactSource(SHIPPED_MODEL).load()
    found = joint.detect(frames)
    for one, other in zip(found, alone.detect(frames), strict=True):
        assert np.array_equal(one.xyxy, other.xyxy)
        assert np.array_equal(one.scores, other.scores)
    counts = [PART.load(detector)._counter.count(frames) for detector in (joint, alone)]
    for one, other in zip(*counts, strict=True):
        assert one.count == pytest.approx(other.count, abs=0.01)
        np.testing.assert_allclose(one.points, other.points, atol=0.01)


def test_a_detector_is_known_by_the_same_name_whatever_counts_beside_it() -> None:
    assert ArtifactSource(SHIPPED_MODEL, COUNTER).describe() == ArtifactSource(SHIPPED_MODEL).describe()
    assert json.loads((COUNTER / "spec.json").read_text())["detectors"]
