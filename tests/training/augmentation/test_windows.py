from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.boxes import areas
from data.frames import FramePreprocessing, fit_frame, place_frame
from tests.training.augmentation.pictures import WATER, bright_box, noise_picture, picture_with
from training.augmentation.windows import (
    PADDING,
    LabelledPicture,
    Pose,
    centred,
    cover_scale,
    draw_pose,
    fit_scale,
    kindest_scale,
    laid,
    moved,
)

WINDOW = (416, 256)
SIDES = st.integers(20, 500)


@pytest.mark.parametrize("size_wh", [(360, 202), (640, 360), (100, 400), (416, 256), (1, 1), (1000, 999)])
def test_centred_is_the_preprocessing_of_the_runtime(size_wh: tuple[int, int]) -> None:
    image = noise_picture(1, size_wh)
    box = np.array([[0, 0, size_wh[0], size_wh[1]]], np.float32)
    picture = LabelledPicture(image, box, np.zeros(1, np.int64), True)
    spec = FramePreprocessing(size_wh=WINDOW)
    scene, shown = laid(picture, centred(size_wh, WINDOW), WINDOW)
    np.testing.assert_array_equal(scene.image, fit_frame(image, spec))
    np.testing.assert_allclose(scene.xyxy, place_frame(size_wh, spec).to_input(box), atol=1e-3)
    assert (scene.image[~shown] == PADDING).all()
    assert shown.sum() == pytest.approx(float(areas(scene.xyxy)[0]))


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("left_top", [(0, 0), (30, 20), (-60, -40), (-200, 50)])
@pytest.mark.parametrize("inner_wh", [(360, 202), (416, 233), (700, 400), (200, 112)])
def test_boxes_follow_pixels(inner_wh: tuple[int, int], left_top: tuple[int, int], flipped: bool) -> None:
    picture = picture_with((120, 60, 200, 120))
    scene, _ = laid(picture, Pose(inner_wh, left_top, flipped), WINDOW)
    seen = bright_box(scene.image)
    if len(scene):
        np.testing.assert_allclose(scene.xyxy, seen, atol=1)
    else:
        whole = moved(picture.xyxy, picture.size_wh, Pose(inner_wh, left_top, flipped), WINDOW)
        assert seen is None or areas(seen)[0] < 0.45 * areas(whole)[0]


@pytest.mark.parametrize("angle", [-15, -4, 3, 12])
@pytest.mark.parametrize(("width", "height"), [(90, 24), (30, 70), (50, 50)])
def test_boxes_follow_turned_ellipses(width: int, height: int, angle: float) -> None:
    image = np.empty((202, 360, 3), np.uint8)
    image[:] = WATER
    middle = (240, 80)
    cv2.ellipse(image, middle, (width // 2, height // 2), 0, 0, 360, (255, 255, 255), -1)
    box = np.array([[240 - width / 2, 80 - height / 2, 241 + width / 2, 81 + height / 2]], np.float32)
    picture = LabelledPicture(image, box, np.zeros(1, np.int64), True)
    scene, _ = laid(picture, Pose((416, 233), (0, 11), False, angle), WINDOW)
    np.testing.assert_allclose(scene.xyxy, bright_box(scene.image), atol=1.6)


def test_padding_beside_a_turned_picture_is_not_shown() -> None:
    scene, shown = laid(picture_with(), Pose((300, 170), (58, 43), False, 10.0), WINDOW)
    assert 0.9 < shown.sum() / (300 * 170) < 1.1
    assert (scene.image[~shown] == PADDING).all(axis=1).mean() > 0.95


@pytest.mark.parametrize(
    ("left", "kept"), [(-30, True), (-49, True), (-51, True), (-59, True), (-61, False), (-99, False)]
)
def test_a_box_stays_only_where_enough_of_it_is_visible(left: int, kept: bool) -> None:
    picture = picture_with((0, 50, 100, 100))
    scene, _ = laid(picture, Pose((360, 202), (left, 0)), WINDOW)
    assert len(scene) == kept
    if kept:
        np.testing.assert_allclose(scene.xyxy, [[0, 50, 100 + left, 100]])


def test_labels_stay_with_their_boxes() -> None:
    picture = picture_with((0, 0, 20, 20), (200, 100, 240, 140), (300, 150, 340, 190))
    scene, _ = laid(picture, Pose((360, 202), (-100, 0)), WINDOW)
    np.testing.assert_array_equal(scene.labels, [1, 2])
    np.testing.assert_allclose(scene.xyxy, picture.xyxy[1:] - [100, 0, 100, 0])


@pytest.mark.parametrize(
    ("sides", "scale", "expected"),
    [
        ([40], 0.5, 0.5),  # large: shrunk as asked
        ([8], 0.3, 0.5),  # shrunk to 4 px, no further
        ([3], 0.5, 1.0),  # too small even when its picture fits: not shrunk
        ([3], 1.7, 1.7),  # never held back from growing
        ([40, 8], 0.3, 0.5),  # the smallest decides
        ([0, 40], 0.5, 0.5),  # an empty box does not
        ([], 0.5, 0.5),
    ],
)
def test_tiny_fish_are_not_shrunk(sides: list[int], scale: float, expected: float) -> None:
    xyxy = np.array([[10, 10, 10 + side, 10 + 2 * side] for side in sides], np.float32).reshape(-1, 4)
    assert kindest_scale(xyxy, scale, 1.0) == pytest.approx(expected)


@settings(max_examples=40, deadline=None)
@given(
    picture_wh=st.tuples(SIDES, SIDES),
    window_wh=st.tuples(st.integers(32, 300), st.integers(32, 300)),
    growth=st.floats(0.5, 3),
    corner=st.tuples(st.floats(0, 0.9), st.floats(0, 0.9)),
    seed=st.integers(0, 1000),
    flip=st.booleans(),
)
def test_a_drawn_window_shows_a_fish(picture_wh, window_wh, growth, corner, seed, flip) -> None:
    low = np.array(corner) * picture_wh
    box = np.concatenate([low, low + 0.1 * np.array(picture_wh)]).astype(np.float32)[None]
    picture = LabelledPicture(np.zeros((picture_wh[1], picture_wh[0], 3), np.uint8), box, np.zeros(1, np.int64), True)
    scale = growth * fit_scale(picture_wh, window_wh)
    pose = draw_pose(picture, window_wh, scale, np.random.default_rng(seed), flip=flip)
    whole = moved(box, picture_wh, pose, window_wh)[0]
    for axis in range(2):
        room = window_wh[axis] - pose.inner_wh[axis]
        assert min(0, room) <= pose.left_top[axis] <= max(0, room)
        if whole[axis + 2] - whole[axis] <= window_wh[axis]:
            assert whole[axis] >= -1
            assert whole[axis + 2] <= window_wh[axis] + 1


@settings(max_examples=40, deadline=None)
@given(picture_wh=st.tuples(SIDES, SIDES), window_wh=st.tuples(SIDES, SIDES), seed=st.integers(0, 99))
def test_a_covering_scale_leaves_no_padding(picture_wh, window_wh, seed) -> None:
    picture = picture_with(size_wh=picture_wh)
    rng = np.random.default_rng(seed)
    pose = draw_pose(picture, window_wh, cover_scale(picture_wh, window_wh), rng, flip=False)
    scene, shown = laid(picture, pose, window_wh)
    assert shown.all()
    assert (scene.image == WATER).all()
