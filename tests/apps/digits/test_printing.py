"""The printed form, looked at as a printer would: by its pixels."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pypdfium2
import pytest

from apps.digits import printing
from apps.digits.printing import new_form, print_form
from data.errors import ConfigurationError, FileAccessError
from data.forms import Form, lay_out, load_form

ROOT = Path(__file__).parents[3]
HOUSEHOLD = ROOT / "apps/digits/examples/household.yaml"
GOLDEN = Path(__file__).parent / "golden"
DPI = 200


def form(**changes) -> Form:
    tree = {
        "form": "test-form",
        "title": "পরীক্ষা · Test",
        "fields": [{"name": "age", "label": "বয়স · Age", "cells": 3}, {"name": "year", "label": "Year", "cells": 4}],
    }
    return Form.model_validate({**tree, **changes})


def rasterised(pdf: Path, dpi: int = DPI) -> list[np.ndarray]:
    document = pypdfium2.PdfDocument(pdf)
    try:
        return [page.render(scale=dpi / 72).to_numpy()[..., :3].copy() for page in document]
    finally:
        document.close()


def printed(description: Form, folder: Path, dpi: int = DPI) -> list[np.ndarray]:
    print_form(description, folder / "blank.pdf")
    return rasterised(folder / "blank.pdf", dpi)


FORMS = {
    "a4": form(),
    "a5": form(page="A5"),
    "letter": form(page="letter", note="A note"),
    "custom": form(page=(150.0, 260.0), cell_size=(7.0, 9.0)),
    "columns": form(columns=2, fields=[{"name": f"f{i}", "label": f"ঘর {i}", "cells": 3} for i in range(30)]),
    "pages": form(fields=[{"name": f"f{i}", "label": f"Field {i}", "cells": 5} for i in range(40)]),
    "placed": form(
        fields=[
            {"name": "a", "label": "ক", "cells": 2, "at": (30, 60)},
            {"name": "b", "label": "B", "cells": 4, "at": (90, 60)},
        ]
    ),
}


@cache
def sheets(name: str) -> list[np.ndarray]:
    """The form's pages at `DPI`, printed once for all tests."""
    with tempfile.TemporaryDirectory() as folder:
        return printed(FORMS[name], Path(folder))


@pytest.mark.parametrize("name", FORMS)
def test_markers_lie_where_the_layout_says_with_its_ids(name):
    pages = sheets(name)
    layouts = lay_out(FORMS[name])
    assert len(pages) == len(layouts)
    parameters = cv2.aruco.DetectorParameters()
    parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
    detector = cv2.aruco.ArucoDetector(cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_1000), parameters)
    for image, layout in zip(pages, layouts, strict=True):
        assert np.abs(np.array(image.shape[:2]) - np.array(layout.size[::-1]) / 25.4 * DPI).max() < 1.1
        corners, ids, _ = detector.detectMarkers(image)
        found = {int(number): quad[0] for number, quad in zip(ids.ravel(), corners, strict=True)}
        assert set(found) == set(layout.marker_ids)
        for number, (x, y, w, h) in zip(layout.marker_ids, layout.markers, strict=True):
            there = np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]])
            # the rasteriser rounds the page up to whole pixels and stretches it by that much
            assert np.abs((found[number] + 0.5) / image.shape[1::-1] * layout.size - there).max() < 0.1


@pytest.mark.parametrize("name", FORMS)
def test_cells_are_drawn_light_and_empty_where_the_layout_says(name):
    for image, layout in zip(sheets(name), lay_out(FORMS[name]), strict=True):
        scale = DPI / 25.4
        for cell in layout.cells:
            x, y, w, h = (value * scale for value in cell.box)
            inside = image[round(y + 3) : round(y + h - 2), round(x + 3) : round(x + w - 2)]
            assert (inside == 255).all()
            middle_y, middle_x = round(y + h / 2), round(x + w / 2)
            for line in (
                image[middle_y, round(x) - 2 : round(x) + 3],
                image[middle_y, round(x + w) - 2 : round(x + w) + 3],
                image[round(y) - 2 : round(y) + 3, middle_x],
                image[round(y + h) - 2 : round(y + h) + 3, middle_x],
            ):
                blue, green, red = line.astype(int).T
                assert red.min() > 240, "the red channel drops the cells"
                assert 90 < blue.min() < 200
                assert green.min() > 170, "never as dark as ink"


@pytest.mark.parametrize("name", FORMS)
def test_the_code_names_form_and_page(name):
    pages, layouts = sheets(name), lay_out(FORMS[name])
    for number, (image, layout) in enumerate(zip(pages, layouts, strict=True), start=1):
        x, y, side, _ = (round(value * DPI / 25.4) for value in layout.code)
        quiet = side // 3
        code = image[y - quiet : y + side + quiet, x - quiet : x + side + quiet]
        text, _, _ = cv2.QRCodeDetector().detectAndDecode(cv2.resize(code, None, fx=2, fy=2))
        assert text == f"shankha:test-form:{number}:{len(pages)}"


