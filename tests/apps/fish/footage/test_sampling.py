from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.fish.footage.sampling import Sampling, parse_sampling
from data.errors import ArgumentError


def sampled(sampling: Sampling, clocks: list[int], base: Fraction, tick: int = -1, first: int = 0) -> list[int]:
    chosen = []
    for number, clock in enumerate(clocks, first):
        before, tick = tick, sampling.tick(number, clock, base)
        if tick > before:
            chosen.append(number)
    return chosen


clocks = st.lists(st.integers(1, 900), max_size=120).map(lambda gaps: [sum(gaps[:end]) for end in range(len(gaps) + 1)])
bases = st.sampled_from([Fraction(1, 1000), Fraction(1, 15360), Fraction(1, 90000), Fraction(1001, 30000)])
steps = st.sampled_from(["0.2s", "0.033s", "1s", "7.5s", ".1s"])


@pytest.mark.parametrize(
    ("text", "unit", "step"),
    [
        ("0.2s", "seconds", Fraction(1, 5)),
        (" 1 S ", "seconds", Fraction(1)),
        (".5s", "seconds", Fraction(1, 2)),
        ("6", "frames", Fraction(6)),
        ("Keyframes", "keyframes", Fraction(1)),
    ],
)
def test_parse(text, unit, step):
    assert parse_sampling(text) == Sampling(unit, step)


@pytest.mark.parametrize("text", ["", "0", "0s", "0.0s", "-1s", "1.5", "fast", "1e3s", "nan s", "infs", "5 m", "½s"])
def test_nonsense_is_refused_by_name(text):
    with pytest.raises(ArgumentError, match=r"--every: .* is no sampling; expected seconds"):
        parse_sampling(text)


@given(st.one_of(st.integers(1, 10**6).map(str), st.integers(1, 10**6).map(lambda n: f"{n / 1000:.3f}s")))
def test_text_goes_there_and_back(text):
    sampling = parse_sampling(text)
    assert parse_sampling(str(sampling)) == sampling


@given(clocks, bases, steps)
def test_each_sample_is_the_first_frame_at_or_after_a_tick(clocks, base, text):
    step = parse_sampling(text).step
    chosen = sampled(parse_sampling(text), clocks, base)
    # The definition, spelled out: for every tick, on the file's own clock, look for its frame.
    last_tick = math.ceil((clocks[-1] + 1) * base / step)
    expected = set()
    for tick in range(last_tick + 1):
        place = math.floor(tick * step / base)
        after = [number for number, clock in enumerate(clocks) if clock >= place]
        expected.update(after[:1])
    assert chosen == sorted(expected)


@given(clocks, bases, steps, st.data())
def test_going_on_after_a_sample_changes_nothing(clocks, base, text, data):
    sampling = parse_sampling(text)
    chosen = sampled(sampling, clocks, base)
    stop = data.draw(st.sampled_from(chosen))
    tick = sampling.tick(stop, clocks[stop], base)
    assert sampled(sampling, clocks[stop + 1 :], base, tick, stop + 1) == [one for one in chosen if one > stop]


@given(st.integers(1, 40), st.integers(1, 200))
def test_every_nth(step, frames):
    assert sampled(parse_sampling(str(step)), list(range(frames)), Fraction(1, 30)) == list(range(0, frames, step))


@pytest.mark.parametrize(("base", "gap"), [(Fraction(1, 11488), 11488 / 30), (Fraction(1, 1000), 1000 / 30)])
def test_timestamps_rounded_down_do_not_shift_a_sample(base, gap):
    # 0.2 s at 30 frames a second is frame 6, though its rounded timestamp lies a little before.
    assert sampled(parse_sampling("0.2s"), [int(number * gap) for number in range(31)], base) == [0, 6, 12, 18, 24, 30]
