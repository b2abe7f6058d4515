from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from data.errors import FileAccessError, InputError
from data.images import image_size, page_count, read_image

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")


def colour_picture(height: int = 40, width: int = 60) -> np.ndarray:
    """BGR: red left, blue right, a white bar at the top."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, : width // 2] = (0, 0, 255)
    picture[:, width // 2 :] = (255, 0, 0)
    picture[:8] = 255
    return picture


def saved(path: Path, picture: Pillow.Image, **options: object) -> Path:
    picture.save(path, **options)
    return path


def as_pillow(bgr: np.ndarray) -> Pillow.Image:
    return Pillow.fromarray(np.ascontiguousarray(bgr[..., ::-1]))


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp", "jpg"])
def test_colour_is_bgr_in_every_format(tmp_path: Path, suffix: str) -> None:
    options = {"lossless": True} if suffix == "webp" else {"quality": 95, "subsampling": 0} if suffix == "jpg" else {}
    path = saved(tmp_path / f"a.{suffix}", as_pillow(colour_picture()), **options)
    read = read_image(path)
    assert read.dtype == np.uint8
    assert read.shape == (40, 60, 3)
    assert np.abs(read.astype(int) - colour_picture()).mean() < (2 if suffix == "jpg" else 0.001)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "jpg"])
def test_grey_stays_grey(tmp_path: Path, suffix: str) -> None:
    grey = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (20, 1))
    read = read_image(saved(tmp_path / f"a.{suffix}", Pillow.fromarray(grey)))
    assert read.shape == grey.shape
    assert np.abs(read.astype(int) - grey).max() <= (6 if suffix == "jpg" else 0)


def test_jpeg_is_decoded_as_pillow_decodes_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    noise = cv2.GaussianBlur(rng.integers(0, 256, (120, 90, 3), dtype=np.uint8), (0, 0), 2)
    path = saved(tmp_path / "a.jpg", as_pillow(noise), quality=80)
    with Pillow.open(path) as picture:
        expected = np.asarray(picture.convert("RGB"))[..., ::-1]
    assert np.abs(read_image(path).astype(int) - expected).max() <= 2


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize(("orientation", "turn"), [(3, 2), (6, 3), (8, 1)])
def test_exif_orientation_is_undone(tmp_path: Path, suffix: str, orientation: int, turn: int) -> None:
    stored = as_pillow(colour_picture())
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if suffix == "webp" else {"quality": 95} if suffix == "jpg" else {}
    read = read_image(saved(tmp_path / f"a.{suffix}", stored, exif=exif, **options))
    expected = np.rot90(colour_picture(), turn)
    assert read.shape == expected.shape
    assert np.abs(read.astype(int) - expected).mean() < 6


def test_grey_jpeg_is_turned_too(tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    grey = np.full((10, 30), 200, np.uint8)
    assert read_image(saved(tmp_path / "a.jpg", Pillow.fromarray(grey), exif=exif)).shape == (30, 10)


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    deep = np.array([[0, 257, 65535, 32896]], np.uint16)
    for suffix in ("png", "tif"):
        path = tmp_path / f"a.{suffix}"
        assert cv2.imwrite(str(path), deep)
        assert read_image(path).tolist() == [[0, 1, 255, 128]]


def test_pixels_of_unknown_range_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tif", Pillow.fromarray(np.ones((4, 4), np.float32)))
    with pytest.raises(InputError, match="neither 8 nor 16 bits"):
        read_image(path)


def test_one_bit_and_palette(tmp_path: Path) -> None:
    mask = np.zeros((9, 9), bool)
    mask[3:6] = True
    assert read_image(saved(tmp_path / "a.tif", Pillow.fromarray(mask), compression="group4")).tolist() == (
        np.where(mask, 255, 0).tolist()
    )
    palette = as_pillow(colour_picture()).quantize(4)
    assert np.array_equal(read_image(saved(tmp_path / "a.png", palette)), colour_picture())


def test_cmyk_jpeg(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", as_pillow(colour_picture()).convert("CMYK"), quality=95)
    assert np.abs(read_image(path).astype(int) - colour_picture()).mean() < 6


def drawing(ink: int, ground_alpha: int = 0) -> Pillow.Image:
    """A bar of ink on a transparent ground, whose hidden colour is the ink's own."""
    rgba = np.full((30, 30, 4), ink, np.uint8)
    rgba[..., 3] = ground_alpha
    rgba[5:25, 13:17, 3] = 255
    return Pillow.fromarray(rgba)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
@pytest.mark.parametrize(("ink", "ground"), [(0, 255), (60, 255), (255, 0), (200, 0)])
def test_a_drawing_on_nothing_keeps_its_contrast(tmp_path: Path, mode: str, ink: int, ground: int) -> None:
    picture = drawing(ink)
    if mode == "LA":
        picture = picture.convert("LA")
    if mode == "PA":
        picture = picture.quantize(4)
    read = read_image(saved(tmp_path / "a.png", picture))
    grey = read if read.ndim == 2 else read[..., 0]
    assert (read.ndim == 2) == (mode == "LA")
    assert grey[10, 15] == ink
    assert grey[0, 0] == ground


