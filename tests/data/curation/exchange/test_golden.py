"""The very bytes of each format: what tools are given changes only on purpose."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.curation.exchange import FORMATS
from tests.data.curation.exchange.reef import made

GOLDEN = Path(__file__).parent / "golden"
FILES = {
    ("coco", "detection"): ("annotations/instances_train.json", "annotations/instances_val.json"),
    ("coco", "segmentation"): ("annotations/instances_train.json",),
    ("yolo", "detection"): ("data.yaml", "labels/train/a/x.txt", "labels/val/b/empty sea.txt"),
    ("yolo", "segmentation"): ("labels/train/a/x.txt", "labels/val/b/x.txt"),
    ("cvat", "detection"): ("annotations.xml", "labels.json"),
    ("cvat", "segmentation"): ("annotations.xml",),
    ("cvat", "digits"): ("annotations.xml",),
    ("label-studio", "detection"): ("tasks.json", "label_config.xml"),
    ("label-studio", "segmentation"): ("tasks.json", "label_config.xml"),
    ("label-studio", "digits"): ("tasks.json", "label_config.xml"),
    ("viame", "detection"): ("viame.csv",),
    ("viame", "segmentation"): ("viame.csv",),
    ("dive", "detection"): ("dive.json",),
    ("dive", "segmentation"): ("dive.json",),
}


@pytest.mark.parametrize(("name", "kind"), list(FILES))
def test_the_files_are_those_that_were_looked_at(name: str, kind: str, tmp_path: Path) -> None:
    FORMATS[name].write(made(kind, tmp_path / "reef"), tmp_path / "out")
    for file in FILES[name, kind]:
        kept = GOLDEN / f"{name}-{kind}" / file.replace("/", "-")
        assert (tmp_path / "out" / file).read_text(encoding="utf-8") == kept.read_text(encoding="utf-8"), kept


def test_folders_of_classes_are_named_for_people(tmp_path: Path) -> None:
    FORMATS["classes"].write(made("species", tmp_path / "crops"), tmp_path / "species")
    FORMATS["classes"].write(made("digits", tmp_path / "cells"), tmp_path / "digits")
    assert _files(tmp_path / "species") == [
        "%33_spot%5Ffish/crops_fish_0002_0.png",
        "%33_spot%5Ffish/crops_fish_0002_1.png",
        "%74rain/crops_fish_0004_0.png",
        "%74rain/crops_fish_0004_1.png",
        "Chromis_chrysura/crops_fish_0000_0.png",
        "Chromis_chrysura/crops_fish_0000_1.png",
        "a%2Fb%3A_50%25/crops_fish_0003_0.png",
        "a%2Fb%3A_50%25/crops_fish_0003_1.png",
        "রুই/crops_fish_0001_0.png",
        "রুই/crops_fish_0001_1.png",
    ]
    assert _files(tmp_path / "digits") == [
        "test/sheet_b/7/w1_3.png",
        "test/sheet_b/not_a_digit/w0_2.png",
        "train/sheet_a/0/w1_1.png",
        "train/sheet_a/7/w0_0.png",
    ]


def _files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
