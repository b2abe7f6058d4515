from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from data import metrics

shares = st.floats(0, 1, width=32)


@st.composite
def answers(draw):
    """Confidences (N,) float32 and whether each is right."""
    count = draw(st.integers(0, 60))
    confidences = draw(hnp.arrays(np.float32, count, elements=shares))
    return confidences, draw(hnp.arrays(np.bool_, count))


@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    [
        # R: prop.test(right, total, correct = FALSE)$conf.int
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (993, 993, 0.99615, 1.0),
    ],
)
def test_wilson_interval_against_published_values(right, total, low, high):
    assert metrics.wilson_interval(right, total) == pytest.approx((low, high), abs=6e-5)


@given(st.integers(0, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_holds_the_share_and_mirrors(case):
    right, total = case
    low, high = metrics.wilson_interval(right, total)
    assert 0 <= low <= high <= 1
    if total:
        assert low <= right / total <= high
    mirrored = metrics.wilson_interval(total - right, total)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-9)


@pytest.mark.parametrize(("right", "total"), [(2, 1), (-1, 3), (0, -1)])
def test_wilson_interval_refuses_what_is_no_share(right, total):
    with pytest.raises(ValueError, match="not a share"):
        metrics.wilson_interval(right, total)


def test_accuracy_of_nothing_says_so():
    nothing = metrics.accuracy_of(np.zeros(0, np.bool_))
    assert (nothing.right, nothing.total, nothing.low, nothing.high) == (0, 0, 0.0, 1.0)
    assert math.isnan(nothing.share)


def test_groups_count_once_each():
    right = np.array([True] * 90 + [False] * 10 + [True, False])
    groups = metrics.accuracy_by_group(right, ["b"] * 100 + ["a"] * 2)
    assert list(groups) == ["a", "b"]
    assert (groups["a"].share, groups["b"].share) == (0.5, 0.9)
    assert metrics.unweighted_mean(groups) == pytest.approx(0.7)
    assert math.isnan(metrics.unweighted_mean({}))


def test_confusion_rows_are_true_and_columns_read():
    confusion = metrics.confusion_matrix(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 1]), 4)
    assert confusion.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    scores = metrics.class_scores(confusion)
    np.testing.assert_allclose(scores.recall, [0.5, 1.0, 0.0, np.nan])
    np.testing.assert_allclose(scores.precision, [1.0, 1 / 3, np.nan, np.nan])
    assert scores.support.tolist() == [2, 1, 1, 0]


@given(st.data(), st.integers(1, 11))
def test_confusion_counts_every_answer_once(data, classes):
    count = data.draw(st.integers(0, 80))
    labels = hnp.arrays(np.int64, count, elements=st.integers(0, classes - 1))
    true, read = data.draw(labels), data.draw(labels)
    confusion = metrics.confusion_matrix(true, read, classes)
    assert confusion.shape == (classes, classes)
    assert confusion.sum() == count
    assert np.trace(confusion) == np.count_nonzero(true == read)
    assert metrics.class_scores(confusion).support.tolist() == [np.count_nonzero(true == c) for c in range(classes)]


@pytest.mark.parametrize(("true", "read"), [([0, 3], [0, 0]), ([0, 0], [-1, 0]), ([0], [0, 0])])
def test_confusion_refuses_other_classes_and_lengths(true, read):
    with pytest.raises(ValueError, match="expected"):
        metrics.confusion_matrix(np.array(true), np.array(read), 3)


def test_calibration_error_by_hand():
    # Bin (0.4, 0.4667]: two answers at 0.45, one right. Bin (0.9333, 1]: two answers at 1, both right.
    error = metrics.expected_calibration_error(np.array([0.45, 0.45, 1.0, 1.0]), np.array([True, False, True, True]))
    assert error == pytest.approx(0.5 * abs(0.5 - 0.45))


def test_calibration_bins_are_closed_above():
    # 0.5 belongs to (0, 0.5] and 0.50001 to (0.5, 1]: apart, their gaps do not cancel.
    error = metrics.expected_calibration_error(np.array([0.5, 0.50001]), np.array([True, False]), bins=2)
    assert error == pytest.approx(0.5, abs=1e-4)


@given(answers(), st.integers(1, 30))
def test_calibration_error_agrees_with_the_plain_sum(case, bins):
    confidences, right = case
    error = metrics.expected_calibration_error(confidences, right, bins)
    if not len(right):
        assert math.isnan(error)
        return
    plain = 0.0
    sure = confidences.astype(np.float64)
    # The same products as the function's, so that no value falls beside its edge by rounding.
    place = np.maximum(np.ceil(sure * bins), 1)
    for number in range(1, bins + 1):
        inside = place == number
        if inside.any():
            plain += inside.mean() * abs(right[inside].mean() - sure[inside].mean())
    assert error == pytest.approx(plain, abs=1e-9)
    assert 0 <= error <= 1


