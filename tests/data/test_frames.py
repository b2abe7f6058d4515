from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from data.frames import FramePreprocessing, fit_frame, frames_input, place_frame

sides = st.integers(1, 900)
network_sides = st.sampled_from([32, 64, 96, 160, 256])
specs = st.builds(lambda w, h: FramePreprocessing(size_wh=(w, h)), network_sides, network_sides)
DARK, LIGHT = 30, 220

# Some pixels of a frame of gradients, shrunk and grown: (4, 4, 3).
# fmt: off
SMALL = np.array([
    37, 8, 66, 97, 8, 173, 157, 8, 93, 217, 8, 142, 37, 89, 174, 97, 89, 103, 157, 89, 104, 217, 89, 118,
    37, 171, 101, 97, 171, 110, 157, 171, 141, 217, 171, 92, 37, 253, 132, 97, 253, 134, 157, 253, 166, 217, 253, 97,
]).reshape(4, 4, 3)
GROWN = np.array([
    6, 4, 6, 18, 4, 17, 30, 4, 29, 42, 4, 40, 6, 20, 28, 18, 20, 79, 30, 20, 129, 42, 20, 180,
    6, 36, 50, 18, 36, 140, 30, 36, 230, 42, 36, 63, 6, 52, 72, 18, 52, 201, 30, 52, 74, 42, 52, 203,
]).reshape(4, 4, 3)
# fmt: on


@given(sides, sides, specs)
def test_there_and_back(width: int, height: int, spec: FramePreprocessing) -> None:
    placement = place_frame((width, height), spec)
    rng = np.random.default_rng(width * 1000 + height)
    boxes = rng.uniform(-20, 1000, (20, 4)).astype(np.float32)
    back = placement.to_frame(placement.to_input(boxes))
    # A float32 pixel of the input is worth 1 / scale pixels of the frame.
    assert back == pytest.approx(boxes, rel=1e-5, abs=2e-4 / min(placement.scale_xy))
    assert back.dtype == np.float32


@given(sides, sides, specs)
def test_a_frame_fills_the_input_one_way_and_lies_in_the_middle(
    width: int, height: int, spec: FramePreprocessing
) -> None:
    placement = place_frame((width, height), spec)
    whole = placement.to_input(np.array([[0, 0, width, height]], np.float32))[0]
    wide, high = spec.size_wh
    assert (whole[:2] >= 0).all()
    assert whole[2] <= wide + 1e-3
    assert whole[3] <= high + 1e-3
    margins = whole[0] + (wide - whole[2]), whole[1] + (high - whole[3])
    assert min(margins) == pytest.approx(0, abs=1e-3)
    assert abs(whole[0] - (wide - whole[2])) <= 1.001
    assert abs(whole[1] - (high - whole[3])) <= 1.001
    scale = min(wide / width, high / height)
    assert placement.scale_xy == pytest.approx((scale, scale), abs=0.51 / min(width, height) + 1e-6) or (
        min(width, height) * scale < 1  # a sliver is kept one pixel wide
    )


@settings(max_examples=60)
@given(sides, sides, specs, st.integers(0, 2**32 - 1))
def test_boxes_land_on_the_pixels_of_what_they_hold(
    width: int, height: int, spec: FramePreprocessing, seed: int
) -> None:
    """A light rectangle in a dark frame lies, after fitting, where `to_input` says."""
    rng = np.random.default_rng(seed)
    left, right = np.sort(rng.choice(width + 1, 2, replace=False))
    top, bottom = np.sort(rng.choice(height + 1, 2, replace=False))
    frame = np.full((height, width, 3), DARK, np.uint8)
    frame[top:bottom, left:right] = LIGHT
    fitted = fit_frame(frame, spec)
    assert fitted.shape == (spec.size_wh[1], spec.size_wh[0], 3)

    placement = place_frame((width, height), spec)
    box = placement.to_input(np.array([[left, top, right, bottom]], np.float32))[0].astype(np.float64)
    whole = placement.to_input(np.array([[0, 0, width, height]], np.float32))[0].round().astype(int)
    inner = np.zeros(fitted.shape[:2], np.bool_)
    inner[whole[1] : whole[3], whole[0] : whole[2]] = True
    assert (fitted[~inner] == spec.padding).all()
    # Grown frames are smeared over one pixel of the frame, shrunk ones over one of the input.
    blur = np.maximum(1.0, np.array(placement.scale_xy))
    y, x = np.nonzero(inner)
    well_inside = _within(x, y, box + np.array([*blur, *-blur]))
    well_outside = ~_within(x, y, box + np.array([*-blur - 1, *blur + 1]))
    assert (fitted[y[well_inside], x[well_inside]] == LIGHT).all()
    assert (fitted[y[well_outside], x[well_outside]] == DARK).all()
    if left > 0 and top > 0 and right < width and bottom < height:
        light = (fitted[..., 0].astype(np.float64) - DARK) * inner
        rows, columns = np.mgrid[0.5 : fitted.shape[0], 0.5 : fitted.shape[1]]
        if light.sum() > 50 * (LIGHT - DARK):  # else rounding to whole grey levels moves it
            middle = (light * columns).sum() / light.sum(), (light * rows).sum() / light.sum()
            assert middle == pytest.approx(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), abs=0.15 * max(1, *blur))


