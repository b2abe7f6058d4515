from __future__ import annotations

import numpy as np
import pytest

from data.detection_metrics import judge, operating_point, score_detections
from deploy.bench import measure, open_on_engines
from deploy.detectors import DetectionDeployData, export_detector
from deploy.packing import Export
from deploy.runtime.artifact import Artifact
from deploy.runtime.segmenter import FishSegmenter
from deploy.segmenters import MASKS, segment_all
from tests.deploy.bright import SIZE_WH
from tests.deploy.outlined import OutlinedCells, pictures
from training.recipe import SegmentationRecipe

RECIPE = SegmentationRecipe.model_validate(
    {
        "name": "outlined",
        "task": "segmentation",
        "network": {"name": "yolox-nano-seg"},
        "data": {"train": [{"folder": "fish/luderick"}], "hold_out": "clips"},
        "preprocessing": {"size_wh": SIZE_WH},
        "epochs": 2,
    }
)


@pytest.fixture(scope="module")
def data() -> DetectionDeployData:
    calibration = np.stack([picture.transpose(2, 0, 1) for picture in pictures(24, seed=1).images.frames])
    return DetectionDeployData(calibration.astype(np.float32), pictures(60, seed=2))


@pytest.fixture(scope="module")
def made(data: DetectionDeployData, tmp_path_factory: pytest.TempPathFactory) -> Export:
    folder = tmp_path_factory.mktemp("int8") / "art"
    return export_detector(OutlinedCells(), RECIPE, data, folder, "openvino", int8=True, finder=MASKS)


def test_an_artifact_outlines_in_int8_and_in_float(made: Export, data: DetectionDeployData) -> None:
    folder = made.artifact.folder
    assert [(one.engine, one.precision) for one in made.artifact.spec.choices] == [
        ("openvino", "int8"), ("onnxruntime", "float32")
    ]  # fmt: skip
    scores = {}
    for engine in ("openvino", "onnxruntime"):
        seen = segment_all(FishSegmenter(Artifact.open(folder, engine)), data.validation)
        found, masks = [one.detections for one in seen], [one.masks for one in seen]
        scores[engine] = score_detections(data.validation, found, masks).map50
    assert made.artifact.spec.metrics["validation_map50"] == pytest.approx(scores["openvino"])
    assert made.parity is not None
    assert made.parity.float_map50 == pytest.approx(scores["onnxruntime"], abs=1e-6)
    assert abs(made.parity.float_map50 - made.parity.int8_map50) < 0.02
    assert made.parity.table().columns[0]._cells[1] == "mAP50 of masks"


def test_the_threshold_is_the_best_for_masks(made: Export, data: DetectionDeployData) -> None:
    segmenter = FishSegmenter(made.artifact)
    seen = segment_all(segmenter, data.validation)
    judged = judge(data.validation, [one.detections for one in seen], masks=[one.masks for one in seen])
    point = operating_point(judged, segmenter.threshold)
    assert point.f1 == pytest.approx(made.artifact.spec.metrics["validation_f1"])
    assert point.f1 >= max(operating_point(judged, at).f1 for at in (0.2, 0.4, 0.6, 0.8)) - 1e-9


def test_the_card_speaks_of_masks(made: Export) -> None:
    card = (made.artifact.folder / "card.md").read_text()
    for text in ("Outlines fish", "held-out clips", "masks from a score", "centimetres"):
        assert text in card
    assert "task: segmentation" in card


def test_both_networks_can_be_timed(made: Export) -> None:
    latencies = measure(open_on_engines(made.artifact.folder), rounds=2).latencies
    assert [(one.precision, one.batch) for one in latencies] == [
        ("int8", 1), ("int8", 8), ("float32", 1), ("float32", 8)
    ]  # fmt: skip
