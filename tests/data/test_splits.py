from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.splits import by_group, leave_one_out, stratified_holdout

GROUPS = st.lists(st.sampled_from([f"writer {n}" for n in range(12)]), max_size=60)
SHARES = {"train": 0.7, "val": 0.2, "test": 0.1}


@given(GROUPS)
def test_leave_one_out_holds_out_every_group_once(groups: list[str]) -> None:
    array = np.array(groups, np.str_)
    seen = []
    for name, kept, held_out in leave_one_out(groups):
        seen.append(name)
        assert set(array[held_out]) == {name}
        assert name not in array[kept]
        assert sorted([*kept, *held_out]) == list(range(len(groups)))
    assert seen == sorted(set(groups))


@given(GROUPS, st.integers(0, 5))
def test_by_group_is_disjoint_complete_and_cuts_no_group(groups: list[str], seed: int) -> None:
    parts = by_group(groups, SHARES, seed)
    assert list(parts) == list(SHARES)
    assert sorted(index for part in parts.values() for index in part) == list(range(len(groups)))
    owners: dict[str, set[str]] = {}
    for name, part in parts.items():
        for index in part:
            owners.setdefault(groups[index], set()).add(name)
    assert all(len(names) == 1 for names in owners.values())


@given(GROUPS, st.randoms())
def test_by_group_depends_on_no_order_and_no_newcomers(groups: list[str], random: object) -> None:
    def part_of(order: list[str]) -> dict[str, str]:
        return {order[index]: name for name, part in by_group(order, SHARES).items() for index in part}

    shuffled = list(groups)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    grown = [*shuffled, "a newcomer", "another"]
    before, after = part_of(groups), part_of(grown)
    assert before == part_of(shuffled)
    assert before == {group: after[group] for group in before}


def test_shares_hold_on_average_and_seeds_differ() -> None:
    groups = [f"site {n}" for n in range(4000)]
    parts = by_group(groups, SHARES)
    assert [len(parts[name]) / 4000 for name in SHARES] == pytest.approx([0.7, 0.2, 0.1], abs=0.03)
    assert not np.array_equal(parts["test"], by_group(groups, SHARES, seed=1)["test"])


@pytest.mark.parametrize("shares", [{}, {"train": 0.5}, {"train": 1.2, "test": -0.2}, {"train": 1.0, "test": 0.0}])
def test_nonsense_shares_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="add up to 1"):
        by_group(["a"], shares)


@given(st.lists(st.integers(0, 9), max_size=200), st.floats(0.05, 0.5))
def test_the_holdout_keeps_every_classs_share(labels: list[int], share: float) -> None:
    kept, held_out = stratified_holdout(labels, share)
    assert sorted([*kept, *held_out]) == list(range(len(labels)))
    for label in set(labels):
        total, out = labels.count(label), sum(labels[index] == label for index in held_out)
        assert out == min(max(1, round(share * total)), total - 1)


def test_the_holdout_follows_its_seed() -> None:
    labels = np.arange(100) % 10
    assert np.array_equal(stratified_holdout(labels, 0.2, 3)[1], stratified_holdout(labels, 0.2, 3)[1])
    assert not np.array_equal(stratified_holdout(labels, 0.2, 3)[1], stratified_holdout(labels, 0.2, 4)[1])
    with pytest.raises(ValueError, match="between 0 and 1"):
        stratified_holdout(labels, 1.0)
