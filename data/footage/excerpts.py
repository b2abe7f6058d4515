"""A few frames out of a long file, as evidence: reached by a seek, with the numbers and times of a whole reading."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path

from av.packet import Packet
from av.video.stream import VideoStream

from data.errors import InputError
from data.footage.clock import FrameClock
from data.footage.decoding import Decoder, clock_for, packets_from_keyframe
from data.footage.video import SampledFrame, VideoFile


def frames_between(path: Path, start_seconds: float, end_seconds: float) -> Generator[SampledFrame, None, None]:
    """Every frame from one time to another, both included, 0 being the file's first frame.

    Raises:
        InputError: The file is no video.
        FileAccessError: It cannot be read.
    """
    with VideoFile(path) as video:
        first = _first_keyframe(video)
        origin, unit = video.key(first) or 0, float(video.time_base)
    # Seconds were made from whole units: half a unit is for what was lost on the way.
    low, high = origin + start_seconds / unit - 0.5, origin + end_seconds / unit + 0.5
    video, clock, packets = _near(path, first, int(low))
    with video, closing(Decoder(video, clock).frames(packets)) as frames:
        for frame, _ in frames:
            stamp = clock.last or 0
            if stamp > high:
                return
            if stamp >= low:
                seconds = float((stamp - origin) * video.time_base)
                yield SampledFrame(video.picture(frame), clock.number, seconds)


def frame_at(path: Path, seconds: float) -> SampledFrame:
    """The first frame at or after a time.

    Raises:
        InputError: The file is no video, or ends before.
        FileAccessError: It cannot be read.
    """
    with closing(frames_between(path, seconds, float("inf"))) as frames:
        found = next(frames, None)
    if found is None:
        raise InputError(path, f"has no frame at {seconds:.3f} s", cure="check the time")
    return found


def _first_keyframe(video: VideoFile) -> Packet[VideoStream]:
    first = next((packet for packet in video.packets() if packet.is_keyframe), None)
    if first is None:
        raise InputError(video.path, "holds no keyframe", cure="copy the file again from the camera's card")
    return first


def _near(
    path: Path, first: Packet[VideoStream], key: int
) -> tuple[VideoFile, FrameClock, Iterator[Packet[VideoStream]]]:
    """The open file, a clock that numbers the frames to come, and packets from a keyframe at or before `key`."""
    video = VideoFile(path)
    # Half frames cannot be counted without decoding them.
    if video.fields or key <= (video.key(first) or 0):
        return video, clock_for(video), video.packets()
    packets = next(packets_from_keyframe(video, key), None)
    if packets is None:
        video.close()
        video = VideoFile(path)
        return video, clock_for(video), video.packets()
    start = next(packets)
    ahead = []
    for packet in packets:
        ahead.append(packet)
        if (video.key(packet) or 0) > (video.key(start) or 0):
            break
    # Frames that are stored after the keyframe and shown before it.
    leading = sum((video.key(packet) or 0) < (video.key(start) or 0) for packet in ahead)
    clock = clock_for(video)
    clock.number = _stored_between(path, first, start) + leading - 1
    return video, clock, chain([start], ahead, packets)


def _stored_between(path: Path, first: Packet[VideoStream], start: Packet[VideoStream]) -> int:
    """Frames in the file from its first keyframe to another, that one left out."""
    with VideoFile(path) as video:
        if video.format == "mov" and first.dts is not None and start.dts is not None:
            return video.listed_between(first.dts, start.dts)
        count = 0
        for packet in video.packets():
            key = video.key(packet)
            if packet.is_keyframe and key == video.key(start):
                break
            count += key is None or key >= (video.key(first) or 0)
        return count
