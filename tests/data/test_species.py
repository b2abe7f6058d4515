"""Votes over a track, and crops around boxes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from data.species import crops_around, known_probabilities, vote

NAMES = ("a", "b", "c")
ROWS = arrays(np.float64, st.tuples(st.integers(1, 6), st.just(4)), elements=st.floats(-8, 8))


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax over four, the last of which is unknown."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return (shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))[:, :3]


def logs(*rows: tuple[float, ...]) -> np.ndarray:
    return np.log(np.array(rows))


def test_a_single_crop_gets_the_name_of_its_likeliest_species() -> None:
    named = vote(logs((0.7, 0.2, 0.05)), np.ones(1), NAMES, 0.5)
    assert (named.name, named.runner_up) == ("a", "b")
    assert named.confidence == pytest.approx(0.7)


def test_below_the_threshold_a_fish_is_unknown_and_its_likeliest_species_is_told() -> None:
    named = vote(logs((0.2, 0.15, 0.05)), np.ones(1), NAMES, 0.5)
    assert (named.name, named.runner_up) == (None, "a")
    assert named.confidence == pytest.approx(0.6)


def test_the_weight_decides_between_crops_that_disagree() -> None:
    rows = logs((0.9, 0.05, 0.04), (0.05, 0.9, 0.04))
    assert vote(rows, np.array([1.0, 3.0]), NAMES, 0.5).name == "b"
    assert vote(rows, np.array([3.0, 1.0]), NAMES, 0.5).name == "a"


@pytest.mark.parametrize("weights", [np.zeros(0), np.zeros(2)])
def test_without_a_crop_that_counts_the_fish_is_unknown(weights: np.ndarray) -> None:
    named = vote(np.zeros((len(weights), 3)) - 2, weights, NAMES, 0.1)
    assert (named.name, named.confidence, named.runner_up) == (None, 1.0, None)


def test_certainty_and_impossibility_do_no_harm() -> None:
    rows = np.array([[0.0, -np.inf, -np.inf], [-np.inf, -np.inf, -np.inf]])
    assert np.isfinite(vote(rows, np.ones(2), NAMES, 0.5).confidence)
    assert vote(rows[:1], np.ones(1), NAMES, 0.5).name == "a"
    assert vote(rows[1:], np.ones(1), NAMES, 0.5).name is None


def test_one_species_has_no_runner_up() -> None:
    assert vote(np.log([[0.9]]), np.ones(1), ("a",), 0.5).runner_up is None


@pytest.mark.parametrize(
    ("rows", "weights"),
    [(np.zeros((2, 2)), np.ones(2)), (np.zeros((2, 3)), np.ones(3)), (np.zeros((1, 3)), np.array([-1.0]))],
)
def test_what_does_not_fit_is_refused(rows: np.ndarray, weights: np.ndarray) -> None:
    with pytest.raises(ValueError, match="weight"):
        vote(rows, weights, NAMES, 0.5)


@given(ROWS, st.floats(0.01, 0.99), st.floats(0.001, 1000))
def test_a_vote_is_the_same_for_crops_in_any_order_twice_over_or_weighed_alike(
    logits: np.ndarray, threshold: float, scale: float
) -> None:
    rows = log_probabilities(logits)
    once = vote(rows, np.ones(len(rows)), NAMES, threshold)
    for other in (
        vote(rows[::-1], np.ones(len(rows)), NAMES, threshold),
        vote(np.concatenate([rows, rows]), np.ones(2 * len(rows)), NAMES, threshold),
        vote(rows, np.full(len(rows), scale), NAMES, threshold),
    ):
        assert other.confidence == pytest.approx(once.confidence, abs=1e-6) or other.name != once.name
        near = abs(known(rows) - threshold) < 1e-9
        assert other.name == once.name or near or tied(rows)


def known(rows: np.ndarray) -> float:
    odds = [np.log(chance / (1 - chance)) for chance in known_probabilities(rows)]
    return float(1 / (1 + np.exp(-np.mean(odds))))


def tied(rows: np.ndarray) -> bool:
    means = np.sort((rows - np.log(known_probabilities(rows))[:, None]).mean(axis=0))
    return bool(means[-1] - means[-2] < 1e-9)


@given(ROWS, st.floats(0.01, 0.99))
def test_no_vote_is_surer_than_its_surest_crop(logits: np.ndarray, threshold: float) -> None:
    rows = log_probabilities(logits)
    named = vote(rows, np.ones(len(rows)), NAMES, threshold)
    chances = known_probabilities(rows)
    if named.name is None:
        assert named.confidence <= 1 - chances.min() + 1e-6
    else:
        assert named.confidence <= chances.max() + 1e-6
        assert threshold <= chances.max() + 1e-6


@given(ROWS)
def test_known_and_unknown_make_one(logits: np.ndarray) -> None:
    unknown = np.exp(logits[:, 3] - np.log(np.exp(logits).sum(axis=1)))
    np.testing.assert_allclose(known_probabilities(log_probabilities(logits)) + unknown, 1, atol=1e-9)


def test_crops_have_their_margin_and_end_at_the_frame() -> None:
    frame = np.arange(100 * 200 * 3, dtype=np.uint32).astype(np.uint8).reshape(100, 200, 3)
    boxes = np.array([[50, 40, 90, 60], [0, 0, 20, 10], [190, 95, 260, 140], [-30, -30, -10, -10]], np.float32)
    crops = crops_around(frame, boxes, 0.25)
    np.testing.assert_array_equal(crops[0], frame[30:70, 40:100])
    np.testing.assert_array_equal(crops[1], frame[0:15, 0:25])
    assert crops[2].shape == (23, 28, 3)
    assert all(crop.size for crop in crops)
    assert crops_around(frame, boxes[:0], 0.25) == []
