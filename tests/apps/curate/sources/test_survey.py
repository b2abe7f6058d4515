"""The results of a survey in FiftyOne: videos with what was seen in them, and frames to correct."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.curate.fields import (
    BY_KIND,
    BY_NAME,
    BY_WHEN,
    COMPLETE,
    COUNTS,
    DEPLOYMENT,
    INFO,
    ITEM,
    MAXN,
    MODELS,
    SECONDS,
    SITE,
    SPECIES,
    TRUTH,
    VIDEO,
    VIDEO_FRAME,
    WHY,
)
from apps.curate.reading import collection_of
from apps.curate.sources.footage import check_same, disks_of, find_chapter, is_playable, still, write_playable
from apps.curate.sources.ledger import Mark, read_ledger
from apps.curate.sources.stills import APART, Chosen, choose, doubt_of_frames, still_name, write_stills
from apps.curate.sources.survey import FRAMES, SurveyOptions, open_survey
from apps.curate.sources.survey_files import Account, Chapter, read_surveyed
from apps.curate.sources.videos import frame_numbers
from apps.fish.decisions import FishKey, History
from apps.fish.footage import ChapterReader, parse_sampling
from data.errors import ArgumentError, FileAccessError, InputError
from data.provenance import Provenance
from tests.apps.curate.sources.test_survey_files import OPCODE, content

DETECTOR = "fish_int8"


@pytest.fixture(scope="module")
def surveyed(surveyed_once):
    results = surveyed_once / "results"
    return read_surveyed(results / OPCODE, read_ledger(results).marks)[0]


@pytest.fixture(scope="module")
def opened(fiftyone_module, surveyed_once, tmp_path_factory):
    """The survey as it is opened by default; beside it, a person has named a track."""
    folder = shutil.copytree(surveyed_once, tmp_path_factory.mktemp("opened") / "survey")
    surveyed = read_surveyed(folder / "results" / OPCODE, {})[0]
    seen, row = surveyed.seen, 0
    xyxy = tuple(round(float(side), 2) for side in seen.xyxy[row])
    label = surveyed.about.chapters[0].label
    fish = FishKey(opcode=OPCODE, file=label, frame=int(seen.frame[seen.sample[row]]), xyxy=xyxy)
    History(folder / "results").add(fish, "Girella tricuspidata")
    before = content(folder)
    found = open_survey(folder / "results", "opened", SurveyOptions(folder.parent / "media"))
    assert content(folder) == before
    return found


@pytest.fixture
def open_copy(fiftyone_module, survey_folder, tmp_path, request):
    """Opens the copy of the results that a test has spoilt."""
    name = request.node.name

    def opens(**options):
        return open_survey(survey_folder / "results", name, SurveyOptions(tmp_path / "media", **options))

    yield opens
    for one in (name, f"{name} {FRAMES}"):
        if fiftyone_module.dataset_exists(one):
            fiftyone_module.delete_dataset(one)


def test_every_chapter_is_a_video_where_it_lies(opened, surveyed):
    chapters = surveyed.about.chapters
    assert opened.videos.media_type == "video"
    assert opened.videos.persistent
    assert opened.videos.values(VIDEO) == [chapter.label for chapter in chapters]
    for sample, chapter in zip(opened.videos, chapters, strict=True):
        assert Path(sample.filepath).is_file()
        assert sample.filepath.endswith(chapter.label)
        assert (sample[DEPLOYMENT], sample[SITE], sample[SECONDS]) == (OPCODE, surveyed.about.site, chapter.start)
        assert sample[COMPLETE] is True
        told = sample.metadata
        assert (told.frame_width, told.frame_height) == chapter.size_wh
        assert (told.total_frame_count, told.frame_rate) == (chapter.account.expected, 25.0)
        assert told.size_bytes == Path(sample.filepath).stat().st_size
        assert told.mime_type == "video/mp4"
        place = surveyed.about.metadata
        assert sample["location"].point == [place.longitude, place.latitude]


def test_every_frame_that_was_looked_at_tells_what_was_seen(opened, surveyed):
    seen = surveyed.seen
    for number, sample in enumerate(opened.videos):
        positions = np.flatnonzero(seen.chapter == number).tolist()
        frames = dict(sample.frames.items())
        assert list(frames) == [int(seen.frame[at]) + 1 for at in positions]
        for at, frame in zip(positions, frames.values(), strict=True):
            assert frame[VIDEO_FRAME] == seen.frame[at]
            found = frame[DETECTOR].detections
            rows = list(seen.of_sample(at))
            assert [one.confidence for one in found] == pytest.approx(seen.scores[rows].tolist())
            assert [one.index or 0 for one in found] == seen.tracks[rows].tolist()
            width, height = surveyed.about.chapters[number].size_wh
            boxes = np.array([one.bounding_box for one in found]).reshape(-1, 4)
            boxes[:, 2:] += boxes[:, :2]
            cut = np.clip(seen.xyxy[rows], 0, [width, height, width, height])
            np.testing.assert_allclose(boxes * [width, height, width, height], cut, atol=0.01)
            outlined = [surveyed.mask(row) for row in rows]
            for one, mask in zip(found, outlined, strict=True):
                assert (one.mask is None) == (mask is None)
                assert mask is None or np.array_equal(one.mask, mask.inside)


def test_the_documents_are_those_that_fiftyone_writes(opened, fiftyone_module):
    """Frames written by us and by FiftyOne differ in nothing but their ids and times."""
    sample = opened.videos.first()
    number, ours = next(iter(sample.frames.items()))
    other = fiftyone_module.Dataset()
    copy = fiftyone_module.Sample(sample.filepath, metadata=sample.metadata)
    copy.frames[number] = ours.copy()
    other.add_sample(copy)
    written = other._frame_collection.find_one()
    expected = opened.videos._frame_collection.find_one({"_sample_id": sample._id, "frame_number": number})
    other.delete()
    assert _keys(written) == _keys(expected)


def _keys(document: object) -> object:
    """What a document holds, without what is its own, and what is not set."""
    if isinstance(document, dict):
        own = {"_id", "_sample_id", "_dataset_id", "created_at", "last_modified_at"}
        return {key: _keys(value) for key, value in document.items() if key not in own and value is not None}
    return [_keys(one) for one in document] if isinstance(document, list) else document


def test_names_by_people_are_told_with_who_and_when(opened):
    labels = opened.videos.values(f"frames[].{DETECTOR}.detections[].label", unwind=True)
    said = opened.videos.values(f"frames[].{DETECTOR}.detections[].{BY_KIND}", unwind=True)
    assert {label for label, by in zip(labels, said, strict=True) if by == "person"} == {"Girella tricuspidata"}
    assert set(said) == {"person", "model"}
    names = opened.videos.values(f"frames[].{DETECTOR}.detections[].{BY_NAME}", unwind=True)
    whens = opened.videos.values(f"frames[].{DETECTOR}.detections[].{BY_WHEN}", unwind=True)
    assert {(name, bool(when)) for name, when, by in zip(names, whens, said, strict=True) if by == "model"} == {
        ("species-int8", False)
    }
    assert all(when for when, by in zip(whens, said, strict=True) if by == "person")


def test_maxn_is_marked_where_it_is(opened, surveyed):
    counted = {one.species: one for one in surveyed.maxn if one.count}
    for number, sample in enumerate(opened.videos):
        assert {one.label: one.count for one in sample[COUNTS].classifications} == {
            species: one.count for species, one in counted.items()
        }
        here = {f"{one.species}: {one.count}": one.frame + 1 for one in counted.values() if one.chapter == number}
        marked = {one.label: one.support for one in sample[MAXN].detections}
        assert marked.keys() == here.keys()
        assert all(marked[label][0] <= frame <= marked[label][1] for label, frame in here.items())
    assert len(opened.videos.load_saved_view("videos with a MaxN")) > 0


def test_frames_can_be_corrected_and_exported(opened, surveyed):
    frames = opened.frames
    assert frames.name == f"opened {FRAMES}"
    collection = collection_of(frames)
    assert (collection.kind, collection.names, collection.problems) == ("segmentation", ("fish",), ())
    seen, threshold = surveyed.seen, surveyed.about.settings.threshold
    place = {(chapter.label, number): chapter for number, chapter in enumerate(surveyed.about.chapters)}
    for picture, sample in zip(collection.pictures, frames, strict=True):
        chapter = next(number for label, number in place if label == sample[VIDEO])
        at = int(np.flatnonzero((seen.chapter == chapter) & (seen.frame == sample[VIDEO_FRAME]))[0])
        counted = [row for row in seen.of_sample(at) if seen.scores[row] >= np.float32(threshold)]
        assert picture.id == sample[ITEM] == f"{sample[VIDEO]}/{sample[VIDEO_FRAME]:08d}.jpg"
        assert [label.confidence for label in picture.labels] == pytest.approx(seen.scores[counted].tolist())
        assert [label.track for label in picture.labels] == seen.tracks[counted].tolist()
        assert [label.mask for label in picture.labels] == [surveyed.mask(row) for row in counted]
        assert {label.by for label in picture.labels} <= {Provenance(kind="model", name="fish-int8")}
        assert (picture.complete, picture.group) == (False, surveyed.about.site)
        assert len(sample[DETECTOR].detections) == len(seen.of_sample(at)) >= len(counted)
        assert all(one[SPECIES] for one in (*sample[TRUTH].detections, *sample[DETECTOR].detections))
    assert frames.info[MODELS][DETECTOR]["threshold"] == threshold
    assert frames.info[INFO]["kind"] == "segmentation"


def test_frames_tell_why_they_are_shown(opened, surveyed):
    views = {name: set(opened.frames.load_saved_view(name).values("id")) for name in opened.frames.list_saved_views()}
    assert views.keys() == {"MaxN frames", "unsure frames"}
    assert views["MaxN frames"] | views["unsure frames"] == set(opened.frames.values("id"))
    counted = {f"MaxN of {one.species}" for one in surveyed.maxn if one.count}
    assert {why for own in opened.frames.values(WHY) for why in own} - {"unsure"} == counted


def test_a_frame_is_the_one_that_the_survey_looked_at(opened, surveyed_once):
    """Compared with what the survey's own reader gives from the first frame on; JPEG loses a little."""
    sample = opened.frames.first()
    with ChapterReader(surveyed_once / "disk" / sample[VIDEO], parse_sampling("1")) as reader:
        frame = next(one for one in reader if one.frame == sample[VIDEO_FRAME])
    shown = cv2.imread(sample.filepath)
    assert np.abs(shown.astype(int) - frame.image).mean() < 2
    assert np.array_equal(still(surveyed_once / "disk" / sample[VIDEO], frame.seconds), frame.image)


