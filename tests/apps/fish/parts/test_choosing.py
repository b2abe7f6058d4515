"""Which pictures of fish are looked at: each fish at once and then once a second, the best picture of each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.fish.parts.choosing import LARGEST, Chooser, Chosen, qualities, spread

PICTURE = np.full((8, 8, 3), 7, np.uint8)


def chosen(samples: list[tuple[float, list[tuple[float, float, float]]]]) -> list[Chosen]:
    """Boxes of 20 pixels at (x, y) with their worth, sample after sample; all that is chosen."""
    chooser, found, row = Chooser(), [], 0
    for seconds, fish in samples:
        boxes = np.array([[x, y, x + 20, y + 20] for x, y, _ in fish], np.float32).reshape(-1, 4)
        worth = np.array([one[2] for one in fish], np.float64)
        rows = row + np.arange(len(fish))
        found += chooser.choose(seconds, rows, boxes, worth, [PICTURE] * len(fish))
        row += len(fish)
    return found + chooser.end()


def test_the_best_of_every_second():
    worth = [3, 5, 4, 1, 2, 9, 1, 1, 1, 8]
    found = chosen([(at / 5, [(10 + at, 10, worth[at])]) for at in range(10)])
    assert [(one.row, one.quality, one.fish) for one in found] == [(1, 5, 1), (5, 9, 1)]


def test_two_fish_side_by_side_are_both_looked_at():
    found = chosen([(at / 5, [(10 + 4 * at, 10, 1), (10 + 4 * at, 60, 2)]) for at in range(10)])
    assert sorted({one.fish for one in found}) == [1, 2]
    assert sorted(one.row % 2 for one in found) == [0, 0, 1, 1]


def test_whoever_was_out_of_sight_for_long_is_another():
    found = chosen([(0.0, [(10, 10, 1)]), (0.9, [(10, 10, 2)]), (2.5, [(10, 10, 1)])])
    assert [(one.row, one.fish) for one in found] == [(1, 1), (2, 2)]


def test_what_appears_for_one_sample_is_looked_at():
    found = chosen([(0.0, []), (0.2, [(50, 50, 1)]), (0.4, [])])
    assert [one.row for one in found] == [0]


@settings(max_examples=60)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200), st.integers(1, 9)), max_size=4), max_size=25)
)
def test_no_detection_is_chosen_twice_and_no_fish_is_forgotten(samples):
    found = chosen([(at / 5, [(float(x), float(y), float(w)) for x, y, w in fish]) for at, fish in enumerate(samples)])
    rows = [one.row for one in found]
    assert len(set(rows)) == len(rows)
    assert set(rows) <= set(range(sum(map(len, samples))))
    numbers = {one.fish for one in found}
    assert numbers == set(range(1, len(numbers) + 1))
    if samples and samples[-1]:
        assert found


def test_pictures_are_copies_and_small():
    frame = np.zeros((600, 900, 3), np.uint8)
    chooser = Chooser()
    chooser.choose(0.0, np.array([0]), np.array([[0, 0, 900, 600]], np.float32), np.ones(1), [frame])
    (one,) = chooser.end()
    assert one.picture.shape == (round(LARGEST * 600 / 900), LARGEST, 3)
    assert not np.shares_memory(one.picture, frame)


def test_large_sure_and_whole_is_better():
    boxes = np.array([[10, 10, 30, 30], [10, 10, 50, 50], [0, 10, 40, 50], [10, 10, 500, 500]], np.float32)
    worth = qualities(boxes, np.array([0.8, 0.8, 0.8, 0.4], np.float32), (640, 480))
    assert worth == pytest.approx([16, 32, 16, 0.4 * 96 / 2])


@given(st.lists(st.floats(0, 60), min_size=1, max_size=30), st.integers(1, 5), st.integers(0, 2**16))
def test_a_few_are_spread_in_time(times, most, seed):
    seconds = np.sort(np.array(times))
    worth = np.random.default_rng(seed).random(len(times))
    found = spread(seconds, worth, most)
    assert 1 <= len(found) <= most
    assert (np.diff(found) > 0).all()
    if len(times) > most:
        assert worth.argmax() in found


def test_they_are_not_all_from_one_moment():
    seconds = np.array([0, 0.1, 0.2, 0.3, 10, 20, 30])
    assert spread(seconds, np.array([9, 9, 9, 9, 1, 1, 1.0]), 3).tolist() == [0, 4, 5]
