"""Augmentation of handwritten digits: what happens to handwriting on forms, from the pen to the JPEG.

A digit's ink (0 paper, 255 ink) is varied in shape and stroke, written on paper (dark on light) beside what else a
cell may hold, and photographed. The result is a cell as the scanner cuts it, before the one preprocessing.
"""

from __future__ import annotations

from typing import Any, Final

import albumentations as A  # noqa: N812 - its documentation's own name for it
import cv2
import numpy as np

from data.preprocess import Image
from data.synth import marks
from training.augmentation.handwriting_spec import HandwritingAugmentation

CELL_SIDE: Final = 64
"""Side of an augmented cell in pixels; a 200-dpi cell of 8 x 10 mm is about that large."""
_SMALLEST, _LARGEST = 18.0, 52.0
_TYPICAL: Final = 34.0
_WIPES: Final = 9
"""Wiped once, a digit can still be read; wiped so often, it cannot."""


class StrokeThickness(A.ImageOnlyTransform):
    """Redraw the strokes thicker or thinner, edges crisp: ink = clip(d - r + 1/2), d the signed distance to the edge.

    r is `change` times half the stroke's width: 0 only sharpens, -1 doubles the thickness, 0.5 halves it.
    """

    def __init__(self, change: tuple[float, float], p: float = 0.5) -> None:
        super().__init__(p=p)
        self.change = change

    def get_params(self) -> dict[str, Any]:
        """The drawn change."""
        return {"change": self.py_random.uniform(*self.change)}

    def apply(self, img: Image, change: float = 0.0, **_params: Any) -> Image:
        """(H, W) ink, uint8 -> the same."""
        return redrawn(img, change)


def redrawn(ink: Image, change: float) -> Image:
    """Ink with its strokes' thickness changed; see `StrokeThickness`. Ink that would vanish stays as it is."""
    mask = (ink > 127).astype(np.uint8)
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    covered = inside[inside > 0]
    if covered.size < 3:
        return ink
    half_stroke = float(np.percentile(covered, 90))
    signed = inside - cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5) + (0.5 - mask)
    drawn = np.clip(signed - change * half_stroke + 0.5, 0, 1)
    if change > 0 and drawn.sum() < 0.2 * mask.sum():
        return ink
    return (drawn * 255).astype(np.uint8)