def test_videos_that_browsers_do_not_play_are_told_or_copied(opened, open_copy, surveyed, tmp_path):
    assert {one.account.codec for one in surveyed.about.chapters} == {"hevc"}
    told = [problem for problem in opened.problems if "browsers do not play hevc" in problem.why]
    assert [problem.name for problem in told] == [chapter.label for chapter in surveyed.about.chapters]
    assert all("--copies" in problem.why for problem in told)
    copied = open_copy(copies=True)
    assert copied.problems == ()
    for path, chapter in zip(copied.videos.values("filepath"), surveyed.about.chapters, strict=True):
        assert Path(path).is_relative_to(tmp_path / "media")
        with av.open(path) as video:
            stream = video.streams.video[0]
            assert (stream.codec_context.name, stream.frames) == ("h264", chapter.account.expected)
            assert (stream.width, stream.height) == chapter.size_wh
            times = [packet.pts * packet.time_base for packet in video.demux(stream) if packet.pts is not None]
        assert sorted(map(float, times)) == pytest.approx([at / 25 for at in range(chapter.account.expected)], abs=1e-3)


def test_without_footage_the_pictures_of_the_results_are_shown(open_copy, survey_folder, surveyed):
    shutil.rmtree(survey_folder / "disk")
    found = open_copy()
    assert found.videos is None
    places = {(one.chapter, one.frame) for one in surveyed.maxn if one.count}
    assert len(found.frames) == len(places)
    assert [problem.name for problem in found.problems] == [chapter.label for chapter in surveyed.about.chapters]
    assert all("--footage" in problem.why for problem in found.problems)


