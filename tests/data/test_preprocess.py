"""The one preprocessing: golden pixels, and what must leave a digit's ink map as it is."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import ValidationError

from data.preprocess import DigitPreprocessing, Image, ink_batch, ink_image, network_input, tight_ink

SPEC = DigitPreprocessing()
CURVES = {
    "two": [(30, 34), (48, 22), (64, 34), (56, 54), (34, 62), (58, 68), (72, 74)],
    "three": [(26, 24), (28, 64), (50, 76), (70, 60), (62, 36), (46, 40), (52, 54)],
    "eight": [(34, 22), (34, 70), (52, 74), (58, 54), (44, 46), (76, 44)],
}
NAMES = sorted(CURVES)


def drawn(name: str, *, side: int = 96, thickness: int = 7, ink: int = 30, paper: int = 235) -> Image:
    """(side, side) grey; the curve is drawn eight times larger and shrunk, so its edges are smooth."""
    scale = 8 * side / 96
    picture = np.full((8 * side, 8 * side), paper, np.uint8)
    points = np.round(np.array(CURVES[name]) * scale).astype(np.int32)
    cv2.polylines(picture, [points], False, ink, round(thickness * scale), cv2.LINE_AA)
    return np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def difference(one: Image, other: Image) -> float:
    """Mean absolute difference in grey levels, the least over shifts by a pixel: a box may fall on either side."""
    frames = [np.roll(other, (dy, dx), (0, 1)).astype(int) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    return float(min(np.abs(one.astype(int) - frame).mean() for frame in frames))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("two", "0a7abecf34e8c171"),
        ("three", "ccd960f6b34741f4"),
        ("eight", "59b718e9c65b42e1"),
    ],
)
def test_golden_pixels(name: str, expected: str) -> None:
    frame = ink_image(drawn(name), SPEC)
    assert hashlib.sha256(frame.tobytes()).hexdigest()[:16] == expected


def test_golden_map_of_a_cross() -> None:
    picture = np.full((24, 24), 240, np.uint8)
    picture[4:20, 10:14] = picture[10:14, 4:20] = 40
    frame = ink_image(picture, DigitPreprocessing(size=12, margin=2))
    row, bar = [0] * 5 + [255] * 2 + [0] * 5, [0] * 2 + [255] * 8 + [0] * 2
    assert frame.tolist() == [[0] * 12] * 2 + [row] * 3 + [bar] * 2 + [row] * 3 + [[0] * 12] * 2


@given(
    st.sampled_from(NAMES), st.integers(3, 12), st.integers(0, 90), st.integers(180, 255), st.sampled_from([32, 64, 96])
)
def test_the_ink_may_be_dark_or_light(name: str, thickness: int, ink: int, paper: int, side: int) -> None:
    picture = drawn(name, side=side, thickness=thickness, ink=ink, paper=paper)
    assert np.array_equal(ink_image(picture, SPEC), ink_image(255 - picture, SPEC))
    assert np.array_equal(ink_image(picture, SPEC), ink_image(picture, SPEC, "dark"))


@pytest.mark.parametrize("factor", range(1, 9))
@pytest.mark.parametrize("name", NAMES)
def test_the_scale_does_not_matter(name: str, factor: int) -> None:
    picture = drawn(name, side=48)
    larger = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
    assert difference(ink_image(picture, SPEC), ink_image(np.asarray(larger, np.uint8), SPEC)) < 10


@given(st.sampled_from(NAMES), st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
def test_the_margin_does_not_matter(name: str, top: int, bottom: int, left: int, right: int) -> None:
    wider = cv2.copyMakeBorder(drawn(name), top, bottom, left, right, cv2.BORDER_CONSTANT, value=235)
    assert (
        difference(ink_image(drawn(name), SPEC), ink_image(np.asarray(wider, np.uint8), SPEC)) < 18
    )  # beyond 96 pixels the box shifts by parts of a pixel


@pytest.mark.parametrize("name", NAMES)
def test_a_small_digit_in_a_large_picture_keeps_its_detail(name: str) -> None:
    wide = np.full((1500, 1100), 235, np.uint8)
    wide[900:996, 300:396] = drawn(name)
    assert difference(ink_image(drawn(name), SPEC), ink_image(wide, SPEC)) < 12


@given(st.sampled_from(NAMES), st.floats(0, 2 * np.pi), st.floats(0, 0.5))
def test_the_slope_of_the_light_does_not_matter(name: str, angle: float, strength: float) -> None:
    y, x = np.mgrid[0:96, 0:96] / 96 - 0.5
    light = 1 - strength * np.clip(np.cos(angle) * x + np.sin(angle) * y + 0.5, 0, 1)
    shaded = (drawn(name) * light).astype(np.uint8)
    assert difference(ink_image(drawn(name), SPEC), ink_image(shaded, SPEC)) < 12


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("part", [np.s_[:, :40], np.s_[:, 55:], np.s_[:45], np.s_[60:]])
@pytest.mark.parametrize("strength", [0.3, 0.5])
def test_a_shadow_with_a_sharp_edge_is_no_ink(name: str, part: tuple[slice, ...], strength: float) -> None:
    light = np.ones((96, 96))
    light[part] = 1 - strength
    light = cv2.GaussianBlur(light, (0, 0), 1.0)
    frame = ink_image((drawn(name) * light).astype(np.uint8), SPEC)
    assert difference(ink_image(drawn(name), SPEC), frame) < 20


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("level", [90, 150, 200])
@pytest.mark.parametrize(("row", "column"), [(12, None), (None, 86), (8, 88), (80, None)])
def test_lines_across_the_paper_are_no_ink(name: str, level: int, row: int | None, column: int | None) -> None:
    picture = drawn(name)
    if row is not None:
        picture[row : row + 2] = np.minimum(picture[row : row + 2], level)
    if column is not None:
        picture[:, column : column + 2] = np.minimum(picture[:, column : column + 2], level)
    assert difference(ink_image(drawn(name), SPEC), ink_image(picture, SPEC)) < 10


def test_a_straight_stroke_along_a_tight_crop_is_ink() -> None:
    picture = np.full((60, 60), 230, np.uint8)
    points = np.array([(3, 10), (30, 2), (56, 20), (2, 57), (57, 57)], np.int32)
    cv2.polylines(picture, [points], False, 30, 5)
    frame = ink_image(picture, SPEC)
    assert frame[27:29, 4:28].min() > 200


@pytest.mark.parametrize("bgr", [(170, 60, 30), (40, 40, 210), (60, 130, 40), (190, 120, 230), (90, 190, 250)])
@pytest.mark.parametrize("name", NAMES)
def test_coloured_ink_is_ink(name: str, bgr: tuple[int, int, int]) -> None:
    cover = (235.0 - drawn(name)) / 205
    picture = 245 + (np.array(bgr) - 245) * cover[..., None]
    frame = ink_image(np.round(picture).astype(np.uint8), SPEC)
    assert difference(ink_image(drawn(name), SPEC), frame) < 5


def test_three_equal_channels_are_grey() -> None:
    grey = drawn("three")
    assert np.array_equal(ink_image(cv2.merge([grey] * 3), SPEC), ink_image(grey, SPEC))


@given(st.integers(0, 2**32 - 1), st.floats(0, 2.5), st.integers(12, 120), st.integers(20, 235))
def test_blank_paper_has_no_ink(seed: int, noise: float, side: int, level: int) -> None:
    paper = np.random.default_rng(seed).normal(level, noise, (side, side))
    picture = np.clip(np.round(paper), 0, 255).astype(np.uint8)
    assert tight_ink(picture, SPEC) is None
    assert not ink_image(picture, SPEC).any()


@settings(max_examples=200)
@given(
    hnp.arrays(
        np.uint8,
        st.one_of(
            st.tuples(st.integers(1, 60), st.integers(1, 60)),
            st.tuples(st.integers(1, 60), st.integers(1, 60), st.just(3)),
        ),
    ),
    st.sampled_from(["auto", "dark", "light"]),
)
def test_every_picture_gives_a_frame(picture: Image, polarity: str) -> None:
    frame = ink_image(picture, SPEC, polarity)  # type: ignore[arg-type]
    assert frame.shape == (32, 32)
    assert frame.dtype == np.uint8


@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (400, 1), (2, 3000), (3000, 2), (1, 1, 3), (1, 500, 3)])
def test_slivers_give_a_frame(shape: tuple[int, ...]) -> None:
    picture = np.random.default_rng(3).integers(0, 256, shape).astype(np.uint8)
    assert ink_image(picture, SPEC).shape == (32, 32)


@given(st.sampled_from(NAMES), st.integers(8, 64), st.integers(0, 3), st.floats(0, 1))
def test_the_ink_fills_the_frame_up_to_the_margin(name: str, size: int, margin: int, squareness: float) -> None:
    spec = DigitPreprocessing(size=size, margin=margin, squareness=squareness)
    frame = ink_image(drawn(name), spec)
    inner = frame[margin : size - margin, margin : size - margin]
    assert frame.sum() == inner.sum()
    assert inner[0].any() or inner[:, 0].any()


def test_the_input_is_not_changed() -> None:
    picture = drawn("two")
    before = picture.copy()
    ink_batch([picture], SPEC)
    assert np.array_equal(picture, before)


def test_a_batch_is_its_pictures() -> None:
    pictures = [drawn(name, side=side) for name, side in zip(NAMES, (32, 64, 96), strict=True)]
    frames = ink_batch(pictures, SPEC)
    assert all(np.array_equal(frame, ink_image(each, SPEC)) for frame, each in zip(frames, pictures, strict=True))
    assert ink_batch([], SPEC).shape == (0, 32, 32)


@given(hnp.arrays(np.uint8, st.tuples(st.integers(0, 4), st.just(32), st.just(32))))
def test_the_network_sees_normalised_ink(frames: Image) -> None:
    seen = network_input(frames, SPEC)
    assert seen.shape == (len(frames), 1, 32, 32)
    assert seen.dtype == np.float32
    assume(len(frames))
    assert np.allclose(seen[:, 0] * SPEC.std + SPEC.mean, frames / 255, atol=1e-6)


@pytest.mark.parametrize(
    "fields", [{"colour": 1}, {"size": 4}, {"std": 0}, {"squareness": 1.5}, {"margin": -1}, {"working_side": 8}]
)
def test_wrong_numbers_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        DigitPreprocessing.model_validate(fields)


def test_real_digits_keep_their_polarity_when_cropped_tightly(shankha_data) -> None:
    pictures = np.load(shankha_data / "digits" / "numtadb" / "training-abc.npz")["x"][::150]
    wrong = 0
    for picture in pictures:
        x, y, width, height = cv2.boundingRect((picture > 60).astype(np.uint8))
        tight = np.ascontiguousarray(picture[y : y + height, x : x + width])
        wrong += not np.array_equal(ink_image(tight, SPEC, "auto"), ink_image(tight, SPEC, "light"))
    assert wrong <= 0.01 * len(pictures)


@pytest.mark.parametrize("density", [0.02, 0.1, 0.3])
def test_a_picture_of_nothing_but_specks_is_read(density: float) -> None:
    rng = np.random.default_rng(4)
    for side in (24, 64):
        specks = np.where(rng.random((side, side)) < density, 20, 240).astype(np.uint8)
        assert ink_image(specks, SPEC, "dark").shape == (32, 32)
