"""The one place that decodes image files: bounded, upright, eight bits, and never half a picture."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path
from typing import BinaryIO, Final

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError

from data.errors import FileAccessError, InputError
from data.preprocess import Image

MAX_PIXELS: Final = 80_000_000
"""Default bound on the pixels of one picture: an A3 sheet at 600 dpi has 70 million."""
IMAGE_SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})

_FORMATS: Final = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
_KINDS: Final = "a PNG, JPEG, BMP, TIFF or WebP picture"
_MOSTLY_OPEN: Final = 0.5
_MID_GREY: Final = 128
_ORIENTATION: Final = 0x0112
_QUARTER_TURNS: Final = frozenset({5, 6, 7, 8})
_ORIENTED: Final = frozenset({"exif", "Raw profile type exif", "xmp"})
"""Where a picture's orientation may stand."""
# What Pillow's parsers raise on damaged files, beyond OSError.
_DAMAGE: Final = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    EOFError,
    AttributeError,
    MemoryError,
    struct.error,
    zlib.error,
)

# Damage is an error of ours, and so is a picture too large by the caller's own bound: Pillow need not warn of either.
warnings.filterwarnings("ignore", module=r"PIL\.")


def read_image(path: Path, *, page: int | None = None, max_pixels: int = MAX_PIXELS) -> Image:
    """Decode one picture, turned as its EXIF orientation says.

    Sixteen bits become eight, palettes and CMYK become colour, and transparent ground becomes white paper - or
    black, where a light drawing stands on nothing and would drown in white.

    Args:
        path: A PNG, JPEG, BMP, TIFF or WebP file, whatever its suffix says.
        page: Index of the picture in a file that holds several (multi-page TIFF); None insists on a single one.
        max_pixels: Greatest width times height; a file whose header says more is refused before it is decoded.

    Returns:
        (H, W) uint8 where the file is grey, else (H, W, 3) uint8 BGR.

    Raises:
        InputError: The file is empty, damaged, cut short, too large, animated or no such picture.
        FileAccessError: The file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return _decode(stream, path, page, max_pixels)
    except OSError as error:
        raise _unreadable(path, error) from error


def image_size(path: Path, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Width and height that `read_image` would give, from the header alone; errors as there."""
    try:
        with path.open("rb") as stream, _opened(stream, path) as picture:
            _choose_page(picture, path, None)
            _check_size(picture, path, max_pixels)
            width, height = picture.size
            return (height, width) if _lies_on_its_side(picture, path) else (width, height)
    except OSError as error:
        raise _unreadable(path, error) from error


def _lies_on_its_side(picture: Pillow.Image, path: Path) -> bool:
    if picture.format == "TIFF" or (picture.format == "PNG" and not _ORIENTED.intersection(picture.info)):
        return False  # Pillow turns TIFF pictures when it opens them; asking a PNG picture decodes all of it
    try:
        return picture.getexif().get(_ORIENTATION, 1) in _QUARTER_TURNS
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def page_count(path: Path) -> int:
    """Number of pictures in the file; errors as in `read_image`."""
    try:
        with path.open("rb") as stream, _opened(stream, path) as picture:
            return _frames(picture, path)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> FileAccessError:
    found = f"cannot be read ({error.strerror or error})"
    return FileAccessError(path, found, cure="check the path and its permissions")


def _decode(stream: BinaryIO, path: Path, page: int | None, max_pixels: int) -> Image:
    with _opened(stream, path) as picture:
        _choose_page(picture, path, page)
        _check_size(picture, path, max_pixels)
        if picture.format in {"JPEG", "MPO"} and picture.mode in {"L", "RGB"}:
            return _decode_jpeg(stream, path, grey=picture.mode == "L")
        try:
            picture.load()
            return _pixels(ImageOps.exif_transpose(picture))
        except _DAMAGE as error:
            raise _damaged(path, error) from error


