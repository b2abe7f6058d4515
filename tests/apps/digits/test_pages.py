"""What is found in files and folders, and what is said of those that hold no page."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pypdfium2
import pytest
from fpdf import FPDF
from PIL import Image as Pillow

from apps.digits.pages import RECORDS, PageRef, find_pages, load_page
from data.errors import FileAccessError, InputError, ShankhaError
from data.files import natural_key

SIDE = 60
LOCK = {"owner_password": "owner"}


def picture(path: Path, level: int = 200) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.new("RGB", (SIDE, SIDE + 20), (level, level, level)).save(path)
    return path


def pdf(path: Path, pages: int = 3, size=(210, 297), picture: Path | None = None, **options) -> Path:
    document = FPDF(unit="mm", format=size)
    if options:
        document.set_encryption(**options)
    for number in range(pages):
        document.add_page()
        if picture is None:
            document.rect(10 + 10 * number, 10, 50, 50, "F")
        else:
            document.image(picture, 0, 0, 100)
    document.output(str(path))
    return path


def bomb(path: Path) -> Path:
    """A PNG of 20,000 x 20,000 pixels in a few hundred bytes."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", 20000, 20000, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(5000))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def listed(*inputs: Path, leave_out: Path = Path("nowhere")) -> list[str]:
    found = find_pages(inputs, leave_out)
    return [f"{item.path.name}:{item.index}" if isinstance(item, PageRef) else type(item).__name__ for item in found]


def fault(path: Path) -> ShankhaError:
    """The one error that the file gives, listed or read."""
    (item,) = find_pages([path], Path("nowhere"))
    if isinstance(item, ShankhaError):
        return item
    with pytest.raises(ShankhaError) as caught:
        load_page(item)
    return caught.value


def test_folders_are_searched_in_natural_order(tmp_path):
    for name in ("p10.png", "p2.png", "a/p1.jpg", "P3.PNG", ".hidden.png", "notes.txt", ".git/p.png", "b/c/x.webp"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".txt"):
            (tmp_path / name).write_text("no page")
        else:
            Pillow.new("L", (9, 9)).save(tmp_path / name)
    assert listed(tmp_path) == ["p2.png:0", "P3.PNG:0", "p10.png:0", "p1.jpg:0", "x.webp:0"]


@pytest.mark.parametrize(
    ("names", "in_order"),
    [
        (["10", "9", "1"], ["1", "9", "10"]),
        (["b1", "a10", "a2"], ["a2", "a10", "b1"]),
        (["পাতা১০.jpg", "পাতা২.jpg"], ["পাতা২.jpg", "পাতা১০.jpg"]),
        (["1a", "a1", "01a"], ["01a", "1a", "a1"]),
        (["²", "x"], ["x", "²"]),
    ],
)
def test_natural_key(names, in_order):
    assert sorted(names, key=natural_key) == in_order


def test_a_file_given_twice_is_read_once(tmp_path):
    file = picture(tmp_path / "in/p.png")
    (tmp_path / "link.png").symlink_to(file)
    assert listed(file, tmp_path / "in", tmp_path / "in/../in/p.png", tmp_path / "link.png") == ["p.png:0"]


def test_results_are_never_input(tmp_path):
    picture(tmp_path / "p.png")
    picture(tmp_path / "out/pages/p.jpg")
    picture(tmp_path / "earlier/pages/p.jpg")
    (tmp_path / "earlier" / RECORDS).mkdir()
    assert listed(tmp_path, leave_out=tmp_path / "out") == ["p.png:0"]


def test_pictures_that_cannot_be_read_are_not_passed_over(tmp_path):
    (tmp_path / "IMG_0001.HEIC").write_bytes(b"x")
    (error,) = find_pages([tmp_path], Path("nowhere"))
    assert "convert it to JPEG" in str(error).replace("Convert", "convert")


def test_pages_of_a_tiff(tmp_path):
    frames = [Pillow.new("L", (SIDE, SIDE), level) for level in (10, 120, 230)]
    frames[0].save(tmp_path / "many.tif", save_all=True, append_images=frames[1:])
    found = find_pages([tmp_path / "many.tif"], Path("nowhere"))
    assert [(item.index, item.count) for item in found] == [(0, 3), (1, 3), (2, 3)]
    assert [int(load_page(item).mean()) for item in found] == [10, 120, 230]


def test_pages_of_a_pdf_are_rasterised_at_200_dpi(tmp_path):
    found = find_pages([pdf(tmp_path / "three.pdf")], Path("nowhere"))
    pages = [load_page(item) for item in found]
    assert [page.shape for page in pages] == [(2339, 1654, 3)] * 3
    left = [int(np.flatnonzero(page[:, :, 0].min(0) < 128)[0]) for page in pages]
    assert left == pytest.approx([79, 157, 236], abs=2)


