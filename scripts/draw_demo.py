"""Draw the filled forms of `shankha demo`: invented answers, written by the project's own synthetic writer.

    uv run scripts/draw_demo.py

The same pictures come out every time. Six pages in five files: a batch from an office scanner, a photograph, a page
fed upside down, one with a crossed-out digit and an impossible number, and one of another form.
"""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from PIL import Image as Pillow

from apps.digits.pages import PDF_DPI, PageRef, load_page
from apps.digits.printing import print_form
from data.files import write_bytes
from data.forms import lay_out, load_form
from data.preprocess import Image
from data.synth.camera import Phone, Scan, photograph, scan
from data.synth.handwriting import Hand
from data.synth.pages import CellTruth, FilledPage, Filling, fill_page, write_truth, written_by

EXAMPLES = Path(__file__).resolve().parents[1] / "apps/digits/examples"
DEMO = EXAMPLES / "demo"
JPEG_QUALITY = 80
PHOTO_PIXELS = 1900
CAREFUL = Filling(struck=0, smeared=0, straying=0.03)
HOUSEHOLDS: tuple[Mapping[str, str], ...] = (
    {"household": "104217", "village": "3608", "date": "12032026", "members": "5", "children": "1"}
    | {"age_of_head": "47", "schooling": "8", "income": "18500", "land": "33", "cattle": "2", "phone": "01712345098"},
    {"household": "104218", "village": "3608", "date": "12032026", "members": "7", "children": "2"}
    | {"age_of_head": "62", "schooling": "0", "income": "9200", "land": "140", "cattle": "6", "phone": ""},
    {"household": "104219", "village": "3608", "date": "13032026", "members": "3", "children": ""}
    | {"age_of_head": "29", "schooling": "12", "income": "34000", "land": "", "cattle": "", "phone": "01998760345"},
    {"household": "104220", "village": "3609", "date": "13032026", "members": "4", "children": "1"}
    | {"age_of_head": "38", "schooling": "5", "income": "14750", "land": "21", "cattle": "3", "phone": "01534567801"},
    {"household": "104221", "village": "3609", "date": "14032026", "members": "84", "children": "3"}
    | {"age_of_head": "55", "schooling": "10", "income": "22600", "land": "67", "cattle": "1", "phone": "01876501243"},
)
CARD = {"patient": "205713", "age": "34", "weight": "61"}


def blank_page(form_file: Path) -> Image:
    """The form's first page as printed, (H, W, 3) BGR at `PDF_DPI`."""
    with TemporaryDirectory() as folder:
        pdf = Path(folder) / "blank.pdf"
        print_form(load_form(form_file), pdf)
        return load_page(PageRef(pdf, 0, 1))


def filled(form_file: Path, answers: Mapping[str, str], seed: int, struck: float = 0.0) -> FilledPage:
    """The form's page with these answers, in the hand and pen that the seed draws."""
    layout = lay_out(load_form(form_file))[0]
    rng = np.random.default_rng(seed)
    return fill_page(
        blank_page(form_file), layout, written_by(Hand.draw(rng)), rng, answers, replace(CAREFUL, struck=struck)
    )


def scanned(page: Image, seed: int, quarter_turns: int = 0) -> Image:
    """A grey office scan at 150 dpi."""
    rng = np.random.default_rng(seed)
    settings = replace(Scan.draw(rng), quarter_turns=quarter_turns, angle=1.1, dpi=150, grey=True, noise=1.5)
    return scan(page, PDF_DPI, settings, rng)


def photographed(page: Image, seed: int) -> Image:
    """A photograph by hand, upright."""
    rng = np.random.default_rng(seed)
    settings = replace(Phone.draw(rng), frame_wh=(PHOTO_PIXELS * 3 // 4, PHOTO_PIXELS), noise=1.5)
    return photograph(page, settings, rng)


def write_jpeg(path: Path, picture: Image) -> None:
    """Write the picture, whole or not at all."""
    _, packed = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    write_bytes(path, packed.tobytes())


def write_pdf(path: Path, pictures: Sequence[Image]) -> None:
    """Write grey pictures as the pages of a PDF, each a JPEG, dated so that the bytes stay the same."""
    first, *others = (Pillow.fromarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)) for picture in pictures)
    packed = io.BytesIO()
    day = time.strptime("2026-03-14", "%Y-%m-%d")
    dates = {"creationDate": day, "modDate": day}
    first.save(packed, "PDF", resolution=150, quality=JPEG_QUALITY, save_all=True, append_images=others, **dates)
    write_bytes(path, packed.getvalue())


def main() -> None:
    """Draw everything anew."""
    household = EXAMPLES / "household.yaml"
    pages = [filled(household, answers, seed, 0.02 * (seed == 4)) for seed, answers in enumerate(HOUSEHOLDS)]
    write_pdf(DEMO / "batch.pdf", [scanned(pages[0].image, 10), scanned(pages[1].image, 11)])
    write_jpeg(DEMO / "photograph.jpg", photographed(pages[2].image, 12))
    write_jpeg(DEMO / "upside-down.jpg", scanned(pages[3].image, 13, quarter_turns=2))
    write_jpeg(DEMO / "crossed-out.jpg", photographed(pages[4].image, 14))
    stray = filled(EXAMPLES / "clinic.yaml", CARD, 5)
    write_jpeg(DEMO / "other-form.jpg", photographed(stray.image, 15))
    names = ("batch.pdf#1", "batch.pdf#2", "photograph.jpg#1", "upside-down.jpg#1", "crossed-out.jpg#1")
    truth: list[tuple[str, tuple[CellTruth, ...]]] = [
        (name, page.truth) for name, page in zip(names, pages, strict=True)
    ]
    write_truth(DEMO / "truth.csv", truth)


if __name__ == "__main__":
    main()
