"""Masks: which pixels of a frame belong to one object, and what polygons and COCO's run lengths say of them.

A pixel belongs to a polygon when its middle does; so areas are right on average, and the outline of a mask, drawn
again, gives the same mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from data.boxes import Boxes, no_boxes

Bools = NDArray[np.bool_]
Polygon = NDArray[np.float64]
"""(V, 2) float64: x, y of the corners in frame pixels; the last is joined to the first."""

INSIDE: Final = 255
"""What `semantic` paints objects with; the background is 0."""
_NO_AREA: Final = 1e-9
_SLIP: Final = 0.05
"""Loops of less than this share of a polygon's area are slips of the hand: they change no number worth reading."""


@dataclass(frozen=True)
class Mask:
    """The pixels of one object within a window of the frame.

    `left`, `top` are the window's first column and row in the frame, `inside` (h, w) bool tells which of its pixels
    are the object's. The functions of this module give windows that fit: no empty row or column at their edges.
    """

    left: int
    top: int
    inside: Bools

    @property
    def xyxy(self) -> NDArray[np.float32]:
        """(4,) left, top, right, bottom of the window, right and bottom excluded."""
        height, width = self.inside.shape
        return np.array([self.left, self.top, self.left + width, self.top + height], np.float32)

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, Mask) and (self.left, self.top) == (other.left, other.top)
        return same and np.array_equal(self.inside, other.inside)  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash((self.left, self.top, self.inside.shape, self.inside.tobytes()))


def nothing() -> Mask:
    """The mask without a pixel."""
    return Mask(0, 0, np.zeros((0, 0), np.bool_))


def fitted(mask: Mask) -> Mask:
    """The same pixels in the smallest window."""
    rows, columns = np.flatnonzero(mask.inside.any(axis=1)), np.flatnonzero(mask.inside.any(axis=0))
    if not len(rows):
        return nothing()
    inside = mask.inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Mask(mask.left + int(columns[0]), mask.top + int(rows[0]), np.ascontiguousarray(inside))


def boxes_around(masks: Sequence[Mask]) -> Boxes:
    """(N, 4) float32 xyxy of the masks' windows."""
    return np.stack([mask.xyxy for mask in masks]) if masks else no_boxes()


def from_picture(picture: NDArray[Any], left: int = 0, top: int = 0) -> Mask:
    """Everything of a picture (H, W) that is not 0, in a frame in which the picture lies at `left`, `top`."""
    return fitted(Mask(left, top, np.asarray(picture) != 0))


def from_polygons(polygons: Sequence[Polygon], size_wh: tuple[int, int]) -> Mask:
    """All pixels of a frame of that size whose middle lies in one of the polygons; what leaves the frame is cut off.

    A pixel is in a polygon when its outline winds around it (the nonzero rule). The mask may come out empty.
    """
    corners = np.concatenate(polygons) if len(polygons) else np.zeros((0, 2))
    if not len(corners):
        return nothing()
    low = np.clip(np.floor(corners.min(axis=0)), 0, size_wh).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)), 0, size_wh).astype(int)
    inside = np.zeros((high[1] - low[1], high[0] - low[0]), np.bool_)
    for polygon in polygons:
        inside |= _winding(polygon - low, inside.shape) != 0
    return fitted(Mask(int(low[0]), int(low[1]), inside))


