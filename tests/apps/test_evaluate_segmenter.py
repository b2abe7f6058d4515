from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from apps.evaluate import evaluate, evaluate_segmenter
from apps.mask_scores import masks_json
from data.errors import InputError
from deploy.runtime.artifact import Artifact
from tests.apps.reef import coco_reef
from tests.conftest import ROOT
from tests.deploy.bright import CELL
from tests.deploy.outlined import outlined_artifact


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact[Any]:
    return outlined_artifact(tmp_path_factory.mktemp("outlined"))


def corners(column: int, row: int, width: int = CELL) -> list[int]:
    left, top = column * CELL, row * CELL
    return [left, top, left + width, top, left + width, top + CELL, left, top + CELL]


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    return coco_reef(tmp_path / "reef-coco", lambda cell: {"segmentation": [corners(*cell)]})


def test_boxes_and_masks_are_scored(artifact: Artifact[Any], coco: Path) -> None:
    boxes, masks = evaluate_segmenter(artifact, coco)
    assert (boxes.scores.pictures, boxes.point.right, boxes.point.wrong, boxes.point.missed) == (4, 4, 1, 1)
    assert (masks.point.right, masks.point.wrong, masks.point.missed) == (4, 1, 1)
    assert masks.outlined == 5
    assert masks.classes == {"fish": pytest.approx(masks.pooled)}
    assert masks.pooled == pytest.approx(masks.scores.map50, abs=1e-6)
    assert masks.best.f1 >= masks.point.f1


def test_masks_that_do_not_fit_are_wrong_where_boxes_are_right(artifact: Artifact[Any], coco: Path) -> None:
    tree = json.loads((coco / "val.json").read_text())
    for annotation in tree["annotations"]:
        left, top, *_ = annotation["segmentation"][0]
        annotation["bbox"] = [left, top, CELL, CELL]
        annotation["segmentation"] = [[left, top, left + 4, top, left + 4, top + CELL, left, top + CELL]]
    (coco / "val.json").write_text(json.dumps(tree))
    boxes, masks = evaluate_segmenter(artifact, coco)
    assert (boxes.point.right, masks.point.right) == (4, 0)


def test_what_has_a_box_alone_is_taken_for_its_box(artifact: Artifact[Any], coco: Path) -> None:
    tree = json.loads((coco / "val.json").read_text())
    whole = evaluate_segmenter(artifact, coco)[1]
    box = tree["annotations"][0]
    left, top, *_ = box.pop("segmentation")[0]
    box["bbox"] = [left, top, CELL, CELL]
    (coco / "val.json").write_text(json.dumps(tree))
    masks = evaluate_segmenter(artifact, coco)[1]
    assert (masks.outlined, masks.point) == (4, whole.point)


def test_data_without_masks_is_refused(artifact: Artifact[Any], coco: Path) -> None:
    tree = json.loads((coco / "val.json").read_text())
    for annotation in tree["annotations"]:
        left, top, *_ = annotation.pop("segmentation")[0]
        annotation["bbox"] = [left, top, CELL, CELL]
    (coco / "val.json").write_text(json.dumps(tree))
    with pytest.raises(InputError, match="holds no masks; expected COCO json"):
        evaluate_segmenter(artifact, coco)


def test_data_of_bad_masks_alone_is_refused_with_the_first(artifact: Artifact[Any], coco: Path) -> None:
    tree = json.loads((coco / "val.json").read_text())
    for annotation in tree["annotations"]:
        left, top, *_ = annotation["segmentation"][0]
        annotation["segmentation"] = [[left, top, left + 9, top + 9, left + 9, top, left, top + 9]]
    (coco / "val.json").write_text(json.dumps(tree))
    first = r"the first of 5: val.json: annotations\[0\] its polygon crosses itself"
    with pytest.raises(InputError, match=f"holds no masks that can be used; {first}; expected COCO json"):
        evaluate_segmenter(artifact, coco)


def test_a_damaged_picture_is_left_out_and_told(artifact: Artifact[Any], coco: Path) -> None:
    path = coco / "images" / "1001_A_f000000.png"
    path.write_bytes(path.read_bytes()[:60])
    boxes, masks = evaluate_segmenter(artifact, coco)
    assert boxes.scores.pictures == 3
    assert len(boxes.problems) >= 1
    assert masks.scores.overall.boxes == 3


def test_the_command_prints_and_writes_all_documented_keys(artifact: Artifact[Any], coco: Path, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(evaluate)
    out = tmp_path / "scores.json"
    done = CliRunner().invoke(app, [str(artifact.folder), "--data", str(coco), "--json", str(out)])
    assert done.exit_code == 0, done.output
    assert "AP50 of fish" in done.output
    tree = json.loads(out.read_text())
    part = (ROOT / "docs" / "evaluate.md").read_text().partition("# Segmenters")[2].partition("\n# ")[0]
    rows = [line.split("|")[1] for line in part.splitlines() if line.startswith("| `")]
    documented = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    assert set(tree["masks"]) == documented
    assert tree["masks"] == json.loads(json.dumps(masks_json(evaluate_segmenter(artifact, coco)[1])))
    assert np.isclose(tree["masks"]["at_threshold"]["f1"], 0.8)
