from __future__ import annotations

import json
import math
import re
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from apps.detection_scores import report_detections, report_json
from apps.evaluate import evaluate, evaluate_detector
from data.boxes import no_boxes
from data.detections import Detections
from data.errors import ArgumentError, FileAccessError, InputError
from data.readers import Problem
from deploy.runtime.artifact import Artifact
from deploy.runtime.spec import DetectionSpec
from tests.apps.reef import SCENES, coco_reef
from tests.conftest import ROOT
from tests.data.pictures import detection_set
from tests.deploy.bright import CELL, SIZE_WH, bright_artifact, frame

DOCS = ROOT / "docs" / "evaluate.md"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact[DetectionSpec]:
    return bright_artifact(tmp_path_factory.mktemp("bright"))


def yolo_line(column: int, row: int) -> str:
    width, height = SIZE_WH
    x, y = (column + 0.5) * CELL / width, (row + 0.5) * CELL / height
    return f"0 {x} {y} {CELL / width} {CELL / height}\n"


@pytest.fixture
def yolo(tmp_path: Path) -> Path:
    folder = tmp_path / "reef"
    for part in ("images", "labels"):
        (folder / part / "val").mkdir(parents=True)
    for name, (bright, fish) in SCENES.items():
        cv2.imwrite(str(folder / "images" / "val" / f"{name}.png"), frame(*bright))
        (folder / "labels" / "val" / f"{name}.txt").write_text("".join(yolo_line(*cell) for cell in fish))
    return folder


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    return coco_reef(tmp_path / "reef-coco", lambda cell: {"bbox": [cell[0] * CELL, cell[1] * CELL, CELL, CELL]})


def evaluated(artifact: Artifact[DetectionSpec], folder: Path, *more: str) -> tuple[dict, str]:
    app = typer.Typer()
    app.command()(evaluate)
    out = folder.parent / "scores.json"
    arguments = [str(artifact.folder), "--data", str(folder), "--json", str(out), *more]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False, env={"COLUMNS": "160"})
    assert done.exit_code == 0
    return json.loads(out.read_text(encoding="utf-8")), done.output


def test_a_yolo_folder(artifact, yolo) -> None:
    """Five boxes, four of them found, and one detection wrong, all with the same score."""
    found, shown = evaluated(artifact, yolo, "--split", "val")
    assert (found["pictures"], found["boxes"], found["unreadable"], found["partly_labelled"]) == (4, 5, 0, 0)
    point = found["at_threshold"]
    assert (point["right"], point["wrong"], point["missed"]) == (4, 1, 1)
    assert (point["precision"], point["recall"], point["f1"]) == pytest.approx((0.8, 0.8, 0.8))
    assert found["map50"] == found["map50_95"] <= 0.81
    assert found["recall"] == pytest.approx(0.8)
    assert {name: one["boxes"] for name, one in found["sizes"].items()} == {
        "tiny": 5,
        "small": 5,
        "medium": 0,
        "large": 0,
    }
    assert found["sizes"]["large"]["map50"] is None
    assert {name: (one["boxes"], one["recall"]) for name, one in found["sites"].items()} == {
        "1001": (4, pytest.approx(0.75)),
        "2002": (1, 1.0),
    }
    assert (found["counts"]["mae"], found["counts"]["bias"]) == (0.5, 0.0)
    assert found["counts"]["bins"]["1"]["bias"] == 1.0
    assert (found["maxn"]["pictures"], found["maxn"]["mae"], found["maxn"]["bias"]) == (2, 0.5, 0.5)
    assert found["interval"][0] <= found["map50"] <= found["interval"][1]
    assert found["artifact"]["sha256"] == artifact.spec.files["model.onnx"]
    for part in (f"{found['map50']:.1%}", "1001", "small: to 32 px", "precision 80.0%"):
        assert part in shown


def test_coco_json_of_the_same_pictures_scores_the_same(artifact, yolo, coco) -> None:
    one, other = evaluated(artifact, yolo)[0], evaluated(artifact, coco)[0]
    for key in ("map50", "map50_95", "recall", "interval", "sizes", "sites", "at_threshold", "counts", "maxn"):
        assert one[key] == other[key], key


def test_every_key_of_the_json_is_documented(artifact, yolo) -> None:
    found, _ = evaluated(artifact, yolo)
    told = DOCS.read_text(encoding="utf-8").partition("# Detectors")[2]
    documented = set(re.findall(r"`(\w+)`", told))
    inner = {key for one in ("artifact", "at_threshold", "calibration", "sizes") for key in found[one]}
    counts = set(found["counts"]) - {"pictures"}
    assert set(found) | inner | counts <= documented


