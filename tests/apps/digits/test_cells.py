"""Locating and cutting cells: what is a cell's own ink, what is paper, and what cannot be known."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.digits.cells import CutCell, cut_cells
from apps.digits.locate import DISPLACED, LOST, locate_cells
from apps.digits.register import PIXELS_PER_MM, Register
from apps.digits.sheet import Sheet
from data.synth.camera import Phone, Scan, photograph, scan
from data.synth.pages import Filling
from tests.apps.digits.paper import blank_page, box_corners, filled_page, household, make_form, seen_from

FORM = household()
TWO = make_form(fields=[{"name": "a", "label": "A", "cells": 3}, {"name": "b", "label": "B", "cells": 3}])

MANY = make_form(fields=[{"name": f"f{i:02d}", "label": f"F {i}", "cells": 10} for i in range(16)])
INKS = [(30, 25, 25), (150, 60, 20), (40, 40, 200), (60, 130, 30), (105, 100, 98)]


def cut(picture, form=FORM) -> dict[tuple[str, int], CutCell]:
    found = Register(form)(picture)
    sheet = Sheet(found.page)
    fields, _ = locate_cells(found, sheet)
    cells = cut_cells(sheet, fields)
    return {(cell.place.cell.field, cell.place.cell.position): cell for cell in cells}


def pixels(box) -> tuple[int, int, int, int]:
    return tuple(round(value * PIXELS_PER_MM) for value in box)


def cell_box(layout, field: str, position: int) -> tuple[int, int, int, int]:
    return pixels(next(c.box for c in layout.cells if (c.field, c.position) == (field, position)))


def ink_share(cell: CutCell) -> float:
    return 0.0 if cell.ink is None else float((cell.ink < 128).sum())


@pytest.mark.parametrize("device", ["scan", "phone"])
@pytest.mark.parametrize("seed", range(5))
def test_blank_cells_are_told_from_cells_with_ink(seed, device):
    filled = filled_page(FORM, seed, Filling(blank=0.4, struck=0.05))
    rng = np.random.default_rng(seed)
    settings_of = {"scan": lambda: scan(filled.image, 200, Scan.draw(rng), rng)}
    settings_of["phone"] = lambda: photograph(filled.image, Phone.draw(rng), rng)
    cells = cut(settings_of[device]())
    assert len(cells) == len(filled.truth)
    for truth in filled.truth:
        cell = cells[truth.field, truth.position]
        assert (cell.ink is None) == (truth.value is None), truth
        assert not cell.doubt


def test_an_empty_form_has_no_ink_at_all():
    page, _ = blank_page(FORM)
    noisy = np.clip(page + np.random.default_rng(1).normal(0, 6, page.shape), 0, 255).astype(np.uint8)
    assert all(cell.ink is None and not cell.doubt for cell in cut(noisy).values())


@pytest.mark.parametrize(("size", "doubt"), [(3, None), (12, "only a small mark"), (30, "")])
def test_specks_are_paper_and_small_marks_are_doubtful(size, doubt):
    page, layout = blank_page(TWO)
    x, y, width, height = cell_box(layout, "a", 1)
    cv2.circle(page, (x + width // 2, y + height // 2), size // 2, (30, 30, 30), -1)
    cell = cut(page, TWO)["a", 1]
    assert (None if cell.ink is None else cell.doubt) == doubt


def test_a_digit_over_the_border_is_cut_whole_and_leaves_no_trace_in_the_neighbour():
    page, layout = blank_page(TWO)
    x, y, width, height = cell_box(layout, "a", 1)
    # A thick stroke that begins in the middle cell and ends a good way into the right one.
    cv2.line(page, (x + 12, y + 20), (x + width + 12, y + height - 15), (40, 30, 30), 5)
    cells = cut(page, TWO)
    assert cells["a", 0].ink is None
    assert cells["a", 2].ink is None
    assert cells["a", 1].ink.shape[1] > width - 5


def test_touching_digits_are_parted_at_the_border():
    page, layout = blank_page(TWO)
    x, y, width, _ = cell_box(layout, "a", 0)
    cv2.line(page, (x + 10, y + 40), (x + 2 * width - 12, y + 40), (40, 30, 30), 5)
    cells = cut(page, TWO)
    assert abs(ink_share(cells["a", 0]) - ink_share(cells["a", 1])) < 0.2 * ink_share(cells["a", 0])
    assert cells["a", 2].ink is None


def test_a_line_through_the_row_is_ink_in_every_cell():
    page, layout = blank_page(TWO)
    x, y, width, _ = cell_box(layout, "a", 0)
    cv2.line(page, (x - 60, y + 30), (x + 3 * width + 60, y + 50), (40, 30, 30), 5)
    cells = cut(page, TWO)
    assert all(cells["a", position].ink is not None for position in range(3))
    assert all(cells["b", position].ink is None for position in range(3))


def test_print_beside_the_cells_is_not_ink():
    form = make_form(
        fields=[{"name": "a", "label": "কখগঘঙ চছজঝঞ Label", "cells": 4, "at": (60, 60)}],
    )
    page, _ = blank_page(form)
    assert all(cell.ink is None for cell in cut(page, form).values())


@settings(max_examples=15, deadline=None)
@given(st.floats(0.25, 1.0), st.sampled_from(INKS))
def test_ink_of_any_colour_in_any_light(light, colour):
    page, layout = blank_page(TWO)
    x, y, width, height = cell_box(layout, "b", 2)
    cv2.ellipse(page, (x + width // 2, y + height // 2), (18, 24), 0, 0, 360, colour, 3, cv2.LINE_AA)
    cells = cut((page * light).astype(np.uint8), TWO)
    inked = [key for key, cell in cells.items() if cell.ink is not None]
    assert inked == [("b", 2)]
    assert min(cells["b", 2].ink.shape) > 30


def test_shadows_are_paper():
    page, _ = blank_page(FORM)
    shade = 1 - 0.5 / (1 + np.exp(-(np.arange(page.shape[1]) - 1200) / 12.0))
    cells = cut((page * shade[None, :, None]).astype(np.uint8))
    assert all(cell.ink is None and not cell.doubt for cell in cells.values())


def torn(page, depth_mm: float, colour) -> np.ndarray:
    """The page without its lower right corner, as a triangle of that depth."""
    picture = page.copy()
    height, width = page.shape[:2]
    depth = round(depth_mm * PIXELS_PER_MM)
    corner = np.array([[width, height - depth], [width, height], [width - depth, height]], np.int32)
    cv2.fillPoly(picture, [corner], colour)
    return picture


@pytest.mark.parametrize("colour", [(40, 60, 80), (255, 255, 255), (120, 120, 125)])
def test_cells_on_a_torn_corner_are_in_doubt_and_the_rest_is_read(colour):
    filled = filled_page(MANY, 5, Filling(blank=0.2, short=0, struck=0, smeared=0))
    depth = 150
    found = Register(MANY)(torn(filled.image, depth, colour))
    assert found.missing == (2,)
    cells = cut(torn(filled.image, depth, colour), MANY)
    width, height = found.layout.size
    for truth in filled.truth:
        cell = cells[truth.field, truth.position]
        x, y, w, h = cell.place.cell.box
        # How far inside the paper the cell lies, along the tear's normal: all of it, or none of it.
        far, near = (width + height - depth - (x + w + y + h)) / 2**0.5, (width + height - depth - (x + y)) / 2**0.5
        if far > 2:
            assert not cell.doubt, truth
            assert (cell.ink is None) == (truth.value is None)
        elif near < 3:
            assert cell.doubt in {LOST, DISPLACED}, truth


@pytest.mark.parametrize("bend", [-0.045, -0.03, 0.02, 0.03, 0.045])
def test_on_bent_paper_no_digit_is_taken_for_its_neighbours(bend):
    # Every other cell is blank: found one cell away, or one row, a blank would hold ink and ink be missing.
    answers = {field.name: "1 2 3 4 5 6"[row % 2 :][:10] for row, field in enumerate(MANY.fields)}
    filled = filled_page(MANY, 7, Filling(struck=0, smeared=0, straying=0), answers)
    rng = np.random.default_rng(11)
    flat = dataclasses.replace(Phone.draw(rng), curl=(bend, bend / 2), shadow=0.0, motion=(0.0, 0.0))
    cells = cut(photograph(filled.image, flat, rng), MANY)
    for truth in filled.truth:
        cell = cells[truth.field, truth.position]
        assert cell.doubt or (cell.ink is None) == (truth.value is None), truth
    assert sum(not cell.doubt for cell in cells.values()) >= 150


def test_cells_outside_the_picture_are_in_doubt():
    page, layout = blank_page(MANY)
    angle = np.radians(25)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    height, width = page.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]]) @ turn
    corners -= corners.min(0) - 10
    # The frame ends before the page's lower right corner does.
    frame = int(corners[:, 0].max() + 10), int(corners[2, 1] - 480)
    picture, truth = seen_from(page, corners, frame)
    cells = cut(picture, MANY)
    outside = {
        (cell.field, cell.position)
        for cell in layout.cells
        if cv2.perspectiveTransform(box_corners(cell.box)[None], truth)[0, :, 1].max() > frame[1]
    }
    assert 5 < len(outside) < 80
    doubtful = {key for key, cell in cells.items() if cell.doubt}
    assert outside <= doubtful
    assert len(doubtful - outside) <= 16


def test_a_note_stuck_over_cells_puts_them_in_doubt():
    page, layout = blank_page(FORM)
    x, y, width, height = cell_box(layout, "income", 2)
    page[y - 25 : y + height + 25, x - 8 : x + 2 * width + 8] = (150, 235, 250)
    cells = cut(page)
    assert [cells["income", position].doubt for position in (2, 3)] == [LOST, LOST]
    assert sum(bool(cell.doubt) for cell in cells.values()) <= 4
