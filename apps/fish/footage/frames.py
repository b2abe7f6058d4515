"""What reading a video file gives: sampled frames, a point to go on from, and an account of what was read."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from apps.fish.footage.problems import FootageProblem

_COPY: Final = "copy the file again from the camera's card"


class Tally(BaseModel):
    """Counts over the frames of a file read so far; times in units of the stream's time base, as the file has them.

    `origin` is the file's first frame. `missing` frames did not come out of the decoder. `smallest_gap` and
    `largest_gap` are between neighbouring frames, 0 before there are two.
    """

    model_config = ConfigDict(extra="forbid")

    origin: int = 0
    decoded: int = 0
    missing: int = 0
    corrupt: int = 0
    damaged_packets: int = 0
    estimated_times: int = 0
    smallest_gap: int = 0
    largest_gap: int = 0

    @property
    def sound(self) -> bool:
        """Whether every frame so far came out whole, with a timestamp of its own."""
        return not (self.missing or self.corrupt or self.damaged_packets or self.estimated_times)

    def add_gap(self, gap: int) -> None:
        """Note the gap between two neighbouring frames."""
        self.smallest_gap = min(gap, self.smallest_gap or gap)
        self.largest_gap = max(gap, self.largest_gap)


class ResumePoint(BaseModel):
    """From where the reading of a file can go on: after the sample that it describes.

    `model_dump_json` and `model_validate_json` keep it. `pts` is the sample's timestamp as stored in the file and
    `picture` a checksum of its decoded pixels, which proves that a seek has landed right. `size` is the file's size in
    bytes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    frame: int
    seconds: float
    pts: int
    picture: int
    size: int
    tally: Tally


class ChapterAccount(BaseModel):
    """What a file should hold and what was read of it.

    Attributes:
        codec: FFmpeg's name of the video's codec.
        size_wh: Width and height of its frames in pixels, upright.
        container: FFmpeg's name of the file's format.
        expected: Frames that the file should hold: those that its index lists or, where that says fewer, its packets.
        decoded: Frames that came out of the decoder; with keyframe sampling those that were asked for.
        wanted: Frames that decoding everything asked for would have given: `expected`, but with keyframe sampling only
            the keyframes.
        corrupt: Decoded frames of which parts are wrong.
        damaged_packets: Packets that the decoder refused or that could not be read.
        estimated_times: Frames whose timestamp was missing or ran backwards, and was filled in from their neighbours.
        first_seconds: The container's timestamp of the first frame, in seconds.
        last_seconds: Timestamp of the last decoded frame, 0 at the first frame.
        duration: Seconds from the first frame to the end of the last that was met, decoded or not.
        average_rate: Frames a second over the duration.
        variable_rate: Whether the gaps between frames differ by more than half.
        stated_duration: Seconds that the container claims; 0 where it claims nothing.
        truncated: Whether the file ends before what it claims to hold.
        finished: Whether reading came to the end; False while it goes on or when it was broken off.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    codec: str
    size_wh: tuple[int, int]
    container: str
    expected: int = 0
    wanted: int = 0
    decoded: int = 0
    corrupt: int = 0
    damaged_packets: int = 0
    estimated_times: int = 0
    first_seconds: float = 0.0
    last_seconds: float = 0.0
    duration: float = 0.0
    average_rate: float = 0.0
    variable_rate: bool = False
    stated_duration: float = 0.0
    truncated: bool = False
    finished: bool = False

    @property
    def span(self) -> float:
        """Seconds of the deployment that the file stands for, read or not: the next chapter begins after them."""
        return max(self.duration, self.stated_duration) if self.truncated else self.duration

    @property
    def complete(self) -> bool:
        """Whether every frame was read, whole and to the end."""
        return self.finished and not self.truncated and self.decoded == self.wanted and self._flaws == 0

    @property
    def _flaws(self) -> int:
        return self.corrupt + self.damaged_packets

    def problems(self, path: Path, opcode: str = "") -> list[FootageProblem]:
        """One line for each thing that a person must know about the file's reading; none for a sound file."""
        found = []
        read = f"{self.decoded} of {self.wanted} frames were read"
        if self._flaws:
            read += f", {self.corrupt} of them damaged in parts, {self.damaged_packets} packets are not whole"
        if self.truncated or not self.finished:
            ends = f"after {self.last_seconds:.1f} s"
            ends += f" of {self.stated_duration:.1f} s" if self.stated_duration > self.last_seconds else ""
            what = f"ends early, {ends}: {read}"
            found.append(FootageProblem("ends_early", path, what, _COPY, opcode, loss=True))
        elif not self.complete:
            found.append(FootageProblem("damaged_video", path, f"is damaged: {read}", _COPY, opcode, loss=True))
        if self.estimated_times:
            what = f"{self.estimated_times} frames have no valid timestamp: their times were filled in"
            found.append(FootageProblem("estimated_times", path, what, opcode=opcode))
        return found
