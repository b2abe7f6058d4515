"""Pictures and clips of MaxN: the right frames, boxes where the fish are, and footage that is gone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from apps.fish.clips import annotated, write_clip
from apps.fish.drawing import Mark, bgr_of, draw_caption, draw_marks, fitting, sized
from apps.fish.evidence import EVIDENCE, clock, evidence_list, write_evidence
from apps.fish.footage import SampledFrame
from apps.fish.sights import Sights
from apps.pictures import line_of_text
from data.footage.excerpts import frames_between
from tests.apps.fish import blobs
from tests.apps.fish.results import boxes_at, published, result_of

FRAMES = 420


@pytest.fixture(scope="module")
def footage(tmp_path_factory) -> Path:
    """14 seconds: one blob, from frame 252 on four for a while."""
    counts = [1] * (252 // blobs.SPELL) + [4] * 2 + [2] * 40
    return blobs.write_clip(tmp_path_factory.mktemp("footage") / "OP1" / "GX010007.MP4", FRAMES, counts)


@pytest.fixture(scope="module")
def result(footage):
    return result_of("OP1", [footage])


@pytest.fixture(scope="module")
def shown(result, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shown")
    written, problems = write_evidence(result, folder)
    assert problems == []
    assert sorted(written) == sorted(folder.iterdir())
    return folder


def decoded(path: Path) -> list[tuple[float, np.ndarray]]:
    with av.open(str(path)) as container:
        return [(float(frame.time), frame.to_ndarray(format="bgr24")) for frame in container.decode(video=0)]


def near(picture: np.ndarray, colour: tuple[int, int, int], tolerance: int = 60) -> np.ndarray:
    return (np.abs(picture.astype(int) - colour).max(axis=2) < tolerance).astype(np.uint8)


def test_the_picture_has_a_box_at_every_fish(result, shown):
    sighting = result.counts.species[0].max_n_at
    assert sighting.sample * 3 == 252
    marked = cv2.imread(str(shown / "maxn-fish.jpg"))
    scale = 640 / blobs.WIDTH
    hits = near(marked, bgr_of(0))
    assert len(boxes_at(result, sighting.sample)) == 4
    for box in boxes_at(result, sighting.sample) * scale:
        left, top, right, bottom = (round(float(edge)) for edge in box)
        for y, x in ((top, slice(left, right)), (bottom - 1, slice(left, right))):
            assert hits[max(0, y - 2) : y + 3, x].max(axis=0).mean() > 0.9
        assert hits[top + 6 : bottom - 6, left + 6 : right - 6].mean() < 0.1
    # Nothing is drawn where no fish is, but a label above each box.
    lines = round(marked.shape[1] * blobs.HEIGHT / blobs.WIDTH)
    assert hits[round(lines * 0.95) : lines].sum() == 0


def test_the_frame_itself_is_kept_without_marks(footage, shown):
    frame = cv2.imread(str(shown / "maxn-fish-frame.jpg"))
    truth = blobs.blob_frame(252, 4)
    assert frame.shape == truth.shape
    assert np.abs(frame.astype(int) - truth).mean() < 6


def test_the_clip_plays_in_browsers_and_has_the_seconds_around_maxn(shown):
    with av.open(str(shown / "maxn-fish.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.width == 640
        assert stream.width % 2 == stream.height % 2 == 0
    content = (shown / "maxn-fish.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    frames = decoded(shown / "maxn-fish.mp4")
    # From 3.4 s to 13.4 s, both included; MaxN is at 8.4 s.
    assert len(frames) == 301
    assert [frames[0][0], frames[-1][0]] == [0, pytest.approx(10, abs=0.01)]


def test_boxes_follow_the_fish_between_samples(result, footage, shown):
    scale = 640 / blobs.WIDTH
    for at in (31, 32, 200):  # samples are frames 102 + 3 k
        picture = decoded(shown / "maxn-fish.mp4")[at][1]
        number = 102 + at
        left = (number // 2) % (blobs.WIDTH - 12)
        box = np.array([left, 5, left + 13, 12]) * scale
        rows, columns = np.nonzero(near(picture, bgr_of(0), 80)[round(3 * scale) : round(12.5 * scale)])
        assert abs(columns.min() - box[0]) < 1.5 * scale
        assert len(rows) > 100


def test_maxn_is_announced_around_its_moment_only(result, footage):
    sights, at = Sights(result, 0, (3.4, 13.4)), 8.4
    water = np.full((blobs.HEIGHT, blobs.WIDTH, 3), 30, np.uint8)
    for seconds, announced in ((7.8, False), (8.0, True), (8.4, True), (8.9, True), (9.0, False)):
        picture = annotated(SampledFrame(water, 0, seconds), sights, at, "MaxN 4 · fish")
        assert bool((picture[0, :, 0] > 200).mean() > 0.9) == announced


def test_a_detection_below_the_threshold_is_dashed_and_one_far_below_not_shown(result):
    seen = result.records.tracked.observations
    scores = seen.scores.copy()
    first = np.flatnonzero(seen.sample == 84)
    scores[first] = [0.9, 0.45, 0.2, 0.5]
    weak = replace(seen, scores=scores)
    spoiled = replace(
        result, records=replace(result.records, tracked=replace(result.records.tracked, observations=weak))
    )
    marks = Sights(spoiled, 0, (3.4, 13.4)).at(8.4)
    assert sorted((mark.counted, mark.text.split(" ")[-1]) for mark in marks) == [
        (False, "0.45"),
        (True, "0.50"),
        (True, "0.90"),
    ]


def test_a_fast_camera_is_thinned_but_its_maxn_stays(tmp_path, result):
    frames = [SampledFrame(np.full((64, 96, 3), 30, np.uint8), at, at / 120) for at in range(240)]
    sights = Sights(result, 0, (0, 2))
    assert write_clip(tmp_path / "a.mp4", iter(frames), sights, 0.0, "x") == 60
    assert write_clip(tmp_path / "b.mp4", iter(frames), sights, 101 / 120, "x") in {60, 61}


def test_wide_footage_is_made_smaller(tmp_path, result):
    frames = [SampledFrame(np.full((1080, 1920, 3), 30, np.uint8), at, at / 25) for at in range(3)]
    write_clip(tmp_path / "a.mp4", iter(frames), Sights(result, 0, (0, 2)), 0.0, "x")
    assert decoded(tmp_path / "a.mp4")[0][1].shape == (540, 960, 3)


def test_the_same_result_gives_the_same_bytes(result, shown, tmp_path):
    write_evidence(result, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        path.name: path.read_bytes() for path in shown.iterdir()
    }


@pytest.mark.parametrize("spoil", ["gone", "empty", "cut"])
def test_footage_that_is_gone_costs_no_table(result, footage, tmp_path, spoil):
    path = tmp_path / "OP1" / footage.name
    path.parent.mkdir()
    if spoil == "empty":
        path.touch()
    if spoil == "cut":
        content = footage.read_bytes()
        path.write_bytes(content[: len(content) // 3])
    lost = replace(result, chapters=tuple(replace(one, path=path) for one in result.chapters))
    (problem,) = published(tmp_path / "out", [lost])
    assert (problem.kind, problem.opcode, problem.loss) == ("not_shown", "OP1", False)
    assert "MaxN of fish is not shown; the tables stand" in str(problem)
    folder = tmp_path / "out" / "OP1"
    assert (folder / "maxn.csv").is_file()
    assert not list(folder.glob("maxn-*"))
    (told,) = evidence_list.validate_json((folder / EVIDENCE).read_bytes())
    assert told.problem.startswith("OP1/GX010007.MP4: ")
    assert published(tmp_path / "out", [result]) == []
    assert (folder / "maxn-fish.mp4").is_file()


@pytest.mark.parametrize("species", ["মাছ", "Chromis <viridis>/2", "fish\n\x00", "x" * 300])
def test_odd_names_crash_nothing(footage, tmp_path, species):
    written, problems = write_evidence(result_of("অপ-১", [footage], species=species), tmp_path)
    assert problems == []
    assert len(written) == 4
    assert all(path.parent == tmp_path and path.stat().st_size for path in written)


def test_bengali_is_written_with_its_own_letters():
    bengali, boxes = line_of_text("মাছ", 40), line_of_text("\ufffe\ufffe", 40)
    assert bengali.shape[0] == boxes.shape[0] == 52
    assert bengali.max() == 255
    assert not np.array_equal(line_of_text("মা", 40), line_of_text("মি", 40))


def test_a_long_text_is_cut_to_its_place():
    assert fitting("a very long text indeed", 20, 90).shape[1] <= 90


@pytest.mark.parametrize("box", [(0, 0, 96, 64), (-20, -20, 3, 3), (90, 60, 200, 200), (10, 10, 10, 10)])
def test_boxes_at_and_over_the_edge_are_drawn(box):
    picture = sized(np.zeros((64, 96, 3), np.uint8), 640)
    draw_marks(picture, [Mark(box, "12 · 0.99", number, number % 7, bool(number % 2)) for number in range(9)], 640 / 96)
    assert picture.any()
    assert draw_caption(picture, ["a" * 500], [(0, "b" * 500), (1, "c")], "d").shape[1] == 640


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00:00.0"), (59.96, "0:01:00.0"), (3725.25, "1:02:05.2")])
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_excerpts_are_the_frames_that_were_counted(footage, result):
    frames = list(frames_between(footage, 8.4, 8.4))
    assert [frame.frame for frame in frames] == [252]
