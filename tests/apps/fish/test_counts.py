from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.fish.counts import CountSettings, DeploymentCounts, Period, Sighting, SpeciesCounts, count
from apps.fish.individuals import Fragmentation, Individuals, individuals
from apps.fish.lines import Line
from apps.fish.records import Observations, Samples, TrackedObservations, in_order_of_sight, joined
from data.boxes import Boxes
from data.errors import ArgumentError

NAMES = ("bream", "luderick", "ray")
SIZE_WH = (1000, 500)
WHOLE = Period()
SETTINGS = CountSettings(threshold=0.5)
ROOT = Path(__file__).parents[3]

Fish = tuple[int, float, int]
"""Label, score, track (0: none)."""


def box(track: int, place: int, sample: int) -> list[float]:
    """No two fish of a sample share a box; those that are tracked swim downwards."""
    left = 30.0 * track if track else 500 + 30.0 * place
    top = 10.0 + 12 * (sample % 30) * bool(track)
    return [left, top, left + 20, top + 20]


def seen(times: list[float], frames: list[list[Fish]], chapter: int = 0) -> Observations:
    fish = [(sample, one, place) for sample, frame in enumerate(frames) for place, one in enumerate(frame)]
    boxes: Boxes = np.array([box(one[2], place, sample) for sample, one, place in fish], np.float32).reshape(-1, 4)
    start = times[0] if chapter else 0.0
    samples = Samples.of_chapter(chapter, start, range(len(times)), np.array(times) - start)
    return Observations(
        samples,
        np.array([sample for sample, *_ in fish], np.int64),
        boxes,
        np.array([one[1] for _, one, _ in fish], np.float32),
        np.array([one[0] for _, one, _ in fish], np.int64),
        NAMES,
    )


def tracked(times: list[float], frames: list[list[Fish]]) -> TrackedObservations:
    numbers = np.array([one[2] for frame in frames for one in frame], np.int64)
    return TrackedObservations(seen(times, frames), in_order_of_sight(numbers))


def counted(
    times: list[float], frames: list[list[Fish]], period: Period = WHOLE, chosen: CountSettings = SETTINGS
) -> DeploymentCounts:
    return count(tracked(times, frames), period, chosen, SIZE_WH)


def of(counts: DeploymentCounts, species: str) -> SpeciesCounts:
    return next(one for one in counts.species if one.species == species)


def alone(*labels: int) -> list[Fish]:
    return [(label, 0.9, 0) for label in labels]


def test_max_n_is_of_one_species_not_of_all_together() -> None:
    counts = counted([0, 1], [alone(0, 0, 1, 1, 1), alone(0, 1)])
    assert [one.max_n for one in counts.species] == [2, 3, 0]


def test_max_n_is_from_one_frame_not_the_sum_over_frames() -> None:
    assert of(counted([0, 1, 2], [alone(0), alone(0, 0), alone(0)]), "bream").max_n == 2


def test_max_n_is_of_the_deployment_not_of_each_chapter() -> None:
    chapters = joined([seen([0, 1], [alone(0), alone(0, 0)]), seen([10, 11], [alone(0, 0, 0), alone(0)], chapter=1)])
    best = of(count(TrackedObservations.untracked(chapters), Period(), SETTINGS, SIZE_WH), "bream")
    assert (best.max_n, best.max_n_at) == (3, Sighting(2, 10.0))


def test_of_equal_frames_max_n_names_the_first() -> None:
    best = of(counted([0, 1, 2, 3], [alone(0), alone(0, 0), alone(0, 0), alone(0)]), "bream")
    assert best.max_n_at == Sighting(1, 1.0)


def test_each_species_has_a_frame_of_its_own() -> None:
    counts = counted([0, 1], [alone(0, 0, 1), alone(0, 1, 1)])
    assert (of(counts, "bream").max_n_at, of(counts, "luderick").max_n_at) == (Sighting(0, 0.0), Sighting(1, 1.0))


def test_a_known_species_that_was_never_seen_is_reported_with_zeros() -> None:
    ray = of(counted([0, 70], [alone(0), alone(1)]), "ray")
    assert ray == SpeciesCounts("ray", 0, None, 0.0, None, (0, 0), Individuals(0, 0.0, 0.0, 0.0))


def test_a_weak_detection_is_not_counted_and_one_at_the_threshold_is() -> None:
    assert of(counted([0], [[(0, 0.49, 0), (0, 0.5, 0)]]), "bream").max_n == 1


