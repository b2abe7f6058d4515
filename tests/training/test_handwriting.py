"""Augmented cells: the same seed gives the same cell, every part does what its name says."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from data.preprocess import DigitPreprocessing, Image, ink_image, tight_ink
from training.augmentation.handwriting import CELL_SIDE, HandwritingAugmenter, redrawn
from training.augmentation.handwriting_spec import HandwritingAugmentation

OFF = HandwritingAugmentation(**dict.fromkeys(HandwritingAugmentation.model_fields, 0.0))


def ring(side: int = 40, thickness: int = 5) -> Image:
    image = np.zeros((side, side), np.uint8)
    cv2.circle(image, (side // 2, side // 2), side // 2 - thickness, 255, thickness)
    return image


def ring_ink() -> Image:
    ink = tight_ink(ring(), DigitPreprocessing(), "light")
    assert ink is not None
    return ink


def cells(spec: HandwritingAugmentation, seed: int, count: int = 8) -> list[Image]:
    augmenter = HandwritingAugmenter(spec)
    augmenter.seed(seed)
    return [augmenter.digit(ring_ink(), ring_ink()) for _ in range(count)]


def test_the_seed_decides() -> None:
    assert all(
        np.array_equal(a, b)
        for a, b in zip(cells(HandwritingAugmentation(), 7), cells(HandwritingAugmentation(), 7), strict=True)
    )
    assert not np.array_equal(cells(HandwritingAugmentation(), 7)[0], cells(HandwritingAugmentation(), 8)[0])


def test_cells_are_dark_ink_on_light_paper() -> None:
    for cell in cells(HandwritingAugmentation(), 1, count=40):
        assert cell.shape == (CELL_SIDE, CELL_SIDE)
        assert cell.dtype == np.uint8
        assert np.median(cell) > cell.min() + 10


def test_switched_off_parts_leave_the_digit_as_it_is() -> None:
    frames = [ink_image(cell, DigitPreprocessing(), "dark").astype(int) for cell in cells(OFF, 3, count=12)]
    expected = ink_image(ring_ink(), DigitPreprocessing(), "light").astype(int)
    assert all(np.abs(frame - expected).mean() < 14 for frame in frames)


@pytest.mark.parametrize(
    "part",
    ["elastic", "perspective", "stroke_thickness", "border_remains", "neighbour_strokes", "specks", "smear",
     "uneven_light", "blur", "noise", "jpeg", "low_resolution"],
)  # fmt: skip
def test_each_part_changes_the_cell_alone(part: str) -> None:
    changed = cells(OFF.model_copy(update={part: 1.0}), 5)
    plain = cells(OFF, 5)
    assert any(not np.array_equal(a, b) for a, b in zip(changed, plain, strict=True))


@pytest.mark.parametrize("change", [-0.7, -0.3, 0.0, 0.3, 0.5])
def test_strokes_get_thicker_and_thinner_by_what_is_asked(change: float) -> None:
    before, after = ring(80, 9), redrawn(ring(80, 9), change)
    ratio = (after > 127).sum() / (before > 127).sum()
    assert ratio == pytest.approx(1 - change, abs=0.2)


def test_thin_strokes_do_not_vanish() -> None:
    thin = ring(40, 1)
    assert (redrawn(thin, 0.9) > 127).sum() > 0


def test_spoilt_cells_come_in_many_kinds() -> None:
    augmenter = HandwritingAugmenter(HandwritingAugmentation())
    augmenter.seed(0)
    made = [augmenter.not_a_digit(ring_ink(), ring_ink()) for _ in range(60)]
    ink = np.array([(np.median(cell) - cell.astype(int) > 40).mean() for cell in made])
    assert (ink < 0.01).any()  # empty ones
    assert (ink > 0.2).any()  # scribbles
