"""Filled pages: the ink lies where the truth says, and everything repeats by seed."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.forms import Form, PageLayout, lay_out
from data.labels import NOT_A_DIGIT
from data.synth.batch import TRUTH_FILE, BlankPage, made_pages, write_pages
from data.synth.handwriting import Hand
from data.synth.pages import CellTruth, Filling, drawn_from, fill_page, truth_csv, written_by

DPI = 100
CAREFUL = Filling(blank=0, short=0, struck=0, smeared=0, straying=0)


@pytest.fixture(scope="module")
def layout() -> PageLayout:
    fields = [{"name": f"f{i}", "label": "F", "cells": 8} for i in range(10)]
    return lay_out(Form.model_validate({"form": "test", "title": "T", "fields": fields}))[0]


@pytest.fixture(scope="module")
def blank(layout) -> np.ndarray:
    width, height = (round(side / 25.4 * DPI) for side in layout.size)
    return np.full((height, width, 3), 255, np.uint8)


def filled(blank, layout, seed=0, answers=None, filling=CAREFUL):
    rng = np.random.default_rng(seed)
    return fill_page(blank, layout, written_by(Hand.draw(rng)), rng, answers, filling)


def inked_cells(image, layout) -> list[bool]:
    found = []
    for cell in layout.cells:
        x, y, w, h = (round(value / 25.4 * DPI) for value in cell.box)
        found.append(bool((image[y : y + h, x : x + w] < 170).any()))
    return found


def test_ink_lies_in_the_cells_that_the_truth_names_and_nowhere_else(blank, layout):
    page = filled(blank, layout, filling=Filling(blank=0.3, short=0.3, struck=0.1, smeared=0.1, straying=0))
    assert [(t.field, t.position) for t in page.truth] == [(c.field, c.position) for c in layout.cells]
    assert [t.value is not None for t in page.truth] == inked_cells(page.image, layout)
    outside = page.image.copy()
    for cell in layout.cells:
        x, y, w, h = (value / 25.4 * DPI for value in cell.box)
        outside[int(y) - 3 : int(y + h) + 4, int(x) - 3 : int(x + w) + 4] = 255
    assert (outside == 255).all()
    assert (blank == 255).all(), "the blank page itself stays blank"


def test_answers_are_written_right_aligned_in_either_script(blank, layout):
    page = filled(blank, layout, answers={"f0": "৪২", "f1": "1 3     ", "f2": ""})
    by_field = {name: [t.value for t in page.truth if t.field == name] for name in ("f0", "f1", "f2")}
    assert by_field["f0"] == [None] * 6 + [4, 2]
    assert by_field["f1"] == [1, None, 3] + [None] * 5
    assert by_field["f2"] == [None] * 8


@pytest.mark.parametrize("answer", ["123456789", "12a", "-1"])
def test_answers_that_do_not_fit_are_refused(blank, layout, answer):
    with pytest.raises(ValueError, match="does not fit the 8 cells of field 'f0'"):
        filled(blank, layout, answers={"f0": answer})


def test_shares_of_blank_struck_and_straying_are_kept(blank, layout):
    pages = [filled(blank, layout, seed, filling=Filling(0.2, 0, 0.1, 0, 0)) for seed in range(12)]
    values = [t.value for page in pages for t in page.truth]
    written = [value for value in values if value is not None]
    assert 0.15 < 1 - len(written) / len(values) < 0.25
    assert 0.06 < np.mean([value == NOT_A_DIGIT for value in written]) < 0.15
    digits = [value for value in written if value != NOT_A_DIGIT]
    assert np.bincount(digits, minlength=10).min() > 0.06 * len(digits)


def test_straying_digits_cross_their_border(blank, layout):
    lone = {f"f{i}": "    5   " for i in range(10)}
    page = filled(blank, layout, answers=lone, filling=Filling(straying=1, struck=0, smeared=0))
    crossing = 0
    for cell in layout.cells[4::8]:
        x, y, w, h = (round(value / 25.4 * DPI) for value in cell.box)
        around = page.image[y - 12 : y + h + 12, x - 12 : x + w + 12].min(axis=2) < 170
        crossing += int(around.sum() > around[12:-12, 12:-12].sum())
    assert crossing >= 8


def test_pictures_of_any_kind_serve_as_digits(blank, layout):
    colour = np.full((30, 20, 3), 200, np.uint8)
    cv2.line(colour, (10, 5), (10, 25), (60, 60, 60), 3)
    tight = np.full((32, 32), 255, np.uint8)
    cv2.circle(tight, (16, 16), 13, 0, 3)
    draw = drawn_from([tight, colour], [0, 1])
    page = fill_page(blank, layout, draw, np.random.default_rng(1), {f"f{i}": "01010101" for i in range(10)}, CAREFUL)
    assert all(inked_cells(page.image, layout))
    with pytest.raises(ValueError, match="no picture of the digit 7"):
        draw(7, np.random.default_rng(0))


def test_truth_is_written_as_csv(tmp_path):
    text = truth_csv([("a.jpg", [CellTruth("age", 0, None), CellTruth("age", 1, 7), CellTruth("age", 2, NOT_A_DIGIT)])])
    assert list(csv.reader(io.StringIO(text))) == [
        ["page", "field", "position", "value"],
        ["a.jpg", "age", "0", ""],
        ["a.jpg", "age", "1", "7"],
        ["a.jpg", "age", "2", "not_a_digit"],
    ]


def test_batches_repeat_by_seed_and_a_longer_one_begins_like_a_shorter(blank, layout):
    blanks = [BlankPage(blank, layout)]
    three = list(made_pages(blanks, 3, seed=4, camera="none"))
    two = list(made_pages(blanks, 2, seed=4, camera="none"))
    other = next(made_pages(blanks, 1, seed=5, camera="none"))
    assert [page.name for page in three] == ["page-0001", "page-0002", "page-0003"]
    for one, again in zip(two, three, strict=False):
        assert one.truth == again.truth
        assert (one.image == again.image).all()
    assert other.truth != three[0].truth
    assert three[0].truth != three[1].truth


def test_batches_are_written_with_their_truth(blank, layout, tmp_path: Path):
    pages = list(made_pages([BlankPage(blank, layout)], 2, seed=1, camera="none"))
    paths = write_pages(tmp_path, pages)
    assert [path.name for path in paths] == ["page-0001.jpg", "page-0002.jpg"]
    assert cv2.imread(str(paths[0])).shape == blank.shape
    rows = list(csv.DictReader((tmp_path / TRUTH_FILE).open(encoding="utf-8")))
    assert len(rows) == 2 * len(layout.cells)
    assert {row["page"] for row in rows} == {path.name for path in paths}
