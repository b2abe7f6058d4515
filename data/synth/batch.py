"""Whole batches of made-up filled pages with their truth, the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from data.files import write_bytes
from data.forms import MM_PER_INCH, PageLayout
from data.synth.camera import Phone, Scan, photograph, scan
from data.synth.handwriting import Hand
from data.synth.pages import CellTruth, Drawer, Filling, fill_page, write_truth, written_by

Image = NDArray[np.uint8]
Camera = Literal["scanner", "phone", "none"]
DrawerOfPage = Callable[[np.random.Generator], Drawer]
"""Gives each page its drawer of digits: a new hand, or one set of pictures for all."""

TRUTH_FILE: Final = "truth.csv"
_JPEG_QUALITY: Final = 92


@dataclass(frozen=True)
class BlankPage:
    """A printed, empty page: (H, W, 3) BGR of the whole sheet, and its layout."""

    image: Image
    layout: PageLayout

    @property
    def dpi(self) -> float:
        """Resolution of the image."""
        return float(self.image.shape[1] / self.layout.size[0] * MM_PER_INCH)


@dataclass(frozen=True)
class MadePage:
    """One made-up page: file name without its ending, picture, the layout it was printed from, and the truth."""

    name: str
    image: Image
    layout: PageLayout
    truth: tuple[CellTruth, ...]


def new_hands(rng: np.random.Generator) -> Drawer:
    """A new synthetic writer for every page."""
    return written_by(Hand.draw(rng))


def made_pages(
    blanks: Sequence[BlankPage],
    count: int,
    *,
    seed: int,
    camera: Camera = "phone",
    drawer: DrawerOfPage = new_hands,
    filling: Filling = Filling(),  # noqa: B008  (frozen)
) -> Iterator[MadePage]:
    """Make `count` filled pages, the blank ones taking turns.

    Page `i` depends on the seed and on `i` alone, so a longer batch begins like a shorter one.
    """
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        blank = blanks[index % len(blanks)]
        filled = fill_page(blank.image, blank.layout, drawer(rng), rng, filling=filling)
        image = _seen(filled.image, blank, camera, rng)
        yield MadePage(f"page-{index + 1:04d}", image, blank.layout, filled.truth)


def write_pages(folder: Path, pages: Iterable[MadePage]) -> list[Path]:
    """Write pages as JPEG, and their truth as `truth.csv` beside them (page is the file's name).

    Raises:
        FileAccessError: The folder cannot be written.
    """
    paths: list[Path] = []
    truth: list[tuple[str, Sequence[CellTruth]]] = []
    for page in pages:
        path = folder / f"{page.name}.jpg"
        _, packed = cv2.imencode(".jpg", page.image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        write_bytes(path, packed.tobytes())
        paths.append(path)
        truth.append((path.name, page.truth))
    write_truth(folder / TRUTH_FILE, truth)
    return paths


def _seen(page: Image, blank: BlankPage, camera: Camera, rng: np.random.Generator) -> Image:
    if camera == "scanner":
        return scan(page, blank.dpi, Scan.draw(rng), rng)
    if camera == "phone":
        return photograph(page, Phone.draw(rng, blank.layout.size), rng)
    return page
