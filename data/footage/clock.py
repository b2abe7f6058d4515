"""Numbers and timestamps of frames, told from the packets that they came from, so that lost frames keep theirs."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Final

_BREAK_SECONDS: Final = 1.0
"""A timestamp that runs back further than this begins a new count; less is a fault of single timestamps."""


@dataclass
class FrameClock:
    """Places decoded frames, in the order of display, among the packets of their file.

    A packet's key is its timestamp. A frame's number is the count of keys before its own, from the file's first
    keyframe on: a packet that could not be decoded holds its place. All times are in units of the time base.

    Attributes:
        unit: Seconds in a unit of the time base.
        usual_gap: Units from frame to frame, for frames without a timestamp.
        in_order: The container knows no times of display (AVI): frames take the keys one after the other.
        fields: The video is interlaced, so that two packets may make one frame: only packets that were refused count
            as lost frames.
        holes: Packets are known to have vanished: a gap of several usual ones stands for as many frames.
        origin: Key of the file's first frame; None until it is known.
        last: The timestamp placed last.
        number: The number placed last; -1 before the first.
        estimated: Frames without a timestamp of their own.
        end: When the last frame ends that is known of.
    """

    unit: float
    usual_gap: int
    in_order: bool = False
    fields: bool = False
    holes: bool = False
    origin: int | None = None
    last: int | None = None
    number: int = -1
    estimated: int = 0
    end: int = 0
    _keys: list[tuple[int, bool]] = field(default_factory=list)
    _refused: set[int] = field(default_factory=set)
    _offset: int = 0

    def packet(self, key: int | None, *, keyframe: bool, wanted: bool = True, duration: int = 0) -> None:
        """A packet that holds a frame has been read; it is `wanted` where it goes to the decoder."""
        if key is None:
            return
        self.end = max(self.end, key + self._offset + (duration or self.usual_gap))
        if self.origin is None and keyframe:
            self.origin = key
        # What lies before the first keyframe cannot be decoded, and so is no frame of the file.
        if self.origin is not None and key >= self.origin and (self.last is None or key + self._offset >= self.last):
            heapq.heappush(self._keys, (key, wanted))

    def refuse(self, key: int | None) -> None:
        """The decoder has refused that packet."""
        if key is not None:
            self._refused.add(key)

    def place(self, stamp: int | None) -> int | None:
        """Place the next frame: `number` and `last` are then its own.

        Args:
            stamp: The frame's timestamp as decoded.

        Returns:
            Wanted frames that are missing before it; None where it is to be dropped: it lies before the first frame,
            or is a second frame that the decoder made of one damaged packet.
        """
        before = self.last
        if self.in_order or stamp is None:
            passed, missing = self._take_next()
        elif self._is_surplus(stamp):
            return None
        else:
            self.last = self._time(stamp)
            passed, missing = self._take_up_to(self.last)
        if self.last is not None:
            self.end = max(self.end, self.last + 1)
        self.origin = self.last if self.origin is None else self.origin
        if self.holes and before is not None and self.last is not None:
            vanished = max(0, round((self.last - before) / self.usual_gap) - 1 - passed)
            passed, missing = passed + vanished, missing + vanished
        self.number += 1 + passed
        return missing

    def rest(self) -> tuple[int, int]:
        """Frames after the last one that came out, and how many of them were wanted."""
        keys = [(key, wanted) for key, wanted in self._keys if not self.fields or key in self._refused]
        return len(keys), sum(wanted for _, wanted in keys)

    def renumber(self, number: int, origin: int) -> None:
        """Give the frame placed last its number in the file, after a seek."""
        self.number = number
        self.origin = origin
        self.estimated = 0

    def _is_surplus(self, stamp: int) -> bool:
        if self.last is None:
            return stamp < (stamp if self.origin is None else self.origin)
        return 0 <= (self.last - stamp - self._offset) * self.unit <= _BREAK_SECONDS and not self._is_due()

    def _is_due(self) -> bool:
        """Whether a packet waits for its frame that has the timestamp of the frame before: two packets share it."""
        return self.last is not None and bool(self._keys) and self._keys[0][0] + self._offset <= self.last

    def _time(self, stamp: int) -> int:
        """The frame's timestamp, always later than the one before."""
        if self.last is None or stamp + self._offset > self.last:
            return stamp + self._offset
        self.estimated += 1
        if self._is_due():
            heapq.heappop(self._keys)
            return self.last + 1
        self._offset = self.last + self.usual_gap - stamp
        return stamp + self._offset

    def _take_up_to(self, time: int) -> tuple[int, int]:
        """Take the keys up to the frame's; how many others there were, and how many of these were wanted."""
        passed = missing = 0
        while self._keys and self._keys[0][0] + self._offset < time:
            key, wanted = heapq.heappop(self._keys)
            if not self.fields or key in self._refused:
                passed += 1
                missing += wanted
            self._refused.discard(key)
        if self._keys and self._keys[0][0] + self._offset == time:
            heapq.heappop(self._keys)
        return passed, missing

    def _take_next(self) -> tuple[int, int]:
        """Take the first key that was decoded, as the frame's; how many others there were before, and were wanted."""
        passed = missing = 0
        while self._keys:
            key, wanted = heapq.heappop(self._keys)
            if wanted and key not in self._refused:
                self.last = key
                return passed, missing
            self._refused.discard(key)
            passed += 1
            missing += wanted
        self.estimated += 1
        self.last = (self.origin or 0) if self.last is None else self.last + self.usual_gap
        return passed, missing
