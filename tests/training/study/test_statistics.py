"""The statistics of a study against what is known by hand and by other code."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from training.study.statistics import compared, holm, sign_flip_p

SHARES = st.lists(st.floats(0, 1).map(lambda value: round(value, 3)), min_size=2, max_size=8)


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=3, max_size=8))
def test_the_t_test_is_scipys_where_differences_spread(pairs: list[tuple[int, int]]) -> None:
    method, baseline = np.array(pairs).T / 1000
    seen = compared(method, baseline)
    assert seen.difference == pytest.approx(method.mean() - baseline.mean())
    assert seen.low <= seen.difference <= seen.high
    if np.unique(np.round(method - baseline, 9)).size > 1:
        theirs = stats.ttest_rel(method, baseline)
        assert seen.p == pytest.approx(theirs.pvalue, abs=1e-9)
        interval = theirs.confidence_interval()
        assert (seen.low, seen.high) == pytest.approx((interval.low, interval.high), abs=1e-9)
        # The interval and the test say the same.
        assert (seen.low > 0 or seen.high < 0) == (seen.p < 0.05) or seen.p == pytest.approx(0.05, abs=1e-6)


@given(SHARES)
def test_a_method_that_changes_nothing_is_never_found(values: list[float]) -> None:
    seen = compared(values, values)
    assert (seen.difference, seen.p, seen.p_exact) == (0.0, 1.0, 1.0)


def test_equal_differences_are_not_taken_for_certain() -> None:
    seen = compared([0.5, 0.75, 0.25], [0.25, 0.5, 0.0])
    assert seen.p == seen.p_exact == 0.25


@pytest.mark.parametrize(
    ("differences", "expected"),
    [([1, 2, 3], 2 / 8), ([1, -1], 1.0), ([1, 2, -0.5], 4 / 8), ([0, 0, 0], 1.0), ([1, 1, 1, 1, 1], 2 / 32)],
)
def test_the_exact_test_counts_sign_changes(differences: list[float], expected: float) -> None:
    assert sign_flip_p(np.array(differences, float)) == expected


@given(SHARES.map(lambda values: [value - 0.4 for value in values]))
def test_the_exact_test_is_scipys_permutation_test(differences: list[float]) -> None:
    theirs = stats.permutation_test(
        (np.array(differences),), lambda x, axis: np.mean(x, axis=axis), permutation_type="samples", vectorized=True
    )
    assert sign_flip_p(np.array(differences)) == pytest.approx(theirs.pvalue, abs=1e-9)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_only_raises_and_keeps_the_order(p: list[float]) -> None:
    raised = holm(p)
    assert all(before <= after <= min(1.0, len(p) * before) + 1e-12 for before, after in zip(p, raised, strict=True))
    order = np.argsort(p, kind="stable")
    assert (np.diff(np.array(raised)[order]) >= 0).all()
