from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from data.readers import read_detections
from data.sampling import hold_out, spread_over_clips
from tests.data.pictures import detection_set

lengths = st.lists(st.integers(1, 60), min_size=1, max_size=12)
BOX = (10.0, 10.0, 50.0, 40.0)


def clips_of(counts: list[int]) -> np.ndarray:
    return np.array([f"clip {n}" for n, count in enumerate(counts) for _ in range(count)], np.str_)


@given(lengths, st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_as_many_as_asked_none_twice_and_the_same_again(counts: list[int], part: float, seed: int) -> None:
    clips = clips_of(counts)
    wanted = round(part * len(clips))
    drawn = spread_over_clips(clips, wanted, np.random.default_rng(seed))
    assert len(drawn) == len(set(drawn.tolist())) == wanted
    assert drawn.tolist() == sorted(drawn.tolist())
    assert drawn.tolist() == spread_over_clips(clips, wanted, np.random.default_rng(seed)).tolist()


@given(lengths, st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_every_clip_gets_its_fair_share(counts: list[int], part: float, seed: int) -> None:
    clips = clips_of(counts)
    wanted = round(part * len(clips))
    drawn = Counter(clips[spread_over_clips(clips, wanted, np.random.default_rng(seed))].tolist())
    shares = [drawn[f"clip {n}"] for n in range(len(counts))]
    open_clips = [n for n, count in enumerate(counts) if shares[n] < count]
    for one in open_clips:
        for other in open_clips:
            ratio = np.sqrt(counts[other] / counts[one])
            assert shares[other] + 1 >= (shares[one] - 1) * min(ratio, 1.0) - 1e-6
            if counts[one] <= counts[other]:
                assert shares[one] <= shares[other] + 1


@given(st.integers(2, 300), st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_frames_of_a_clip_lie_at_equal_distances(length: int, wanted: int, seed: int) -> None:
    assume(wanted <= length)
    drawn = spread_over_clips(clips_of([length]), wanted, np.random.default_rng(seed))
    gaps = np.diff(drawn)
    assert all(length // wanted <= gap <= -(-length // wanted) for gap in gaps)


def test_shares_go_with_the_square_root_of_the_length() -> None:
    clips = clips_of([100, 400, 1600])
    drawn = Counter(clips[spread_over_clips(clips, 70, np.random.default_rng(0))].tolist())
    assert drawn == {"clip 0": 10, "clip 1": 20, "clip 2": 40}


def test_chance_rounds_so_that_shares_are_kept_on_average() -> None:
    clips, rng = clips_of([1, 4, 9]), np.random.default_rng(1)
    drawn = Counter(str(clip) for _ in range(3000) for clip in clips[spread_over_clips(clips, 2, rng)])
    assert [drawn[f"clip {n}"] / 3000 for n in range(3)] == pytest.approx([2 / 6, 4 / 6, 6 / 6], abs=0.03)


def test_frames_mixed_among_clips_stay_with_their_own() -> None:
    clips = np.array(["a", "b", "a", "b", "a", "b", "a", "b"])
    for seed in range(20):
        drawn = spread_over_clips(clips, 4, np.random.default_rng(seed))
        assert Counter(clips[drawn].tolist()) == {"a": 2, "b": 2}
        for clip in "ab":
            first, second = (i // 2 for i in drawn if clips[i] == clip)
            assert second - first == 2


def test_another_epoch_draws_others() -> None:
    clips, rng = clips_of([50, 50]), np.random.default_rng(0)
    epochs = {tuple(spread_over_clips(clips, 10, rng)) for _ in range(10)}
    assert len(epochs) > 5


def test_more_than_there_is_repeats_everything() -> None:
    clips = clips_of([3, 5])
    drawn = Counter(spread_over_clips(clips, 20, np.random.default_rng(0)).tolist())
    assert set(drawn) == set(range(8))
    assert sorted(drawn.values()) == [2] * 4 + [3] * 4


def test_nothing_to_draw_from() -> None:
    none = np.zeros(0, np.str_)
    assert spread_over_clips(none, 0, np.random.default_rng(0)).tolist() == []
    with pytest.raises(ValueError, match="cannot be drawn from 0"):
        spread_over_clips(none, 1, np.random.default_rng(0))
    with pytest.raises(ValueError, match="-1 pictures"):
        spread_over_clips(clips_of([3]), -1, np.random.default_rng(0))


@given(
    st.lists(st.tuples(st.sampled_from("ABCDEF"), st.integers(0, 3)), min_size=1, max_size=60),
    st.floats(0.05, 0.95),
    st.integers(0, 100),
)
def test_sites_lie_wholly_on_one_side(pictures: list[tuple[str, int]], share: float, seed: int) -> None:
    found = detection_set([[BOX] * count for _, count in pictures], sites=[site for site, _ in pictures])
    kept, held = hold_out(found, share, seed)
    assert sorted([*kept, *held]) == list(range(len(pictures)))
    assert not set(found.sites[kept]) & set(found.sites[held])
    assert len(held) > 0 or len(set(found.sites)) == 1
    assert len(kept) > 0
    again = hold_out(found, share, seed)
    assert [one.tolist() for one in again] == [kept.tolist(), held.tolist()]


def test_held_out_sites_have_the_share_of_boxes() -> None:
    counts = {"A": 10, "B": 30, "C": 20, "D": 40}
    sites = [site for site, count in counts.items() for _ in range(count)]
    kept, held = hold_out(detection_set([[BOX]] * 100, sites=sites), 0.2)
    assert (len(kept), set(np.array(sites)[held])) == (80, {"C"})


def test_the_order_of_pictures_does_not_matter() -> None:
    rng = np.random.default_rng(4)
    sites = [f"site {n}" for n in rng.integers(0, 9, 200)]
    found = detection_set([[BOX] * int(n) for n in rng.integers(0, 4, 200)], sites=sites)
    order = rng.permutation(200)
    held = {str(site) for site in found.sites[hold_out(found, 0.3)[1]]}
    shuffled = found.select(order)
    assert held == {str(site) for site in shuffled.sites[hold_out(shuffled, 0.3)[1]]}


def test_pictures_of_unknown_sites_are_kept() -> None:
    found = detection_set([[BOX]] * 6, sites=["", "A", "", "B", "", "C"])
    kept, held = hold_out(found, 0.3)
    assert len(held) == 1
    assert {0, 2, 4} <= set(kept.tolist())
    one_site = detection_set([[BOX]] * 3, sites=["A", "A", ""])
    assert hold_out(one_site, 0.5)[1].tolist() == []


@pytest.mark.parametrize("share", [0.0, 1.0, -0.2])
def test_impossible_shares(share: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        hold_out(detection_set([[BOX]]), share)


def test_deepfish_sites_to_validate_on(shankha_data) -> None:
    train = read_detections(shankha_data / "fish" / "deepfish", "train")
    kept, held = hold_out(train, 0.15)
    assert not set(train.sites[kept]) & set(train.sites[held])
    assert train.select(held).boxes == pytest.approx(0.15 * train.boxes, rel=0.1)
    assert len(held) == pytest.approx(0.15 * len(train), rel=0.25)
