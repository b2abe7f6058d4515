"""`shankha curate diff`: the table, the page that people look at, and the JSON."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from apps.curate.sheets import AFTER_BGR, TILE, Drawn, sheet, tile
from apps.main import run
from data.curation.collection import Kind, Label, Picture
from data.curation.folder import write_version
from tests.data.curation.made import ASHA, SOURCE, collection


def two_versions(kind: Kind, root: Path) -> tuple[Path, Path]:
    given = collection(kind, root / "source")
    target_format = "classes" if kind == "species" else "yolo"
    first = write_version(given, root / "set", target_format).folder
    pictures = list(given.pictures)
    own = None if kind == "species" else pictures[1].labels[0].xyxy
    pictures[1] = replace(pictures[1], labels=(Label(given.names[0], ASHA, own), *pictures[1].labels[1:]))
    pictures[3] = replace(pictures[3], part="train")
    changed = replace(given, pictures=tuple(pictures[:-1]))
    return first, write_version(changed, root / "set", target_format).folder


@pytest.mark.parametrize("kind", ["species", "detection"])
def test_the_table_the_page_and_the_json(kind: Kind, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = two_versions(kind, tmp_path)
    page, told = tmp_path / "changes.html", tmp_path / "changes.json"
    assert run(["curate", "diff", str(first), str(second), "--page", str(page), "--json", str(told)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "version 1 (12 pictures) to version 2 (11 pictures)" in shown
    assert "another class" in shown
    assert "Asha (person)" in shown
    tree = json.loads(told.read_text())
    assert [one["kind"] for one in tree["changes"]] == ["class"]
    assert tree["changes"][0]["after"]["by"]["name"] == "Asha"
    assert (tree["removed"], len(tree["moved"])) == (["train/p11.png"], 1)
    text = page.read_text()
    pictures = re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", text)
    assert len(pictures) == 3  # another class, removed, moved
    for packed in pictures:
        image = cv2.imdecode(np.frombuffer(base64.b64decode(packed), np.uint8), cv2.IMREAD_COLOR)
        assert max(image.shape[:2]) == TILE
    assert "http" not in text


def test_equal_versions_and_names_that_would_be_markup(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, _ = two_versions("species", tmp_path)
    assert run(["curate", "diff", str(first), str(first)]) == 0
    assert "nothing has changed" in capsys.readouterr().out
    given = collection("species", tmp_path / "more")
    named = replace(given, name="<b>reef</b>")
    one = write_version(named, tmp_path / "a", "classes").folder
    other = write_version(replace(named, pictures=named.pictures[:3]), tmp_path / "a", "classes").folder
    page = tmp_path / "x.html"
    assert run(["curate", "diff", str(one), str(other), "--page", str(page)]) == 0
    assert "<b>" not in page.read_text()
    assert "&lt;b&gt;reef" in page.read_text()


def test_no_version_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, _ = two_versions("species", tmp_path)
    assert run(["curate", "diff", str(first), str(tmp_path)]) == 5
    assert "Give a folder that `shankha curate export` wrote" in " ".join(capsys.readouterr().err.split())


def test_a_tile_shows_the_box_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.full((100, 200, 3), 255, np.uint8))
    label = Label("fish", SOURCE, np.array([20, 10, 180, 90], np.float32))
    shown = tile(Picture("a", path, (200, 100), (label,)), [Drawn(label, AFTER_BGR)], side=200)
    assert shown.shape == (100, 200, 3)
    rows, columns = np.nonzero((shown == AFTER_BGR).all(axis=2))
    assert abs(np.array([columns.min(), rows.min(), columns.max(), rows.max()]) - [20, 10, 180, 90]).max() <= 2


def test_a_small_box_is_shown_larger_and_what_is_gone_is_crossed_out(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.zeros((400, 400, 3), np.uint8))
    label = Label("fish", SOURCE, np.array([200, 200, 220, 210], np.float32))
    picture = Picture("a", path, (400, 400), (label,))
    _, columns = np.nonzero((tile(picture, [Drawn(label, AFTER_BGR)], side=200) == AFTER_BGR).all(axis=2))
    assert np.ptp(columns) > 15  # 10 if all of the picture were shown
    path.unlink()
    assert tile(picture, side=50).shape == (50, 50, 3)


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (6, 1), (7, 2)])
def test_a_sheet_holds_every_tile_with_its_words(count: int, rows: int) -> None:
    tiles = [np.zeros((30, 40, 3), np.uint8)] * count
    made = sheet(tiles, ["one\nline, ৭"] * count)
    assert made.shape[1] == 6 * 48 + 8
    assert (made == 0).all(axis=2).sum() >= count * 30 * 40
    assert made.shape[0] % rows == 0