def test_mean_count_divides_by_all_samples_also_those_without_fish() -> None:
    counts = counted([0, 1, 2, 3], [[], alone(0, 0), [], alone(0)])
    assert of(counts, "bream").mean_count == 3 / 4
    assert counts.samples == 4


def test_time_runs_from_the_start_of_the_period_and_what_was_before_is_not_counted() -> None:
    frames = [alone(0, 0, 0), [], alone(0), alone(0, 0)]
    best = of(counted([0, 30, 42, 43], frames, Period(start=30)), "bream")
    assert (best.max_n, best.max_n_at) == (2, Sighting(3, 13.0))
    assert best.first_arrival == Sighting(2, 12.0)
    assert best.mean_count == 1.0


def test_the_end_of_the_period_is_excluded_and_its_start_is_not() -> None:
    counts = counted([9.9, 10, 69.9, 70, 71], [alone(0)] * 5, Period(10, 70))
    assert counts.samples == 2
    assert of(counts, "bream").max_n_per_minute == (1,)


def test_first_arrival_is_of_the_species_and_needs_the_threshold() -> None:
    counts = counted([0, 1, 2], [alone(1), [(0, 0.3, 0)], alone(0)])
    assert of(counts, "bream").first_arrival == Sighting(2, 2.0)
    assert of(counts, "ray").first_arrival is None


def test_max_n_per_minute_keeps_minutes_without_fish_and_marks_minutes_nobody_looked_at() -> None:
    times = [0, 30, 59.9, 60, 119, 240, 241]
    frames = [alone(0), alone(0, 0), [], [], [], alone(0), alone(0, 0, 0)]
    assert of(counted(times, frames), "bream").max_n_per_minute == (2, 0, None, None, 3)


def test_minutes_go_to_the_end_of_the_period_and_no_footage_is_no_zero() -> None:
    assert of(counted([0, 1], [alone(0), []], Period(0, 150)), "bream").max_n_per_minute == (1, None, None)


def test_minutes_count_from_the_start_of_the_period() -> None:
    counts = counted([29, 30, 89.9, 90.0], [alone(0), [], alone(0, 0), alone(0)], Period(start=30))
    assert of(counts, "bream").max_n_per_minute == (2, 1)


@pytest.mark.parametrize("period", [Period(100), Period(0.5, 0.9)])
def test_where_no_sample_was_looked_at_there_is_no_number(period: Period) -> None:
    best = of(counted([0, 1], [alone(0), alone(0)], period), "bream")
    assert (best.max_n, best.mean_count, best.first_arrival) == (None, None, None)
    assert set(best.max_n_per_minute) <= {None}


def test_a_deployment_without_a_readable_frame_has_no_numbers() -> None:
    counts = count(TrackedObservations.untracked(Observations.none(NAMES)), Period(), SETTINGS, SIZE_WH)
    assert counts.samples == 0
    assert [one.max_n for one in counts.species] == [None] * 3


@pytest.mark.parametrize(("start", "end"), [(-1, None), (5, 5), (5, 3), (float("nan"), None), (0, float("inf"))])
def test_a_period_that_cannot_be_is_refused(start: float, end: float | None) -> None:
    with pytest.raises(ArgumentError, match="period"):
        Period(start, end)


def test_individuals_come_from_tracks_not_from_adding_counts() -> None:
    one_fish = [[(0, 0.9, 1)] for _ in range(50)]
    found = of(counted(list(range(50)), one_fish), "bream").individuals
    assert found.tracks == 1
    assert found.low <= 1 <= found.high < 5


def test_a_track_seen_less_often_than_asked_is_no_individual() -> None:
    frames: list[list[Fish]] = [[(0, 0.9, 1), (0, 0.9, 2)], [(0, 0.9, 1), (0, 0.9, 2)], [(0, 0.9, 1)]]
    assert of(counted([0, 1, 2], frames), "bream").individuals.tracks == 1


def test_a_track_that_never_counts_as_a_fish_is_no_individual() -> None:
    frames: list[list[Fish]] = [[(0, 0.4, 1), (0, 0.4, 2)], [(0, 0.45, 1), (0, 0.5, 2)], [(0, 0.4, 1), (0, 0.4, 2)]]
    counts = counted([0, 1, 2], frames)
    assert of(counts, "bream").individuals.tracks == 1
    assert counts.confirmed == {2}


