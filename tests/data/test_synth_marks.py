"""Marks on cells: they change what they should, keep shape and type, and repeat by seed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.synth import marks

ALL = {
    "strike_out": marks.strike_out,
    "scribble": marks.scribble,
    "smear": marks.smear,
    "border_remains": marks.border_remains,
    "specks": marks.specks,
    "neighbour": lambda image, rng: marks.neighbour_strokes(image, ring(), rng, "right"),
}


def ring(side: int = 64, paper: int = 255) -> np.ndarray:
    image = np.full((side, side), paper, np.uint8)
    cv2.circle(image, (side // 2, side // 2), side // 3, 40, 4, cv2.LINE_AA)
    return image


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("paper", [255, 190])
def test_marks_keep_shape_and_paper_and_repeat_by_seed(name, paper):
    image = ring(paper=paper)
    before = image.copy()
    one, again = (ALL[name](image, np.random.default_rng(5)) for _ in range(2))
    other = ALL[name](image, np.random.default_rng(6))
    assert (image == before).all()
    assert one.shape == image.shape
    assert one.dtype == np.uint8
    assert (one == again).all()
    assert (one != other).any()
    assert (one != image).any()
    assert one.astype(int).max() <= paper
    if name != "smear":  # which takes ink away where it lay and puts it beside
        assert (one <= image.astype(int) + 1).all()


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(ALL)), st.integers(3, 90), st.integers(3, 90), st.integers(0, 2**32 - 1))
def test_any_small_image_even_blank_can_be_marked(name, height, width, seed):
    blank = np.full((height, width), 230, np.uint8)
    marked = ALL[name](blank, np.random.default_rng(seed))
    assert marked.shape == blank.shape


def test_a_strike_out_adds_ink_across_the_digit():
    rng = np.random.default_rng(0)
    added = []
    for _ in range(200):
        struck = marks.strike_out(ring(), rng)
        new = (ring() > 200) & (struck < 150)
        columns, rows = np.flatnonzero(new.any(0)), np.flatnonzero(new.any(1))
        added.append(max(np.ptp(columns), np.ptp(rows)))
    # the ring is 42 px wide: every strike must go through most of it
    assert min(added) > 30


@pytest.mark.parametrize(
    ("side", "part"),
    [
        ("left", np.s_[:, :14]),
        ("right", np.s_[:, -14:]),
        ("top", np.s_[:14, :]),
        ("bottom", np.s_[-14:, :]),
    ],
)
def test_a_neighbour_reaches_in_from_its_side_only(side, part):
    rng = np.random.default_rng(1)
    blank = np.full((64, 64), 255, np.uint8)
    for _ in range(50):
        marked = marks.neighbour_strokes(blank, ring(40), rng, side)
        assert (marked < 128).any()
        rest = marked.copy()
        rest[part] = 255
        assert (rest == 255).all()


def test_border_remains_lie_near_the_edges():
    rng = np.random.default_rng(2)
    blank = np.full((64, 64), 255, np.uint8)
    for _ in range(100):
        assert (marks.border_remains(blank, rng)[12:-12, 12:-12] == 255).all()


def test_a_smear_keeps_the_stroke_legible():
    smeared = marks.smear(ring(), np.random.default_rng(3))
    stroke = ring() < 60
    assert smeared[stroke].mean() < smeared[~stroke].mean() - 40
