from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.footage.clock import FrameClock


def fed(keys: list[int | None], **options: bool) -> FrameClock:
    clock = FrameClock(0.001, 33, **options)
    for number, key in enumerate(keys):
        clock.packet(key, keyframe=number == 0)
    return clock


@given(st.sets(st.integers(0, 5000), min_size=1), st.data())
def test_lost_frames_keep_their_numbers(stamps, data):
    keys = sorted(stamps)
    lost = data.draw(st.sets(st.sampled_from(keys)))
    clock = fed(keys)
    placed, missing = [], 0
    for key in [key for key in keys if key not in lost]:
        missing += clock.place(key)
        placed.append((clock.number, clock.last))
    assert placed == [(number, key) for number, key in enumerate(keys) if key not in lost]
    assert missing + clock.rest()[0] == len(lost)
    assert clock.estimated == 0


def test_what_lies_before_the_first_keyframe_is_no_frame():
    clock = FrameClock(0.001, 33)
    for key, keyframe in ((0, False), (33, False), (133, True), (100, False), (166, False)):
        clock.packet(key, keyframe=keyframe)
    assert clock.place(100) is None
    assert (clock.place(133), clock.number, clock.last) == (0, 0, 133)
    assert (clock.place(166), clock.number) == (0, 1)


def test_second_frame_of_one_packet_is_dropped():
    clock = fed([0, 33, 66])
    assert [clock.place(stamp) for stamp in (0, 33, 33, 66)] == [0, 0, None, 0]
    assert clock.number == 2


def test_two_packets_with_one_timestamp_are_two_frames():
    clock = fed([0, 33, 33, 66])
    assert [(clock.place(stamp), clock.number, clock.last) for stamp in (0, 33, 33, 66)] == [
        (0, 0, 0),
        (0, 1, 33),
        (0, 2, 34),
        (0, 3, 66),
    ]
    assert clock.estimated == 1


def test_missing_timestamps_are_filled_in():
    clock = fed([None, None, None])
    assert [(clock.place(None), clock.last) for _ in range(3)] == [(0, 0), (0, 33), (0, 66)]
    assert clock.estimated == 3


def test_time_that_runs_back_goes_on_where_it_was():
    clock = fed([90_000, 90_033])
    for stamp in (90_000, 90_033, 0, 33, 66):
        clock.place(stamp)
    assert (clock.number, clock.last, clock.estimated) == (4, 90_132, 1)


def test_half_frames_are_not_lost_frames():
    keys = [0, 20, 40, 60, 80, 100]
    clock = fed(keys, fields=True)
    clock.refuse(80)
    clock.refuse(100)
    assert [(clock.place(stamp), clock.number) for stamp in (0, 40)] == [(0, 0), (0, 1)]
    assert clock.rest() == (2, 2)


@pytest.mark.parametrize("known", [False, True])
def test_a_gap_counts_as_lost_frames_only_where_packets_vanished(known):
    clock = fed([0, 33, 165])
    clock.holes = known
    assert [clock.place(stamp) for stamp in (0, 33, 165)] == [0, 0, 3 if known else 0]
    assert clock.number == (5 if known else 2)


def test_order_of_packets_where_they_have_no_times_of_display():
    clock = fed([0, 1, 2, 3, 4], in_order=True)
    clock.refuse(2)
    assert [(clock.place(stamp), clock.number, clock.last) for stamp in (1, 4, 2, 3)] == [
        (0, 0, 0),
        (0, 1, 1),
        (1, 3, 3),
        (0, 4, 4),
    ]
