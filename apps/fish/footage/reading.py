"""Reading one video file, packet by packet, so that damage costs no more than the frames that it hit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from apps.fish.footage.frames import ChapterAccount, ResumePoint, SampledFrame
from apps.fish.footage.sampling import Sampling


class ChapterReader:
    """Iterates over the sampled frames of a video file, once.

    A packet that cannot be decoded is counted and reading goes on. After the last frame `account` tells what was read.
    Close it, or use it in a `with` statement, where it is not read to its end.

    Args:
        path: The file.
        sampling: Which frames to give.
        resume: Go on after that sample: the same frames follow as in a reading that was never interrupted.
        threads: Decoding threads.

    Raises:
        InputError: The file is empty, no video, or has no picture in it; while iterating: it changed meanwhile.
        FileAccessError: It cannot be read; while iterating: it vanished.
    """

    def __init__(self, path: Path, sampling: Sampling, resume: ResumePoint | None = None, *, threads: int = 1) -> None:
        self.path = path
        self.sampling = sampling

    def __iter__(self) -> Iterator[SampledFrame]: ...

    @property
    def account(self) -> ChapterAccount:
        """What was read so far; it is final when the iteration has ended."""

    @property
    def resume_point(self) -> ResumePoint:
        """Where to go on after the sample given last."""

    def close(self) -> None:
        """Let go of the file."""
