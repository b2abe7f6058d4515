from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import ArgumentError, FileAccessError, InputError
from data.points import centres, middles
from data.readers import read_detections
from data.readers.points import HALF_SIDE, read_pointed

SIZE = (80, 60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("reef_a.png", "reef_b.png", "sub/7001_F1_f000003.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), np.full((SIZE[1], SIZE[0], 3), 40, np.uint8))
    return tmp_path


def written(folder: Path, *rows: str) -> Path:
    (folder / "points.csv").write_text("\n".join(("picture,x,y", *rows)) + "\n", encoding="utf-8")
    return folder


def test_middles_of_boxes():
    assert middles(np.array([[0, 0, 4, 2], [1, 1, 2, 4]], np.float32)).tolist() == [[2, 1], [1.5, 2.5]]
    assert middles(np.zeros((0, 4), np.float32)).shape == (0, 2)


def test_points_of_a_person_are_read(folder: Path) -> None:
    pictures = read_detections(
        written(folder, "reef_b.png,10.5,20", "reef_a.png,,", "reef_b.png,70,50", "sub/7001_F1_f000003.png,40,30")
    )
    assert pictures.ids.tolist() == ["reef_a.png", "reef_b.png", "sub/7001_F1_f000003.png"]
    assert [points.tolist() for points in centres(pictures)] == [[], [[10.5, 20], [70, 50]], [[40, 30]]]
    assert pictures.names == ("fish",)
    assert pictures.sites.tolist() == ["", "", "7001"]
    assert pictures.exhaustive.all()
    assert pictures.sizes_wh.tolist() == [list(SIZE)] * 3
    assert pictures.read(2).shape == (60, 80, 3)
    assert not pictures.problems


@given(st.tuples(st.floats(0, SIZE[0]), st.floats(0, SIZE[1])))
def test_a_point_is_the_middle_of_its_box_but_at_the_edge(tmp_path_factory, xy):
    folder = tmp_path_factory.getbasetemp() / "one"
    folder.mkdir(exist_ok=True)
    if not (folder / "a.png").exists():
        cv2.imwrite(str(folder / "a.png"), np.zeros((SIZE[1], SIZE[0]), np.uint8))
    pictures = read_pointed(written(folder, f"a.png,{xy[0]!r},{xy[1]!r}"))
    (box,) = pictures.xyxy[0]
    assert (box >= 0).all()
    assert (box <= [*SIZE, *SIZE]).all()
    (point,) = centres(pictures)[0]
    assert np.abs(point - xy).max() <= HALF_SIDE / 2 + 1e-4
    if min(xy[0], xy[1], SIZE[0] - xy[0], SIZE[1] - xy[1]) >= HALF_SIDE:
        assert point == pytest.approx(xy, abs=1e-4)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("reef_a.png,81,5", "its point lies outside the picture of 80 x 60 pixels"),
        ("reef_a.png,5,-0.5", "its point lies outside the picture"),
        ("reef_a.png,nan,5", "not finite"),
        ("reef_a.png,five,5", "are no numbers"),
        ("reef_a.png,5,", "are no numbers"),
        ("reef_a.png,1,1", "says a point twice"),
        ("reef_z.png,1,1", "its picture reef_z.png is not in the folder"),
        ("../secret.png,1,1", "lies outside the folder"),
        (",1,1", "names no picture"),
    ],
)
def test_bad_rows_are_listed_and_the_rest_goes_on(folder: Path, row: str, why: str) -> None:
    pictures = read_pointed(written(folder, "reef_a.png,1,1", row, "reef_b.png,2,2"))
    assert pictures.boxes == 2
    (problem,) = pictures.problems
    assert problem.name == "points.csv:3"
    assert why in problem.why


def test_a_picture_that_lost_a_point_is_not_wholly_labelled(folder: Path) -> None:
    pictures = read_pointed(written(folder, "reef_a.png,1,1", "reef_a.png,100,1", "reef_b.png,2,2", "reef_b.png,2,2"))
    assert pictures.exhaustive.tolist() == [False, True]


def test_a_missing_picture_is_listed_once(folder: Path) -> None:
    pictures = read_pointed(written(folder, "gone.png,1,1", "gone.png,2,1", "reef_b.png,2,2"))
    assert len(pictures.problems) == 1


def test_a_damaged_picture_is_a_problem(folder: Path) -> None:
    (folder / "bad.png").write_bytes(b"no picture")
    pictures = read_pointed(written(folder, "bad.png,1,1", "reef_b.png,2,2"))
    assert pictures.ids.tolist() == ["reef_b.png"]
    assert "bad.png" in pictures.problems[0].why


@pytest.mark.parametrize("text", ["picture,x\na.png,1\n", "", "picture,x,y\n", "picture,x,y\ngone.png,1,1\n"])
def test_tables_without_a_usable_row_are_refused(folder: Path, text: str) -> None:
    (folder / "points.csv").write_text(text)
    with pytest.raises(InputError, match=r"points\.csv"):
        read_pointed(folder)


def test_other_faults_are_errors(folder: Path) -> None:
    with pytest.raises(FileAccessError, match=r"points\.csv"):
        read_pointed(folder)
    (folder / "points.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        read_pointed(folder)
    with pytest.raises(ArgumentError, match="no split"):
        read_pointed(written(folder, "reef_a.png,1,1"), "val")
