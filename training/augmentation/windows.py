"""Laying labelled pictures in a window: scaled, mirrored, turned and cropped, the boxes following the pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from data.boxes import Boxes, areas, clipped, no_boxes
from data.frames import FramePreprocessing
from data.masks import Mask, from_picture, nothing
from data.preprocess import Image

PADDING: Final[int] = FramePreprocessing().padding
SMALLEST_SIDE: Final = 4.0
"""Side in scene pixels below which no fish is shrunk that is not so small when its picture just fits."""
_LEFT_VISIBLE: Final = 0.4
"""Share of a box that must lie in the window for the box to stay."""
_LEAST_SIDE: Final = 1.5
_LOOSE: Final = 0.5
"""Pixels by which a box may be wider than its mask: masks know whole pixels only."""
_HALF: Final = 127


@dataclass(frozen=True)
class LabelledPicture:
    """A picture and its objects.

    `image` (H, W, 3) BGR uint8, `xyxy` (n, 4) float32 in its pixels, `labels` (n,) int64. `exhaustive` False says
    that objects without a box may be in view. `masks` has one for every object, None for one with a box alone; it is
    None where no masks are learnt.
    """

    image: Image
    xyxy: Boxes
    labels: NDArray[np.int64]
    exhaustive: bool
    masks: tuple[Mask | None, ...] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.shape[1], self.image.shape[0]


@dataclass(frozen=True)
class Pose:
    """How a picture lies in a window: resized to `inner_wh`, mirrored, moved to `left_top`, turned about the middle.

    `left_top` may be negative: the window then shows a crop. `angle` in degrees, counter-clockwise.
    """

    inner_wh: tuple[int, int]
    left_top: tuple[int, int]
    flipped: bool = False
    angle: float = 0.0


def fit_scale(picture_wh: tuple[int, int], window_wh: tuple[int, int]) -> float:
    """The scale at which the picture just fits into the window."""
    return min(window_wh[0] / picture_wh[0], window_wh[1] / picture_wh[1])


def cover_scale(picture_wh: tuple[int, int], window_wh: tuple[int, int]) -> float:
    """The smallest scale at which the picture leaves nothing of the window bare."""
    return max(window_wh[0] / picture_wh[0], window_wh[1] / picture_wh[1])


def inner_size(picture_wh: tuple[int, int], scale: float) -> tuple[int, int]:
    """Size of the scaled picture in whole pixels."""
    return max(1, round(picture_wh[0] * scale)), max(1, round(picture_wh[1] * scale))


def centred(picture_wh: tuple[int, int], window_wh: tuple[int, int], flipped: bool = False) -> Pose:
    """The pose of `data.frames.fit_frame`."""
    inner = inner_size(picture_wh, fit_scale(picture_wh, window_wh))
    return Pose(inner, ((window_wh[0] - inner[0]) // 2, (window_wh[1] - inner[1]) // 2), flipped)


def kindest_scale(xyxy: Boxes, scale: float, fit: float) -> float:
    """`scale`, raised so that no box falls below 4 px of side that does not when the picture just fits (scale `fit`).

    Boxes that are too small even then are not shrunk further than that.
    """
    sides = (xyxy[:, 2:] - xyxy[:, :2]).min(axis=1)
    sides = sides[sides > 0]
    if not len(sides):
        return scale
    needed = np.minimum(SMALLEST_SIDE / sides, fit)
    return max(scale, float(needed.max()))


def draw_pose(
    picture: LabelledPicture, window_wh: tuple[int, int], scale: float, rng: np.random.Generator, *, flip: bool
) -> Pose:
    """A random place of the scaled picture, with one of its objects, chosen by chance, in the window."""
    inner = inner_size(picture.size_wh, scale)
    target = no_boxes()
    if len(picture):
        chosen = rng.integers(len(picture))
        target = moved(picture.xyxy[chosen : chosen + 1], picture.size_wh, Pose(inner, (0, 0), flip), window_wh)
    left_top = []
    for axis in range(2):
        room = window_wh[axis] - inner[axis]
        low, high = min(0, room), max(0, room)
        if len(target) and room < 0:
            whole = -float(target[0, axis]), window_wh[axis] - float(target[0, axis + 2])
            low, high = (round(np.clip(bound, low, high)) for bound in (min(whole), max(whole)))
        left_top.append(int(rng.integers(low, high, endpoint=True)))
    return Pose(inner, (left_top[0], left_top[1]), flip)


def laid(picture: LabelledPicture, pose: Pose, window_wh: tuple[int, int]) -> tuple[LabelledPicture, NDArray[np.bool_]]:
    """The picture in a window of that size, and which (H, W) of its pixels show the picture and not padding.

    Boxes are cut at the window's edges; one of which less than 40 % is left, or a sliver, is dropped. An object with a
    mask gets no more of its box than is around the mask's pixels in the window.
    """
    image, shown = _laid_image(picture.image, pose, window_wh)
    whole = moved(picture.xyxy, picture.size_wh, pose, window_wh)
    cut = clipped(whole, window_wh)
    sides = cut[:, 2:] - cut[:, :2]
    stays = (areas(cut) >= _LEFT_VISIBLE * areas(whole)) & (sides.min(axis=1, initial=np.inf) >= _LEAST_SIDE)
    masks = None
    if picture.masks is not None:
        matrix = pose_matrix(picture.size_wh, pose, window_wh)
        masks = tuple(None if one is None else moved_mask(one, matrix, window_wh) for one in picture.masks)
        cut, seen = around_masks(cut, masks, turned=pose.angle != 0)
        stays &= seen
        masks = tuple(masks[i] for i in np.flatnonzero(stays))
    return replace(picture, image=image, xyxy=cut[stays], labels=picture.labels[stays], masks=masks), shown


def around_masks(xyxy: Boxes, masks: Sequence[Mask | None], *, turned: bool = False) -> tuple[Boxes, NDArray[np.bool_]]:
    """The boxes cut to what their masks show, and which of them show anything; boxes without a mask stay.

    Boxes of `turned` pictures are guesses, so there the masks alone say what is around them.
    """
    cut, seen = xyxy.copy(), np.ones(len(xyxy), np.bool_)
    for number, mask in enumerate(masks):
        if mask is not None:
            seen[number] = mask.inside.size > 0
            low, high = (mask.xyxy[:2], mask.xyxy[2:]) if turned else (cut[number, :2], cut[number, 2:])
            cut[number, :2] = np.maximum(low, mask.xyxy[:2] - _LOOSE)
            cut[number, 2:] = np.minimum(high, mask.xyxy[2:] + _LOOSE)
    return cut, seen & ((cut[:, 2:] - cut[:, :2]).min(axis=1, initial=np.inf) >= _LEAST_SIDE)


def pose_matrix(picture_wh: tuple[int, int], pose: Pose, window_wh: tuple[int, int]) -> NDArray[np.float64]:
    """(2, 3) matrix that takes points of the picture to points of the window, both counted from pixels' edges."""
    scale = np.array(pose.inner_wh, np.float64) / picture_wh
    shift = np.array(pose.left_top, np.float64)
    if pose.flipped:
        shift[0] += pose.inner_wh[0]
        scale[0] = -scale[0]
    cosine, sine = np.cos(np.deg2rad(pose.angle)), np.sin(np.deg2rad(pose.angle))
    turn = np.array([[cosine, sine], [-sine, cosine]])
    centre = np.array(window_wh, np.float64) / 2
    return np.concatenate([turn * scale, (turn @ (shift - centre) + centre)[:, None]], axis=1)


