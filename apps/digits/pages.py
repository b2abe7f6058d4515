"""From files and folders to pictures of pages, one at a time: PNG, JPEG, BMP, WebP, TIFF of many pages, PDF."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pypdfium2
import pypdfium2.raw as pdfium

from data.errors import FileAccessError, InputError, ShankhaError
from data.files import natural_key
from data.images import IMAGE_SUFFIXES, MAX_PIXELS, page_count, read_image
from data.preprocess import Image

PDF_DPI: Final = 200
RECORDS: Final = ".pages"
"""Folder that marks a scan's results: what lies in there is never taken for input."""

_LONGEST_SIDE: Final = (1600, 5000)
"""Bounds, in pixels, of a rasterised PDF page's longer side: apps embed photographs in pages of any size."""
_POINTS_PER_INCH: Final = 72
_OTHER_PICTURES: Final = frozenset({".heic", ".heif", ".avif", ".gif", ".jp2", ".jxl", ".dng", ".psd", ".djvu"})
_CURE: Final = "copy or scan the file again"


@dataclass(frozen=True)
class PageRef:
    """A page of a file, `index` counting from 0 of `count`; it is not in memory."""

    path: Path
    index: int
    count: int


def find_pages(inputs: Sequence[Path], leave_out: Path) -> list[PageRef | ShankhaError]:
    """List the pages of files and folders, without decoding one.

    Folders are searched through and through in natural order; hidden files and files of other kinds are passed
    over, and so is `leave_out` (the folder of results). A file met twice is read once.

    Returns:
        Pages in the order of the inputs, with an error in the place of each file that has no readable page.
    """
    found: list[PageRef | ShankhaError] = []
    seen: set[str] = set()
    for given in inputs:
        for item in _files_in(given, leave_out):
            if isinstance(item, Path):
                identity = os.path.realpath(item)
                if identity in seen:
                    continue
                seen.add(identity)
            found.extend(_pages_of(item) if isinstance(item, Path) else [item])
    return found


def _files_in(given: Path, leave_out: Path) -> Iterator[Path | ShankhaError]:
    if not given.is_dir():
        yield given
        return
    failures: list[OSError] = []
    empty = True
    for folder, folders, names in os.walk(given, onerror=failures.append):
        here = Path(folder)
        folders[:] = sorted((name for name in folders if not _is_passed_over(here / name, leave_out)), key=natural_key)
        for name in sorted(names, key=natural_key):
            item = _listed(here / name)
            if item is not None:
                empty = False
                yield item
    for failure in failures:
        empty = False
        yield FileAccessError(
            str(failure.filename), f"cannot be listed ({failure.strerror})", cure="check its permissions"
        )
    if empty:
        yield InputError(given, "holds no page", expected="PNG, JPEG, BMP, WebP, TIFF or PDF files in it")


def _is_passed_over(folder: Path, leave_out: Path) -> bool:
    return folder.name.startswith(".") or (folder / RECORDS).is_dir() or folder.resolve() == leave_out.resolve()


def _listed(path: Path) -> Path | ShankhaError | None:
    """The file where it may hold pages, an error where it is a picture of a kind that cannot be read."""
    suffix = path.suffix.lower()
    if path.name.startswith("."):
        return None
    if suffix in _OTHER_PICTURES:
        return InputError(path, f"is of a kind that cannot be read ({suffix})", cure="convert it to JPEG or PDF")
    return path if suffix in IMAGE_SUFFIXES or suffix == ".pdf" else None


def _pages_of(path: Path) -> Iterable[PageRef | ShankhaError]:
    try:
        count = _pdf_pages(path) if _is_pdf(path) else page_count(path)
    except ShankhaError as error:
        return [error]
    return [PageRef(path, index, count) for index in range(count)]


def load_page(page: PageRef) -> Image:
    """Decode or rasterise the page.

    Returns:
        (H, W) uint8 grey or (H, W, 3) uint8 BGR.

    Raises:
        InputError: The page is damaged, cut short, too large or locked.
        FileAccessError: The file cannot be read.
    """
    if _is_pdf(page.path):
        return _rasterise(page.path, page.index)
    return read_image(page.path, page=page.index)


def _is_pdf(path: Path) -> bool:
    if path.is_dir():
        return False
    try:
        with path.open("rb") as stream:
            return b"%PDF-" in stream.read(1024)
    except OSError as error:
        cure = "check the path and its permissions"
        raise FileAccessError(path, f"cannot be read ({error.strerror})", cure=cure) from error


def _pdf_pages(path: Path) -> int:
    _check_whole(path)
    with _opened(path) as document:
        count = len(document)
    if count == 0:
        raise InputError(path, "is a PDF without pages", cure=_CURE)
    return count


def _check_whole(path: Path) -> None:
    """A reader mends a PDF that was cut short as well as it can, and pages vanish without a word: refuse it."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(1024)
        stream.seek(max(0, size - 4096))
        tail = stream.read()
    promised = re.search(rb"/Linearized.{0,200}?/L\s+(\d+)", head, re.DOTALL)
    if b"%%EOF" not in tail or (promised and int(promised[1]) > size):
        raise InputError(path, "is cut short: the end of the PDF is missing", cure=_CURE)


def _opened(path: Path) -> pypdfium2.PdfDocument:
    try:
        return pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        if error.err_code == pdfium.FPDF_ERR_PASSWORD:
            cure = "save a copy without the password and give that"
            raise InputError(path, "is locked with a password", cure=cure) from error
        raise InputError(path, f"is a damaged PDF ({error})", cure=_CURE) from error


def _rasterise(path: Path, index: int) -> Image:
    with _opened(path) as document:
        try:
            page = document[index]
            _check_pictures(path, page)
            bitmap = page.render(scale=_scale(page.get_size()))
        except pypdfium2.PdfiumError as error:
            raise InputError(path, f"page {index + 1} is damaged ({error})", cure=_CURE) from error
        return np.array(bitmap.to_numpy()[..., :3])


def _scale(size: tuple[float, float]) -> float:
    """Pixels per point: 200 dpi, unless the page is so large or small that its picture would be."""
    longest = max(1.0, *size)
    wanted = longest * PDF_DPI / _POINTS_PER_INCH
    return min(max(wanted, _LONGEST_SIDE[0]), _LONGEST_SIDE[1]) / longest


def _check_pictures(path: Path, page: pypdfium2.PdfPage) -> None:
    """Refuse pictures inside the page that would fill the memory when they are decoded."""
    for item in page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE], max_depth=5):
        width, height = item.get_px_size()
        if width * height > MAX_PIXELS:
            found = f"holds a picture of {width} x {height} pixels"
            expected = f"at most {MAX_PIXELS / 1e6:g} million pixels"
            raise InputError(path, found, expected=expected, cure="scan it again at a lower resolution")
