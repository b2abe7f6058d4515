from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from apps.evaluate import evaluate, evaluate_counter
from data.errors import InputError
from tests.conftest import ROOT
from tests.deploy.specks import CELL, SIZE_WH, frame, middle, specks_artifact

# What is white, and where somebody clicked: one fish missed, one click too few, one empty picture.
SCENES = {
    "1001_A_f000000": ([(0, 0), (8, 6)], [(0, 0), (8, 6)]),
    "1001_A_f000001": ([(1, 1)], [(1, 1), (4, 3)]),
    "2002_B_f000000": ([(2, 2), (10, 0)], [(2, 2)]),
    "2002_B_f000001": ([], []),
}


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory):
    return specks_artifact(tmp_path_factory.mktemp("specks"))


@pytest.fixture
def clicked(tmp_path: Path) -> Path:
    folder = tmp_path / "reef"
    folder.mkdir()
    rows = ["picture,x,y"]
    for name, (white, fish) in SCENES.items():
        cv2.imwrite(str(folder / f"{name}.png"), frame(*white))
        rows += [f"{name}.png,{x},{y}" for x, y in (middle(*cell) for cell in fish)] or [f"{name}.png,,"]
    (folder / "points.csv").write_text("\n".join(rows))
    return folder


def evaluated(artifact, folder: Path) -> tuple[dict, str]:
    app = typer.Typer()
    app.command()(evaluate)
    out = folder.parent / "scores.json"
    done = CliRunner().invoke(app, [str(artifact.folder), "--data", str(folder), "--json", str(out)])
    assert done.exit_code == 0, done.output
    return json.loads(out.read_text()), done.output


def test_scores_by_hand(artifact, clicked):
    tree, shown = evaluated(artifact, clicked)
    counts = tree["counts"]
    assert counts["pictures"] == 4
    assert counts["mean"] == pytest.approx(5 / 4)
    assert counts["mae"] == pytest.approx(2 / 4, abs=1e-4)
    assert counts["bias"] == pytest.approx(0, abs=1e-4)
    assert counts["bins"]["0"]["mae"] == pytest.approx(0, abs=1e-4)
    assert tree["grid_errors"] == pytest.approx({"1": 0.5, "2": 0.5, "3": 0.5}, abs=1e-4)
    assert set(tree["sites"]) == {"1001", "2002"}
    assert tree["artifact"]["dense_from"] == 6.5
    assert "4 with 5 fish" in shown
    assert "site 2002" in shown


def test_boxes_serve_as_well_as_clicks(artifact, clicked, tmp_path):
    folder = tmp_path / "boxed"
    for part in ("images", "labels"):
        (folder / part / "val").mkdir(parents=True)
    side = CELL / SIZE_WH[0], CELL / SIZE_WH[1]
    for name, (white, fish) in SCENES.items():
        cv2.imwrite(str(folder / "images/val" / f"{name}.png"), frame(*white))
        lines = [f"0 {(x + 0.5) * side[0]} {(y + 0.5) * side[1]} {side[0]} {side[1]}" for x, y in fish]
        (folder / "labels/val" / f"{name}.txt").write_text("\n".join(lines))
    assert evaluated(artifact, folder)[0]["counts"] == evaluated(artifact, clicked)[0]["counts"]


def test_pictures_that_lost_a_point_are_left_out(artifact, clicked):
    table = clicked / "points.csv"
    table.write_text(table.read_text() + "\n1001_A_f000001.png,900,3\ngone.png,1,1\n")
    tree, shown = evaluated(artifact, clicked)
    assert tree["partly_labelled"] == 1
    assert tree["unreadable"] == 2
    assert tree["counts"]["pictures"] == 3
    assert "outside the picture" in shown


def test_nothing_wholly_labelled_is_an_error(artifact, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((64, 96), np.uint8))
    (tmp_path / "points.csv").write_text("picture,x,y\na.png,1,1\na.png,200,1\n")
    with pytest.raises(InputError, match="every fish is labelled"):
        evaluate_counter(artifact, tmp_path)


def test_the_document_names_every_key(artifact, clicked):
    tree, _ = evaluated(artifact, clicked)
    document = (ROOT / "docs/evaluate.md").read_text(encoding="utf-8")
    section = document[document.index("\n# Counters\n") :]
    assert [key for key in tree if f"`{key}`" not in section] == []