def test_calibration_takes_nan_as_no_confidence():
    assert metrics.expected_calibration_error(np.array([np.nan]), np.array([True])) == 1.0


def test_coverage_counts_the_four_kinds():
    right = np.array([True, True, True, False, False, True])
    accepted = np.array([True, True, True, True, False, False])
    found = metrics.coverage(right, accepted)
    assert found == metrics.Coverage(3, 1, 1, 1)
    assert (found.total, found.effort, found.error, found.accepted_accuracy) == (6, 2 / 6, 1 / 6, 3 / 4)


def test_coverage_of_nothing_is_nan():
    nothing = metrics.coverage(np.zeros(0, np.bool_), np.zeros(0, np.bool_))
    assert nothing.total == 0
    assert all(math.isnan(share) for share in (nothing.effort, nothing.error, nothing.accepted_accuracy))


@given(answers(), st.sampled_from([0.0, 0.002, 0.05, 0.3, 1.0]))
def test_accept_threshold_keeps_its_promise_and_is_the_smallest(case, target):
    confidences, right = case
    threshold = metrics.accept_threshold(confidences, right, target)
    allowed = target * len(right) + 1e-6
    assert metrics.coverage(right, confidences >= threshold).accepted_wrong <= allowed
    for lower in np.append(confidences[confidences < threshold], 0.0 if threshold > 0 else []):
        assert metrics.coverage(right, confidences >= lower).accepted_wrong > allowed


def test_accept_threshold_of_hopeless_answers_accepts_nothing():
    confidences = np.ones(5, np.float32)
    threshold = metrics.accept_threshold(confidences, np.zeros(5, np.bool_))
    assert not (confidences >= threshold).any()


def test_accept_threshold_leaves_out_what_is_reviewed_anyway():
    confidences = np.array([np.nan, 0.9, 0.8], np.float32)
    assert metrics.accept_threshold(confidences, np.array([False, True, True])) == 0.0


@given(
    hnp.arrays(np.float32, st.tuples(st.integers(0, 9), st.integers(1, 11)), elements=st.floats(-300, 300, width=32))
)
def test_softmax_gives_probabilities_and_keeps_the_order(logits):
    chances = metrics.softmax(logits, 2.5)
    assert chances.shape == logits.shape
    np.testing.assert_allclose(chances.sum(axis=1), 1.0)
    assert (chances.max(axis=1, initial=0) == chances[np.arange(len(logits)), logits.argmax(axis=1)]).all()


@pytest.mark.parametrize("true_temperature", [0.3, 1.0, 2.0, 5.0])
def test_temperature_is_recovered(true_temperature):
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 3, (40_000, 11))
    cumulative = metrics.softmax(logits, true_temperature).cumsum(axis=1)
    labels = np.minimum((rng.random((len(logits), 1)) > cumulative).sum(axis=1), 10)
    fitted = metrics.fit_temperature(logits, labels)
    assert fitted == pytest.approx(true_temperature, rel=0.05)
    assert metrics.negative_log_likelihood(logits, labels, fitted) <= metrics.negative_log_likelihood(logits, labels)


@given(st.integers(0, 10_000))
def test_temperature_is_the_best_of_a_fine_grid(seed):
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(0, 4, (30, 5)), rng.integers(0, 5, 30)
    fitted = metrics.negative_log_likelihood(logits, labels, metrics.fit_temperature(logits, labels))
    grid = np.geomspace(*metrics.TEMPERATURES, 60)
    assert fitted <= min(metrics.negative_log_likelihood(logits, labels, float(t)) for t in grid) + 1e-6


def test_temperature_of_perfect_hopeless_empty_and_broken_logits_is_bounded():
    low, high = metrics.TEMPERATURES
    perfect = np.eye(3)
    assert metrics.fit_temperature(perfect, np.arange(3)) == pytest.approx(low, rel=1e-3)
    assert metrics.fit_temperature(perfect, np.array([1, 2, 0])) == pytest.approx(high, rel=1e-2)
    assert metrics.fit_temperature(np.zeros((0, 11)), np.zeros(0, np.int64)) == 1.0
    broken = np.vstack([perfect, [[np.nan, np.inf, 0]]])
    labels = np.array([1, 2, 0, 0])
    assert metrics.fit_temperature(broken, labels) == metrics.fit_temperature(perfect, labels[:3])
