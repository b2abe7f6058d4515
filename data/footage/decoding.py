"""From the packets of an open file to frames that know their place in it."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from itertools import chain
from typing import Final

from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from data.footage.clock import FrameClock
from data.footage.video import VideoFile

_SEEK_BACK: Final = (0.0, 1.0, 5.0, 20.0)
"""Seconds before the wanted frame at which a keyframe is looked for: containers land before or after what they say."""
_FLUSHES: Final = 64


def clock_for(video: VideoFile) -> FrameClock:
    """A clock for the file's frames, before the first."""
    return FrameClock(float(video.time_base), video.usual_gap, in_order=video.in_order, fields=video.fields)


class Decoder:
    """Decodes packets and places the frames on a clock; `damaged` counts the packets that are not whole.

    Args:
        video: The file, standing where `packets` begin.
        clock: While a frame is given, its number and time are the clock's.
        keyframes_only: Decode nothing but keyframes; the others are counted only.
    """

    def __init__(self, video: VideoFile, clock: FrameClock, *, keyframes_only: bool = False) -> None:
        self.video = video
        self.clock = clock
        self.keyframes_only = keyframes_only
        self.damaged = 0

    def frames(self, packets: Iterable[Packet[VideoStream]]) -> Generator[tuple[VideoFrame, int], None, None]:
        """Every frame, in the order of display, with the number of wanted frames that are missing before it."""
        decoded = self._keyframes(packets) if self.keyframes_only else self._all(packets)
        for frame in decoded:
            missing = self.clock.place(frame.pts)
            if missing is not None:
                yield frame, missing

    def _all(self, packets: Iterable[Packet[VideoStream]]) -> Iterator[VideoFrame]:
        for packet in packets:
            key = self.video.key(packet)
            self.clock.packet(key, keyframe=packet.is_keyframe, duration=packet.duration or 0)
            yield from self._decoded(packet, key)
        yield from self._flushed()

    def _keyframes(self, packets: Iterable[Packet[VideoStream]]) -> Iterator[VideoFrame]:
        """A keyframe waits for the packets that are stored after it and shown before it: they count in its number."""
        waiting: list[VideoFrame] = []
        for packet in packets:
            key = self.video.key(packet)
            is_key = packet.is_keyframe
            self.clock.packet(key, keyframe=is_key, wanted=is_key, duration=packet.duration or 0)
            while waiting and (waiting[0].pts is None or key is None or waiting[0].pts < key):
                yield waiting.pop(0)
            if is_key:
                waiting.extend(self._decoded(packet, key))
        yield from waiting
        yield from self._flushed()

    def _decoded(self, packet: Packet[VideoStream], key: int | None) -> list[VideoFrame]:
        frames = self.video.decode(packet)
        if frames is None:
            self.clock.refuse(key)
        # A packet of which the container knows that bytes are missing may still give a frame.
        if frames is None or packet.is_corrupt:
            self.damaged += 1
            # An index keeps the places of what it lists; elsewhere packets vanish without one.
            self.clock.holes = self.video.format != "mov" and not self.keyframes_only
        return frames or []

    def _flushed(self) -> Iterator[VideoFrame]:
        """What the decoder still holds at the end; a damaged frame among it does not lose the others."""
        for _ in range(_FLUSHES):
            frames = self.video.decode(None)
            if frames is not None:
                yield from frames
                return


def packets_from_keyframe(video: VideoFile, key: int) -> Iterator[Iterator[Packet[VideoStream]]]:
    """The packets from a keyframe at or before that timestamp: from one close by, then from ones further back."""
    tried: set[int | None] = set()
    for back in _SEEK_BACK:
        if not video.seek(key - round(back / float(video.time_base))):
            return
        packets = video.packets()
        first = next((packet for packet in packets if packet.is_keyframe), None)
        place = None if first is None else video.key(first)
        if first is not None and place is not None and place <= key and place not in tried:
            tried.add(place)
            yield chain([first], packets)
