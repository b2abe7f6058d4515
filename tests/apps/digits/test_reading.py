"""From cells to fields: digits keep their place, and nothing unsure looks sure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.digits.cells import CutCell
from apps.digits.locate import CellPlace
from apps.digits.reading import field_text, judge_page, read_cells
from data.forms import Cell, lay_out
from data.types import CellReading
from deploy.runtime.digits import decode
from tests.apps.digits.paper import make_form

BOX = (0, 0, 10, 10)


def reading(sign: str, position: int, field: str = "age") -> CellReading:
    """A cell as its sign in a field's text."""
    state = {" ": "blank", "?": "doubtful", "x": "struck"}.get(sign, "digit")
    value = int(sign) if sign.isdecimal() else None
    note = "3 (60%) or 5 (30%)" if sign == "?" else ""
    return CellReading(field=field, position=position, state=state, value=value, note=note, crop=BOX)


def judged(text: str, **rules):
    form = make_form(fields=[{"name": "age", "label": "Age", "cells": len(text), **rules}])
    values, problems = judge_page(lay_out(form)[0], [reading(sign, i) for i, sign in enumerate(text)])
    return values["age"], problems


@given(st.text("0123456789 ?x", min_size=1, max_size=12))
def test_every_cell_keeps_its_place(text):
    said = field_text([reading(sign, i) for i, sign in enumerate(text)])
    assert said == (text if text.strip() else "")


@given(st.text("0123456789 ?x", min_size=1, max_size=12), st.randoms())
def test_cells_may_come_in_any_order(text, random):
    form = make_form(fields=[{"name": "age", "label": "Age", "cells": len(text)}])
    cells = [reading(sign, i) for i, sign in enumerate(text)]
    random.shuffle(cells)
    values, _ = judge_page(lay_out(form)[0], cells)
    assert values == {"age": text if text.strip() else ""}


@pytest.mark.parametrize(
    ("text", "rules", "kind", "said"),
    [
        ("042", {}, None, ""),
        ("  42", {}, None, ""),
        ("42  ", {}, None, ""),
        ("    ", {}, None, ""),
        ("4 2", {}, "rule", "a blank cell between digits: 4_2"),
        ("   ", {"required": True}, "rule", "required"),
        (" 42", {"fixed_length": True}, "rule", "2 digits, all 3 cells"),
        ("042", {"fixed_length": True}, None, ""),
        ("   ", {"fixed_length": True}, None, ""),
        ("042", {"minimum": 43}, "rule", "is 042, below the least value 43"),
        ("042", {"maximum": 41}, "rule", "above the greatest value 41"),
        (" 42", {"minimum": 42, "maximum": 42, "pattern": "4."}, None, ""),
        ("043", {"pattern": "0?42"}, "rule", "does not fit the form's pattern"),
        ("0421", {"pattern": "042"}, "rule", "pattern"),
        ("0?2", {"pattern": "9", "maximum": 1}, "doubtful", "cell 2: 3 (60%) or 5 (30%)"),
        ("0x2", {"minimum": 900}, "struck", "cell 2 is crossed out or no digit"),
        ("?x2", {}, "doubtful", "cell 2 is crossed out or no digit"),
        ("? 2", {}, "doubtful", "cell 1"),
    ],
)
def test_rules(text, rules, kind, said):
    value, problems = judged(text, **rules)
    assert value == (text if text.strip() else "")
    if kind is None:
        assert problems == []
    else:
        (problem,) = problems
        assert (problem.kind, problem.field) == (kind, "age")
        assert said in problem.what
        assert problem.cure


class Scripted:
    """Gives the logits that it was made with, a row a picture."""

    def __init__(self, *rows):
        self.rows = rows
        self.batches = []

    def read(self, images, polarity="auto"):
        self.batches.append((len(images), polarity))
        logits = np.full((len(self.rows), 11), -9.0, np.float32)
        for row, peaks in zip(logits, self.rows, strict=True):
            for label, value in peaks.items():
                row[label] = value
        return decode(logits[: len(images)], 1.0, 0.9)


def cut(position: int, ink: bool, doubt: str = "", lost: str = "") -> CutCell:
    place = CellPlace(Cell("age", position, (0, 0, 8, 10)), (0, 0, 63, 79), lost)
    return CutCell(place, np.zeros((20, 10), np.uint8) if ink else None, doubt or lost)


def test_states():
    reader = Scripted({3: 9.0}, {5: 1.0, 8: 0.8}, {10: 9.0, 4: 1.0}, {7: 9.0}, {2: 2.0, 10: 1.0, 6: 0.5})
    cells = [
        cut(0, ink=True),
        cut(1, ink=False),
        cut(2, ink=True),
        cut(3, ink=True),
        cut(4, ink=True, doubt="only a small mark"),
        cut(5, ink=False, lost="torn"),
        cut(6, ink=True),
    ]
    read = read_cells(cells, [(i, 0, 5, 5) for i in range(7)], reader)
    assert [cell.state for cell in read] == ["digit", "blank", "doubtful", "struck", "doubtful", "doubtful", "doubtful"]
    assert [cell.value for cell in read] == [3, None, 5, 4, 7, None, 2]
    assert [cell.position for cell in read] == list(range(7))
    assert [cell.crop[0] for cell in read] == list(range(7))
    assert read[2].note == "5 (55%) or 8 (45%)"
    assert read[6].note == "2 (63%) or no digit (23%)"
    assert read[4].note == "only a small mark"
    assert read[5].note == "torn"
    assert read[0].confidence > 0.99
    assert read[1].confidence is None
    # One batch a page, and no blank cell in it.
    assert reader.batches == [(5, "dark")]


def test_a_page_without_ink():
    assert [cell.state for cell in read_cells([cut(0, ink=False)], [BOX], Scripted())] == ["blank"]