def moved_mask(mask: Mask, matrix: NDArray[np.float64], window_wh: tuple[int, int]) -> Mask:
    """What of a mask lies in a window of that size, after `matrix` of `pose_matrix`; it may come out empty."""
    left, top, right, bottom = mask.xyxy.astype(np.float64)
    corners = np.array([[left, top, 1], [right, top, 1], [left, bottom, 1], [right, bottom, 1]]) @ matrix.T
    low = np.clip(np.floor(corners.min(axis=0)), 0, window_wh).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)), 0, window_wh).astype(int)
    if (high <= low).any():
        return nothing()
    own = matrix.copy()
    # OpenCV counts from the middle of the first pixel of each window.
    own[:, 2] += own[:, :2] @ (np.array([left, top]) + 0.5) - 0.5 - low
    inside = np.pad(mask.inside.astype(np.uint8) * 255, 1)
    own[:, 2] -= own[:, :2].sum(axis=1)
    laid_mask = cv2.warpAffine(inside, own, (int(high[0] - low[0]), int(high[1] - low[1])), flags=cv2.INTER_LINEAR)
    return from_picture(np.asarray(laid_mask) > _HALF, int(low[0]), int(low[1]))


def moved(xyxy: Boxes, picture_wh: tuple[int, int], pose: Pose, window_wh: tuple[int, int]) -> Boxes:
    """Boxes in picture pixels -> window pixels, not cut.

    A box of a turned picture is the box of the turned ellipse in it: closer to a fish than that of the turned box.
    """
    scale = np.array(pose.inner_wh, np.float64) / picture_wh
    low, high = xyxy[:, :2] * scale, xyxy[:, 2:] * scale
    if pose.flipped:
        left = pose.inner_wh[0] - high[:, 0]
        high[:, 0] = pose.inner_wh[0] - low[:, 0]
        low[:, 0] = left
    middles, halves = (low + high) / 2 + pose.left_top, (high - low) / 2
    if pose.angle:
        cosine, sine = np.cos(np.deg2rad(pose.angle)), np.sin(np.deg2rad(pose.angle))
        turn = np.array([[cosine, sine], [-sine, cosine]])
        centre = np.array(window_wh, np.float64) / 2
        middles = (middles - centre) @ turn.T + centre
        halves = np.sqrt(halves**2 @ (turn**2).T)
    return np.concatenate([middles - halves, middles + halves], axis=1).astype(np.float32)


