from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from apps.fish.records import (
    DeploymentRecords,
    Observations,
    Samples,
    TrackedObservations,
    in_order_of_sight,
    joined,
)
from apps.fish.tables.parquet import DETECTIONS, SAMPLES, read_records, write_records
from data.detections import Detections
from data.errors import FileAccessError, InputError

NAMES = ("Acanthopagrus australis", "Girella tricuspidata")


def found(*labels: int, score: float = 0.5) -> Detections:
    boxes = np.array([[10 * n, 5, 10 * n + 8, 9.5] for n in range(len(labels))], np.float32).reshape(-1, 4)
    return Detections(boxes, np.full(len(labels), score, np.float32), np.array(labels, np.int64))


def chapter(position: int, start: float, *frames: Detections) -> Observations:
    samples = Samples.of_chapter(position, start, range(0, 6 * len(frames), 6), np.arange(len(frames)) * 0.2)
    return Observations.of_frames(samples, frames, NAMES)


def records() -> DeploymentRecords:
    seen = joined([chapter(0, 0, found(1, 1), found(), found(0)), chapter(1, 700.1, found(), found(1))])
    return DeploymentRecords("BR-07", ("GX010034.MP4", "GX020034.MP4"), TrackedObservations(seen, _tracks(1, 2, 0, 2)))


def _tracks(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def same(one: DeploymentRecords, other: DeploymentRecords) -> bool:
    first, second = one.tracked.observations, other.tracked.observations
    pairs = [(getattr(first.samples, name), getattr(second.samples, name)) for name in vars(first.samples)]
    pairs += [(getattr(first, name), getattr(second, name)) for name in ("sample", "xyxy", "scores", "labels")]
    pairs.append((one.tracked.tracks, other.tracked.tracks))
    arrays = all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in pairs)
    return arrays and (one.opcode, one.files, first.names) == (other.opcode, other.files, second.names)


def test_frames_without_fish_stay_in_the_records() -> None:
    seen = chapter(0, 0, found(), found(0), found())
    assert (len(seen.samples), len(seen)) == (3, 1)
    assert len(seen.above(0.9).samples) == 3
    assert len(seen.above(0.9)) == 0


def test_a_score_at_the_threshold_is_kept() -> None:
    assert len(chapter(0, 0, found(0, score=0.3)).above(0.3)) == 1


def test_chapters_join_in_time_and_keep_the_frame_numbers_of_their_files() -> None:
    seen = records().tracked.observations
    assert seen.samples.seconds.tolist() == [0, 0.2, 0.4, 700.1, 700.1 + 0.2]
    assert seen.samples.file_seconds.tolist() == [0, 0.2, 0.4, 0, 0.2]
    assert seen.samples.frame.tolist() == [0, 6, 12, 0, 6]
    assert seen.samples.chapter[seen.sample].tolist() == [0, 0, 0, 1]


def test_a_chapter_without_samples_joins() -> None:
    assert len(joined([chapter(0, 0, found(0)), chapter(1, 10), chapter(2, 20, found(0))]).samples) == 2


@pytest.mark.parametrize("chapters", [[], [chapter(1, 10, found(0)), chapter(0, 0, found(0))]])
def test_chapters_out_of_order_do_not_join(chapters: list[Observations]) -> None:
    with pytest.raises(ValueError, match=r"order|no chapter"):
        joined(chapters)


def test_chapters_of_two_detectors_do_not_join() -> None:
    other = Observations.none(("fish",), Samples.of_chapter(1, 5, [0], [0.0]))
    with pytest.raises(ValueError, match="names"):
        joined([chapter(0, 0, found(0)), other])


@pytest.mark.parametrize(
    ("frames", "times", "what"),
    [
        ([0, 0], [0, 0.2], "frames of one chapter"),
        ([6, 0], [0, 0.2], "frames of one chapter"),
        ([0, 6], [0.2, 0], "times within"),
        ([0, 6], [0, np.nan], "not finite"),
        ([-1, 6], [0, 0.2], "negative"),
        ([0, 6], [0], "shape"),
    ],
)
def test_samples_that_cannot_be_are_refused(frames: list[int], times: list[float], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        Samples.of_chapter(0, 0, frames, times)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"sample": np.array([0, 3])}, "belongs to no sample"),
        ({"sample": np.array([1, 0])}, "out of order"),
        ({"sample": np.array([0, 1], np.int32)}, "int32"),
        ({"labels": np.array([0, 2])}, "no name"),
        ({"labels": np.array([0, -1])}, "no name"),
        ({"scores": np.array([0.5, 1.5], np.float32)}, "no probability"),
        ({"scores": np.array([0.5, np.nan], np.float32)}, "no probability"),
        ({"scores": np.array([0.5, 0.5])}, "float64"),
        ({"xyxy": np.zeros((2, 5), np.float32)}, "shape"),
        ({"xyxy": np.array([[0, 0, 1, 1], [5, 0, 4, 1]], np.float32)}, "inside out"),
        ({"xyxy": np.array([[0, 0, 1, 1], [5, 0, np.inf, 1]], np.float32)}, "not finite"),
        ({"names": ("fish", "fish")}, "names repeat"),
    ],
)
def test_observations_that_cannot_be_are_refused(change: dict[str, object], what: str) -> None:
    right = {
        "samples": Samples.of_chapter(0, 0, [0, 6, 12], [0, 0.2, 0.4]),
        "sample": np.array([0, 1]),
        "xyxy": np.array([[0, 0, 1, 1], [5, 0, 6, 1]], np.float32),
        "scores": np.array([0.5, 0.5], np.float32),
        "labels": np.array([0, 1]),
        "names": NAMES,
    }
    assert len(Observations(**right)) == 2
    with pytest.raises(ValueError, match=what):
        Observations(**(right | change))