def swimmers(*paths: tuple[float, float, float, float], samples: int = 10) -> TrackedObservations:
    """Bream of 40 by 20 pixels, five samples a second, by track: left edge, top edge, pixels a sample, score."""
    order = [(sample, track) for sample in range(samples) for track in range(len(paths))]
    corners = [(paths[track][0] + sample * paths[track][2], paths[track][1]) for sample, track in order]
    there = Observations(
        Samples.of_chapter(0, 0.0, range(samples), np.arange(samples) / 5),
        np.array([sample for sample, _ in order], np.int64),
        np.array([(x, y, x + 40, y + 20) for x, y in corners], np.float32).reshape(-1, 4),
        np.array([paths[track][3] for _, track in order], np.float32),
        np.zeros(len(order), np.int64),
        NAMES,
    )
    return TrackedObservations(there, np.array([track + 1 for _, track in order], np.int64))


@pytest.mark.parametrize(
    ("second", "individuals_found"),
    [
        ((0.0, 8.0, 20.0, 0.6), 1),  # 60 % of it lie on the first
        ((0.0, 12.0, 20.0, 0.6), 2),  # 40 %: a fish beside it
        ((200.0, 0.0, 20.0, 0.6), 2),  # the same way, elsewhere
        ((90.0, 0.0, -20.0, 0.6), 2),  # they meet and part
    ],
)
def test_a_second_box_on_a_fish_is_no_second_fish(
    second: tuple[float, float, float, float], individuals_found: int
) -> None:
    counts = count(swimmers((0.0, 0.0, 20.0, 0.9), second), WHOLE, SETTINGS, SIZE_WH)
    assert of(counts, "bream").individuals.tracks == individuals_found
    assert 1 in counts.confirmed


@pytest.mark.parametrize(
    ("samples", "step", "found"),
    [(16, 0.0, 0), (16, 0.9, 0), (16, 1.0, 1), (15, 0.0, 1)],
)
def test_what_never_moves_is_no_fish_once_it_had_the_time(samples: int, step: float, found: int) -> None:
    counts = count(swimmers((0.0, 0.0, step, 0.9), samples=samples), WHOLE, SETTINGS, SIZE_WH)
    best = of(counts, "bream")
    assert best.individuals.tracks == found
    assert best.max_n == 1
    assert best.individuals.low >= 1


def test_confirmed_tracks_keep_their_numbers_where_the_period_starts_late() -> None:
    frames: list[list[Fish]] = [[(0, 0.9, 1)], [(0, 0.9, 1)], *[[(0, 0.9, 3), (0, 0.9, 2)]] * 3]
    counts = counted([0, 1, 2, 3, 4], frames, Period(start=2))
    assert counts.confirmed == {2, 3}
    assert of(counts, "bream").individuals.tracks == 2


def test_sightings_before_the_period_confirm_no_track() -> None:
    frames: list[list[Fish]] = [[(0, 0.9, 1)]] * 4
    assert of(counted([0, 1, 2, 3], frames, Period(start=2)), "bream").individuals.tracks == 0


def test_there_are_never_fewer_individuals_than_max_n() -> None:
    found = of(counted([0], [alone(0, 0, 0)]), "bream").individuals
    assert found == Individuals(0, 3.0, 3.0, 3.0)


def test_doubtful_tracks_count_less_and_widen_the_interval() -> None:
    fragmentation = Fragmentation(ratio=0.5, spread=0.3)
    sure, doubtful = (individuals(np.full(8, score), 0, fragmentation) for score in (1.0, 0.5))
    assert (sure.estimate, doubtful.estimate) == (4.0, 2.0)
    assert sure.high / sure.low < doubtful.high / doubtful.low
    assert (sure.low, sure.high) == pytest.approx((4 * np.exp(-1.959964 * 0.3), 4 * np.exp(1.959964 * 0.3)))


def test_a_doubtful_track_is_no_more_fish_than_a_sure_one() -> None:
    fragmentation = Fragmentation(ratio=0.5, spread=0.3)
    doubtful, sure = (individuals(np.array([score]), 0, fragmentation) for score in (0.1, 1.0))
    assert doubtful.low <= 0.05
    assert doubtful.high <= sure.high


def test_a_fish_whose_species_flickers_is_one_fish_of_the_likelier_species() -> None:
    frames: list[list[Fish]] = [[(0, 0.9, 1)], [(1, 0.6, 1)], [(1, 0.55, 1)], [(0, 0.9, 1)]]
    counts = counted([0, 1, 2, 3], frames)
    assert (of(counts, "bream").individuals.tracks, of(counts, "luderick").individuals.tracks) == (1, 0)
    assert (of(counts, "bream").mean_count, of(counts, "luderick").max_n) == (1.0, 0)


