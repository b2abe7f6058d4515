"""Pictures for people: text on them in the scripts that the shipped fonts have, and JPEG files of them."""

from __future__ import annotations

import itertools
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from data.files import write_bytes
from data.preprocess import Image

_FONTS: Final = Path(__file__).parent / "fonts"
BENGALI_FONT: Final = _FONTS / "NotoSansBengali-Bold.ttf"
LATIN_FONT: Final = _FONTS / "NotoSans-Bold.ttf"
_BENGALI: Final = range(0x0980, 0x0A00)
_QUALITY: Final = 85


@cache
def letters(text: str, height: int, font: Path) -> Image:
    """(h, w) uint8 coverage of the text, cropped to its letters; `height` is the font's size in pixels."""
    face = ImageFont.truetype(str(font), height)
    left, top, right, bottom = face.getbbox(text)
    canvas = Pillow.new("L", (max(1, int(right - left)), max(1, int(bottom - top))), 0)
    ImageDraw.Draw(canvas).text((-left, -top), text, fill=255, font=face)
    return np.asarray(canvas, np.uint8)


@lru_cache(4096)
def line_of_text(text: str, height: int) -> Image:
    """(h, w) uint8 coverage of one line of Latin and Bengali text, of the same h for every text; signs that cannot be
    printed become question marks. `height` is the font's size in pixels."""
    shown = "".join(sign if sign.isprintable() else "?" for sign in text)
    faces = {bengali: ImageFont.truetype(str(BENGALI_FONT if bengali else LATIN_FONT), height) for bengali in (0, 1)}
    runs = [(kind, "".join(run)) for kind, run in itertools.groupby(shown, lambda sign: int(ord(sign) in _BENGALI))]
    width = sum(faces[kind].getlength(run) for kind, run in runs)
    canvas = Pillow.new("L", (max(1, round(width)), round(height * 1.3)), 0)
    pen, x = ImageDraw.Draw(canvas), 0.0
    for kind, run in runs:
        pen.text((x, height), run, fill=255, font=faces[kind], anchor="ls")
        x += faces[kind].getlength(run)
    return np.asarray(canvas, np.uint8)


def write_png(path: Path, picture: Image) -> None:
    """Write the picture without any loss, whole or not at all."""
    _, packed = cv2.imencode(".png", picture)
    write_bytes(path, packed.tobytes())


def write_jpeg(path: Path, picture: Image, quality: int = _QUALITY) -> None:
    """Write the picture, whole or not at all."""
    _, packed = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    write_bytes(path, packed.tobytes())
