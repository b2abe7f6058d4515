"""Tracks that are told at some frames only."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import pairwise
from typing import Final

import numpy as np

Sides = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""
FARTHEST: Final = 10_000
"""Frames between two keyframes that are filled in at most: more is a slip, or an attack."""


def between(known: Mapping[int, Sides], filled: Collection[int]) -> Iterator[tuple[int, Sides]]:
    """The boxes of the frames between those that are known, on straight lines.

    Args:
        known: The box at each keyframe.
        filled: Keyframes after which frames are filled, up to the next one.

    Raises:
        ValueError: Two keyframes are more than `FARTHEST` frames apart.
    """
    frames = sorted(known)
    for first, last in pairwise(frames):
        if first not in filled:
            continue
        if last - first > FARTHEST:
            raise ValueError(f"the keyframes {first} and {last} are too far apart to fill in between")
        start, end = np.array(known[first]), np.array(known[last])
        for frame in range(first + 1, last):
            share = (frame - first) / (last - first)
            left, top, right, bottom = (start + share * (end - start)).tolist()
            yield frame, (left, top, right, bottom)
