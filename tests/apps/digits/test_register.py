"""Finding pages: whatever way they lie in the picture, and never one that is not there."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.digits.locate import LEAST_LINE, locate_cells
from apps.digits.markers import Marker
from apps.digits.register import DPI, PageError, Register, fit_page
from apps.digits.sheet import Sheet
from data.forms import lay_out
from data.synth.camera import Phone, Scan, photograph, scan
from tests.apps.digits.paper import (
    blank_page,
    block_page,
    box_corners,
    filled_page,
    household,
    make_form,
    seen_from,
    strayed,
)

FORM = household()
SMALL = make_form(cell_size=(9, 11))


def found_cells(picture, form=FORM):
    found = Register(form)(picture)
    fields, contrast = locate_cells(found, Sheet(found.page))
    return found, fields, contrast


def kind_of(picture, form=FORM) -> str:
    with pytest.raises(PageError) as caught:
        Register(form)(picture)
    problem = caught.value.problem
    assert problem.what
    assert problem.cure
    assert "\n" not in problem.what + problem.cure
    return problem.kind


@st.composite
def views(draw) -> tuple[np.ndarray, tuple[int, int]]:
    """Corners of an A4 page, turned, tilted and of any usual size, in a frame that holds it."""
    turn = draw(st.floats(0, 360))
    dpi = draw(st.floats(110, 330))
    tilt = np.array(draw(st.lists(st.floats(-0.06, 0.06), min_size=8, max_size=8))).reshape(4, 2)
    size = np.array([210.0, 297.0])
    corners = (np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]) + tilt) * size * dpi / 25.4
    angle = np.radians(turn)
    corners = corners @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    corners = corners - corners.min(0) + 20
    width, height = np.ceil(corners.max(0) + 20).astype(int)
    return corners, (int(width), int(height))


PAGE = filled_page(FORM, seed=3).image


@settings(max_examples=15, deadline=None)
@given(views(), st.sampled_from(["colour", "grey", "dim"]))
def test_cells_are_found_within_half_a_millimetre_in_any_view(view, light):
    picture, truth = seen_from(PAGE, *view)
    if light == "grey":
        picture = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    elif light == "dim":
        picture = (picture * 0.35).astype(np.uint8)
    found, fields, contrast = found_cells(picture)
    assert found.missing == ()
    assert found.residual_mm < 0.5
    assert contrast > LEAST_LINE
    assert strayed(found, fields, truth) < 0.5
    assert not [place for places in fields for place in places if place.doubt]


@pytest.mark.parametrize("seed", range(8))
def test_photographs_of_curled_paper(seed):
    rng = np.random.default_rng(seed)
    found, fields, _ = found_cells(photograph(PAGE, Phone.draw(rng), rng))
    assert found.layout.number == 1
    assert not [place for places in fields for place in places if place.doubt]
    # What lies inside the located boxes is what lies inside the true cells of the flat page.
    flat = block_of_cells(PAGE, [[cell.box for cell in found.layout.cells]])
    seen = block_of_cells(found.page, [[millimetre_box(place.box) for places in fields for place in places]])
    assert np.mean(np.abs(flat - seen) > 0.25) < 0.01


def millimetre_box(box):
    return tuple((value + shift) * 25.4 / DPI for value, shift in zip(box, (0.5, 0.5, 0, 0), strict=True))


def block_of_cells(page, rows) -> np.ndarray:
    """Share of dark pixels in each cell."""
    grey = cv2.cvtColor(page, cv2.COLOR_BGR2GRAY)
    shares = []
    for x, y, width, height in (box for row in rows for box in row):
        left, top, right, bottom = (round(value * DPI / 25.4) for value in (x, y, x + width, y + height))
        part = grey[top + 5 : bottom - 5, left + 5 : right - 5]
        shares.append((part < 0.6 * np.percentile(part, 90)).mean())
    return np.array(shares)


@pytest.mark.parametrize("seed", range(8))
def test_scans_of_shrunken_prints(seed):
    rng = np.random.default_rng(100 + seed)
    found, fields, _ = found_cells(scan(PAGE, 200, Scan.draw(rng), rng))
    assert not [place for places in fields for place in places if place.doubt]
    assert found.dpi > 100


@pytest.mark.parametrize("size", ["A3", "A5", "letter", (150.0, 260.0)])
def test_other_paper(size):
    form = make_form(page=size)
    page, layout = blank_page(form)
    found, fields, _ = found_cells(np.rot90(page, 2).copy(), form)
    assert found.page.shape[:2] == (round(layout.size[1] * DPI / 25.4), round(layout.size[0] * DPI / 25.4))
    # The page came at 200 dpi and upside down: flattened, it is itself again.
    height, width = page.shape[:2]
    wrong = np.abs(found.page[:height, :width].astype(int) - page[: found.page.shape[0], : found.page.shape[1]]).mean()
    assert wrong < 3
    assert not [place for places in fields for place in places if place.doubt]


def test_every_page_of_a_form_is_known_by_its_markers():
    form = make_form(fields=[{"name": f"f{i}", "label": f"Field {i}", "cells": 5} for i in range(40)])
    for layout in lay_out(form):
        page, _ = blank_page(form, layout.number)
        assert Register(form)(page).layout == layout


def covered(page, layout, corners, colour=255):
    picture = page.copy()
    for corner in corners:
        x, y, width, height = (round(value * DPI / 25.4) for value in layout.markers[corner])
        picture[y - 12 : y + height + 12, x - 12 : x + width + 12] = colour
    return picture


@pytest.mark.parametrize("corner", range(4))
def test_three_markers_suffice(corner):
    page, layout = blank_page(FORM)
    picture, truth = seen_from(covered(page, layout, [corner]), box_corners((30, 40, 1500, 2100)), (1600, 2200))
    found, fields, _ = found_cells(picture)
    assert found.missing == (corner,)
    assert strayed(found, fields, truth) < 0.5


def test_two_markers_do_not():
    page, layout = blank_page(FORM)
    assert kind_of(covered(page, layout, [0, 2])) == "markers_missing"


def test_a_marker_that_is_hard_to_see_is_looked_for_again():
    page, layout = blank_page(FORM)
    x, y, width, height = (round(value * DPI / 25.4) for value in layout.markers[1])
    part = page[y - 20 : y + height + 20, x - 20 : x + width + 20]
    part[:] = 205 + part // 14
    assert Register(FORM)(page).missing == ()


def test_no_page():
    noise = np.random.default_rng(0).integers(0, 255, (900, 700, 3), np.uint8)
    assert kind_of(noise) == "no_page"


@pytest.mark.parametrize("level", [255, 240, 20, 0])
def test_blank_sheet(level):
    assert kind_of(np.full((1200, 900, 3), level, np.uint8)) == "blank_sheet"


def test_mirrored_page():
    page, _ = blank_page(FORM)
    assert kind_of(page[:, ::-1].copy()) == "mirrored"


def test_page_of_another_form_is_named():
    page, _ = blank_page(SMALL)
    with pytest.raises(PageError, match="another form, small"):
        Register(FORM)(page)
    assert kind_of(page) == "other_form"


def test_page_of_another_version_of_the_form():
    page, _ = blank_page(SMALL)
    assert kind_of(page, make_form(cell_size=(8, 11))) == "other_version"


def test_page_too_small_to_read():
    page, _ = blank_page(FORM)
    small = cv2.resize(page, None, fx=0.35, fy=0.35, interpolation=cv2.INTER_AREA)
    assert kind_of(small) == "too_small"


def side_by_side(one, other):
    height = max(one.shape[0], other.shape[0])
    pad = [np.pad(page, ((0, height - page.shape[0]), (30, 30), (0, 0)), constant_values=90) for page in (one, other)]
    return np.hstack(pad)


@pytest.mark.parametrize("second", ["the same page", "another page", "another form", "another of which half is seen"])
def test_two_pages_in_one_picture_are_not_mixed(second):
    form = make_form(fields=[{"name": f"f{i}", "label": f"Field {i}", "cells": 5} for i in range(20)])
    page, _ = blank_page(form)
    other = {
        "the same page": page,
        "another page": blank_page(form, 2)[0],
        "another form": blank_page(FORM)[0],
        "another of which half is seen": page[:, : page.shape[1] // 2],
    }[second]
    assert kind_of(side_by_side(page, other), form) == "several_pages"


def test_markers_that_do_not_fit_one_page_are_refused():
    layout = lay_out(FORM)[0]
    markers = [
        Marker(number, box_corners(box).astype(np.float32) * 8)
        for number, box in zip(layout.marker_ids, layout.markers, strict=True)
    ]
    fit_page(layout, markers)
    moved = Marker(markers[2].id, markers[2].corners + np.float32([-500, 90]))
    with pytest.raises(PageError, match="one flat page"):
        fit_page(layout, [*markers[:2], moved, markers[3]])
    swapped = [Marker(a.id, b.corners) for a, b in zip(markers, [markers[1], markers[0], *markers[2:]], strict=True)]
    with pytest.raises(PageError, match="one flat page"):
        fit_page(layout, swapped)


def test_cells_without_visible_lines_are_told():
    page = block_page(FORM, {"household": "123456"})
    bleached = np.where(page.min(2, keepdims=True) > 120, 255, page).astype(np.uint8)
    _, fields, contrast = found_cells(bleached)
    assert contrast < LEAST_LINE
    assert not [place for places in fields for place in places if place.doubt]