def test_footage_is_found_where_a_person_says(open_copy, survey_folder, surveyed, tmp_path):
    moved = (survey_folder / "disk").rename(tmp_path / "elsewhere")
    assert len(open_copy(footage=moved).videos) == len(surveyed.about.chapters)


def test_a_disk_that_is_not_there_is_refused(open_copy, tmp_path):
    with pytest.raises(FileAccessError, match="is no folder"):
        open_copy(footage=tmp_path / "nowhere")


def test_a_missing_chapter_costs_nothing_else(open_copy, survey_folder, surveyed):
    first, second = (chapter.label for chapter in surveyed.about.chapters)
    (survey_folder / "disk" / second).unlink()
    found = open_copy()
    assert found.videos.values(VIDEO) == [first]
    assert [problem.name for problem in found.problems if "not in" in problem.why] == [second]


def test_changed_videos_are_left_out(open_copy, survey_folder, surveyed):
    """One that grew, and one of the same size whose pictures are others."""
    first, second = (survey_folder / "disk" / chapter.label for chapter in surveyed.about.chapters)
    kept = first.read_bytes()
    first.write_bytes(kept + b"\0")
    spoilt = bytearray(second.read_bytes())
    middle = spoilt.index(b"mdat") + len(spoilt) // 4
    spoilt[middle : middle + 4000] = bytes(4000)
    second.write_bytes(spoilt)
    found = open_copy()
    assert found.videos is None
    why = {Path(problem.name).name: problem.why for problem in found.problems}
    assert f"{len(kept)} bytes then, {len(kept) + 1} now" in why[first.name]
    assert "has changed since the survey: it" in why[second.name]