@pytest.mark.parametrize(
    ("tracks", "what"),
    [((1, 1, 2), "two boxes"), ((2, 1, 2), "first sight"), ((1, 3, 1), "numbered"), ((-1, 0, 0), "negative")],
)
def test_tracks_that_cannot_be_are_refused(tracks: tuple[int, ...], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        TrackedObservations(chapter(0, 0, found(0, 0), found(0)), _tracks(*tracks))


def test_a_choice_of_samples_takes_their_fish_and_numbers_tracks_anew() -> None:
    chosen = records().tracked.select_samples(np.array([False, True, True, False, True]))
    assert chosen.observations.samples.seconds.tolist() == [0.2, 0.4, 700.1 + 0.2]
    assert chosen.observations.sample.tolist() == [1, 2]
    assert chosen.tracks.tolist() == [0, 1]


@given(hnp.arrays(np.int64, st.integers(0, 40), elements=st.integers(0, 9)))
def test_numbers_by_first_sight_keep_who_is_who(tracks: np.ndarray) -> None:
    new = in_order_of_sight(tracks)
    firsts = [number for index, number in enumerate(new) if number and number not in new[:index]]
    assert firsts == list(range(1, len(firsts) + 1))
    assert np.array_equal(new == 0, tracks == 0)
    assert np.array_equal(new[:, None] == new[None], tracks[:, None] == tracks[None])


def test_a_sample_of_a_chapter_without_a_file_is_refused() -> None:
    with pytest.raises(ValueError, match="chapter files"):
        DeploymentRecords("BR-07", ("GX010034.MP4",), records().tracked)


def test_parquet_gives_back_every_bit(tmp_path: Path) -> None:
    write_records(tmp_path, records())
    assert same(read_records(tmp_path), records())


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1, width=32)), max_size=3), max_size=5), st.data())
def test_any_records_survive_parquet(
    tmp_path_factory: pytest.TempPathFactory, frames: list[list[tuple[int, float]]], data: st.DataObject
) -> None:
    times = sorted(data.draw(st.lists(st.floats(0, 1e6), min_size=len(frames), max_size=len(frames))))
    samples = Samples.of_chapter(0, 0, range(len(frames)), times)
    detections = [
        Detections(
            np.array([[0, 0, score, 1e-3] for _, score in frame], np.float32).reshape(-1, 4),
            np.array([score for _, score in frame], np.float32),
            np.array([label for label, _ in frame], np.int64),
        )
        for frame in frames
    ]
    seen = Observations.of_frames(samples, detections, NAMES)
    tracked = TrackedObservations(seen, np.arange(1, len(seen) + 1, dtype=np.int64))
    folder = tmp_path_factory.mktemp("records")
    wanted = DeploymentRecords('op "1",\nৰ', ("a.mp4", "damaged.mp4"), tracked)
    write_records(folder, wanted)
    assert same(read_records(folder), wanted)


def test_parquet_has_a_row_for_every_sample_and_the_columns_promised(tmp_path: Path) -> None:
    write_records(tmp_path, records())
    detections, samples = pq.read_table(tmp_path / DETECTIONS), pq.read_table(tmp_path / SAMPLES)
    assert len(samples) == 5
    place = ["opcode", "chapter", "file", "frame", "file_seconds", "seconds"]
    assert samples.column_names == place
    assert detections.column_names == [*place, "x1", "y1", "x2", "y2", "score", "label", "track"]
    last = detections.to_pylist()[-1]
    assert (last["opcode"], last["file"], last["frame"], last["label"]) == ("BR-07", "GX020034.MP4", 6, NAMES[1])


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_records(tmp_path / name, records())
    for table in (DETECTIONS, SAMPLES):
        assert (tmp_path / "one" / table).read_bytes() == (tmp_path / "two" / table).read_bytes()


def test_tables_that_are_missing_damaged_or_strange_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="cannot be read"):
        read_records(tmp_path)
    write_records(tmp_path, records())
    whole = (tmp_path / DETECTIONS).read_bytes()
    (tmp_path / DETECTIONS).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="parquet"):
        read_records(tmp_path)
    (tmp_path / DETECTIONS).write_bytes((tmp_path / SAMPLES).read_bytes())
    with pytest.raises(InputError, match="another kind of table"):
        read_records(tmp_path)


def test_tables_of_two_deployments_are_not_mixed(tmp_path: Path) -> None:
    write_records(tmp_path / "one", records())
    write_records(tmp_path / "two", DeploymentRecords("BR-08", records().files, records().tracked))
    (tmp_path / "one" / SAMPLES).write_bytes((tmp_path / "two" / SAMPLES).read_bytes())
    with pytest.raises(InputError, match="same deployment"):
        read_records(tmp_path / "one")


def test_detections_without_their_sample_are_refused(tmp_path: Path) -> None:
    write_records(tmp_path, records())
    samples = pq.read_table(tmp_path / SAMPLES)
    pq.write_table(samples.slice(1), tmp_path / SAMPLES)
    with pytest.raises(InputError, match="does not fit"):
        read_records(tmp_path)
