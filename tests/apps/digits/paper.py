"""Filled pages with known truth, and pictures of them, for the tests of scanning."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pypdfium2

from apps.digits.printing import print_form
from apps.digits.register import PIXELS_PER_MM, Registration
from data.forms import Form, PageLayout, lay_out, load_form
from data.preprocess import DigitPreprocessing, Image, ink_image
from data.synth.handwriting import Hand
from data.synth.pages import FilledPage, Filling, fill_page, written_by
from deploy.runtime.digits import DigitReadings, decode

ROOT = Path(__file__).parents[3]
HOUSEHOLD_YAML = ROOT / "apps/digits/examples/household.yaml"
DPI = 200
USUAL = Filling()
NEAT = Filling(blank=0, short=0, struck=0, smeared=0, straying=0)


def household() -> Form:
    return load_form(HOUSEHOLD_YAML)


def make_form(name: str = "small", **changes) -> Form:
    tree = {
        "form": name,
        "title": "পরীক্ষা · Test",
        "fields": [{"name": "age", "label": "বয়স · Age", "cells": 3}, {"name": "year", "label": "Year", "cells": 4}],
    }
    return Form.model_validate({**tree, **changes})


@cache
def blank_pages(form: Form) -> tuple[Image, ...]:
    """The printed form's pages at `DPI`."""
    with tempfile.TemporaryDirectory() as folder:
        pdf = Path(folder) / "blank.pdf"
        print_form(form, pdf)
        document = pypdfium2.PdfDocument(pdf.read_bytes())
        return tuple(page.render(scale=DPI / 72).to_numpy()[..., :3].copy() for page in document)


def blank_page(form: Form, number: int = 1) -> tuple[Image, PageLayout]:
    return blank_pages(form)[number - 1].copy(), lay_out(form)[number - 1]


def filled_page(form: Form, seed: int = 0, filling: Filling = USUAL, answers=None) -> FilledPage:
    """The first page of the form, filled by one synthetic hand."""
    rng = np.random.default_rng(seed)
    blank, layout = blank_page(form)
    return fill_page(blank, layout, written_by(Hand.draw(rng)), rng, answers, filling)


def seen_from(page: Image, corners: np.ndarray, wh: tuple[int, int], ground=(70, 80, 90)) -> tuple[Image, np.ndarray]:
    """The page as a picture in which its corners (clockwise from its top left) lie where said; and the homography
    from the page's millimetres."""
    height, width = page.shape[:2]
    here = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32) - 0.5
    matrix = cv2.getPerspectiveTransform(here, corners.astype(np.float32))
    picture = cv2.warpPerspective(page, matrix, wh, flags=cv2.INTER_AREA, borderValue=ground)
    pixels = np.array([[PIXELS_PER_MM, 0, -0.5], [0, PIXELS_PER_MM, -0.5], [0, 0, 1]])
    return picture, matrix @ pixels


def box_corners(box) -> np.ndarray:
    x, y, width, height = box
    return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]], float)


def millimetres(box) -> np.ndarray:
    """(4, 2) corners on the paper of a box in pixels of the flattened page."""
    return (box_corners(box) + 0.5) / PIXELS_PER_MM


def strayed(found: Registration, fields, truth: np.ndarray) -> float:
    """Greatest distance in mm, on the paper, between a located cell's corner and the true one."""
    worst = 0.0
    for place in (place for places in fields for place in places):
        there = cv2.perspectiveTransform(box_corners(place.cell.box)[None], truth)
        back = cv2.perspectiveTransform(there, np.linalg.inv(found.to_source))[0]
        worst = max(worst, float(np.linalg.norm(back - millimetres(place.box), axis=1).max()))
    return worst


@dataclass(frozen=True)
class BlockReader:
    """Reads blocks instead of digits, by the share of their bounding box's height that their width is.

    Digit d is a block `0.25 + 0.075 d` as wide as high; blocks between two digits are doubtful, solid wide bars are
    no digit.
    """

    def read(self, images, polarity="auto") -> DigitReadings:
        logits = np.full((len(images), 11), -4.0, np.float32)
        for row, image in zip(logits, images, strict=True):
            assert polarity == "dark"
            assert ink_image(image, DigitPreprocessing(), polarity).any()
            _, mask = cv2.threshold(image, 128, 255, cv2.THRESH_BINARY_INV)
            _, _, width, height = cv2.boundingRect(mask)
            exact = (width / height - 0.25) / 0.075
            if exact > 10:
                row[10] = 8.0
                continue
            near = int(np.clip(round(exact), 0, 9))
            row[near] = 8.0 if abs(exact - near) < 0.35 else 1.0
            row[near + 1 if near == 0 or exact > near < 9 else near - 1] = 0.5
        return decode(logits, 1.0, 0.95)


def block_page(form: Form, texts: dict[str, str]) -> Image:
    """The form's first page with blocks for `BlockReader`: digits, space for nothing, `?` between two, `x` a bar."""
    page, layout = blank_page(form)
    for place in layout.places:
        for cell, sign in zip(place.cells, texts.get(place.field.name, ""), strict=False):
            if sign == " ":
                continue
            ratio = {"?": 0.25 + 0.075 * 4.5, "x": 1.4}.get(sign)
            ratio = 0.25 + 0.075 * int(sign) if ratio is None else ratio
            x, y, width, height = (value * PIXELS_PER_MM for value in cell.box)
            tall = 56 if ratio < 1 else 36
            wide = round(tall * ratio)
            left, top = round(x + width / 2 - wide / 2), round(y + height / 2 - tall / 2)
            cv2.rectangle(page, (left, top), (left + wide - 1, top + tall - 1), (40, 30, 30), -1)
    return page
