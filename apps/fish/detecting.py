"""One chapter at a time: decode, detect, hand over segments. The same job runs in this process, another, or elsewhere."""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeVar

from apps.fish.footage import ChapterAccount, ChapterReader, ResumePoint, SampledFrame, Sampling
from apps.fish.identity import identify
from apps.fish.segments import SEGMENT, Segment
from data.detections import Detections
from data.errors import InputError
from data.preprocess import Image
from data.sha import sha256_of

BATCH: Final = 4
"""Frames that go through the network at once; segments hold a whole number of batches, so that a chapter gives the
same detections wherever it was interrupted."""
_AHEAD: Final = 4
"""Frames that may lie decoded and undetected."""
_METHOD: Final = 1
"""Number of the way chapters are detected: to be raised with every change that makes older detections wrong."""

Item = TypeVar("Item")


class FrameDetector(Protocol):
    """Finds fish in frames; see `deploy.runtime.detector.FishDetector`."""

    def detect(self, frames: Sequence[Image]) -> list[Detections]: ...


@dataclass(frozen=True)
class Model:
    """What must be known of a detector without loading it.

    `identity` stands for all that decides its detections; `names` are those of its labels; from the score `threshold`
    on, a fish is counted.
    """

    identity: str
    names: tuple[str, ...]
    threshold: float


class DetectorSource(Protocol):
    """Where a detector comes from; it is pickled to the worker processes, which load it."""

    def describe(self) -> Model: ...

    def load(self) -> FrameDetector: ...


@dataclass(frozen=True)
class DetectionSettings:
    """What decides a chapter's detections beside its content and the model; less sure ones are not kept."""

    sampling: Sampling
    least_score: float


@dataclass(frozen=True)
class ChapterJob:
    """A chapter to detect: `content` as `identify` tells it, from segment `number` on, which begins at `resume`."""

    path: Path
    content: str
    settings: DetectionSettings
    number: int = 0
    resume: ResumePoint | None = None


def chapter_key(content: str, model: Model, settings: DetectionSettings) -> str:
    """What stands for all that decides a chapter's detections."""
    parts = (str(_METHOD), str(SEGMENT), str(BATCH), content, model.identity, repr(settings))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def detect_chapter(job: ChapterJob, detector: FrameDetector) -> Generator[Segment | ChapterAccount, None, None]:
    """Detect fish in a chapter: its segments, in order, then its account.

    Decoding goes on in a thread of its own while frames are detected and while the caller deals with a segment.

    Raises:
        FileAccessError: The file is gone or cannot be read.
        InputError: It is no video, or has changed.
    """
    _check_unchanged(job)
    reader = ChapterReader(job.path, job.settings.sampling, job.resume)
    number = job.number
    frames: list[SampledFrame] = []
    waiting: list[SampledFrame] = []
    found: list[Detections] = []
    for frame, resume in ahead(_marked(reader), _AHEAD):
        ...
