"""An open video file: its packets as far as they read, what it claims to hold, and frames as pictures."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, VideoReformatter
from av.video.stream import VideoStream

from data.errors import FileAccessError, InputError
from data.preprocess import Image

_FORMATS: Final = "mov,mp4,m4a,3gp,3g2,mj2,avi,mpegts,matroska,webm,mpeg,asf"
"""What is opened: others would take text for a picture, or a playlist for leave to read other files."""
_COPY: Final = "copy the file again from the camera's card"
_PATIENCE: Final = 32
"""Failures of the container in a row after which nothing more is expected of it."""
_TRANSPORT_PACKETS: Final = (188, 192, 204)
"""Bytes of a packet of a transport stream: broadcast, AVCHD camera, with error correction."""
_UNSPECIFIED: Final = frozenset({0, 2, 3})
_HD_HEIGHT: Final = 720
_CHECKED_ROWS: Final = 8


@dataclass(frozen=True)
class SampledFrame:
    """One frame of a file.

    `image` is (H, W, 3) BGR uint8, upright. `frame` is its 0-based number in the file, in the order of display; frames
    that are too damaged to decode keep their numbers. `seconds` is its timestamp, 0 at the file's first frame.
    """

    image: Image
    frame: int
    seconds: float


class VideoFile:
    """An open video file; close it.

    Args:
        path: The file.
        threads: Decoding threads.

    Attributes:
        stream: Its first video stream.
        time_base: Seconds in a unit of timestamps.
        rate: Frames a second, as far as the container tells; at least 1.
        format: FFmpeg's name of the container.
        codec: FFmpeg's name of the codec.
        size_wh: Width and height of the frames as stored, in pixels.
        fields: Whether the video is interlaced: its packets may be half frames.
        listed: Frames that the container's index or header lists; 0 where it has none.
        cut_short: Whether the file is shorter than its index, header or packets say.
        stated_duration: Seconds that the container claims; 0 where it claims nothing.
        unread: Packets that could not be read.
        broken_off: Why nothing more could be read, where that was not the file's end.

    Raises:
        InputError: It is empty, damaged beyond reading, or no video.
        FileAccessError: It cannot be read.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        self.path = path
        self._found = _stat(path)
        if self._found.st_size == 0:
            raise InputError(path, "is empty (0 bytes)", expected="a video", cure=_COPY)
        self._container = _opened(path)
        try:
            self.stream = self._video_stream()
        except InputError:
            self._container.close()
            raise
        self.stream.codec_context.thread_count = threads
        # Frame threads report a damaged packet when a later one goes in, and conceal damage differently every time.
        self.stream.codec_context.thread_type = "SLICE"
        self.time_base = self.stream.time_base or Fraction(1, 1000)
        self.rate = max(Fraction(1), self.stream.average_rate or self.stream.guessed_rate or Fraction(25))
        self._read_header()
        self.unread = 0
        self.broken_off = ""
        self._reformatter = VideoReformatter()

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._container.close()

    @property
    def size(self) -> int:
        """Bytes of the file when it was opened."""
        return self._found.st_size

    @property
    def in_order(self) -> bool:
        """Whether packets carry no times of display, while frames are stored out of their order."""
        return self.format == "avi" and self._reorders

    @property
    def usual_gap(self) -> int:
        """Units of the time base from frame to frame."""
        return max(1, round(1 / (self.rate * self.time_base)))

    def listed_between(self, low: int, high: int) -> int:
        """Frames of an index from one time of decoding to another, that one left out."""
        return sum(low <= entry.timestamp < high and not entry.is_discard for entry in self.stream.index_entries)

    def key(self, packet: Packet[VideoStream]) -> int | None:
        """The timestamp that places a packet's frame."""
        return packet.dts if self.in_order or packet.pts is None else packet.pts

    def packets(self) -> Iterator[Packet[VideoStream]]:
        """The stream's packets that hold a frame, from where the file stands; what cannot be read is counted."""
        failures = 0
        while not self.broken_off:
            try:
                for packet in self._container.demux(self.stream):
                    failures = 0
                    if packet.size and not packet.is_discard:
                        yield packet
                    elif packet.size:
                        self.decode(packet)  # outside the edit list: others may refer to it, it is not shown
            except (av.FFmpegError, OSError) as error:
                self.unread += 1
                failures += 1
                if failures >= _PATIENCE:
                    self.broken_off = getattr(error, "strerror", "") or str(error)
            else:
                return

    def decode(self, packet: Packet[VideoStream] | None) -> list[VideoFrame] | None:
        """The frames that come out when the packet goes in, None going in at the end; None where it is refused."""
        try:
            return self.stream.codec_context.decode(packet)
        except EOFError:
            return []
        except (av.FFmpegError, OSError):
            return None

    def seek(self, key: int) -> bool:
        """Go to a keyframe at or before that timestamp, as well as the container can; False where it cannot."""
        try:
            self._container.seek(key, stream=self.stream)
        except (av.FFmpegError, OSError):
            return False
        return True

    def picture(self, frame: VideoFrame) -> Image:
        """(H, W, 3) BGR uint8, upright. Without a word on colours, HD is taken as BT.709, smaller as BT.601."""
        space = None
        if int(frame.colorspace) in _UNSPECIFIED:
            space = Colorspace.ITU709 if frame.height >= _HD_HEIGHT else Colorspace.ITU601
        plain = self._reformatter.reformat(frame, format="bgr24", src_colorspace=space)
        image = np.asarray(plain.to_ndarray(), np.uint8)
        turns = round(frame.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(image, turns)) if turns else image

    def check_unchanged(self) -> None:
        """Compare the file with what it was when it was opened.

        Raises:
            InputError: It has grown or was written to.
            FileAccessError: It is gone.
        """
        now = _stat(self.path)
        if (now.st_size, now.st_mtime_ns) != (self._found.st_size, self._found.st_mtime_ns):
            found = f"changed while it was read ({self._found.st_size} bytes before, {now.st_size} now)"
            raise InputError(self.path, found, cure="wait until it is copied and run the same command again")

    def _read_header(self) -> None:
        """Take what the container claims, all of it now: a closed one answers no more."""
        self.format = self._container.format.name.partition(",")[0]
        context = self.stream.codec_context
        self.codec, self.size_wh = context.name, (context.width, context.height)
        self.fields, self._reorders = context.field_order > 1, bool(context.has_b_frames)
        self.listed, self.cut_short = self.stream.frames, False
        if self.format == "mov":
            entries = [(entry.is_discard, entry.pos + entry.size) for entry in self.stream.index_entries]
            self.listed = sum(not discarded for discarded, _ in entries)
            self.cut_short = any(end > self.size for _, end in entries)
        elif self.format == "avi":
            self.cut_short = _riff_size(self.path) > self.size
        elif self.format == "mpegts":
            self.cut_short = all(self.size % length for length in _TRANSPORT_PACKETS)
        self.stated_duration = float((self.stream.duration or 0) * self.time_base)
        # A transport stream has no header: what is told of it was measured on its last packets.
        if self.format == "mpegts":
            self.stated_duration = 0.0
        elif not self.stated_duration:
            self.stated_duration = (self._container.duration or 0) / 1e6

    def _video_stream(self) -> VideoStream:
        videos = [one for one in self._container.streams.video if "attached_pic" not in str(one.disposition)]
        if not videos:
            sound = bool(self._container.streams.audio)
            found = "holds sound but no picture" if sound else "holds no video"
            raise InputError(self.path, found, expected="a video file", cure="leave it out of the folder")
        for other in self._container.streams:
            if other is not videos[0]:
                other.discard = Discard.all
        if videos[0].codec_context is None or not videos[0].codec_context.width:
            raise InputError(self.path, "is damaged: it does not tell the size of its frames", cure=_COPY)
        return videos[0]


