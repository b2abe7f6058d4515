"""Chapter files: found on the disk, proved to be those that were surveyed, decoded frame by frame, copied."""

from __future__ import annotations

import mimetypes
from collections.abc import Sequence
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from apps.curate.sources.ledger import Mark
from apps.curate.sources.survey_files import Chapter
from data.errors import FileAccessError, InputError
from data.files import whole_file
from data.footage.decoding import Decoder, clock_for
from data.footage.excerpts import frame_at
from data.footage.video import VideoFile, picture_checksum
from data.preprocess import Image

_PLAYED: Final = frozenset({"h264", "vp8", "vp9", "av1"})
"""Codecs that browsers play."""
_PLAYED_IN: Final = frozenset({"mov", "mp4", "webm", "matroska"})
_SAME: Final = 1e-3
"""Seconds by which the times of the same frame may differ."""
_QUALITY: Final = "23"
_COPY_UNIT: Final = Fraction(1, 90_000)


def find_chapter(label: str, disks: Sequence[Path]) -> Path | None:
    """The file of a chapter: its label leads there from one of the disks, or on from a folder on its way."""
    parts = Path(label).parts
    for disk in disks:
        around = disk.resolve().parts
        for known in range(len(parts)):
            path = disk.joinpath(*parts[known:])
            if around[len(around) - known :] == parts[:known] and path.is_file():
                return path
    return None


def disks_of(results: Path, footage: Path | None) -> tuple[Path, ...]:
    """Where the footage of results is looked for: where a person says, else around the results."""
    if footage is not None:
        if not footage.is_dir():
            raise FileAccessError(footage, "is no folder", cure="give the disk that was surveyed, as --footage")
        return (footage,)
    around = results.resolve().parent
    beside = [path for path in sorted(around.iterdir()) if path.is_dir() and path != results.resolve()]
    return (around, Path.cwd(), *beside)


def check_same(path: Path, chapter: Chapter, mark: Mark | None) -> None:
    """Prove that a file is the one that was surveyed: by its size and a frame of it, else by the size of its frames.

    Raises:
        FileAccessError: It cannot be read.
        InputError: It is another, or is damaged.
    """
    cure = "give the disk that was surveyed, as --footage, or survey the footage again"
    with VideoFile(path) as video:
        size, size_wh = video.size, video.size_wh
    if mark is None:
        if sorted(size_wh) != sorted(chapter.size_wh):
            found = f"has frames of {size_wh[0]} x {size_wh[1]}"
            raise InputError(path, found, expected=f"those that were surveyed, {_size(chapter)}", cure=cure)
        return
    if size != mark.size:
        raise InputError(path, f"has changed since the survey ({mark.size} bytes then, {size} now)", cure=cure)
    try:
        same = picture_checksum(still(path, mark.seconds)) == mark.checksum
    except InputError as error:
        raise InputError(path, f"has changed since the survey: it {error.found}", cure=cure) from error
    if not same:
        raise InputError(path, "has changed since the survey: its pictures are others", cure=cure)


def still(path: Path, seconds: float) -> Image:
    """The frame of a file at that time: (H, W, 3) BGR uint8, upright, as the models saw it.

    Raises:
        FileAccessError: The file cannot be read.
        InputError: That frame cannot be read any more.
    """
    found = frame_at(path, seconds)
    if abs(found.seconds - seconds) > _SAME:
        raise InputError(path, f"has lost its frame at {seconds:.3f} s", cure="copy the file again")
    return found.image


def is_playable(chapter: Chapter) -> bool:
    """Whether browsers play the file."""
    account = chapter.account
    return account is not None and account.codec in _PLAYED and account.container in _PLAYED_IN


def mime_type(path: Path) -> str:
    """The type of a video file by its name."""
    return mimetypes.guess_type(path.name)[0] or "video/mp4"


def write_playable(path: Path, target: Path) -> None:
    """Write a copy in H.264, each frame at its time, that every browser plays.

    Raises:
        FileAccessError: A file cannot be read or written.
        InputError: Not one frame of it can be read.
    """
    count = 0
    with VideoFile(path) as video, whole_file(target) as temporary, av.open(str(temporary), "w", format="mp4") as copy:
        stream: VideoStream | None = None
        clock = clock_for(video)
        with closing(Decoder(video, clock).frames(video.packets())) as frames:
            for frame, _ in frames:
                picture = video.picture(frame)
                stream = stream or _stream(copy, picture, video.rate)
                seconds = ((clock.last or 0) - (clock.origin or 0)) * video.time_base
                for packet in stream.encode(_copied(picture, stream, seconds)):
                    copy.mux(packet)
                count += 1
        if stream is None:
            raise InputError(path, "holds no frame that can be read", cure="copy the file again from the camera's card")
        for packet in stream.encode():
            copy.mux(packet)


def _stream(copy: av.container.OutputContainer, picture: Image, rate: Fraction) -> VideoStream:
    stream = copy.add_stream("libx264", rate=rate, options={"crf": _QUALITY, "preset": "veryfast"})
    height, width = picture.shape[:2]
    stream.width, stream.height, stream.pix_fmt = width // 2 * 2, height // 2 * 2, "yuv420p"
    stream.codec_context.time_base = _COPY_UNIT
    return stream


def _copied(picture: Image, stream: VideoStream, seconds: Fraction) -> VideoFrame:
    if picture.shape[1::-1] != (stream.width, stream.height):
        picture = np.asarray(cv2.resize(picture, (stream.width, stream.height), interpolation=cv2.INTER_AREA), np.uint8)
    frame = VideoFrame.from_ndarray(picture, format="bgr24")
    frame.time_base, frame.pts = _COPY_UNIT, round(seconds / _COPY_UNIT)
    return frame


def _size(chapter: Chapter) -> str:
    return f"{chapter.size_wh[0]} x {chapter.size_wh[1]}"
