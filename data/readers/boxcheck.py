"""The check that every labelled box goes through, whatever file it comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from data.boxes import Boxes, no_boxes
from data.masks import Mask
from data.readers.digitset import Problem

LEAST_INSIDE: Final = 0.5
"""Share of a box's area that must lie in the picture: a little over the edge is cut off, more is no box."""


@dataclass
class BoxList:
    """Boxes of one picture of `size_wh` pixels, gathered one by one; what is no box is listed instead.

    `masks` has one for each box, None where there is none. `complete` tells whether every label was taken in: where one
    was lost, something in the picture is unlabelled.
    """

    size_wh: tuple[int, int]
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    masks: list[Mask | None] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    complete: bool = True

    def add(self, where: str, label: int, xyxy: tuple[float, float, float, float], mask: Mask | None = None) -> bool:
        """Take one box in pixels, cut at the picture's edges, and its mask; or list it under `where` and say False."""
        fault = _fault(xyxy, self.size_wh)
        if fault:
            self.refuse(where, fault)
            return False
        width, height = self.size_wh
        left, top, right, bottom = xyxy
        cut = max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))
        if (label, cut) in zip(self.labels, self.boxes, strict=True):
            self.problems.append(Problem(where, "says a box twice"))
            return False
        self.boxes.append(cut)
        self.labels.append(label)
        self.masks.append(mask)
        return True

    def refuse(self, where: str, why: str) -> None:
        """List a label that cannot be taken."""
        self.problems.append(Problem(where, why))
        self.complete = False

    @property
    def xyxy(self) -> Boxes:
        """(n, 4) float32."""
        return np.array(self.boxes, np.float32) if self.boxes else no_boxes()


def _fault(xyxy: tuple[float, float, float, float], size_wh: tuple[int, int]) -> str:
    """Why this is no box in a picture of that size; "" where it is one."""
    left, top, right, bottom = xyxy
    if not all(math.isfinite(value) for value in xyxy):
        return "its box holds numbers that are not finite"
    width, height = right - left, bottom - top
    if width < 0 or height < 0:
        return "its box is inside out"
    if width == 0 or height == 0:
        return "its box has no area"
    inside = max(0.0, min(right, size_wh[0]) - max(left, 0.0)) * max(0.0, min(bottom, size_wh[1]) - max(top, 0.0))
    if inside < LEAST_INSIDE * width * height:
        return f"its box lies outside the picture of {size_wh[0]} x {size_wh[1]} pixels"
    return ""