def test_two_species_on_one_fish_are_one_fish() -> None:
    samples = Samples.of_chapter(0, 0, [0], [0.0])
    boxes = np.array([[10, 10, 50, 30], [11, 10, 50, 30], [11, 200, 50, 230]], np.float32)
    scores, labels = np.array([0.6, 0.8, 0.6], np.float32), np.array([0, 1, 0], np.int64)
    double = Observations(samples, np.zeros(3, np.int64), boxes, scores, labels, NAMES)
    counts = count(TrackedObservations.untracked(double), Period(), SETTINGS, SIZE_WH)
    assert [one.max_n for one in counts.species] == [1, 1, 0]


def crossing_fish(samples: int, start: int = 0) -> TrackedObservations:
    """A bream that swims right from x = 100 on, 100 pixels a second."""
    times = np.arange(samples, dtype=np.float64)
    left = np.arange(samples, dtype=np.float32) * 100 + 100 - 10
    boxes = np.stack([left, np.full_like(left, 90), left + 20, np.full_like(left, 110)], axis=1).astype(np.float32)
    numbers = np.arange(start, start + samples)
    size = np.ones(samples)
    there = Observations(
        Samples.of_chapter(0, 0.0, numbers.tolist(), times.tolist()),
        np.arange(samples),
        boxes,
        (0.9 * size).astype(np.float32),
        np.zeros(samples, np.int64),
        NAMES,
    )
    return TrackedObservations(there, size.astype(np.int64))


LINE = Line.parse("0.45,0,0.45,1")


def test_crossings_are_counted_by_species_and_direction() -> None:
    counts = count(crossing_fish(9), Period(), SETTINGS.model_copy(update={"lines": (LINE,)}), SIZE_WH)
    numbers = {(one.species, one.direction): one.count for one in counts.line_counts}
    assert numbers == {(name, way): 0 for name in NAMES for way in ("leftwards", "rightwards")} | {
        ("bream", "rightwards"): 1
    }
    assert [(one.track, one.sample) for one in counts.crossings] == [(1, 4)]


@pytest.mark.parametrize(("samples", "period"), [(9, Period(start=5)), (9, Period(0, 4))])
def test_crossings_outside_the_period_are_not_counted(samples: int, period: Period) -> None:
    lined = SETTINGS.model_copy(update={"lines": (LINE,)})
    assert count(crossing_fish(samples), period, lined, SIZE_WH).crossings == ()


def test_a_crossing_in_the_period_of_a_fish_seen_before_it_is_counted() -> None:
    lined = SETTINGS.model_copy(update={"lines": (LINE,)})
    counts = count(crossing_fish(9), Period(start=4), lined, SIZE_WH)
    assert [one.sample for one in counts.crossings] == [4]


def test_a_track_that_is_not_confirmed_crosses_no_line() -> None:
    lined = SETTINGS.model_copy(update={"lines": (LINE,), "confirmed_after": 10})
    assert count(crossing_fish(9), Period(), lined, SIZE_WH).crossings == ()


fish = st.tuples(st.integers(0, 2), st.floats(0, 1, width=32), st.integers(0, 4))
frames_of_fish = st.lists(st.lists(fish, max_size=6, unique_by=lambda one: one[2] or object()), min_size=1, max_size=12)
times_of = st.integers(0, 100)


def spread(frames: list[list[Fish]], gap: int) -> list[float]:
    return [float(index * gap) for index in range(len(frames))]


def one_species_each(frames: list[list[Fish]]) -> list[list[Fish]]:
    return [[(track % 3 if track else label, score, track) for label, score, track in frame] for frame in frames]


@settings(max_examples=40, deadline=None)
@given(frames_of_fish, times_of, st.integers(0, 200))
def test_numbers_agree_with_one_another(frames: list[list[Fish]], gap: int, start: int) -> None:
    counts = counted(spread(frames, gap), frames, Period(start=start))
    for one in counts.species:
        if one.max_n is None:
            assert counts.samples == 0
            continue
        assert one.max_n == max(minute for minute in one.max_n_per_minute if minute is not None)
        assert one.mean_count is not None
        assert 0 <= one.mean_count <= one.max_n
        assert np.isfinite(one.individuals.high)
        assert one.individuals.low <= one.individuals.estimate <= one.individuals.high
        assert one.max_n <= one.individuals.low
        assert (one.max_n == 0) == (one.max_n_at is None) == (one.first_arrival is None)
        if one.max_n_at is not None and one.first_arrival is not None:
            assert 0 <= one.first_arrival.seconds <= one.max_n_at.seconds


