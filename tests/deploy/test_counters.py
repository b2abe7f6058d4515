from __future__ import annotations

import json

import numpy as np
import pytest
from torch import nn

from data.count_metrics import LEVELS, background, count_errors, trusted_from
from data.density import Density
from data.errors import ConfigurationError
from deploy.bench import measure, open_on_engines
from deploy.counters import CountingDeployData, count_all, export_counter, same_total
from deploy.parity import write_parity
from deploy.runtime.artifact import Artifact
from deploy.runtime.counter import DenseCounter
from tests.deploy.specks import GRID_WH, SIZE_WH, Specks, pictures
from training.recipe import CountingRecipe

RECIPE = CountingRecipe.model_validate(
    {
        "name": "specks",
        "task": "counting",
        "network": {"name": "density-nano"},
        "data": {"train": [{"folder": "fish/deepfish"}]},
        "preprocessing": {"size_wh": SIZE_WH, "padding": 0},
        "epochs": 2,
    }
)


@pytest.fixture(scope="module")
def data():
    """Boxes that miss most of a school."""
    shown = [picture for picture in pictures(24, seed=1).images.frames if picture.any()]
    calibration = np.stack([picture.transpose(2, 0, 1) for picture in shown])
    held = pictures(50, seed=2)
    boxes = np.array([min(len(one), 5) for one in held.xyxy], np.int64)
    return CountingDeployData(calibration.astype(np.float32), held, boxes)


@pytest.fixture(scope="module")
def int8(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("int8") / "art"
    return export_counter(Specks(haze=0.011), RECIPE, data, folder, "openvino", int8=True)


def counts(counter: DenseCounter, data: CountingDeployData) -> np.ndarray:
    return np.array([seen.count for seen in count_all(counter, data.validation)])


def test_an_int8_artifact_holds_float_onnx_too(int8):
    spec = int8.artifact.spec
    assert [(model.engine, model.precision) for model in spec.models] == [
        ("openvino", "int8"), ("onnxruntime", "float32")
    ]  # fmt: skip
    assert set(spec.files) == {"card.md", "int8.bin", "int8.xml", "model.onnx"}
    assert spec.grid_wh == GRID_WH
    assert spec.name == "specks-int8"
    assert spec.training["quantization"].startswith("NNCF ")


def test_what_the_spec_promises_is_what_the_artifact_gives(int8, data):
    spec = int8.artifact.spec
    true = np.array([len(boxes) for boxes in data.validation.xyxy])
    found = counts(DenseCounter(int8.artifact), data)
    assert count_errors(true, found).overall.mae == pytest.approx(spec.metrics["validation_mae"], abs=1e-5)
    assert spec.metrics["validation_share"] == pytest.approx(spec.metrics["validation_mae"] / true.mean())
    assert spec.dense_from == pytest.approx(trusted_from(true, found, data.boxes, data.validation.sites), abs=1e-4)
    assert 4 < spec.dense_from < 8
    assert spec.metrics["validation_game2"] >= spec.metrics["validation_mae"] - 1e-6


def test_int8_counts_as_many_as_float(int8, data):
    plain = DenseCounter(Artifact.open(int8.artifact.folder, "onnxruntime"))
    assert counts(DenseCounter(int8.artifact), data).sum() == pytest.approx(counts(plain, data).sum(), rel=0.02)
    assert int8.artifact.spec.scales[1] == 1.0


def test_a_total_is_matched_by_one_factor():
    one, two = (Density(np.zeros((2, 2), np.float32), np.array(own, np.float32)) for own in ([1, 3], [1, 1]))
    assert same_total([one, two], [two, two]) == pytest.approx(1.5)
    assert same_total([one], [one.times(0)]) == 1.0


def test_haze_is_found_to_be_background(int8):
    assert 0.011 < int8.artifact.spec.least_density < 0.2


def test_background_is_the_level_that_errs_least():
    places = np.zeros((4, 2), np.float32)
    seen = [Density(places, np.array([1, 0.04, 0.04, 0.04], np.float32))] * 3
    sites = np.array(["a", "a", "b"])
    assert background(np.array([1, 1, 1]), seen, sites) == 0.05
    faint = [Density(places, np.full(4, 0.25, np.float32))] * 3
    assert background(np.array([1, 1, 1]), faint, sites) == LEVELS[0]


def test_parity_tells_both_networks(int8, data, tmp_path):
    parity = int8.parity
    assert parity.pictures == len(data.validation)
    plain = DenseCounter(Artifact.open(int8.artifact.folder, "onnxruntime"))
    true = np.array([len(boxes) for boxes in data.validation.xyxy])
    assert parity.float_mae == pytest.approx(count_errors(true, counts(plain, data)).overall.mae, abs=1e-3)
    assert parity.int8_share - parity.float_share <= 0.01
    assert parity.mean_difference <= parity.max_difference < 0.5
    assert parity.int8_bytes == sum((int8.artifact.folder / name).stat().st_size for name in ("int8.xml", "int8.bin"))
    write_parity(parity, tmp_path / "parity.json")
    assert json.loads((tmp_path / "parity.json").read_text())["int8_mae"] == parity.int8_mae


def test_a_float_artifact_that_boxes_beat_is_never_trusted(data, tmp_path):
    true = np.array([len(boxes) for boxes in data.validation.xyxy], np.int64)
    best = CountingDeployData(data.calibration, data.validation, true)
    made = export_counter(Specks(), RECIPE, best, tmp_path / "art", "onnxruntime", int8=False)
    assert made.artifact.spec.dense_from is None
    assert made.parity is None
    assert "nowhere more than boxes" in made.notes[-1]
    assert [(model.engine, model.precision) for model in made.artifact.spec.models] == [("onnxruntime", "float32")]


def test_the_card_says_what_was_measured(int8):
    card = (int8.artifact.folder / "card.md").read_text(encoding="utf-8")
    spec = int8.artifact.spec
    for needed in (
        f"| mean absolute error of the count | {spec.metrics['validation_mae']:.2f} | 50 pictures of held-out sites",
        f"trusted from {spec.dense_from:.1f} fish on",
        f"{spec.least_density:g} fish is background",
        "mean absolute error at 10+ fish",
        "int8 for openvino",
        "DeepFish",
        "## Limits",
    ):
        assert needed in card


def test_what_is_no_counter_is_refused(data, tmp_path):
    with pytest.raises(ConfigurationError, match="counts nothing"):
        export_counter(nn.Conv2d(3, 1, 1), RECIPE, data, tmp_path / "art", "onnxruntime", int8=False)


def test_bench_measures_counters(int8):
    report = measure(open_on_engines(int8.artifact.folder), rounds=2)
    assert [(one.engine, one.batch) for one in report.latencies] == [
        ("openvino", 1), ("openvino", 8), ("onnxruntime", 1), ("onnxruntime", 8)
    ]  # fmt: skip