def test_unreadable_pictures_are_named_and_count_for_nothing(artifact, yolo) -> None:
    before, _ = evaluated(artifact, yolo)
    whole = (yolo / "images" / "val" / "1001_A_f000000.png").read_bytes()
    for name, content in {"text": b"no picture", "empty": b"", "cut": whole[: len(whole) // 2]}.items():
        (yolo / "images" / "val" / f"{name}.png").write_bytes(content)
        (yolo / "labels" / "val" / f"{name}.txt").write_text(yolo_line(1, 1))
    (yolo / "images" / "val" / "unlabelled.png").write_bytes(whole)
    found, shown = evaluated(artifact, yolo)
    assert (found["pictures"], found["unreadable"]) == (4, 4)
    named = {one["file"] for one in found["unreadable_files"]}
    assert named == {f"images/val/{name}.png" for name in ("text", "empty", "cut", "unlabelled")}
    assert found["map50"] == before["map50"]
    assert "images/val/cut.png" in shown


def test_partly_labelled_pictures_do_not_judge_what_is_found(artifact, coco) -> None:
    tree = json.loads((coco / "val.json").read_text())
    tree["images"][2]["exhaustive"] = False
    (coco / "val.json").write_text(json.dumps(tree))
    found, shown = evaluated(artifact, coco)
    assert found["partly_labelled"] == 1
    assert (found["at_threshold"]["right"], found["at_threshold"]["wrong"]) == (3, 0)
    assert "lower bound" in shown


@pytest.mark.parametrize(
    ("names", "error", "says"),
    [(["crab"], InputError, "has boxes of crab; expected fish"), (["Shark"], None, "")],
)
def test_classes_that_are_no_fish(artifact, yolo, names, error, says) -> None:
    (yolo / "data.yaml").write_text(f"names: {names}\nval: images/val\n")
    if error is None:
        assert evaluate_detector(artifact, yolo).scores.overall.boxes == 5
        return
    with pytest.raises(error, match=says):
        evaluate_detector(artifact, yolo)


def test_a_detector_of_several_classes_is_scored_on_its_own(tmp_path, yolo) -> None:
    """It gives every bright cell both names, so half of its sure answers are of the other class."""
    both = bright_artifact(tmp_path, labels=("ray", "fish"), score_shift=5.0)
    (yolo / "data.yaml").write_text("names: [FISH]\nval: images/val\n")
    report = evaluate_detector(both, yolo)
    assert report.scores.overall.boxes == 5
    assert (report.point.right, report.point.wrong) == (4, 6)


def test_folders_without_anything_to_score(artifact, tmp_path, yolo) -> None:
    with pytest.raises(FileAccessError, match="is no folder"):
        evaluate_detector(artifact, tmp_path / "nowhere")
    (tmp_path / "bare").mkdir()
    with pytest.raises(InputError, match="holds no pictures with boxes"):
        evaluate_detector(artifact, tmp_path / "bare")
    with pytest.raises(ArgumentError, match="has no split 'test'; expected one of: val"):
        evaluate_detector(artifact, yolo, "test")
    for path in (yolo / "images" / "val").iterdir():
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(InputError, match=r"holds no readable picture; the first of 4: images/val/1001_A_f000000\.png"):
        evaluate_detector(artifact, yolo)


def test_negatives_alone_have_no_precision(artifact) -> None:
    truth = detection_set([[], []], clips=["a", "a"])
    report = report_detections(truth, [Detections.none()] * 2, 0.5, (Problem("x", "y"),), 0.0)
    assert math.isnan(report.scores.map50)
    tree = report_json(report, artifact)
    assert (tree["map50"], tree["at_threshold"]["recall"], tree["interval"], tree["pictures_per_second"]) == (None,) * 4
    assert (tree["counts"]["exact"], tree["maxn"]["mae"]) == (1.0, 0.0)
    json.dumps(tree, allow_nan=False)


def test_memory_stays_flat(artifact, monkeypatch) -> None:
    class Large:
        def read(self, index: int) -> np.ndarray:
            return np.full((1080, 1920, 3), index % 200, np.uint8)

    def peak(count: int) -> int:
        truth = detection_set([no_boxes()] * count)
        truth.sizes_wh[:] = 1920, 1080
        object.__setattr__(truth, "images", Large())
        monkeypatch.setattr("apps.evaluate.read_detections", lambda data, split: truth)
        tracemalloc.start()
        report = evaluate_detector(artifact, Path("set"))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert report.scores.pictures == count
        return most

    peak(2)
    assert peak(40) < peak(10) + 3_000_000  # thirty further pictures would be 187 MB
