from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from apps.fish.records import Observations, Samples
from apps.fish.tracking import TrackingSettings, doubles, track

NAMES = ("bream", "luderick")
DEFAULTS = TrackingSettings()
Sight = tuple[float, float, float, int]
"""x, y of the middle, score, label."""


def observations(times: list[float], frames: list[list[Sight]], chapters: list[int] | None = None) -> Observations:
    rows = [(sample, sight) for sample, frame in enumerate(frames) for sight in frame]
    middles = np.array([sight[:2] for _, sight in rows], np.float32).reshape(-1, 2)
    half = np.array([20, 10], np.float32)
    position = np.array(chapters or [0] * len(times), np.int64)
    starts = [min(time for time, own in zip(times, position, strict=True) if own == chapter) for chapter in position]
    numbers = np.concatenate([np.arange((position == chapter).sum()) for chapter in np.unique(position)])
    seconds = np.array(times, np.float64)
    return Observations(
        Samples(position, numbers.astype(np.int64), seconds - np.array(starts), seconds),
        np.array([sample for sample, _ in rows], np.int64),
        np.concatenate([middles - half, middles + half], axis=1),
        np.array([sight[2] for _, sight in rows], np.float32),
        np.array([sight[3] for _, sight in rows], np.int64),
        NAMES,
    )


def swimmer(time: float, y: float = 100.0, score: float = 0.9, label: int = 0) -> Sight:
    return 100 + 60 * time, y, score, label


def every(step: float, seconds: float) -> list[float]:
    return [index * step for index in range(round(seconds / step))]


def tracks(times: list[float], frames: list[list[Sight]], chosen: TrackingSettings = DEFAULTS) -> list[int]:
    return track(observations(times, frames), chosen).tracks.tolist()


@pytest.mark.parametrize("step", [0.1, 0.2, 0.5, 1.0])
def test_a_fish_that_swims_on_is_one_track_at_any_sampling(step: float) -> None:
    times = every(step, 6)
    assert set(tracks(times, [[swimmer(time)] for time in times])) == {1}


def test_a_fish_is_one_track_through_irregular_samples() -> None:
    times = [0, 0.2, 0.25, 0.9, 1.0, 1.7, 1.8, 2.0, 2.9]
    assert set(tracks(times, [[swimmer(time)] for time in times])) == {1}


def test_two_fish_are_two_tracks_numbered_as_they_appear() -> None:
    times = every(0.2, 3)
    frames = [[swimmer(time, 300), *([swimmer(time, 100)] if time > 1 else [])] for time in times]
    found = track(observations(times, frames), DEFAULTS)
    first = found.observations.xyxy[:, 1] > 200
    assert set(found.tracks[first]) == {1}
    assert set(found.tracks[~first]) == {2}


@pytest.mark.parametrize("step", [0.1, 0.5])
@pytest.mark.parametrize(("hidden", "count"), [(2.0, 1), (4.0, 2)])
def test_a_fish_hidden_longer_than_the_buffer_is_a_new_track_whatever_the_sampling(
    step: float, hidden: float, count: int
) -> None:
    times = every(step, 10)
    still = (500.0, 100.0, 0.9, 0)
    frames = [[still] if time < 3 or time >= 3 + hidden else [] for time in times]
    assert max(tracks(times, frames)) == count


@pytest.mark.parametrize(("gap", "count"), [(2.5, 2), (3.5, 4)])
def test_footage_missing_for_longer_than_the_buffer_ends_every_track(gap: float, count: int) -> None:
    times = every(0.2, 2)
    times += [times[-1] + gap + time for time in times]
    frames = [[(500.0, 100.0, 0.9, 0), (500.0, 300.0, 0.9, 0)] for _ in times]
    assert max(tracks(times, frames)) == count


def test_where_chapters_are_cut_makes_no_difference() -> None:
    times = every(0.2, 4)
    frames = [[swimmer(time), swimmer(time, 300, score=0.6)] for time in times]
    whole = track(observations(times, frames), DEFAULTS)
    for cut in (1, 7, 19):
        chapters = [int(index >= cut) for index in range(len(times))]
        assert np.array_equal(track(observations(times, frames, chapters), DEFAULTS).tracks, whole.tracks)


def test_a_weak_detection_is_in_no_track() -> None:
    times = every(0.2, 2)
    weak = DEFAULTS.least_score - 0.1
    assert set(tracks(times, [[swimmer(time, score=weak)] for time in times])) == {0}
    scores = [0.9, weak, 0.9]
    frames = [[swimmer(time, score=score)] for time, score in zip(times, scores, strict=False)]
    assert tracks(times[:3], frames) == [1, 0, 1]


def test_a_fish_whose_species_flickers_keeps_its_track() -> None:
    times = every(0.2, 3)
    assert set(tracks(times, [[swimmer(time, label=index % 2)] for index, time in enumerate(times)])) == {1}


def test_of_two_species_on_one_fish_the_surer_is_tracked() -> None:
    times = every(0.2, 3)
    frames = [[swimmer(time, score=0.5, label=0), swimmer(time, 100.5, score=0.7, label=1)] for time in times]
    assert tracks(times, frames) == [0, 1] * len(times)


def test_two_fish_of_one_species_side_by_side_are_no_doubles() -> None:
    near = observations([0.0], [[(100, 100, 0.9, 0), (101, 100, 0.8, 0), (300, 100, 0.7, 1)]])
    assert doubles(near).tolist() == [False, False, False]
    mixed = observations([0.0], [[(100, 100, 0.8, 0), (101, 100, 0.8, 1), (101, 130, 0.5, 1)]])
    assert doubles(mixed).tolist() == [False, True, False]


def test_nothing_seen_is_no_track() -> None:
    assert tracks(every(0.2, 1), [[]] * 5) == []
    assert track(Observations.none(NAMES), DEFAULTS).count == 0


def test_samples_at_one_time_are_taken_in_order_without_a_warning() -> None:
    times = [0, 0.2, 0.2, 0.4]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tracks(times, [[swimmer(time)] for time in times]) == [1, 1, 1, 1]


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.lists(
            st.tuples(st.floats(0, 640, width=32), st.floats(0, 360, width=32), st.floats(0, 1, width=32), st.just(0)),
            max_size=4,
        ),
        min_size=1,
        max_size=10,
    ),
    st.floats(0.03, 5),
)
def test_the_same_observations_give_the_same_tracks(frames: list[list[Sight]], step: float) -> None:
    times = [index * step for index in range(len(frames))]
    first = tracks(times, frames)
    assert tracks(times, frames) == first
    strong = [sight[2] >= DEFAULTS.least_score for frame in frames for sight in frame]
    assert all(number > 0 for number, is_strong in zip(first, strong, strict=True) if is_strong)


@pytest.mark.parametrize("wrong", [{"buffer_seconds": 0}, {"overlap": 1.5}, {"buffer_frames": 30}])
def test_settings_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        TrackingSettings(**wrong)
