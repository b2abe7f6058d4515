from __future__ import annotations

import av
import numpy as np
import pytest

from apps.fish.footage.reading import ChapterReader
from apps.fish.footage.sampling import parse_sampling
from data.errors import FileAccessError, InputError
from tests.apps.fish.footage.test_reading import read, same
from tests.apps.fish.videos import flipped, moov_first, number_in, write_sound

LOSSY = ["h264.mp4", "open-gop.mp4", "vfr.mp4", "hevc.mp4", "h264.mts", "interlaced.mts", "mpeg2.m2ts", "mjpeg.avi"]


def damaged(video, tmp_path, name, change):
    path = tmp_path / name
    path.write_bytes(change(video(name).read_bytes()))
    return path


@pytest.mark.parametrize("name", LOSSY)
def test_flipped_bytes_cost_no_more_than_the_frames_they_hit(video, tmp_path, name):
    path = damaged(video, tmp_path, name, lambda content: flipped(content, 0.45, 0.5, 40))
    good, _, _ = read(video(name))
    frames, _, account = read(path)
    assert not account.complete
    assert account.finished
    assert account.problems(path)[0].loss
    if account.container == "mpegts":  # damaged headers of a stream without an index may cost numbers, never times
        assert abs(account.expected - 90) <= 4
    else:
        assert account.expected == 90
        assert all(frame.seconds == good[frame.frame].seconds for frame in frames)
    # All that lies before the damage, and after the next keyframe, is there at its own time.
    there = {frame.seconds: frame.image for frame in frames}
    sound = [one for one in good if one.frame < 30 or one.frame >= 75]
    assert all(np.array_equal(there[one.seconds], one.image) for one in sound)


@pytest.mark.parametrize("name", LOSSY)
@pytest.mark.parametrize("mode", ["0.2s", "keyframes"])
def test_resuming_a_damaged_file_changes_nothing(video, tmp_path, name, mode):
    path = damaged(video, tmp_path, name, lambda content: flipped(content, 0.3, 0.7, 30))
    frames, points, account = read(path, mode)
    for stop in (1, len(frames) // 2, len(frames) - 1):
        rest, _, again = read(path, mode, points[stop])
        assert same(rest, frames[stop + 1 :])
        assert again == account


@pytest.mark.parametrize("name", ["h264.mts", "mpeg2.m2ts", "hevc.mkv", "mjpeg.avi", "h264.avi"])
def test_a_cut_file_is_read_to_its_end_and_never_looks_complete(video, tmp_path, name):
    content = video(name).read_bytes()
    path = tmp_path / name
    path.write_bytes(content[: int(len(content) * 0.6)])
    frames, _, account = read(path)
    assert [number_in(frame.image) for frame in frames[:40]] == list(range(40))
    assert account.truncated
    assert not account.complete
    assert "ends early" in str(account.problems(path)[0])
    if account.container != "mpegts":
        assert account.expected == 90


def test_a_cut_file_with_its_index_in_front_tells_how_much_is_missing(video, tmp_path):
    path = moov_first(video("h264.mp4"), tmp_path / "cut.mp4")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.7)])
    frames, _, account = read(path, "0.2s")
    assert account.expected == 90
    assert 40 < account.decoded < 80
    assert frames[-1].frame < 80
    line = str(account.problems(path, "L1")[0])
    assert f"{account.decoded} of 90 frames were read" in line
    assert account.span == pytest.approx(3.0, abs=0.01)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.mp4", b"", r"empty\.mp4: is empty \(0 bytes\)"),
        ("text.mp4", b"Dear reader, this is a letter.\n" * 50, "is no video, whatever its name says"),
        ("playlist.mp4", b"#EXTM3U\n#EXTINF:5,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n", "is no video"),
        ("noise.avi", bytes(np.random.default_rng(1).integers(0, 256, 5000, np.uint8)), "is no video"),
        ("page.mkv", b"<html><body>404 not found</body></html>" * 20, "is no video"),
    ],
)
def test_what_is_no_video_is_refused_in_one_line(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        ChapterReader(path, parse_sampling("1"))
    assert "\n" not in str(caught.value)


def test_without_its_index_a_recording_cannot_be_read(video, tmp_path):
    path = damaged(video, tmp_path, "h264.mp4", lambda content: content[: content.rindex(b"moov") - 4])
    with pytest.raises(InputError, match=r"has no index \(moov\): the recording or the copy of it was cut off"):
        ChapterReader(path, parse_sampling("1"))


def test_sound_alone(tmp_path):
    with pytest.raises(InputError, match="holds sound but no picture"):
        ChapterReader(write_sound(tmp_path / "sound.mp4"), parse_sampling("1"))


@pytest.mark.parametrize("mode", ["1", "keyframes"])
def test_a_video_without_a_readable_frame(video, tmp_path, mode):
    def hollowed(content: bytes) -> bytes:
        start = content.index(b"mdat") + 4
        end = content.rindex(b"moov") - 4
        return content[:start] + bytes(end - start) + content[end:]

    path = damaged(video, tmp_path, "h264.mp4", hollowed)
    with pytest.raises(InputError, match="holds no frame that can be decoded"):
        list(ChapterReader(path, parse_sampling(mode)))


def test_a_missing_file(tmp_path):
    with pytest.raises(FileAccessError, match="is gone"):
        ChapterReader(tmp_path / "nowhere.mp4", parse_sampling("1"))


def test_a_forbidden_file(video, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = video("h264.mp4")
    monkeypatch.setattr(av, "open", refuse)
    with pytest.raises(FileAccessError, match=r"h264\.mp4: cannot be read \(Permission denied\)"):
        ChapterReader(path, parse_sampling("1"))


def test_a_file_that_grows_while_it_is_read(video, tmp_path):
    path = damaged(video, tmp_path, "h264.mts", bytes)
    reader = ChapterReader(path, parse_sampling("1"))
    frames = iter(reader)
    next(frames)
    with path.open("ab") as stream:
        stream.write(bytes(188))
    with pytest.raises(InputError, match="changed while it was read"):
        list(frames)
    assert not reader.account.complete


def test_a_file_that_vanishes_while_it_is_read(video, tmp_path):
    path = damaged(video, tmp_path, "h264.mp4", bytes)
    reader = ChapterReader(path, parse_sampling("1"))
    frames = iter(reader)
    next(frames)
    path.unlink()
    with pytest.raises(FileAccessError, match="is gone"):
        list(frames)
    assert not reader.account.complete
