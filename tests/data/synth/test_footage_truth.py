"""The truth about made-up clips: counts by brute force, tables byte for byte."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from data.synth.footage_truth import SEEN_SHARE, ClipTruth, FishTruth, TrueMaxN, write_counts, write_csv, write_mot

NAMES = ("bream", "mullet", "wrasse")
FRAMES = 6


@st.composite
def truths(draw):
    """Any rows, each animal at most once in a frame and always of one species."""
    rows = []
    for frame in range(FRAMES):
        for identity in sorted(draw(st.sets(st.integers(1, 7), max_size=7))):
            visible = draw(st.sampled_from([0.0, 0.29, SEEN_SHARE, 0.7, 1.0]))
            rows.append(FishTruth(frame, identity, NAMES[identity % 2], (1, 2, 3.5, 4), visible, 2.0))
    return ClipTruth.of(rows, NAMES, FRAMES, 25.0)


@settings(max_examples=150, deadline=None)
@given(truths())
def test_counts_agree_with_brute_force(truth):
    for best in truth.max_n():
        per_frame = [
            sum(fish.species == best.species and fish.visible >= SEEN_SHARE for fish in truth.of_frame(frame))
            for frame in range(FRAMES)
        ]
        assert best.count == max(per_frame)
        assert best.frame == (per_frame.index(max(per_frame)) if max(per_frame) else None)
    for species, count in truth.individuals().items():
        assert count == len({f.identity for f in truth if f.species == species and f.visible >= SEEN_SHARE})
    together = [sum(fish.visible >= SEEN_SHARE for fish in truth.of_frame(frame)) for frame in range(FRAMES)]
    assert truth.max_n_together().count == max(together)


@settings(max_examples=60, deadline=None)
@given(truths(), st.integers(0, FRAMES), st.integers(0, FRAMES))
def test_a_part_numbers_its_frames_from_zero(truth, one, other):
    first, last = sorted((one, other))
    part = truth.between(first, last)
    assert part.frames == last - first
    for frame in range(first, last):
        kept = [(fish.identity, fish.xyxy, fish.visible) for fish in truth.of_frame(frame)]
        assert [(fish.identity, fish.xyxy, fish.visible) for fish in part.of_frame(frame - first)] == kept


def test_a_clip_without_fish_counts_zero():
    truth = ClipTruth.of([], NAMES, 3, 25.0)
    assert len(truth) == 0
    assert truth.xyxy.shape == (0, 4)
    assert truth.max_n() == tuple(TrueMaxN(name, 0, None) for name in NAMES)
    assert truth.max_n_together() == TrueMaxN("fish", 0, None)
    assert truth.individuals() == dict.fromkeys(NAMES, 0)
    assert truth.counts().tolist() == [[0, 0, 0]] * 3


ROWS = [
    FishTruth(0, 2, "mullet", (10, 20.5, 30, 40), 1.0, 2.5),
    FishTruth(1, 1, "bream", (0, 0, 5.25, 8), 0.125, 1.25),
    FishTruth(1, 2, "mullet", (11, 20, 31, 40), 0.5, 2.5),
]


def test_tables_byte_for_byte(tmp_path):
    truth = ClipTruth.of(ROWS, NAMES, 2, 25.0)
    write_csv(tmp_path / "boxes.csv", truth)
    write_mot(tmp_path / "gt.txt", truth)
    write_counts(tmp_path / "counts.csv", truth)
    assert (tmp_path / "boxes.csv").read_text() == (
        "frame,seconds,identity,species,x1,y1,x2,y2,visible,depth_m\n"
        "0,0.000,2,mullet,10.00,20.50,30.00,40.00,1.000,2.50\n"
        "1,0.040,1,bream,0.00,0.00,5.25,8.00,0.125,1.25\n"
        "1,0.040,2,mullet,11.00,20.00,31.00,40.00,0.500,2.50\n"
    )
    assert (tmp_path / "gt.txt").read_text() == (
        "1,2,11.00,21.50,20.00,19.50,1,2,1.000\n"
        "2,1,1.00,1.00,5.25,8.00,0,1,0.125\n"
        "2,2,12.00,21.00,20.00,20.00,1,2,0.500\n"
    )
    assert (tmp_path / "counts.csv").read_text() == (
        "species,maxn,frame,individuals\nbream,0,,0\nmullet,1,0,1\nwrasse,0,,0\n"
    )


def test_rows_come_back_as_they_went_in():
    assert list(ClipTruth.of(ROWS, NAMES, 2, 25.0)) == ROWS
    assert ClipTruth.of(ROWS, NAMES, 2, 25.0).of_frame(1) == tuple(ROWS[1:])
    assert np.array_equal(ClipTruth.of(ROWS, NAMES, 2, 25.0).seen, [True, False, True])