def _laid_image(image: Image, pose: Pose, window_wh: tuple[int, int]) -> tuple[Image, NDArray[np.bool_]]:
    height, width = image.shape[:2]
    if pose.inner_wh != (width, height):
        way = cv2.INTER_AREA if pose.inner_wh[0] < width else cv2.INTER_LINEAR
        image = np.asarray(cv2.resize(image, pose.inner_wh, interpolation=way))
    if pose.flipped:
        image = image[:, ::-1]
    if pose.angle:
        return _turned(np.ascontiguousarray(image), pose, window_wh)
    return _moved_image(image, pose, window_wh)


def _moved_image(image: Image, pose: Pose, window_wh: tuple[int, int]) -> tuple[Image, NDArray[np.bool_]]:
    window = np.full((window_wh[1], window_wh[0], 3), PADDING, np.uint8)
    shown = np.zeros(window.shape[:2], np.bool_)
    (left, top), (width, height) = pose.left_top, pose.inner_wh
    rows = slice(max(0, top), max(0, min(window_wh[1], top + height)))
    columns = slice(max(0, left), max(0, min(window_wh[0], left + width)))
    window[rows, columns] = image[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    shown[rows, columns] = True
    return window, shown


def _turned(image: Image, pose: Pose, window_wh: tuple[int, int]) -> tuple[Image, NDArray[np.bool_]]:
    # OpenCV counts from the middle of the first pixel, boxes from its edge.
    middle = (window_wh[0] / 2 - 0.5, window_wh[1] / 2 - 0.5)
    matrix = np.asarray(cv2.getRotationMatrix2D(middle, pose.angle, 1.0), np.float64)
    matrix[:, 2] += matrix[:, :2] @ np.array(pose.left_top, np.float64)
    window = cv2.warpAffine(
        image, matrix, window_wh, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(PADDING,) * 3
    )
    whole = np.ones(image.shape[:2], np.uint8)
    shown = cv2.warpAffine(whole, matrix, window_wh, flags=cv2.INTER_NEAREST)
    return np.asarray(window), shown.astype(np.bool_)
