"""Which frames of a video are looked at: by time, every nth, or its keyframes."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

from data.errors import ArgumentError

_SECONDS: Final = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*s")
_FRAMES: Final = re.compile(r"\d+")
_EXPECTED: Final = 'seconds ("0.2s"), a number of frames ("6") or "keyframes"'

Unit = Literal["seconds", "frames", "keyframes"]


@dataclass(frozen=True)
class Sampling:
    """Which frames are looked at; `str` gives the text that `parse_sampling` reads.

    By seconds: the first frame at or after each tick k * step on the file's own clock, 0 at its first frame. By
    frames: the first frame at or after each number k * step. By keyframes: the pictures that are stored whole. A frame
    is sampled once, however many ticks passed since the frame before it.
    """

    unit: Unit
    step: Fraction = Fraction(1)

    def __str__(self) -> str:
        if self.unit == "keyframes":
            return "keyframes"
        number = f"{float(self.step):.9f}".rstrip("0").rstrip(".")
        return f"{number}s" if self.unit == "seconds" else number

    def tick(self, frame: int, clock: int, time_base: Fraction) -> int:
        """The last tick that a frame has reached; a frame is sampled where it is not that of the frame before.

        A tick falls on the unit of the file's clock at or before it: timestamps are no finer than that.

        Args:
            frame: The frame's number.
            clock: Its timestamp in units of the time base, 0 at the file's first frame.
            time_base: Seconds in a unit.
        """
        if self.unit == "seconds":
            return math.ceil((clock + 1) * time_base / self.step) - 1
        return frame // int(self.step)


def parse_sampling(text: str) -> Sampling:
    """Read "0.2s", "6" or "keyframes".

    Raises:
        ArgumentError: It is none of these, or not above zero.
    """
    cleaned = text.strip().lower()
    if cleaned == "keyframes":
        return Sampling("keyframes")
    seconds = _SECONDS.fullmatch(cleaned)
    if seconds and Fraction(seconds[1]) > 0:
        return Sampling("seconds", Fraction(seconds[1]))
    if _FRAMES.fullmatch(cleaned) and int(cleaned) > 0:
        return Sampling("frames", Fraction(int(cleaned)))
    raise ArgumentError("--every", f"{text!r} is no sampling", expected=_EXPECTED)
