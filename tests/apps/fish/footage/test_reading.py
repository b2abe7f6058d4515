from __future__ import annotations

import json
from itertools import pairwise

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.fish.footage.frames import ChapterAccount, ResumePoint
from apps.fish.footage.reading import ChapterReader
from apps.fish.footage.sampling import parse_sampling
from data.errors import InputError
from data.footage.excerpts import frame_at, frames_between
from data.footage.video import SampledFrame
from tests.apps.fish.videos import ENCODINGS, Encoding, number_in, picture, uneven, write_video

NAMES = [encoding.name for encoding in ENCODINGS]
MODES = ("0.2s", "7", "keyframes")


def read(path, mode="1", resume=None) -> tuple[list[SampledFrame], list[ResumePoint], ChapterAccount]:
    reader = ChapterReader(path, parse_sampling(mode), resume)
    frames, points = [], []
    for frame in reader:
        frames.append(frame)
        points.append(reader.resume_point)
    return frames, points, reader.account


def same(ones, others) -> bool:
    return [(one.frame, one.seconds) for one in ones] == [(other.frame, other.seconds) for other in others] and all(
        np.array_equal(one.image, other.image) for one, other in zip(ones, others, strict=True)
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_frame_has_its_number_and_time(video, name):
    frames, _, account = read(video(name))
    assert [frame.frame for frame in frames] == list(range(90))
    assert [number_in(frame.image) for frame in frames] == list(range(90))
    expected = np.array(uneven(90)) / 1000 if name == "vfr.mp4" else np.arange(90) / 30
    np.testing.assert_allclose([frame.seconds for frame in frames], expected, atol=0.001)
    assert (account.expected, account.wanted, account.decoded, account.complete) == (90, 90, 90, True)
    assert account.variable_rate == (name == "vfr.mp4")
    assert account.size_wh == (160, 96)
    assert account.problems(video(name)) == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mode", ["0.2s", "7"])
def test_sampling_gives_the_frames_of_a_whole_reading(video, name, mode):
    every, _, _ = read(video(name))
    some, _, account = read(video(name), mode)
    assert same(some, [every[frame.frame] for frame in some])
    if mode == "7" or name != "vfr.mp4":
        step = 7 if mode == "7" else 6
        assert [frame.frame for frame in some] == list(range(0, 90, step))
    else:
        assert all(int(one.seconds / 0.2 + 1e-6) < int(other.seconds / 0.2 + 1e-6) for one, other in pairwise(some))
    assert account.decoded == 90


@pytest.mark.parametrize("name", NAMES)
def test_keyframes_carry_their_numbers_though_nothing_else_is_decoded(video, name):
    frames, _, account = read(video(name), "keyframes")
    assert [number_in(frame.image) for frame in frames] == [frame.frame for frame in frames]
    assert len(frames) == 90 if name == "mjpeg.avi" else 5 <= len(frames) <= 8
    assert account.expected == 90
    assert account.complete
    assert account.duration == pytest.approx(read(video(name))[2].duration, abs=0.001)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mode=st.sampled_from(MODES), share=st.floats(0, 1))
def test_resuming_changes_nothing(video, name, mode, share):
    path = video(name)
    frames, points, account = read(path, mode)
    stop = round(share * (len(frames) - 1))
    kept = ResumePoint.model_validate_json(points[stop].model_dump_json())
    rest, later, again = read(path, mode, kept)
    assert same(rest, frames[stop + 1 :])
    assert later == points[stop + 1 :]
    assert again == account


@pytest.mark.parametrize("name", NAMES)
def test_resuming_does_not_decode_from_the_start(video, name, monkeypatch):
    path = video(name)
    frames, points, _ = read(path, "0.2s")
    decoded = []
    reader = ChapterReader(path, parse_sampling("0.2s"), points[-2])
    real = reader._video.decode
    monkeypatch.setattr(reader._video, "decode", lambda packet: decoded.append(packet) or real(packet))
    assert [frame.frame for frame in reader] == [frames[-1].frame]
    assert len(decoded) < 60