def _winding(polygon: Polygon, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """(h, w) how often the polygon winds around each pixel's middle."""
    height, width = shape
    start, end = polygon, np.roll(polygon, -1, axis=0)
    middles = np.arange(height)[:, None] + 0.5
    falls = (start[:, 1] <= middles) & (middles < end[:, 1])
    rises = (end[:, 1] <= middles) & (middles < start[:, 1])
    row, edge = np.nonzero(falls | rises)
    one, other = start[edge], end[edge]
    x = one[:, 0] + (middles[row, 0] - one[:, 1]) * (other[:, 0] - one[:, 0]) / (other[:, 1] - one[:, 1])
    # The first pixel whose middle is right of the crossing.
    column = np.clip(np.ceil(x - 0.5), 0, width).astype(np.int64)
    steps = np.zeros((height, width + 1), np.int64)
    np.add.at(steps, (row, column), np.where(rises[row, edge], 1, -1))
    return steps.cumsum(axis=1)[:, :width]


def outlined(polygons: Sequence[Polygon], size_wh: tuple[int, int]) -> Mask:
    """The mask of labelled polygons, see `from_polygons`, once they are known to be the outline of something.

    Raises:
        ValueError: Too few corners, numbers that are not finite, no area, no pixel within the frame, or lines that
            cross so that it cannot be told what is inside (little loops, of 5 % of the area, are let pass).
    """
    if not polygons or any(len(one) < 3 for one in polygons):
        raise ValueError("its polygon has fewer than three corners")
    if not all(np.isfinite(one).all() for one in polygons):
        raise ValueError("its polygon holds numbers that are not finite")
    crossing = [one for one in polygons if _crosses(one)]
    if not crossing and all(abs(_signed_area(one)) < _NO_AREA for one in polygons):
        raise ValueError("its polygon has no area")
    if any(_loops(one) > _SLIP for one in crossing):
        raise ValueError("its polygon crosses itself")
    mask = from_polygons(polygons, size_wh)
    if not mask.inside.size:
        raise ValueError(f"its polygon covers no pixel of the picture of {size_wh[0]} x {size_wh[1]}")
    return mask


def _signed_area(polygon: Polygon) -> float:
    """Positive where the corners go clockwise on the screen (Gauss's formula)."""
    x, y = (polygon - polygon[0]).T
    return float(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1])) / 2


def _crosses(polygon: Polygon) -> bool:
    """Whether two sides cross in their middles; touching is no crossing."""
    start, end = polygon, np.roll(polygon, -1, axis=0)
    along, to = (end - start)[:, None], start[None] - start[:, None]
    side = np.sign(along[..., 0] * to[..., 1] - along[..., 1] * to[..., 0])
    # (V, V): whether the line of a side (row) parts the ends of a side (column).
    parts = side * np.roll(side, -1, axis=1) < 0
    return bool((parts & parts.T).any())


def _loops(polygon: Polygon) -> float:
    """Share of a crossing polygon's area that is wound around the wrong way, or twice; sampled on a fine grid."""
    low, sides = polygon.min(axis=0), np.ptp(polygon, axis=0)
    winding = _winding((polygon - low) * (64 / max(float(sides.max()), 1e-9)), (64, 64))
    covered = np.count_nonzero(winding)
    main = 1 if _signed_area(polygon) >= 0 else -1
    return np.count_nonzero((winding != 0) & (winding != main)) / covered if covered else 0.0


def polygons(mask: Mask, tolerance: float = 0.0) -> tuple[Polygon, ...]:
    """The outlines of a mask's parts, clockwise along the edges of its pixels; holes are not told.

    Args:
        mask: Parts that touch at a corner only are parts by themselves.
        tolerance: Corners may be left out where the outline stays this near, in pixels (Douglas and Peucker 1973).
            With 0, `from_polygons` gives the mask again, its holes filled.

    Returns:
        The parts from top to bottom; none for an empty mask.
    """
    found = []
    for loop in _traced(mask.inside):
        if _signed_area(loop) > 0:  # an outline; holes are traced the other way
            corners = loop + np.array([mask.left, mask.top])
            if tolerance > 0:
                simpler = cv2.approxPolyDP(corners.astype(np.float32)[:, None], tolerance, True)[:, 0]
                corners = simpler.astype(np.float64) if len(simpler) > 2 else corners
            found.append(corners)
    return tuple(found)


def _traced(inside: Bools) -> list[Polygon]:
    """Closed lines along the pixels' edges, the object on the right hand; corners only where they turn."""
    padded = np.pad(inside, 1)
    here = padded[1:-1, 1:-1]
    ends: dict[tuple[int, int], list[tuple[int, int]]] = {}
    sides = (
        (padded[:-2, 1:-1], (0, 0), (1, 0)),  # the upper side goes right
        (padded[1:-1, 2:], (1, 0), (0, 1)),  # the right side goes down
        (padded[2:, 1:-1], (1, 1), (-1, 0)),  # the lower side goes left
        (padded[1:-1, :-2], (0, 1), (0, -1)),  # the left side goes up
    )
    for beyond, (right, down), step in sides:
        for y, x in np.argwhere(here & ~beyond).tolist():
            ends.setdefault((x + right, y + down), []).append(step)
    return [_loop(ends, start) for start in sorted(ends, key=lambda at: (at[1], at[0])) if start in ends]