class HandwritingAugmenter:
    """Draws augmented cells; the same seed draws the same cells.

    Args:
        spec: Strengths and probabilities.
    """

    def __init__(self, spec: HandwritingAugmentation) -> None:
        self.spec = spec
        self.rng = np.random.default_rng(0)
        pose = A.Affine(rotate=_both(spec.rotation), shear={"x": _both(spec.shear), "y": _both(spec.shear / 2)}, p=0.9)
        self.pose = A.Compose([pose])
        # Sharp edges first: sources of low resolution would be told by their blur.
        self.shape = A.Compose(
            [
                StrokeThickness((0.0, 0.0), p=spec.sharpen),
                pose,
                A.Perspective(scale=(0.02, 0.08), keep_size=True, p=spec.perspective),
                A.OneOf(
                    [
                        A.ElasticTransform(alpha=24, sigma=4.5, approximate=True),
                        A.GridDistortion(num_steps=4, distort_limit=0.22),
                    ],
                    p=spec.elastic,
                ),
                StrokeThickness((-0.7, 0.5), p=spec.stroke_thickness),
            ]
        )
        self.optics = A.Compose(
            [
                A.Illumination(intensity_range=(0.05, 0.2), p=spec.uneven_light),
                A.OneOf(
                    [A.GaussianBlur(sigma_limit=(0.4, 1.5), blur_limit=0), A.MotionBlur(blur_limit=(3, 5))], p=spec.blur
                ),
                A.Downscale(scale_range=(0.3, 0.7), p=spec.low_resolution),
                A.GaussNoise(std_range=(0.01, 0.06), p=spec.noise),
                A.ImageCompression(quality_range=(25, 85), p=spec.jpeg),
            ]
        )

    def seed(self, seed: int) -> None:
        """Start the drawing anew."""
        self.rng = np.random.default_rng(seed)
        for number, part in enumerate((self.pose, self.shape, self.optics)):
            part.set_random_seed(seed + number)

    def digit(self, ink: Image, neighbour: Image) -> Image:
        """A cell with this digit; `neighbour` is the ink that may cut in from the next cell.

        Args:
            ink: (h, w) uint8 tight ink of any size, 0 paper.
            neighbour: The same, of another example.

        Returns:
            (64, 64) uint8, dark on light.
        """
        if self.rng.random() < self.spec.clean:
            return 255 - self.pose(image=self._placed(ink))["image"]
        cell = self._written(self._shaped(ink))
        if self.rng.random() < self.spec.smear:
            cell = marks.smear(cell, self.rng)
        if self.rng.random() < self.spec.neighbour_strokes:
            cell = marks.neighbour_strokes(cell, 255 - neighbour, self.rng, self._side())
        return self._photographed(self._littered(cell))

    def not_a_digit(self, ink: Image, neighbour: Image) -> Image:
        """A cell that holds no digit to be read: crossed out, scribbled, smeared, empty, or a neighbour's strokes only.

        Args:
            ink: (h, w) uint8 ink of a digit, which some of the cells show spoilt.
            neighbour: Ink of another digit.

        Returns:
            (64, 64) uint8, dark on light.
        """
        kind = self.rng.choice(
            ["crossed", "scribble", "smear", "empty", "neighbour", "double"], p=[0.42, 0.14, 0.1, 0.16, 0.1, 0.08]
        )
        if kind in ("crossed", "smear", "double"):
            cell = self._written(self._shaped(ink))
            if kind == "crossed":
                cell = marks.strike_out(cell, self.rng)
            elif kind == "smear":
                for _ in range(_WIPES):
                    cell = marks.smear(cell, self.rng)
            else:
                cell = np.minimum(cell, self._written(self._shaped(neighbour)))
        else:
            cell = self._paper()
            if kind == "scribble":
                cell = marks.scribble(cell, self.rng)
            elif kind == "neighbour":
                cell = marks.neighbour_strokes(cell, 255 - neighbour, self.rng, self._side())
            elif self.rng.random() < 0.7:
                cell = marks.border_remains(cell, self.rng)
        return self._photographed(self._littered(cell))

    def _side(self) -> marks.Side:
        return "right" if self.rng.integers(2) else "left"

    def _shaped(self, ink: Image) -> Image:
        """The digit alone on a cell's canvas, its size, place, shape and stroke varied."""
        return self.shape(image=self._placed(ink))["image"]

    def _placed(self, ink: Image) -> Image:
        """The digit alone on a cell's canvas, its size and place varied."""
        longest = _TYPICAL * np.exp(self.rng.normal(0, self.spec.scale))
        aspect = ink.shape[1] / ink.shape[0] * np.exp(self.rng.normal(0, self.spec.aspect))
        width, height = longest * min(1.0, aspect), longest * min(1.0, 1 / aspect)
        size = np.clip(np.round([width, height]), 4, _LARGEST).astype(int)
        if max(size) < _SMALLEST:
            size = np.maximum(size, round(_SMALLEST * 0.3))
        grown = cv2.resize(ink, (int(size[0]), int(size[1])), interpolation=cv2.INTER_CUBIC)
        room = CELL_SIDE - size
        left, top = (np.clip(self.rng.normal(0.5, 0.15, 2), 0.1, 0.9) * room).astype(int)
        canvas = np.zeros((CELL_SIDE, CELL_SIDE), np.uint8)
        canvas[top : top + size[1], left : left + size[0]] = grown
        return canvas

    def _paper(self) -> Image:
        return np.full((CELL_SIDE, CELL_SIDE), self.rng.integers(150, 256), np.uint8)

    def _written(self, ink: Image) -> Image:
        """Ink on paper, the pen between pale pencil and black."""
        paper = self._paper()
        darkness = self.rng.uniform(0.25, 1.0) if self.rng.random() < 0.4 else self.rng.uniform(0.7, 1.0)
        return (paper * (1 - ink.astype(np.float32) * (darkness / 255))).astype(np.uint8)

    def _littered(self, cell: Image) -> Image:
        if self.rng.random() < self.spec.border_remains:
            cell = marks.border_remains(cell, self.rng)
        if self.rng.random() < self.spec.specks:
            cell = marks.specks(cell, self.rng)
        return cell

    def _photographed(self, cell: Image) -> Image:
        return self.optics(image=cell)["image"]


def _both(limit: float) -> tuple[float, float]:
    return -limit, limit