@settings(max_examples=40, deadline=None)
@given(frames_of_fish, st.randoms(use_true_random=False))
def test_the_order_of_fish_within_a_frame_changes_nothing(frames: list[list[Fish]], random: object) -> None:
    shuffled = [random.sample(frame, len(frame)) for frame in frames]  # type: ignore[attr-defined]
    one, other = (counted(spread(each, 7), each) for each in (frames, shuffled))
    assert len(one.confirmed) == len(other.confirmed)  # tracks have other numbers
    assert replace(one, confirmed=other.confirmed) == other


@settings(max_examples=40, deadline=None)
@given(frames_of_fish, st.data())
def test_a_detection_less_never_raises_max_n(frames: list[list[Fish]], data: st.DataObject) -> None:
    frames = one_species_each(frames)
    filled = [index for index, frame in enumerate(frames) if frame]
    if not filled:
        return
    index = data.draw(st.sampled_from(filled))
    less = [frame[1:] if place == index else frame for place, frame in enumerate(frames)]
    more, fewer = (counted(spread(each, 7), each) for each in (frames, less))
    for one, other in zip(more.species, fewer.species, strict=True):
        assert (other.max_n or 0) <= (one.max_n or 0)
        assert (other.mean_count or 0) <= (one.mean_count or 0)


@settings(max_examples=40, deadline=None)
@given(frames_of_fish)
def test_a_higher_threshold_never_raises_max_n(frames: list[list[Fish]]) -> None:
    low, high = (
        counted(spread(frames, 7), frames, chosen=CountSettings(threshold=threshold)) for threshold in (0.3, 0.7)
    )
    assert all((b.max_n or 0) <= (a.max_n or 0) for a, b in zip(low.species, high.species, strict=True))


@settings(max_examples=40, deadline=None)
@given(frames_of_fish, st.integers(1, 30))
def test_frames_without_fish_lower_the_mean_count_alone(frames: list[list[Fish]], more: int) -> None:
    times = spread(frames, 1)
    longer = times + [times[-1] + 1 + index for index in range(more)]
    one, other = counted(times, frames), counted(longer, frames + [[]] * more)
    for a, b in zip(one.species, other.species, strict=True):
        assert (a.max_n, a.max_n_at, a.first_arrival) == (b.max_n, b.max_n_at, b.first_arrival)
        assert a.mean_count is not None
        assert b.mean_count == pytest.approx(a.mean_count * len(times) / len(longer))


def tables(text: str) -> list[list[list[str]]]:
    blocks = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    rows = [[[cell.strip() for cell in row.strip("|").split("|")] for row in block.splitlines()] for block in blocks]
    return [[row for row in block if not set("".join(row)) <= set("-: ")] for block in rows]


def test_the_worked_example_of_the_documents_is_right() -> None:
    text = (ROOT / "docs" / "counts.md").read_text(encoding="utf-8")
    example = tables(text[text.index("## A worked example") :])
    samples, results = example[0][1:], example[1][1:]
    labels = {name: label for label, name in enumerate(NAMES)}
    frames = [
        [
            (labels[name], float(score), int(track))
            for name, track, score in re.findall(r"(\w+) (\d) \(([\d.]+)\)", row[1])
        ]
        for row in samples
    ]
    counts = counted([float(row[0]) for row in samples], frames, Period(start=30))
    for species, *cells in results:
        one = of(counts, species)
        at = f"{one.max_n_at.seconds:g} s" if one.max_n_at else ""
        first = f"{one.first_arrival.seconds:g} s" if one.first_arrival else ""
        minutes = ", ".join("none" if minute is None else str(minute) for minute in one.max_n_per_minute)
        found = one.individuals
        reach = f"{found.estimate:.1f} ({found.low:.1f} to {found.high:.1f})"
        assert cells == [str(one.max_n), at, f"{one.mean_count:g}", first, minutes, str(found.tracks), reach]


def test_the_fragmentation_is_the_measured_one() -> None:
    kept = json.loads((ROOT / "benchmarks" / "tracking.json").read_text(encoding="utf-8"))
    ratio, spread = re.findall(r"\d\.\d+", kept["individuals"]["note"])
    assert Fragmentation() == Fragmentation(ratio=float(ratio), spread=float(spread))