def _opened(stream: BinaryIO, path: Path) -> Pillow.Image:
    if not stream.read(1):
        raise InputError(path, "is empty", expected=_KINDS, cure="copy or scan the file again")
    stream.seek(0)
    try:
        return Pillow.open(stream, formats=_FORMATS)
    except Pillow.DecompressionBombError as error:
        raise InputError(path, "is far too large to decode", cure="scan it again at a lower resolution") from error
    except UnidentifiedImageError as error:
        cure = "leave it out, or convert it"
        raise InputError(path, "is no picture, or its header is damaged", expected=_KINDS, cure=cure) from error
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: BaseException) -> InputError:
    return InputError(path, f"is damaged or cut short ({error})", cure="copy or scan the file again")


def _frames(picture: Pillow.Image, path: Path) -> int:
    if picture.format == "MPO":  # the further pictures are previews of the first
        return 1
    try:
        return int(getattr(picture, "n_frames", 1))
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def _choose_page(picture: Pillow.Image, path: Path, page: int | None) -> None:
    count = _frames(picture, path)
    if page is None and count > 1:
        raise InputError(path, f"holds {count} pictures", expected="one", cure="split the file into single pictures")
    if page is not None and not 0 <= page < count:
        raise InputError(path, f"has no page {page + 1}", expected=f"a page from 1 to {count}")
    if page:
        try:
            picture.seek(page)
        except _DAMAGE as error:
            raise _damaged(path, error) from error


def _check_size(picture: Pillow.Image, path: Path, max_pixels: int) -> None:
    width, height = picture.size
    if width * height > max_pixels:
        found = f"is too large: {width} x {height} pixels"
        expected = f"at most {max_pixels / 1e6:g} million pixels"
        raise InputError(path, found, expected=expected, cure="scan it again at a lower resolution")


def _decode_jpeg(stream: BinaryIO, path: Path, *, grey: bool) -> Image:
    """OpenCV decodes JPEG two and a half times as fast as Pillow, to the same pixels, and turns it upright too."""
    stream.seek(0)
    content = stream.read()
    # The end mark of an embedded preview comes before the picture's own start of scan.
    whole = content.rfind(b"\xff\xd9") > content.rfind(b"\xff\xda")
    flag = cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flag) if whole else None
    if pixels is None:
        raise InputError(path, "is damaged or cut short", cure="copy or scan the file again")
    return np.asarray(pixels, np.uint8)


def _pixels(picture: Pillow.Image) -> Image:
    """Eight-bit grey or BGR pixels of a decoded Pillow picture of any mode."""
    if picture.has_transparency_data:
        return _on_paper(picture)
    if picture.mode in {"1", "L"}:
        return np.array(picture.convert("L"))
    if picture.mode.startswith(("I", "F")):
        return _eight_bits(np.asarray(picture))
    return _bgr(picture)


def _bgr(picture: Pillow.Image) -> Image:
    return np.ascontiguousarray(np.asarray(picture.convert("RGB"), np.uint8)[..., ::-1])


def _eight_bits(deep: np.ndarray) -> Image:
    if deep.dtype.kind == "f" or deep.min() < 0 or deep.max() > 65535:
        raise ValueError("its pixels are neither 8 nor 16 bits deep")
    return np.round(deep / 257.0).astype(np.uint8)


def _on_paper(picture: Pillow.Image) -> Image:
    rgba = np.asarray(picture.convert("RGBA"), np.uint8)
    alpha = rgba[..., 3]
    if alpha.min() == 255:
        colour: Image = np.ascontiguousarray(rgba[..., 2::-1])
    else:
        weight = alpha[..., None].astype(np.float32) / 255.0
        ground = 0.0 if _light_on_nothing(rgba) else 255.0
        blended = rgba[..., 2::-1] * weight + ground * (1.0 - weight)
        colour = np.ascontiguousarray(np.round(blended).astype(np.uint8))
    return colour[..., 0].copy() if picture.mode in {"L", "LA", "La"} else colour


def _light_on_nothing(rgba: Image) -> bool:
    """Whether the picture is a light drawing on a mostly transparent ground."""
    visible = rgba[..., 3] > 127
    if not visible.any() or visible.mean() > _MOSTLY_OPEN:
        return False
    luma = rgba[visible][:, :3] @ np.array([0.299, 0.587, 0.114])
    return bool(np.percentile(luma, 1) > _MID_GREY)
