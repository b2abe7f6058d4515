"""What reading a video file gives: sampled frames, a point to go on from, and an account of what was read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from apps.fish.footage.problems import FootageProblem
from data.preprocess import Image


@dataclass(frozen=True)
class SampledFrame:
    """One frame of a file.

    `image` is (H, W, 3) BGR uint8, upright. `frame` is its 0-based number in the file, in the order of display; frames
    that are too damaged to decode keep their numbers. `seconds` is its timestamp, 0 at the file's first frame.
    """

    image: Image
    frame: int
    seconds: float


class Tally(BaseModel):
    """Counts over the frames of a file read so far; times in units of the stream's time base, as the file has them.

    `origin` is the file's first frame. `smallest_gap` and `largest_gap` are between neighbouring frames.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    origin: int = 0
    last: int = 0
    last_duration: int = 0
    frame: int = -1
    decoded: int = 0
    corrupt: int = 0
    damaged_packets: int = 0
    estimated_times: int = 0
    smallest_gap: int = 0
    largest_gap: int = 0


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
        duration: Seconds from the first frame to the end of the last.
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
    def complete(self) -> bool:
        """Whether every frame was read, whole and to the end."""
        return self.finished and not self.truncated and self.decoded == self.wanted and self.corrupt == 0

    def problems(self, path: Path, opcode: str = "") -> list[FootageProblem]:
        """One line for each thing that a person must know about the file's reading; empty for a sound file."""
        return []
