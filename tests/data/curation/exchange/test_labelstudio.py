"""What Label Studio writes that we do not: several annotators, split regions, its short form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.curation.collection import Collection, Picture, Provenance
from data.curation.exchange import FORMATS, Library
from tests.data.curation.exchange.reef import SIZE_WH, picture_file


def rectangle(name: str, x: float = 25, **told: Any) -> dict[str, Any]:
    value = {"x": x, "y": 50, "width": 25, "height": 25, "rotation": 0, "rectanglelabels": [name]}
    return {"type": "rectanglelabels", "value": value, "original_width": 64, "original_height": 48, **told}


def read(folder: Path, *tasks: dict[str, Any], library: Library | None = None) -> Collection:
    picture_file(folder / "images" / "x.png")
    (folder / "export.json").write_text(json.dumps(list(tasks)), encoding="utf-8")
    return FORMATS["label-studio"].read(folder, library)


DATA = {"image": "/data/local-files/?d=images/x.png"}


def test_the_newest_annotation_that_was_not_skipped_is_taken(tmp_path: Path) -> None:
    told = [
        {"result": [rectangle("old")], "completed_by": 1, "updated_at": "2026-11-01T10:00:00.5Z"},
        {"result": [rectangle("new")], "completed_by": {"email": "a@b.org"}, "updated_at": "2026-11-02T10:00:00+06:00"},
        {"result": [rectangle("skipped")], "was_cancelled": True, "updated_at": "2026-11-03T10:00:00Z"},
    ]
    found = read(tmp_path, {"data": DATA, "annotations": told, "predictions": [{"result": [rectangle("machine")]}]})
    (label,) = found.pictures[0].labels
    assert (label.name, label.by) == ("new", Provenance(kind="person", name="a@b.org", when="2026-11-02T04:00:00Z"))
    assert label.xyxy is not None
    assert label.xyxy.tolist() == [16, 24, 32, 36]
    assert [problem.why for problem in found.problems] == ["has 2 annotations: the newest is taken"]


def test_a_prediction_stands_where_nobody_answered(tmp_path: Path) -> None:
    spoken = {"model_version": "yolo 11", "score": 0.75, "result": [rectangle("fish"), rectangle("eel", 60, score=0.5)]}
    found = read(tmp_path, {"data": DATA, "predictions": [spoken]})
    assert [(label.name, label.confidence) for label in found.pictures[0].labels] == [("fish", 0.75), ("eel", 0.5)]
    assert {label.by for label in found.pictures[0].labels} == {Provenance(kind="model", name="yolo 11")}


def test_place_and_label_of_a_region_may_come_apart(tmp_path: Path) -> None:
    value = {"points": [[0, 0], [50, 0], [50, 50]]}
    parts = [{"id": "r", "type": "polygon", "value": value}, {"id": "r", "type": "labels", "value": {"labels": ["f"]}}]
    found = read(tmp_path, {"data": DATA, "annotations": [{"result": parts}]})
    (label,) = found.pictures[0].labels
    assert label.name == "f"
    assert label.mask is not None
    assert label.by == Provenance(kind="source", name="Label Studio")


def test_a_turned_rectangle_is_told_and_its_upright_box_taken(tmp_path: Path) -> None:
    turned = rectangle("fish")
    turned["value"]["rotation"] = 90  # about its upper left corner, clockwise
    found = read(tmp_path, {"data": DATA, "annotations": [{"result": [turned]}]})
    box = found.pictures[0].labels[0].xyxy
    assert box is not None
    assert np.allclose(box, [4, 24, 16, 40])
    assert "turned by 90 degrees" in found.problems[0].why


def test_the_short_form_is_read(tmp_path: Path) -> None:
    label = {**rectangle("fish")["value"], "original_width": 64, "original_height": 48}
    task = {"image": "images/x.png", "id": 7, "label": [label], "annotator": 3, "annotation_id": 1, "lead_time": 2.5}
    found = read(tmp_path, {**task, "updated_at": "2026-11-02T10:00:00Z"})
    assert found.pictures[0].labels[0].by == Provenance(kind="person", name="user 3", when="2026-11-02T10:00:00Z")
    empty = read(tmp_path, {key: value for key, value in task.items() if key != "label"})
    assert empty.pictures[0].labels == ()


@pytest.mark.parametrize("choice", ["7", {"choices": ["7"]}])
def test_choices_of_the_short_form_name_the_whole_picture(choice: object, tmp_path: Path) -> None:
    found = read(tmp_path, {"image": "images/x.png", "id": 7, "choice": choice, "annotator": 3})
    assert found.kind == "digits"
    assert [label.name for label in found.pictures[0].labels] == ["7"]


@pytest.mark.parametrize(
    "address",
    [
        "/data/upload/3/0a1b2c3d-x%20%E0%A6%AE.png",
        "https://host.example/data/upload/12/0a1b2c3d-x%20%E0%A6%AE.png",
        "/data/local-files/?d=reef/a/x%20%E0%A6%AE.png",
        "s3://bucket/reef/a/x ম.png",
        "a/x ম.png",
    ],
)
def test_every_way_of_naming_a_picture_is_understood(address: str, tmp_path: Path) -> None:
    library = Library([Picture("reef/a/x ম.png", picture_file(tmp_path / "d" / "x ম.png", 5), SIZE_WH)])
    found = read(tmp_path, {"data": {"image": address}, "annotations": [{"result": []}]}, library=library)
    assert [picture.id for picture in found.pictures] == ["reef/a/x ম.png"]