def picture_checksum(image: Image) -> int:
    """A checksum of every eighth row: a row of each block that a decoder works on."""
    return zlib.crc32(image[::_CHECKED_ROWS].tobytes())


def _riff_size(path: Path) -> int:
    """Bytes that the first part of an AVI file should have."""
    try:
        with path.open("rb") as stream:
            head = stream.read(8)
    except OSError as error:
        raise _unreadable(path, error) from error
    return 8 + int.from_bytes(head[4:8], "little")


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except FileNotFoundError as error:
        cure = "connect the disk again and run the same command"
        raise FileAccessError(path, "is gone", cure=cure) from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> FileAccessError:
    return FileAccessError(path, f"cannot be read ({error.strerror})", cure="check the disk and the file's permissions")


def _opened(path: Path) -> InputContainer:
    options = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
    try:
        # With "file:" in front no name is taken for an address.
        return av.open(f"file:{path}", container_options=options, metadata_errors="replace")
    except (av.InvalidDataError, ValueError) as error:
        raise _no_video(path) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    except av.FFmpegError as error:
        raise InputError(path, f"cannot be opened as a video ({error.strerror})", cure=_COPY) from error


def _no_video(path: Path) -> InputError:
    try:
        with path.open("rb") as stream:
            head = stream.read(12)
    except OSError as error:
        raise _unreadable(path, error) from error
    if head[4:8] in {b"ftyp", b"mdat", b"moov", b"wide", b"free"}:
        cure = f"{_COPY}, or let the camera or a repair program end it"
        return InputError(path, "has no index (moov): the recording or the copy of it was cut off", cure=cure)
    return InputError(path, "is no video, whatever its name says", expected="a video file", cure=_COPY)