def test_without_a_ledger_the_size_of_frames_is_what_can_be_compared(survey_folder, surveyed):
    path = survey_folder / "disk" / surveyed.about.chapters[0].label
    chapter = surveyed.about.chapters[0]
    check_same(path, chapter, None)
    with pytest.raises(InputError, match="has frames of 640 x 360; expected those that were surveyed, 32 x 16"):
        check_same(path, chapter.model_copy(update={"size_wh": (32, 16)}), None)
    with pytest.raises(InputError, match="its pictures are others"):
        check_same(path, chapter, Mark(path.stat().st_size, 0.0, 1))


def test_a_deployment_that_cannot_be_read_costs_nothing_else(open_copy, survey_folder):
    results = survey_folder / "results"
    other = shutil.copytree(results / OPCODE, results / "SPOILT-02")
    (other / "detections.parquet").write_bytes(b"nothing")
    found = open_copy()
    assert len(found.videos) == 2
    assert any("detections.parquet" in problem.name and "no table" in problem.why for problem in found.problems)


def test_an_unfinished_survey_shows_what_is_whole(open_copy, survey_folder):
    results = survey_folder / "results"
    (results / "UNFINISHED.txt").write_text("go on", encoding="utf-8")
    half = shutil.copytree(results / OPCODE, results / "HALF-02")
    about = (half / "deployment.json").read_bytes()
    (half / "deployment.json").write_bytes(about.replace(OPCODE.encode(), b"HALF-02"))
    found = open_copy()
    assert set(found.videos.values(DEPLOYMENT)) == {OPCODE}
    assert any("not finished" in problem.why for problem in found.problems)
    assert ["not written to its end" in one.why for one in found.problems if one.name == str(half)] == [True]


def test_nothing_that_can_be_shown_is_an_error_and_leaves_nothing(open_copy, survey_folder, fiftyone_module):
    (survey_folder / "results" / OPCODE / "samples.parquet").unlink()
    before = set(fiftyone_module.list_datasets())
    with pytest.raises(InputError, match="holds no deployment that can be shown"):
        open_copy()
    assert set(fiftyone_module.list_datasets()) == before


def test_a_full_disk_leaves_no_half_dataset(open_copy, fiftyone_module, monkeypatch):
    def full(path, _picture, _quality):
        raise FileAccessError(path, "cannot be written (No space left on device)")

    monkeypatch.setattr("apps.curate.sources.stills.write_jpeg", full)
    before = set(fiftyone_module.list_datasets())
    with pytest.raises(FileAccessError, match="No space left"):
        open_copy()
    assert set(fiftyone_module.list_datasets()) == before


def test_a_name_that_is_taken_is_refused(opened, surveyed_once, tmp_path):
    with pytest.raises(ArgumentError, match="there is a dataset 'opened' already"):
        open_survey(surveyed_once / "results", "opened", SurveyOptions(tmp_path))


def test_doubtful_frames_are_chosen_apart_from_each_other(surveyed):
    counted = [one.sample for one in choose(surveyed, unsure=0)]
    assert 0 < len(counted) <= sum(one.count > 0 for one in surveyed.maxn)
    surveyed = replace(surveyed, maxn=surveyed.maxn[-1:])
    chosen = choose(surveyed, unsure=3)
    seen = surveyed.seen
    seconds = seen.file_seconds + np.array([one.start for one in surveyed.about.chapters])[seen.chapter]
    times = [float(seconds[one.sample]) for one in chosen]
    unsure = [one for one in chosen if one.why == ("unsure",)]
    assert 0 < len(unsure) <= 3
    for one in unsure:
        assert all(abs(seconds[one.sample] - other) >= APART for other in times if other != seconds[one.sample])
    assert len(choose(surveyed, unsure=1)) == len(choose(surveyed, unsure=0)) + 1
    most = np.argsort(-doubt_of_frames(surveyed))[0]
    assert any(abs(seconds[one.sample] - seconds[most]) < APART for one in chosen)


