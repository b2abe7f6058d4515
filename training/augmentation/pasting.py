"""Copy-paste: fish of one picture set into another, with soft edges and the colours of their new surroundings.

A fish with a mask is cut out along it, and hides what it is set in front of; others come with their rounded box.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from data.boxes import Boxes, areas, clipped, ious
from data.masks import INSIDE, Mask, semantic, without
from data.preprocess import Image
from training.augmentation.windows import LabelledPicture, around_masks, fit_scale, moved_mask

_MOST: Final = 4
_TRIES: Final = 6
_MARGIN: Final = 0.15
"""Surroundings taken along on each side, as a share of the box's sides: room for the soft edge."""
_EDGE: Final = 0.7
"""Standard deviation, in pixels, of the blur of an outline's edge."""
_SMALLEST_CROP: Final = 8.0
_LARGEST_SHARE: Final = 0.35
_MOST_HIDDEN: Final = 0.3
_MOST_TEXTURE: Final = 22.0
"""Standard deviation of the surroundings from which an object stays where it is: rock would come along with it."""


def with_pasted(
    picture: LabelledPicture,
    pick: Callable[[], LabelledPicture],
    window_wh: tuple[int, int],
    rng: np.random.Generator,
) -> LabelledPicture:
    """The picture with one to four objects of another picture pasted in; as it is, where no other has any.

    Args:
        picture: Where to paste.
        pick: Gives another picture; asked three times at most for one that has objects.
        window_wh: Size of the scene: objects keep the size in it that they would have in their own picture.
        rng: Draws which, where and how large.
    """
    for _ in range(3):
        other = pick()
        if len(other):
            break
    else:
        return picture
    scale = fit_scale(other.size_wh, window_wh) / fit_scale(picture.size_wh, window_wh)
    chosen = rng.permutation(len(other))[: rng.integers(1, _MOST, endpoint=True)]
    image, xyxy, labels = picture.image.copy(), picture.xyxy, [picture.labels]
    masks = None if picture.masks is None else list(picture.masks)
    for number in chosen:
        sides = other.xyxy[number, 2:] - other.xyxy[number, :2]
        new_sides = sides * scale * rng.uniform(0.7, 1.3)
        if sides.min() < _SMALLEST_CROP or new_sides.min() < _SMALLEST_CROP / 2 or _is_cut(other, number):
            continue
        place = _free_place(xyxy, new_sides, picture.size_wh, rng)
        if place is None:
            continue
        flipped = bool(rng.integers(2))
        mask = None if masks is None else _mask_at(place, other, number, picture.size_wh, flipped)
        if masks is not None and (mask is None or not mask.inside.size):
            continue  # without its outline it would be learnt as one without
        if not _paste(image, place, other.image, other.xyxy[number], mask, flipped=flipped):
            continue
        xyxy = np.concatenate([xyxy, place[None]])
        labels.append(other.labels[number : number + 1])
        if masks is not None and mask is not None:
            masks = [one and without(one, mask) for one in masks] + [mask]
    pasted = replace(picture, image=image, xyxy=xyxy, labels=np.concatenate(labels))
    if masks is None:
        return pasted
    cut, seen = around_masks(xyxy, masks)
    left = tuple(masks[i] for i in np.flatnonzero(seen))
    return replace(pasted, xyxy=cut[seen], labels=pasted.labels[seen], masks=left)


def _mask_at(
    place: NDArray[np.float32], other: LabelledPicture, number: int, size_wh: tuple[int, int], flipped: bool
) -> Mask | None:
    """The object's mask where it is to be set; None where it has none."""
    mask = None if other.masks is None else other.masks[number]
    if mask is None:
        return None
    return moved_mask(mask, _onto(other.xyxy[number], place, flipped), size_wh)


def _is_cut(picture: LabelledPicture, number: int) -> bool:
    """Whether the object reaches the picture's edge: half a fish swims nowhere else."""
    box = picture.xyxy[number]
    return bool((box[:2] < 1).any() or (box[2:] > np.array(picture.size_wh) - 1).any())


