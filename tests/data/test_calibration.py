from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.calibration import LEAST_SLOPE, fit_platt
from data.metrics import expected_calibration_error


def sigmoid(strength: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-strength))


@pytest.mark.parametrize(("slope", "shift"), [(1.0, 0.0), (0.5, -1.5), (2.5, 1.0)])
def test_the_true_slope_and_shift_are_found(slope: float, shift: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(-1, 2, 40_000)
    right = rng.random(len(logits)) < sigmoid(slope * logits + shift)
    found = fit_platt(logits, right)
    assert found == pytest.approx((slope, shift), abs=0.08)
    sure = sigmoid(found[0] * logits + found[1])
    assert expected_calibration_error(sure, right) < 0.01


@given(
    st.lists(st.tuples(st.floats(-30, 30), st.booleans()), min_size=1, max_size=40),
)
def test_the_order_is_kept_and_the_answer_finite(answers: list[tuple[float, bool]]) -> None:
    logits = np.array([logit for logit, _ in answers])
    right = np.array([is_right for _, is_right in answers])
    slope, shift = fit_platt(logits, right)
    assert slope >= LEAST_SLOPE
    assert np.isfinite([slope, shift]).all()


def test_scores_that_mislead_are_flattened_to_the_share_of_right_ones() -> None:
    logits = np.array([-2.0, -1.0, 1.0, 2.0] * 50)
    slope, shift = fit_platt(logits, logits < 0)
    assert slope == LEAST_SLOPE
    assert sigmoid(np.array([shift]))[0] == pytest.approx(0.5, abs=0.01)


def test_parted_answers_stay_finite() -> None:
    logits = np.array([-3.0, -2.0, 2.0, 3.0])
    slope, shift = fit_platt(logits, logits > 0)
    assert 0 < slope < 10
    assert abs(shift) < 1e-6


def test_all_right_or_all_wrong() -> None:
    logits = np.array([-1.0, 0.0, 1.0] * 20)
    for right, low, high in ((np.ones(60, bool), 0.95, 1.0), (np.zeros(60, bool), 0.0, 0.05)):
        slope, shift = fit_platt(logits, right)
        assert all(low <= chance <= high for chance in sigmoid(slope * logits + shift))


def test_nothing_to_fit() -> None:
    assert fit_platt(np.zeros(0), np.zeros(0, bool)) == (1.0, 0.0)
    finite = fit_platt(np.array([1.0, -1.0, np.nan, np.inf]), np.array([True, False, True, False]))
    assert finite == fit_platt(np.array([1.0, -1.0]), np.array([True, False]))
    with pytest.raises(ValueError, match="2 logits against 1"):
        fit_platt(np.zeros(2), np.zeros(1, bool))
