"""Which source a path is, told by what lies in it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from apps.curate.sources import kind_of
from data.errors import FileAccessError, InputError

PICTURE = np.full((8, 8), 200, np.uint8)
BOX = "0 0.5 0.5 0.2 0.2\n"
OUTLINE = "0 0.1 0.1 0.5 0.1 0.5 0.5\n"


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), PICTURE)
    return path


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def coco(path: Path, segmentation: object) -> Path:
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2], "segmentation": segmentation}
    images = [{"id": 1, "file_name": "a.png", "width": 8, "height": 8}]
    tree = {"images": images, "annotations": [annotation], "categories": [{"id": 1, "name": "fish"}]}
    return write(path, json.dumps(tree))


def yolo(folder: Path, line: str) -> Path:
    picture(folder / "images" / "train" / "a.png")
    write(folder / "labels" / "train" / "a.txt", line)
    return folder


MAKERS = {
    "class folders": ("digits", lambda at: picture(at / "3" / "a.png")),
    "Bengali class folders of two writers in parts": (
        "digits",
        lambda at: picture(at / "train" / "anna" / "৩" / "a.png"),
    ),
    "CMATERdb": ("digits", lambda at: write(at / "training-images.npz")),
    "NumtaDB": ("digits", lambda at: write(at / "training-a.csv", "filename,digit\n")),
    "species": ("species", lambda at: (picture(at / "01_Scaridae" / "a.png"), picture(at / "02_Zanclus" / "b.png"))),
    "species in parts": (
        "species",
        lambda at: (picture(at / "train" / "Scaridae" / "a.png"), picture(at / "test" / "Zanclus" / "b.png")),
    ),
    "YOLO boxes": ("detection", lambda at: yolo(at, BOX)),
    "YOLO outlines": ("segmentation", lambda at: yolo(at, BOX + OUTLINE)),
    "COCO boxes": ("detection", lambda at: coco(at / "train.json", [])),
    "COCO polygons": ("segmentation", lambda at: coco(at / "train.json", [[1, 1, 2, 1, 2, 2]])),
    "COCO run lengths": (
        "segmentation",
        lambda at: coco(at / "annotations" / "x.json", {"size": [8, 8], "counts": "x"}),
    ),
    "points": ("detection", lambda at: write(at / "points.csv", "picture,x,y\n")),
    "a finished survey": ("survey", lambda at: write(at / "OP1" / "deployment.json", "{}")),
    "a survey that has just begun": ("survey", lambda at: write(at / "ledger.sqlite")),
    "a finished scan": ("scan", lambda at: (write(at / "cells.csv"), write(at / "forms.csv"))),
    "a scan that has just begun": ("scan", lambda at: (at / ".pages").mkdir(parents=True)),
    "a dataset folder with digits in it": (
        "folder",
        lambda at: (write(at / "manifest.json", '{"format_version": 1}'), picture(at / "3" / "a.png")),
    ),
    "digits beside another program's manifest": (
        "digits",
        lambda at: (write(at / "manifest.json", '{"name": "web"}'), picture(at / "3" / "a.png")),
    ),
}


@pytest.mark.parametrize("what", MAKERS)
def test_every_kind_is_known_by_its_files(what, tmp_path):
    kind, maker = MAKERS[what]
    maker(tmp_path / "source")
    assert kind_of(tmp_path / "source") == kind


@pytest.mark.parametrize(
    ("line", "kind"), [([], "detection"), ([[1, 1, 2, 1, 2, 2]], "segmentation")], ids=["boxes", "polygons"]
)
def test_one_json_file_is_enough(line, kind, tmp_path):
    assert kind_of(coco(tmp_path / "val.json", line)) == kind


@pytest.mark.parametrize(
    ("dataset", "kind"),
    [
        ("digits/cmaterdb", "digits"),
        ("digits/numtadb", "digits"),
        ("fish/f4k-species", "species"),
        ("fish/deepfish", "detection"),
        ("fish/aquarium", "detection"),
        ("fish/tank-clip", "detection"),
        ("fish/luderick", "segmentation"),
    ],
)
def test_real_datasets_are_known(dataset, kind, shankha_data):
    assert kind_of(shankha_data / dataset) == kind


def test_results_of_the_commands_are_known(surveyed_once, scanned_once):
    assert kind_of(surveyed_once / "results") == "survey"
    assert kind_of(scanned_once) == "scan"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty", None, "is empty; expected labelled digits"),
        ("text/notes.txt", "hello", "holds nothing that can be curated"),
        ("one/Scaridae/a.png", "", "holds nothing that can be curated"),
    ],
)
def test_what_is_no_source_is_told_with_what_was_looked_for(name, content, says, tmp_path):
    folder = tmp_path / Path(name).parts[0]
    folder.mkdir() if content is None else write(tmp_path / name, content)
    with pytest.raises(InputError, match=says) as told:
        kind_of(folder)
    for looked_for in ("ledger.sqlite", "cells.csv", "manifest.json", "points.csv"):
        assert looked_for in str(told.value)


def test_a_folder_of_several_datasets_is_none(tmp_path):
    yolo(tmp_path / "all" / "one", BOX)
    yolo(tmp_path / "all" / "two", BOX)
    with pytest.raises(InputError, match="holds nothing"):
        kind_of(tmp_path / "all")


def test_the_cure_is_told_where_it_is_known(tmp_path):
    write(tmp_path / "results" / "OP1" / "deployment.json", "{}")
    with pytest.raises(InputError, match=r"one deployment.*results"):
        kind_of(tmp_path / "results" / "OP1")
    with pytest.raises(InputError, match=r"is a file.*Give the folder"):
        kind_of(picture(tmp_path / "a.png"))
    with pytest.raises(InputError, match="is a file"):
        kind_of(write(tmp_path / "manifest.json", '{"format_version": 1}'))
    with pytest.raises(FileAccessError, match="is not there"):
        kind_of(tmp_path / "nowhere")
