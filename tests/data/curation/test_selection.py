from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.curation.selection import choose, margin_uncertainty


def pool(count: int = 60, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)


def anywhere(count: int) -> np.ndarray:
    return np.array([""] * count)


def sure(count: int, value: float = 0.5) -> np.ndarray:
    return np.full(count, value, np.float32)


@given(st.integers(0, 40), st.integers(1, 30), st.integers(0, 5), st.integers(1, 6))
def test_only_candidates_none_twice_and_always_the_same(count: int, wanted: int, seed: int, groups: int) -> None:
    rng = np.random.default_rng(seed)
    places = pool(count, seed)
    unsure = rng.random(count).astype(np.float32)
    candidates = rng.random(count) < 0.7
    owners = rng.integers(0, groups, count).astype(str)
    chosen = choose(places, unsure, owners, wanted, candidates)
    assert len(chosen) == min(wanted, int(candidates.sum()))
    assert len(set(chosen.indices.tolist())) == len(chosen)
    assert candidates[chosen.indices].all()
    again = choose(places, unsure, owners, wanted, candidates)
    assert np.array_equal(chosen.indices, again.indices)


def test_the_unsure_come_first_among_those_alike() -> None:
    places = pool(40)
    unsure = sure(40, 0.01)
    unsure[[3, 17, 29]] = 0.9
    assert set(choose(places, unsure, anywhere(40), 3, np.ones(40, np.bool_)).indices.tolist()) == {3, 17, 29}


def test_pictures_of_every_kind_come_before_a_second_of_one() -> None:
    centres = 10 * pool(5)
    places = np.repeat(centres, 8, axis=0) + 0.3 * pool(40, 1)
    chosen = choose(places, sure(40), anywhere(40), 5, np.ones(40, np.bool_))
    assert sorted((chosen.indices // 8).tolist()) == [0, 1, 2, 3, 4]
    assert (np.diff(chosen.gains[1:]) <= 1e-6).all()


def test_nothing_like_what_is_known_is_chosen() -> None:
    centres = 10 * pool(4)
    places = np.repeat(centres, 10, axis=0) + 0.3 * pool(40, 1)
    candidates = np.ones(40, np.bool_)
    candidates[[0, 10, 20]] = False
    assert choose(places, sure(40), anywhere(40), 1, candidates).indices[0] >= 30


def test_near_duplicates_are_never_both_chosen_nor_copies_of_what_is_known() -> None:
    places = np.repeat(pool(10), 4, axis=0)
    candidates = np.ones(40, np.bool_)
    candidates[0] = False
    chosen = choose(places, sure(40), anywhere(40), 40, candidates)
    assert sorted((chosen.indices // 4).tolist()) == list(range(1, 10))


def test_no_group_crowds_out_the_others() -> None:
    groups = np.array(["large"] * 60 + [str(index // 4) for index in range(40)])
    unsure = np.array([0.9] * 60 + [0.1] * 40, np.float32)
    chosen = choose(pool(100), unsure, groups, 12, np.ones(100, np.bool_))
    free = choose(pool(100), unsure, anywhere(100), 12, np.ones(100, np.bool_))
    assert (free.indices < 60).all()
    # Its fair share is 12 * sqrt(60) / (sqrt(60) + 10 * sqrt(4)) = 3.35.
    assert int((chosen.indices < 60).sum()) == 5


def test_quotas_are_lifted_when_nothing_else_is_left() -> None:
    groups = np.array(["large"] * 95 + ["small"] * 5)
    chosen = choose(pool(100), sure(100), groups, 100, np.ones(100, np.bool_))
    assert sorted(chosen.indices.tolist()) == list(range(100))


def test_one_fish_of_many_frames_gives_two_at_most_while_others_are_left() -> None:
    groups = np.array(["long"] * 50 + [f"fish {index}" for index in range(50)])
    unsure = np.array([0.9] * 50 + [0.1] * 50, np.float32)
    chosen = choose(pool(100), unsure, groups, 10, np.ones(100, np.bool_))
    assert int((chosen.indices < 50).sum()) <= 3


@pytest.mark.parametrize("width", [1, 8, 200])
def test_embeddings_of_any_width_and_without_spread(width: int) -> None:
    places = np.random.default_rng(0).normal(size=(30, width)).astype(np.float32)
    places[:, 0] = 3
    chosen = choose(places, sure(30), anywhere(30), 5, np.ones(30, np.bool_))
    assert len(chosen) == (1 if width == 1 else 5)  # all alike: one is enough


def test_nonsense_is_refused() -> None:
    places = pool(4)
    places[1, 2] = np.nan
    with pytest.raises(ValueError, match="no numbers"):
        choose(places, sure(4), anywhere(4), 1, np.ones(4, np.bool_))
    with pytest.raises(ValueError, match="differ in length"):
        choose(pool(4), sure(3), anywhere(4), 1, np.ones(4, np.bool_))


def test_the_margin_says_how_unsure() -> None:
    found = margin_uncertainty(np.array([[1, 0, 0], [0.5, 0.5, 0], [0.6, 0.3, 0.1]], np.float32))
    assert np.allclose(found, [0, 1, 0.7])
    assert np.allclose(margin_uncertainty(np.array([[0.25]], np.float32)), [0.75])
    assert margin_uncertainty(np.zeros((0, 3), np.float32)).shape == (0,)
