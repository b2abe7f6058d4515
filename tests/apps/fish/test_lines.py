from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.fish.lines import MARGIN, Line, crossings
from apps.fish.records import Observations, Samples, TrackedObservations
from data.errors import ArgumentError

SIZE_WH = (1000, 500)
SIDE = 40.0
MIDDLE = Line.parse("0.5,0,0.5,1")


def swims(*paths: list[tuple[float, float]]) -> TrackedObservations:
    """Fish of 40 x 40 pixels whose middles go along these points, one a sample; track n is path n."""
    count = max(len(path) for path in paths)
    rows = [(sample, number) for sample in range(count) for number, path in enumerate(paths) if sample < len(path)]
    middles = np.array([paths[number][sample] for sample, number in rows], np.float32)
    boxes = np.concatenate([middles - SIDE / 2, middles + SIDE / 2], axis=1).astype(np.float32)
    samples = Samples.of_chapter(0, 0, range(count), np.arange(count) / 5)
    size = len(rows)
    seen = Observations(
        samples,
        np.array([sample for sample, _ in rows], np.int64),
        boxes,
        np.full(size, 0.9, np.float32),
        np.zeros(size, np.int64),
        ("fish",),
    )
    return TrackedObservations(seen, np.array([number + 1 for _, number in rows], np.int64))


def ways(tracked: TrackedObservations, line: Line = MIDDLE) -> list[tuple[int, int, str]]:
    return [(crossing.track, crossing.sample, crossing.direction) for crossing in crossings(tracked, line, SIZE_WH)]


def test_a_fish_that_swims_across_is_counted_once_where_it_is_clearly_across() -> None:
    assert ways(swims([(400, 100), (495, 100), (505, 100), (560, 100), (900, 100)])) == [(1, 3, "rightwards")]


def test_a_fish_that_returns_is_counted_once_each_way() -> None:
    assert ways(swims([(400, 100), (600, 100), (400, 100)])) == [(1, 1, "rightwards"), (1, 2, "leftwards")]


def test_jitter_on_the_line_is_not_counted_again() -> None:
    shivers = [(500 + (-1) ** n * (SIDE * MARGIN - 1), 100.0) for n in range(20)]
    assert ways(swims([(400, 100), *shivers, (600, 100)])) == [(1, 21, "rightwards")]
    assert ways(swims([(400, 100), *shivers, (400, 100)])) == []


def test_a_fish_that_swims_around_the_end_of_the_line_is_not_counted() -> None:
    short = Line.parse("500,0,500,200")
    assert ways(swims([(400, 100), (400, 300), (600, 300), (600, 100)]), short) == []
    assert len(ways(swims([(400, 100), (600, 100)]), short)) == 1


def test_a_fish_that_goes_through_and_comes_back_around_is_counted_through_only() -> None:
    short = Line.parse("500,0,500,200")
    there_and_back = swims([(400, 100), (600, 100), (600, 400), (400, 400), (400, 100), (600, 100)])
    assert ways(there_and_back, short) == [(1, 1, "rightwards"), (1, 5, "rightwards")]


def test_a_fish_that_was_not_seen_on_the_line_crosses_it_in_between() -> None:
    assert ways(swims([(100, 100), (900, 300)])) == [(1, 1, "rightwards")]


def test_two_fish_are_two_crossings() -> None:
    assert ways(swims([(400, 100), (600, 100)], [(600, 300), (400, 300)])) == [
        (1, 1, "rightwards"),
        (2, 1, "leftwards"),
    ]


def test_detections_without_a_track_cross_nothing() -> None:
    tracked = swims([(400, 100), (600, 100)])
    assert crossings(TrackedObservations.untracked(tracked.observations), MIDDLE, SIZE_WH) == ()


@pytest.mark.parametrize("line", ["0,0.5,1,0.5", "1,0.5,0,0.5"])
def test_a_lying_line_is_crossed_up_or_down_however_it_is_drawn(line: str) -> None:
    assert ways(swims([(300, 100), (300, 400)], [(700, 400), (700, 100)]), Line.parse(line)) == [
        (1, 1, "downwards"),
        (2, 1, "upwards"),
    ]


@pytest.mark.parametrize("line", ["0.5,0,0.5,1", "0.5,1,0.5,0"])
def test_a_standing_line_is_crossed_sideways_however_it_is_drawn(line: str) -> None:
    assert ways(swims([(400, 100), (600, 100)]), Line.parse(line)) == [(1, 1, "rightwards")]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 500)), min_size=1, max_size=12),
    st.tuples(st.integers(0, 1000), st.integers(0, 500), st.integers(0, 1000), st.integers(0, 500)).filter(
        lambda ends: ends[:2] != ends[2:] and max(ends) > 1
    ),
)
def test_any_path_backwards_crosses_as_often_the_other_way(
    path: list[tuple[float, float]], ends: tuple[int, ...]
) -> None:
    line = Line.parse(",".join(map(str, ends)))
    there, back = ways(swims(path), line), ways(swims(path[::-1]), line)
    opposite = {"leftwards": "rightwards", "upwards": "downwards"}
    opposite |= {value: key for key, value in opposite.items()}
    assert sorted(way for *_, way in there) == sorted(opposite[way] for *_, way in back)


@given(st.lists(st.floats(0, 1000), min_size=2, max_size=30))
def test_a_line_across_the_whole_frame_is_crossed_in_turns(xs: list[float]) -> None:
    directions = [way for *_, way in ways(swims([(x, 250.0) for x in xs]))]
    assert all(one != other for one, other in itertools.pairwise(directions))


def test_fractions_and_pixels() -> None:
    assert [end.tolist() for end in Line.parse("0.5,0,.5,1").in_pixels(SIZE_WH)] == [[500, 0], [500, 500]]
    assert [end.tolist() for end in Line.parse("500, 0, 500, 500").in_pixels(SIZE_WH)] == [[500, 0], [500, 500]]
    assert str(Line.parse("0.5,0,0.5,1")) == "0.5,0,0.5,1"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "four numbers"),
        ("1,2,3", "four numbers"),
        ("1,2,3,4,5", "four numbers"),
        ("a,2,3,4", "four numbers"),
        ("nan,0,0,1", "four numbers"),
        ("-0.5,0,0.5,1", "four numbers"),
        ("0.5,0.5,0.5,0.5", "no length"),
    ],
)
def test_what_is_no_line_is_refused(text: str, what: str) -> None:
    with pytest.raises(ArgumentError, match=what):
        Line.parse(text)


def test_a_line_beyond_the_frame_is_refused() -> None:
    with pytest.raises(ArgumentError, match="leaves the frame of 1000 x 500"):
        crossings(swims([(1, 1)]), Line.parse("0,0,1200,500"), SIZE_WH)