def test_labels_and_cells_keep_apart(tmp_path):
    long = "A very long question that has to be wrapped into lines, and is still printed whole beside its many cells"
    description = form(fields=[{"name": "a", "label": long[:80], "cells": 12, "required": True}])
    image = printed(description, tmp_path)[0]
    place = lay_out(description)[0].places[0]
    x, y, w, h = (round(value * DPI / 25.4) for value in place.label)
    beside = image[y : y + h, x + w + 2 : x + w + round(2 * DPI / 25.4)]
    assert beside.min() > 150, "no letters between label and cells"
    label = image[y : y + h, x : x + w].min(axis=2)
    ink = np.flatnonzero((label < 100).any(1))
    assert len(ink) > 0.5 * h, "several lines"
    assert abs((ink[0] + ink[-1]) / 2 - h / 2) < 0.12 * h, "centred with the cells"


def text_widths(text: str, shaping: bool) -> float:
    document = printing._open_document(form())
    document.set_text_shaping(shaping)
    document.set_font("bengali", size=20)
    return document.get_string_width(text)


@pytest.mark.parametrize("conjunct", ["ক্ষ", "ন্দ্র", "ষ্ণ", "ঙ্ক", "স্ত্র"])
def test_conjuncts_are_set_as_one(conjunct):
    letters = sum(text_widths(letter, True) for letter in conjunct if letter != "\u09cd")
    assert text_widths(conjunct, True) < 0.85 * letters


@pytest.mark.parametrize("name", ["title", "label"])
def test_bengali_beside_latin_looks_as_it_did_when_a_reader_checked_it(name, tmp_path):
    """The golden crops were read by eye: conjuncts joined, vowel signs on their sides, Latin letters present."""
    image = cv2.cvtColor(printed(load_form(HOUSEHOLD), tmp_path)[0], cv2.COLOR_BGR2GRAY)
    golden = cv2.imread(str(GOLDEN / f"{name}.png"), cv2.IMREAD_GRAYSCALE)
    crop = image[slice(*CROPS[name][0]), slice(*CROPS[name][1])]
    assert crop.shape == golden.shape
    assert np.abs(crop.astype(int) - golden).mean() < 4


CROPS = {"title": ((76, 220), (390, 1270)), "label": ((820, 870), (70, 720))}


def test_latin_letters_do_not_vanish(tmp_path):
    def inked(title: str) -> int:
        image = printed(form(title=title), tmp_path)[0]
        return int((image[80:200, 300:1350] < 100).sum())

    bengali, both = inked("পরীক্ষা"), inked("পরীক্ষা Latin")
    assert both > 1.3 * bengali


@pytest.mark.parametrize(
    ("where", "changes"),
    [
        ("title", {"title": "試験"}),
        ("note", {"note": "see \u2603"}),
        ("label of field 'a'", {"fields": [{"name": "a", "label": "उम्र", "cells": 2}]}),
    ],
)
def test_a_character_without_a_glyph_is_named(where, changes, tmp_path):
    with pytest.raises(ConfigurationError, match=r"U\+[0-9A-F]{4}") as caught:
        print_form(form(**changes), tmp_path / "blank.pdf")
    assert where in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_text_too_long_for_its_place_is_refused_not_cut(tmp_path):
    with pytest.raises(ConfigurationError, match="too long for its place"):
        print_form(form(fields=[{"name": "a", "label": "W" * 80, "cells": 18}]), tmp_path / "blank.pdf")


def test_the_same_form_gives_the_same_bytes_in_another_process(tmp_path):
    print_form(load_form(HOUSEHOLD), tmp_path / "one.pdf")
    code = (
        "import sys; from pathlib import Path; from data.forms import load_form;"
        "from apps.digits.printing import print_form; print_form(load_form(Path(sys.argv[1])), Path(sys.argv[2]))"
    )
    subprocess.run([sys.executable, "-c", code, str(HOUSEHOLD), str(tmp_path / "other.pdf")], check=True, cwd=ROOT)
    one, other = (hashlib.sha256((tmp_path / f"{name}.pdf").read_bytes()).digest() for name in ("one", "other"))
    assert one == other
    assert (tmp_path / "one.pdf").stat().st_size < 60_000


def test_the_printer_is_asked_not_to_scale(tmp_path):
    print_form(form(), tmp_path / "blank.pdf")
    assert b"/PrintScaling /None" in (tmp_path / "blank.pdf").read_bytes()


def test_new_form_says_what_to_do(tmp_path, capsys):
    new_form(HOUSEHOLD, tmp_path / "blank.pdf")
    said = capsys.readouterr().out
    assert "1 page of 210 x 297 mm, 53 cells" in said
    assert "100 %" in said
    assert (tmp_path / "blank.pdf").read_bytes().startswith(b"%PDF")


def test_an_unwritable_place_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileAccessError):
        print_form(form(), tmp_path / "file" / "blank.pdf")