def test_a_page_with_open_corners_lies_on_white(tmp_path: Path) -> None:
    rgba = np.full((40, 40, 4), 250, np.uint8)
    rgba[:6, :6, 3] = 0
    read = read_image(saved(tmp_path / "a.png", Pillow.fromarray(rgba)))
    assert read[0, 0].tolist() == [255, 255, 255]


def test_half_transparent_ink_is_mixed(tmp_path: Path) -> None:
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[..., 3] = 51
    assert read_image(saved(tmp_path / "a.png", Pillow.fromarray(rgba)))[0, 0].tolist() == [204, 204, 204]


def content(kind: str) -> bytes:
    stream = io.BytesIO()
    rng = np.random.default_rng(1)
    Pillow.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
@settings(max_examples=25, deadline=None)
@given(share=st.floats(0.0, 0.97))
def test_a_picture_cut_short_is_never_read(kind: str, share: float, tmp_path_factory: pytest.TempPathFactory) -> None:
    whole = content(kind)
    path = tmp_path_factory.mktemp("cut") / "a.jpg"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(InputError) as caught:
        read_image(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_damage_gives_a_picture_or_an_input_error(
    kind: str, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng = np.random.default_rng(seed)
    damaged = bytearray(content(kind))
    for place in rng.integers(0, min(len(damaged), 400), 6):
        damaged[place] = rng.integers(0, 256)
    path = tmp_path_factory.mktemp("damaged") / "a.png"
    path.write_bytes(damaged)
    try:
        outcome = str(read_image(path).dtype)
    except InputError as error:
        outcome = error.where
    assert outcome in {"uint8", str(path)}


def test_a_jpeg_whose_preview_is_whole_but_itself_is_not(tmp_path: Path) -> None:
    preview = content("JPEG")
    whole = content("JPEG")
    # An APP1 segment that carries the preview, as cameras write it.
    cut = whole[:2] + b"\xff\xe1" + (len(preview) + 2).to_bytes(2, "big") + preview + whole[2 : len(whole) // 2]
    path = tmp_path / "a.jpg"
    path.write_bytes(cut)
    with pytest.raises(InputError, match="cut short"):
        read_image(path)


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.jpg", b"", "is empty"),
        ("a.jpg", b"Dear clerk, this is a letter.\n" * 40, "no picture"),
        ("a.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 60, "no picture|damaged"),
    ],
)
def test_what_is_no_picture(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=says) as caught:
        read_image(tmp_path / name)
    assert caught.value.exit_code == 2


def test_a_missing_file_is_an_access_error(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="cannot be read"):
        read_image(tmp_path / "none.png")


def test_a_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    Pillow.new("1", (20_000, 20_000)).save(path)
    with pytest.raises(InputError, match="too large"):
        read_image(path)


def test_the_callers_bound_holds(tmp_path: Path) -> None:
    for suffix in ("png", "jpg"):
        path = saved(tmp_path / f"a.{suffix}", as_pillow(colour_picture(40, 60)))
        assert read_image(path, max_pixels=2400).shape == (40, 60, 3)
        with pytest.raises(InputError, match="60 x 40 pixels"):
            read_image(path, max_pixels=2399)


def test_pages_of_a_tiff(tmp_path: Path) -> None:
    pages = [Pillow.new("L", (10 + number, 5), 50 * number) for number in range(3)]
    path = tmp_path / "a.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    assert page_count(path) == 3
    assert [read_image(path, page=number).shape for number in range(3)] == [(5, 10), (5, 11), (5, 12)]
    assert read_image(path, page=2)[0, 0] == 100
    with pytest.raises(InputError, match="holds 3 pictures"):
        read_image(path)
    with pytest.raises(InputError, match="no page 4"):
        read_image(path, page=3)


def test_an_animation_is_not_one_picture(tmp_path: Path) -> None:
    frames = [Pillow.new("RGB", (8, 8), (number, 0, 0)) for number in (10, 200)]
    path = tmp_path / "a.webp"
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
    with pytest.raises(InputError, match="holds 2 pictures"):
        read_image(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tiff", "webp", "bmp"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_size_by_the_header_is_that_of_the_picture(tmp_path: Path, suffix: str, orientation: int) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / f"a.{suffix}", Pillow.new("RGB", (30, 10)), **({"exif": exif} if suffix != "bmp" else {}))
    height, width = read_image(path).shape[:2]
    assert image_size(path) == (width, height)


def test_the_size_of_what_is_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with pytest.raises(FileAccessError, match="cannot be read"):
        image_size(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="is empty"):
        image_size(path)
    saved(path, Pillow.new("L", (30, 10)))
    with pytest.raises(InputError, match="too large: 30 x 10"):
        image_size(path, max_pixels=299)
    path.write_bytes(path.read_bytes()[:50])
    assert image_size(path) == (30, 10)
