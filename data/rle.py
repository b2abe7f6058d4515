"""COCO's run lengths: a mask as the lengths of its runs, outside and inside in turn, column after column.

Compressed, the lengths are text: each from the third on as its difference to the one before the last, in groups of
five bits, the lowest first, with a sixth bit for "more follows", each group a character from "0" on. Source: the
format of the COCO dataset (Lin et al. 2014).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from data.masks import Mask, fitted, nothing

_FIRST: Final = 48
_MOST: Final = 1 << 40
_MOST_GROUPS: Final = 9
"""Groups of bits in one number."""


def rle(mask: Mask, size_wh: tuple[int, int]) -> dict[str, Any]:
    """COCO's compressed run lengths of a mask in a frame of that size: `size` (height, width) and `counts`, text.

    Raises:
        ValueError: The mask leaves the frame.
    """
    width, height = size_wh
    left, top, right, bottom = mask.xyxy
    if mask.left < 0 or mask.top < 0 or right > width or bottom > height:
        raise ValueError(f"the mask at {left:g}, {top:g}, {right:g}, {bottom:g} leaves the frame of {width} x {height}")
    # A column of the window and a pixel outside below it: no run goes from one column into the next.
    columns = np.pad(mask.inside.T, ((0, 0), (0, 1))).astype(np.int8)
    steps = np.diff(columns.ravel(), prepend=0)
    column, row = np.divmod(np.flatnonzero(steps), columns.shape[1])
    edges = (column + mask.left) * height + row + mask.top
    # A run to the frame's lower edge goes on where the next column's begins at the upper one.
    meets = np.flatnonzero(edges[2::2] == edges[1:-1:2])
    edges = np.delete(edges, np.concatenate([2 * meets + 1, 2 * meets + 2]))
    lengths = np.diff(np.concatenate([[0], edges, [width * height]]))
    if len(lengths) > 1 and lengths[-1] == 0:
        lengths = lengths[:-1]
    return {"size": [height, width], "counts": packed(lengths.tolist())}


def packed(lengths: Sequence[int]) -> str:
    """Run lengths as COCO's text."""
    text = bytearray()
    for number, length in enumerate(lengths):
        value = length - lengths[number - 2] if number > 2 else length
        more = True
        while more:
            bits = value & 31
            value >>= 5
            more = value != (-1 if bits & 16 else 0)
            text.append(_FIRST + (bits | 32 if more else bits))
    return text.decode("ascii")


def unpacked(text: str) -> list[int]:
    """The run lengths of COCO's text.

    Raises:
        ValueError: It is no such text.
    """
    groups = np.frombuffer(text.encode("utf-32-le"), np.uint32).astype(np.int64) - _FIRST
    if not len(groups):
        return []
    goes_on = (groups & 32) != 0
    starts = np.flatnonzero(np.concatenate([[True], ~goes_on[:-1]]))
    sizes = np.diff(starts, append=len(groups))
    place = np.arange(len(groups)) - np.repeat(starts, sizes)
    strange = (groups < 0) | (groups >= 64) | (place >= _MOST_GROUPS)
    if strange.any():
        raise ValueError(f"{text[int(strange.argmax())]!r} is no part of run lengths")
    if goes_on[-1]:
        raise ValueError("the run lengths end in the middle of a number")
    values = np.add.reduceat((groups & 31) << (5 * place), starts)
    values -= np.where(groups[starts + sizes - 1] & 16, 1 << (5 * sizes), 0)  # the highest bit tells the sign
    values[1::2] = values[1::2].cumsum()
    values[2::2] = values[2::2].cumsum()
    unpacked_lengths: list[int] = values.tolist()
    return unpacked_lengths


def from_rle(counts: str | bytes | Sequence[int], size_wh: tuple[int, int]) -> Mask:
    """The mask that COCO's run lengths tell, compressed or as plain numbers.

    Args:
        counts: Text, or the lengths of the runs, the first of pixels outside.
        size_wh: Width and height of the frame.

    Raises:
        ValueError: They are no run lengths, or not of a frame of that size.
    """
    if isinstance(counts, bytes):
        counts = counts.decode("ascii", errors="replace")
    lengths = np.array(unpacked(counts) if isinstance(counts, str) else list(counts), np.float64)
    width, height = size_wh
    if (lengths < 0).any() or (lengths != np.floor(lengths)).any() or lengths.sum() > _MOST:
        raise ValueError("the run lengths are not whole numbers from 0 up")
    if lengths.sum() != width * height:
        raise ValueError(f"the run lengths add up to {lengths.sum():.0f}, not {width} x {height} pixels")
    edges = lengths.cumsum().astype(np.int64)
    if len(edges) < 2:
        return nothing()
    # Only the columns between the first and the last run are unrolled.
    low, high = int(edges[0]) // height, -(-int(edges[-1 if len(edges) % 2 == 0 else -2]) // height)
    steps = np.zeros((high - low) * height + 1, np.int8)
    np.add.at(steps, edges[: len(edges) // 2 * 2] - low * height, np.resize([1, -1], len(edges) // 2 * 2))
    inside = steps[:-1].cumsum().astype(np.bool_).reshape(high - low, height).T
    return fitted(Mask(low, 0, inside))
