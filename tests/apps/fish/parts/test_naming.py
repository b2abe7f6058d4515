"""One name a track, from the scores of its crops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.fish.parts.blocks import pack, pack_texts, unpack
from apps.fish.parts.dense import DenseModel, dense_samples
from apps.fish.parts.found import PartModel
from apps.fish.parts.masks import main_part, matched, outlines_of
from apps.fish.parts.naming import name_fish
from apps.fish.parts.species import SpeciesModel
from apps.fish.records import Observations, Samples, TrackedObservations
from data.masks import Mask, length
from data.taxonomy import Taxonomy

NAMES = ("alba", "rubra")
MODEL = SpeciesModel("namer", "1", NAMES, 0.5, Taxonomy.of_names(NAMES))
WHITE, RED, STRANGE = [0.88, 0.02], [0.02, 0.88], [0.04, 0.06]


def block(samples: int, rows: int, crops: dict[int, list[float]], weights: dict[int, float] | None = None) -> bytes:
    joined, edges = pack_texts([f"picture {row}".encode() for row in crops])
    weight = [(weights or {}).get(row, 1.0) for row in crops]
    return pack(
        samples,
        rows,
        row=np.array(list(crops), np.int64),
        scores=np.log(np.array(list(crops.values()), np.float32).reshape(-1, 2)),
        weight=np.array(weight, np.float32),
        pictured=np.array(list(crops), np.int64),
        jpeg=joined,
        edges=edges,
    )


def tracked(tracks: list[int], names: tuple[str, ...] = ("fish",), labels: list[int] | None = None):
    """A detection a sample, in the order of the tracks."""
    count = len(tracks)
    samples = Samples.of_chapter(0, 0.0, np.arange(count), np.arange(count) / 5)
    boxes = np.tile(np.array([[0, 0, 9, 9]], np.float32), (count, 1))
    scores = np.full(count, 0.75, np.float32)
    seen = Observations(samples, np.arange(count), boxes, scores, np.array(labels or [0] * count, np.int64), names)
    return TrackedObservations(seen, np.array(tracks, np.int64))


def named(fish: TrackedObservations, *blocks: bytes):
    renamed, told = name_fish(fish, [lambda: list(blocks)], MODEL)
    seen = renamed.observations
    return [seen.names[label] for label in seen.labels], told


def test_a_track_has_one_name_whatever_single_crops_say():
    labels, told = named(tracked([1, 1, 1, 1]), block(4, 4, {0: WHITE, 1: RED, 3: WHITE}))
    assert labels == ["alba"] * 4
    (one,) = told.fish
    assert (one.track, one.label, one.named.name, one.votes) == (1, "alba", "alba", 3)
    assert one.rows.tolist() == [0, 1, 2, 3]
    assert [(crop.row, crop.named.name, crop.jpeg) for crop in one.crops] == [
        (0, "alba", b"picture 0"), (1, "rubra", b"picture 1"), (3, "alba", b"picture 3")
    ]  # fmt: skip


def test_good_crops_weigh_more():
    labels, _ = named(tracked([1, 1, 1]), block(3, 3, {0: WHITE, 1: WHITE, 2: RED}, {2: 5.0}))
    assert labels == ["rubra"] * 3


def test_what_nobody_knows_and_what_nobody_looked_at_is_unknown():
    labels, told = named(tracked([1, 2, 1, 0]), block(4, 4, {0: STRANGE, 2: STRANGE}))
    assert labels == ["unknown fish"] * 4
    assert [(one.track, one.votes, len(one.crops)) for one in told.fish] == [(1, 2, 2), (2, 0, 0)]
    assert told.fish[0].named.confidence == pytest.approx(0.9, abs=0.01)


def test_a_detection_without_a_track_has_its_own_name():
    labels, told = named(tracked([1, 0, 1, 0]), block(4, 4, {0: WHITE, 1: RED}))
    assert labels == ["alba", "rubra", "alba", "unknown fish"]
    assert [(one.track, one.rows.tolist()) for one in told.fish] == [(1, [0, 2]), (0, [1])]


def test_the_unknown_keep_the_kind_that_the_detector_saw():
    fish = tracked([1, 2, 2, 2], ("fish", "ray"), [0, 1, 0, 1])
    labels, told = named(fish, block(4, 4, {0: STRANGE, 1: STRANGE}))
    assert labels == ["unknown fish", "unknown ray", "unknown ray", "unknown ray"]
    renamed, _ = name_fish(fish, [lambda: [block(4, 4, {})]], MODEL)
    assert renamed.observations.names == ("alba", "rubra", "unknown fish", "unknown ray")
    assert told.names == NAMES


def test_segments_and_chapters_are_counted_through():
    first, second, third = block(2, 2, {1: RED}), block(1, 1, {}), block(2, 2, {1: WHITE})
    fish = tracked([1, 2, 3, 4, 5])
    renamed, told = name_fish(fish, [lambda: [first, second], lambda: [third]], MODEL)
    assert [one.label for one in told.fish] == ["unknown fish", "rubra", "unknown fish", "unknown fish", "alba"]
    assert renamed.tracks.tolist() == [1, 2, 3, 4, 5]


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_every_track_is_named_once_and_nothing_is_lost(data):
    count = data.draw(st.integers(0, 12))
    numbers, order = [], []
    for _ in range(count):
        one = data.draw(st.integers(0, len(order) + 1))
        order += [one] if one == len(order) + 1 else []
        numbers.append(one)
    rows = sorted(data.draw(st.sets(st.integers(0, max(0, count - 1)), max_size=count)) if count else [])
    crops = {row: data.draw(st.sampled_from([WHITE, RED, STRANGE])) for row in rows}
    fish = tracked(numbers)
    labels, told = named(fish, block(count, count, crops))
    assert len(labels) == count
    of_track = [{label for label, mine in zip(labels, numbers, strict=True) if mine == track} for track in order]
    assert all(len(found) == 1 for found in of_track)
    assert [one.track for one in told.fish if one.track] == order
    assert sum(one.votes for one in told.fish) == len(crops)


def test_damage_is_told():
    with pytest.raises(ValueError, match="cannot be unpacked"):
        unpack(block(1, 1, {0: RED})[:-40])
    with pytest.raises(ValueError, match="not there"):
        named(tracked([1]), block(1, 1, {}), block(1, 5, {3: RED}))
    outline = pack(1, 9, row=np.array([8]), area=np.ones(1), length=np.ones(1), cut=np.zeros(1, bool),
                   size_wh=np.array([[9, 9]]), rle=np.zeros(0, np.uint8), edges=np.array([0, 0]))  # fmt: skip
    with pytest.raises(ValueError, match="not there"):
        outlines_of([lambda: [outline]], PartModel("m", "1"), 4)
    counts = pack(
        9, 0, sample=np.array([8]), count=np.ones(1), points=np.zeros((0, 2), np.float32), edges=np.zeros(2, int)
    )
    with pytest.raises(ValueError, match="not there"):
        dense_samples([lambda: [counts]], DenseModel("m", "1", 4.0), 4)


def test_segments_without_a_point_are_joined():
    empty = pack(
        3, 0, sample=np.zeros(0, int), count=np.zeros(0), points=np.zeros((0, 2), np.float32), edges=np.zeros(1, int)
    )
    full = pack(
        2, 3, sample=np.array([1]), count=np.array([2.5]), points=np.ones((2, 2), np.float32), edges=np.array([0, 2])
    )
    found = dense_samples([lambda: [empty, full], lambda: [empty, full]], DenseModel("m", "1", 4.0), 10)
    assert (found.sample.tolist(), found.edges.tolist()) == ([4, 9], [0, 2, 4])
    assert found.points_of(1).shape == (2, 2)


def test_outlines_go_to_the_boxes_that_they_fit_best():
    boxes = np.array([[0, 0, 10, 10], [4, 0, 14, 10], [50, 50, 60, 60]], np.float32)
    outlines = np.array([[5, 0, 15, 10], [1, 0, 11, 10], [52, 50, 80, 60]], np.float32)
    assert sorted(matched(boxes, outlines)) == [(0, 1), (1, 0)]
    assert matched(boxes, np.zeros((0, 4), np.float32)) == []


def test_specks_make_no_fish_longer():
    inside = np.zeros((9, 60), np.bool_)
    inside[2:7, :20] = True
    fish = Mask(30, 40, inside.copy())
    inside[0, 59] = inside[8, 40] = True
    assert length(main_part(Mask(30, 40, inside))) == length(fish)
    assert main_part(Mask(0, 0, np.zeros((0, 0), np.bool_))).inside.size == 0