def _free_place(
    taken: Boxes, sides: NDArray[np.float32], size_wh: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float32] | None:
    """A box of whole pixels that hides little of the boxes there already; None where none was found."""
    sides = np.maximum(np.round(sides), 1)
    room = np.array(size_wh) - sides
    if (sides > _LARGEST_SHARE * np.array(size_wh)).any():
        return None
    for _ in range(_TRIES):
        low = np.floor(rng.random(2) * (room + 1))
        place = np.concatenate([low, low + sides]).astype(np.float32)
        if not len(taken):
            return place
        iou = ious(place[None], taken)[0]
        shared = iou / (1 + iou) * (areas(place[None]) + areas(taken))
        if iou.max() <= _MOST_HIDDEN and (shared <= _MOST_HIDDEN * areas(taken)).all():
            return place
    return None


def _paste(
    image: Image,
    place: NDArray[np.float32],
    source: Image,
    box: NDArray[np.float32],
    outline: Mask | None,
    *,
    flipped: bool,
) -> bool:
    """Blend the box of `source`, with its margin, into `image` so that the box comes to lie at `place`.

    Returns:
        Whether it was done: without an outline, not where the surroundings in `source` are too rough to pass for
        others.
    """
    target = np.round(_widened(place, (image.shape[1], image.shape[0]))).astype(int)
    # The margin may be cut by either picture's edge: map the target back onto the source exactly.
    matrix = _onto(place, box, flipped)
    matrix[:, 2] += matrix[:, :2] @ (target[:2] + 0.5) - 0.5
    size_wh = (int(target[2] - target[0]), int(target[3] - target[1]))
    shrinking = max(1.0, float(np.abs(matrix[0, 0])))
    if shrinking > 1.5:
        source = np.asarray(cv2.GaussianBlur(source, (0, 0), 0.3 * shrinking), np.uint8)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    crop = cv2.warpAffine(source, matrix, size_wh, flags=flags, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    if outline is None:
        mask = _soft_ellipse(place - np.tile(target[:2], 2), size_wh)[..., None]
    else:
        mask = _soft_outline(outline, (int(target[0]), int(target[1])), size_wh)[..., None]
    there = image[target[1] : target[3], target[0] : target[2]]
    outside = (1 - mask + 1e-3) / (1 - mask + 1e-3).sum()
    around = (crop * outside).sum(axis=(0, 1))
    if outline is None and ((crop - around) ** 2 * outside).sum() / 3 > _MOST_TEXTURE**2:
        return False
    shift = (there * outside).sum(axis=(0, 1)) - around
    blended = there + mask * (np.clip(crop + shift, 0, 255) - there)
    image[target[1] : target[3], target[0] : target[2]] = np.clip(blended + 0.5, 0, 255).astype(np.uint8)
    return True


def _onto(place: NDArray[np.float32], box: NDArray[np.float32], flipped: bool) -> NDArray[np.float64]:
    """The (2, 3) matrix that takes points of `place` to the same points of `box`."""
    low, sides = box[:2].astype(np.float64), (box[2:] - box[:2]).astype(np.float64)
    scale = sides / (place[2:] - place[:2])
    start = low.copy()
    if flipped:
        start[0], scale[0] = low[0] + sides[0], -scale[0]
    matrix = np.diag(scale)
    return np.concatenate([matrix, (start - matrix @ place[:2])[:, None]], axis=1)


def _widened(box: NDArray[np.float32], size_wh: tuple[int, int]) -> NDArray[np.float32]:
    margin = np.ceil(_MARGIN * (box[2:] - box[:2]))
    return clipped(np.concatenate([box[:2] - margin, box[2:] + margin])[None], size_wh)[0]


def _soft_outline(mask: Mask, left_top: tuple[int, int], size_wh: tuple[int, int]) -> NDArray[np.float32]:
    """(H, W) float32 of a window at `left_top`: 1 within the mask, falling to 0 over a pixel or two at its edge."""
    window = Mask(mask.left - left_top[0], mask.top - left_top[1], mask.inside)
    return np.asarray(cv2.GaussianBlur(semantic([window], size_wh), (0, 0), _EDGE), np.float32) / np.float32(INSIDE)


def _soft_ellipse(box: NDArray[np.floating], size_wh: tuple[int, int]) -> NDArray[np.float32]:
    """(H, W) float32: 1 inside the rounded box, falling to 0 over its margin."""
    middle, halves = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    x = np.abs((np.arange(size_wh[0]) + 0.5 - middle[0]) / halves[0]) ** 2.5
    y = np.abs((np.arange(size_wh[1]) + 0.5 - middle[1]) / halves[1]) ** 2.5
    radius = (x[None] + y[:, None]) ** (1 / 2.5)
    return np.clip((1 + 2 * _MARGIN - radius) / (2.5 * _MARGIN), 0, 1).astype(np.float32)