@pytest.mark.parametrize("size", [(3000, 4000), (40, 60), (14000, 100)])
def test_the_size_of_a_pdf_page_is_bounded(tmp_path, size):
    (item,) = find_pages([pdf(tmp_path / "odd.pdf", 1, size)], Path("nowhere"))
    page = load_page(item)
    assert 1590 <= max(page.shape[:2]) <= 5001


@pytest.mark.parametrize("share", [0.3, 0.7, 0.98])
def test_truncated_pdf(tmp_path, share):
    content = pdf(tmp_path / "whole.pdf").read_bytes()
    (tmp_path / "cut.pdf").write_bytes(content[: int(len(content) * share)])
    error = fault(tmp_path / "cut.pdf")
    assert isinstance(error, InputError)
    assert "cut short" in str(error)


def test_linearized_pdf_that_was_cut_short(tmp_path):
    # Such a file has an end mark near its beginning too.
    head = b"%PDF-1.5\n1 0 obj\n<< /Linearized 1 /L 900000 /H [ 1 2 ] >>\nendobj\n%%EOF\n"
    (tmp_path / "cut.pdf").write_bytes(head + b"x" * 500)
    assert "cut short" in str(fault(tmp_path / "cut.pdf"))


def test_locked_pdf(tmp_path):
    error = fault(pdf(tmp_path / "locked.pdf", **LOCK, user_password="reader"))  # noqa: S106
    assert "locked with a password" in str(error)
    assert "without the password" in str(error)


def test_pdf_that_only_its_owner_may_change_is_read(tmp_path):
    (item,) = find_pages([pdf(tmp_path / "open.pdf", 1, **LOCK)], Path("nowhere"))
    assert load_page(item).min() == 0


def test_damaged_pdf(tmp_path):
    (tmp_path / "bad.pdf").write_bytes(b"%PDF-1.7\nnothing of use\n%%EOF\n")
    assert "damaged PDF" in str(fault(tmp_path / "bad.pdf"))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_pdf_with_a_giant_picture(tmp_path):
    Pillow.new("1", (12000, 12000)).save(tmp_path / "giant.png")
    error = fault(pdf(tmp_path / "giant.pdf", 1, picture=tmp_path / "giant.png"))
    assert "12000 x 12000 pixels" in str(error)


def test_bomb(tmp_path):
    error = fault(bomb(tmp_path / "bomb.png"))
    assert "too large" in str(error)
    assert "lower resolution" in str(error)


@pytest.mark.parametrize("name", ["p.jpg", "p.png", "p.tif", "p.webp"])
def test_pictures_cut_short(tmp_path, name):
    rng = np.random.default_rng(0)
    whole = Pillow.fromarray(rng.integers(0, 255, (200, 200, 3), np.uint8))
    whole.save(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    assert "damaged or cut short" in str(fault(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("text.jpg", b"Dear Sir or Madam, please find enclosed", "is no picture"),
        ("empty.png", b"", "is empty"),
        ("empty.pdf", b"", "is empty"),
        ("letter.docx", b"PK\x03\x04 and so on", "is no picture"),
    ],
)
def test_files_that_hold_no_page(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    error = fault(tmp_path / name)
    assert said in str(error)
    assert str(tmp_path / name) in str(error)


def test_files_that_cannot_be_opened(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/gone.png").symlink_to(tmp_path / "nothing.png")
    assert isinstance(fault(tmp_path / "in/gone.png"), FileAccessError)
    assert listed(tmp_path / "in", tmp_path / "nowhere.pdf") == ["FileAccessError", "FileAccessError"]


def test_folder_without_pages(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    (error,) = find_pages([tmp_path], Path("nowhere"))
    assert "holds no page" in str(error)


def test_a_folder_named_like_a_picture(tmp_path):
    picture(tmp_path / "odd.jpg/p.png")
    assert listed(tmp_path) == ["p.png:0"]


def test_listing_decodes_nothing(tmp_path, monkeypatch):
    picture(tmp_path / "a.png")
    pdf(tmp_path / "b.pdf")
    monkeypatch.setattr(cv2, "imdecode", None)
    monkeypatch.setattr(Pillow.Image, "load", None)
    monkeypatch.setattr(pypdfium2.PdfPage, "render", None)
    assert len(listed(tmp_path)) == 4


def test_unlistable_folder(tmp_path, monkeypatch):
    def refuse(_):
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr(os, "scandir", refuse)
    (error,) = find_pages([tmp_path], Path("nowhere"))
    assert isinstance(error, FileAccessError)
    assert "Permission denied" in str(error)