def _within(x: np.ndarray, y: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Pixels (their whole squares) that lie in the box."""
    return (x >= box[0]) & (x + 1 <= box[2]) & (y >= box[1]) & (y + 1 <= box[3])


@pytest.mark.parametrize(
    ("frame_wh", "scale_xy", "left_top"),
    [
        ((1920, 1080), (1 / 3, 1 / 3), (0, 12)),
        ((640, 384), (1, 1), (0, 0)),
        ((320, 192), (2, 2), (0, 0)),
        ((1080, 1920), (0.2, 0.2), (212, 0)),
        ((6400, 100), (0.1, 0.1), (0, 187)),
        ((100, 6400), (0.06, 0.06), (317, 0)),
        ((20000, 10), (0.032, 0.1), (0, 191)),
        ((1, 1), (384, 384), (128, 0)),
    ],
)
def test_places_of_frames(frame_wh, scale_xy, left_top) -> None:
    placement = place_frame(frame_wh, FramePreprocessing(size_wh=(640, 384)))
    assert placement.scale_xy == pytest.approx(scale_xy)
    assert placement.left_top == left_top


def test_a_frame_of_the_right_size_is_not_touched() -> None:
    spec = FramePreprocessing(size_wh=(64, 32))
    frame = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    fitted = fit_frame(frame, spec)
    assert np.array_equal(fitted, frame)
    assert not np.shares_memory(fitted, frame)


def test_the_exact_pixels_are_held() -> None:
    """The network learnt from these pixels: whoever changes them must train anew."""
    spec = FramePreprocessing(size_wh=(64, 64))
    y, x = np.mgrid[0:90, 0:150]
    waves = np.stack([x * 255 // 149, y * 255 // 89, (x * y) % 256], axis=-1).astype(np.uint8)
    small = fit_frame(waves, spec)
    assert (small[:13] == 114).all()
    assert (small[51:] == 114).all()
    grown = fit_frame(waves[:20, :30], spec)
    assert small[14:51:12, 9::15].astype(int) == pytest.approx(SMALL, abs=1)
    assert grown[14:51:12, 9::15].astype(int) == pytest.approx(GROWN, abs=1)


def test_network_inputs() -> None:
    fitted = np.random.default_rng(0).integers(0, 256, (3, 32, 64, 3), dtype=np.uint8)
    plain = frames_input(fitted, FramePreprocessing(size_wh=(64, 32)))
    assert (plain.shape, plain.dtype, plain.flags.c_contiguous) == ((3, 3, 32, 64), np.float32, True)
    assert np.array_equal(plain[1, 2], fitted[1, :, :, 2])
    other = FramePreprocessing(size_wh=(64, 32), colours="rgb", mean=127.5, std=50.0)
    assert frames_input(fitted, other)[1, 0] == pytest.approx((fitted[1, :, :, 2] - 127.5) / 50, abs=1e-5)
    assert frames_input(fitted[:0], other).shape == (0, 3, 32, 64)


@pytest.mark.parametrize(
    "wrong",
    [{"size_wh": (640, 380)}, {"size_wh": (0, 384)}, {"padding": 256}, {"std": 0}, {"colours": "grey"}, {"size": 640}],
)
def test_numbers_that_cannot_be(wrong) -> None:
    with pytest.raises(ValidationError):
        FramePreprocessing(**wrong)