def test_a_seek_that_lands_on_other_pixels_falls_back_to_the_start(video):
    path = video("h264.mp4")
    frames, points, account = read(path, "0.2s")
    rest, _, again = read(path, "0.2s", points[7].model_copy(update={"picture": 1}))
    assert same(rest, frames[8:])
    assert again == account


def test_resume_point_of_another_file_is_refused(video):
    point = read(video("h264.mp4"))[1][3]
    with pytest.raises(InputError, match="expected the same file"):
        ChapterReader(video("h264.avi"), parse_sampling("1"), point)


def test_resume_point_is_plain_json(video):
    point = read(video("h264.mp4"), "0.2s")[1][3]
    assert json.loads(point.model_dump_json())["frame"] == 18
    with pytest.raises(ValueError, match="no sample"):
        _ = ChapterReader(video("h264.mp4"), parse_sampling("1")).resume_point


def test_account_tells_how_far_a_reading_came_that_was_broken_off(video):
    with ChapterReader(video("h264.mp4"), parse_sampling("1")) as reader:
        iterator = iter(reader)
        for _ in range(5):
            next(iterator)
    account = reader.account
    assert (account.decoded, account.finished, account.complete) == (5, False, False)


@pytest.mark.parametrize("name", NAMES)
def test_excerpts_are_cut_from_the_whole(video, name):
    path = video(name)
    every, _, _ = read(path)
    for start, end in ((0, 3), (31, 40), (45, 45), (80, 89)):
        excerpt = list(frames_between(path, every[start].seconds, every[end].seconds))
        assert same(excerpt, every[start : end + 1])
    assert same([frame_at(path, every[61].seconds)], [every[61]])


def test_no_frame_after_the_end(video):
    with pytest.raises(InputError, match=r"has no frame at 99\.000 s"):
        frame_at(video("h264.mp4"), 99)


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_frames_are_upright(tmp_path, turn):
    path = tmp_path / "turned.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        stream.set_display_rotation(turn)
        stored = np.rot90(picture(5), -turn // 90) if turn == 180 else picture(5)
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(stored), format="bgr24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    frames, _, account = read(path)
    expected = picture(5) if turn == 180 else np.rot90(picture(5), turn // 90)
    assert account.size_wh == (expected.shape[1], expected.shape[0])
    assert frames[0].image.shape == expected.shape
    assert np.abs(frames[0].image.astype(int) - expected).mean() < 12


@pytest.mark.parametrize(("size", "space"), [((320, 240), 5), ((1280, 720), 1)])
@pytest.mark.parametrize("full", [False, True])
def test_colours_come_back(tmp_path, size, space, full):
    colour = np.array([40, 90, 200], np.uint8)
    path = tmp_path / "colour.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = *size, "yuvj420p" if full else "yuv420p"
        source = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), colour), format="bgr24")
        frame = source.reformat(format=stream.pix_fmt, dst_colorspace=space)
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    image = read(path)[0][0].image
    np.testing.assert_allclose(image[10, 10].astype(int), colour, atol=4)


def test_memory_does_not_grow_with_length(tmp_path):
    path = write_video(tmp_path / "long.mp4", Encoding("long.mp4", "libx264", options={"g": "30"}, frames=600))
    reader = ChapterReader(path, parse_sampling("30"))
    assert sum(1 for _ in reader) == 20
    assert reader._clock._keys == []
    assert not reader._clock._refused


def test_real_clip(shankha_data):
    frames, _, account = read(shankha_data / "fish" / "tank-clip" / "fish.mp4", "0.2s")
    assert (account.expected, account.decoded, account.size_wh, account.codec) == (668, 668, (640, 360), "h264")
    assert account.complete
    assert len(frames) == 112
    assert frames[-1].seconds == pytest.approx(22.2284, abs=1e-3)