def _loop(ends: dict[tuple[int, int], list[tuple[int, int]]], start: tuple[int, int]) -> Polygon:
    """One closed line from `start`, taken out of `ends`: where two lines meet it turns right, staying with its part."""
    at, step = start, ends[start][0]
    corners: list[tuple[int, int]] = []
    heading = (0, 0)
    while at in ends:
        choices = ends[at]
        right = (-heading[1], heading[0])
        step = right if right in choices else choices[0]
        choices.remove(step)
        if not choices:
            del ends[at]
        if step != heading:
            corners.append(at)
        heading, at = step, (at[0] + step[0], at[1] + step[1])
        if at == start and (at not in ends or (-heading[1], heading[0]) not in ends[at]):
            break
    return np.array(corners, np.float64)


def without_holes(mask: Mask) -> Mask:
    """The mask with everything filled that its outlines go around."""
    if mask.inside.all():
        return mask
    outside = np.pad(~mask.inside, 1, constant_values=True).astype(np.uint8)
    cv2.floodFill(outside, None, (0, 0), 2, flags=8)  # what meets the outside at a corner is no hole
    return Mask(mask.left, mask.top, outside[1:-1, 1:-1] != 2)


def without(mask: Mask, other: Mask) -> Mask:
    """The pixels of a mask that another does not have."""
    inside = mask.inside.copy()
    low = max(mask.left, other.left), max(mask.top, other.top)
    high = np.minimum(mask.xyxy[2:], other.xyxy[2:]).astype(int)
    if high[0] > low[0] and high[1] > low[1]:
        inside[_part(mask, low, high)] &= ~other.inside[_part(other, low, high)]
    return fitted(Mask(mask.left, mask.top, inside))


def _part(mask: Mask, low: tuple[int, int], high: NDArray[np.int64]) -> tuple[slice, slice]:
    """Where the frame's pixels from `low` up to `high` are within the mask's window."""
    return slice(low[1] - mask.top, high[1] - mask.top), slice(low[0] - mask.left, high[0] - mask.left)


def area(mask: Mask) -> int:
    """How many pixels it has."""
    return int(np.count_nonzero(mask.inside))


def length(mask: Mask) -> float:
    """Pixels from end to end along the main axis: the direction in which its pixels spread most; 0 for none.

    A bent fish is as long as the straight line along its axis, not as its back.
    """
    rows, columns = np.nonzero(mask.inside)
    if not len(rows):
        return 0.0
    points = np.stack([columns, rows], axis=1).astype(np.float64)
    axis = np.linalg.eigh(np.cov(points.T, bias=True))[1][:, -1] if len(points) > 1 else np.array([1.0, 0.0])
    return float(np.ptp(points @ axis) + np.abs(axis).sum())


def mask_iou(one: Mask, other: Mask) -> float:
    """Pixels of both over pixels of either; 0 where both are empty."""
    low = max(one.left, other.left), max(one.top, other.top)
    high = np.minimum(one.xyxy[2:], other.xyxy[2:]).astype(int)
    shared = 0
    if high[0] > low[0] and high[1] > low[1]:
        shared = int(np.count_nonzero(one.inside[_part(one, low, high)] & other.inside[_part(other, low, high)]))
    union = area(one) + area(other) - shared
    return shared / union if union else 0.0


def mask_ious(one: Sequence[Mask], other: Sequence[Mask]) -> NDArray[np.float32]:
    """(N, M) intersection over union of every mask with every other."""
    found = [[mask_iou(mine, theirs) for theirs in other] for mine in one]
    return np.array(found, np.float32).reshape(len(one), len(other))


def coarse_picture(mask: Mask, size_wh: tuple[int, int], stride: int) -> NDArray[np.uint8]:
    """(H / stride, W / stride) uint8 of a frame of that size: 1 where half or more of a block is inside."""
    blocks = semantic([mask], size_wh).reshape(size_wh[1] // stride, stride, size_wh[0] // stride, stride)
    return np.asarray(blocks.mean(axis=(1, 3)) >= INSIDE / 2).astype(np.uint8)


def semantic(masks: Sequence[Mask], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W) uint8 picture of a frame of that size: 255 where there is any object, else 0."""
    picture = np.zeros((size_wh[1], size_wh[0]), np.uint8)
    for mask in masks:
        height, width = mask.inside.shape
        window = picture[mask.top : mask.top + height, mask.left : mask.left + width]
        window[mask.inside[: window.shape[0], : window.shape[1]]] = INSIDE
    return picture