def test_doubt_is_greatest_in_the_middle_and_over_short_tracks(surveyed):
    seen = surveyed.seen
    sample = np.zeros(len(seen), np.int64)
    sure = replace(surveyed, seen=replace(seen, sample=sample, scores=np.ones(len(seen), np.float32)))
    never = replace(sure, about=sure.about.model_copy(update={"settings": sure.about.settings.model_copy(
        update={"confirmed_after": 0})}))  # fmt: skip
    assert doubt_of_frames(never).tolist() == [0.0] * len(seen.frame)
    half = replace(never, seen=replace(never.seen, scores=np.full(len(seen), 0.5, np.float32)))
    assert doubt_of_frames(half)[0] == pytest.approx(len(seen))
    assert doubt_of_frames(sure)[0] > 0


def test_a_frame_that_cannot_be_decoded_any_more_is_a_problem(surveyed, survey_folder, tmp_path):
    path = survey_folder / "disk" / surveyed.about.chapters[0].label
    late = replace(surveyed, seen=replace(surveyed.seen, file_seconds=surveyed.seen.file_seconds + 1e4))
    stills, problems = write_stills(late, [Chosen(0, ("unsure",))], {0: path}, tmp_path)
    assert stills == []
    assert "has no frame at" in problems[0].why


@given(st.lists(st.integers(0, 5000), unique=True), st.floats(5, 120))
def test_frames_of_a_fixed_rate_keep_their_numbers(frames, rate):
    frames = sorted(frames)
    assert frame_numbers([frame / rate for frame in frames], rate) == [frame + 1 for frame in frames]


@given(st.lists(st.floats(0, 1e4), max_size=50), st.floats(5, 120))
def test_frame_numbers_rise(seconds, rate):
    numbers = frame_numbers(sorted(seconds), rate)
    assert all(low < high for low, high in pairwise(numbers))
    assert all(number >= 1 for number in numbers)


def test_names_of_stills_stay_in_their_folder():
    for label in ("../../etc/passwd", "/disk/OP1/a.mp4", "OP:1/a?.mp4", "OP1\\..\\a.mp4"):
        chapter = Chapter(label=label, start=0, size_wh=(4, 4))
        name = still_name(chapter, 7)
        assert name.endswith("/00000007.jpg")
        assert ".." not in Path(name).parts
        assert not Path(name).is_absolute()


def test_chapters_are_found_from_the_disk_and_from_folders_on_the_way(tmp_path):
    file = tmp_path / "disk" / "OP1" / "GX010001.MP4"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x")
    assert find_chapter("OP1/GX010001.MP4", [tmp_path, tmp_path / "disk"]) == file
    assert find_chapter("disk/OP1/GX010001.MP4", [tmp_path / "disk" / "OP1"]) == file
    assert find_chapter("OP2/GX010002.MP4", [tmp_path]) is None
    assert find_chapter("OP2/GX010001.MP4", [tmp_path / "disk" / "OP1"]) is None, "cameras give all files such names"
    assert find_chapter(str(file), [tmp_path / "nowhere"]) == file
    (tmp_path / "results").mkdir()
    assert set(disks_of(tmp_path / "results", None)) == {tmp_path, Path.cwd(), tmp_path / "disk"}


@pytest.mark.parametrize(
    ("codec", "container", "plays"),
    [
        ("h264", "mov", True),
        ("hevc", "mov", False),
        ("h264", "avi", False),
        ("mpeg4", "mov", False),
        ("vp9", "webm", True),
    ],
)
def test_what_browsers_play(codec, container, plays):
    account = Account(codec=codec, container=container, expected=1, duration=1, average_rate=1)
    assert is_playable(Chapter(label="a", start=0, size_wh=(4, 4), account=account)) is plays
    assert not is_playable(Chapter(label="a", start=0, size_wh=(4, 4)))


def test_a_copy_of_what_is_no_video_is_refused_and_leaves_nothing(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video at all")
    with pytest.raises(InputError, match="is no video"):
        write_playable(tmp_path / "a.mp4", tmp_path / "out" / "b.mp4")
    assert list((tmp_path / "out").glob("*")) == []
