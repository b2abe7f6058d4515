"""Scans and photographs: geometry as the parameters say, markers still legible, the same for the same seed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pypdfium2
import pytest

from apps.digits.printing import print_form
from data.forms import PageLayout, lay_out, load_form
from data.synth import damage
from data.synth.camera import Phone, Scan, photograph, scan

FORM = Path(__file__).parents[2] / "apps/digits/examples/household.yaml"
DPI = 200

PLAIN_SCAN = Scan(
    quarter_turns=0,
    angle=0.0,
    print_scale=1.0,
    offset_mm=(0.0, 0.0),
    dpi=DPI,
    grey=False,
    lid=250,
    contrast=1.0,
    brightness=0.0,
    blur=0.3,
    noise=0.0,
    jpeg_quality=95,
)


@pytest.fixture(scope="module")
def layout() -> PageLayout:
    return lay_out(load_form(FORM))[0]


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> np.ndarray:
    pdf = tmp_path_factory.mktemp("form") / "blank.pdf"
    print_form(load_form(FORM), pdf)
    document = pypdfium2.PdfDocument(pdf)
    image = document[0].render(scale=DPI / 72).to_numpy()[..., :3].copy()
    document.close()
    return image


def markers(image: np.ndarray) -> dict[int, np.ndarray]:
    detector = cv2.aruco.ArucoDetector(cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_1000))
    corners, ids, _ = detector.detectMarkers(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))
    return {} if ids is None else {int(i): quad[0] for i, quad in zip(ids.ravel(), corners, strict=True)}


def middles(image: np.ndarray, layout: PageLayout) -> np.ndarray:
    found = markers(image)
    return np.array([found[number].mean(0) for number in layout.marker_ids])


def test_a_plain_scan_changes_next_to_nothing(page):
    seen = scan(page, DPI, PLAIN_SCAN, np.random.default_rng(0))
    assert seen.shape == page.shape
    assert np.abs(seen.astype(int) - page).mean() < 2


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("dpi", [150, 300])
def test_scans_turn_shrink_and_resample_as_told(page, layout, turns, dpi):
    settings = dataclasses.replace(PLAIN_SCAN, quarter_turns=turns, dpi=dpi, print_scale=0.9, offset_mm=(2.0, -1.0))
    seen = scan(page, DPI, settings, np.random.default_rng(0))
    found = middles(np.ascontiguousarray(np.rot90(seen, -turns)), layout) / dpi * 25.4
    there = np.array([[x + w / 2, y + h / 2] for x, y, w, h in layout.markers])
    expected = (there - np.array(layout.size) / 2) * 0.9 + np.array(layout.size) / 2 + (2.0, -1.0)
    assert np.abs(found - expected).max() < 0.4


def test_a_turned_sheet_shows_the_lid(page):
    settings = dataclasses.replace(PLAIN_SCAN, angle=3.0, lid=60)
    seen = scan(page, DPI, settings, np.random.default_rng(0))
    assert np.abs(seen[5, 5].astype(int) - 60).max() < 12
    assert seen[seen.shape[0] // 2, seen.shape[1] // 2].min() > 240


def test_photographs_put_the_corners_where_the_parameters_say(page, layout):
    rng = np.random.default_rng(2)
    settings = dataclasses.replace(Phone.draw(rng, layout.size), curl=(0.0, 0.0))
    seen = photograph(page, settings, rng)
    assert seen.shape == (settings.frame_wh[1], settings.frame_wh[0], 3)
    width, height = layout.size
    sheet = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    frame = (np.array(settings.corners) * settings.frame_wh).astype(np.float32)
    there = np.array([[[x + w / 2, y + h / 2] for x, y, w, h in layout.markers]], np.float32)
    expected = cv2.perspectiveTransform(there, cv2.getPerspectiveTransform(sheet, frame))[0]
    assert np.abs(middles(seen, layout) - expected).max() < 6


def test_curled_paper_moves_the_middle_of_the_edges(page, layout):
    rng = np.random.default_rng(2)
    flat = dataclasses.replace(Phone.draw(rng, layout.size), curl=(0.0, 0.0), noise=0.0)
    curled = dataclasses.replace(flat, curl=(0.03, 0.0))
    one, other = (photograph(page, settings, np.random.default_rng(0)) for settings in (flat, curled))
    middle = one.shape[0] // 2
    assert np.abs(one[middle].astype(int) - other[middle]).max() > 60


@pytest.mark.parametrize("seed", range(4))
def test_drawn_photographs_keep_the_page_whole_and_its_markers_legible(page, layout, seed):
    rng = np.random.default_rng([7, seed])
    settings = Phone.draw(rng, layout.size)
    assert np.min(settings.corners) > 0
    assert np.max(settings.corners) < 1
    seen = photograph(page, settings, rng)
    assert 2000 <= max(seen.shape) <= 3000
    assert set(layout.marker_ids) <= set(markers(seen))


@pytest.mark.parametrize("seed", range(4))
def test_drawn_scans_keep_the_markers_legible(page, layout, seed):
    rng = np.random.default_rng([8, seed])
    assert set(layout.marker_ids) <= set(markers(scan(page, DPI, Scan.draw(rng), rng)))


def test_the_same_seed_gives_the_same_picture(page, layout):
    def picture(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return photograph(page, Phone.draw(rng, layout.size), rng)

    one, again, other = picture(3), picture(3), picture(4)
    assert (one == again).all()
    assert one.shape != other.shape or (one != other).any()


@pytest.mark.parametrize("corner", damage.CORNERS)
def test_a_torn_corner_takes_its_marker_and_no_other(page, layout, corner):
    torn = damage.torn_corner(page, corner, np.random.default_rng(0))
    lost = layout.marker_ids[damage.CORNERS.index(corner)]
    assert set(markers(torn)) == set(layout.marker_ids) - {lost}


def test_blank_sheets_and_covered_pages_and_pages_upside_down(page, layout):
    rng = np.random.default_rng(0)
    blank = damage.blank_sheet(page, rng)
    assert blank.shape == page.shape
    assert blank.min() > 230
    assert set(markers(damage.covered(page, rng))) == set(layout.marker_ids[:2])
    turned = middles(damage.upside_down(page), layout)
    assert turned[0][1] > turned[3][1], "the top left marker is at the foot"
