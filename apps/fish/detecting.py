"""One chapter at a time: decode, detect, hand over segments. The same job runs in any process, here or elsewhere."""

from __future__ import annotations

import contextlib
import hashlib
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from apps.fish.footage import ChapterAccount, ChapterReader, ResumePoint, SampledFrame, Sampling
from apps.fish.identity import identify
from apps.fish.overlap import ahead
from apps.fish.parts.found import PartName
from apps.fish.parts.looking import FrameDetector, Lookers
from apps.fish.segments import SEGMENT, Segment, Stretch
from data.detections import Detections
from data.errors import InputError

BATCH: Final = 4
"""Frames that go through the network at once; segments hold a whole number of batches, so that a chapter gives the
same detections wherever it was interrupted."""
_AHEAD: Final = 1
"""Batches that may lie decoded and undetected, beside the one being decoded and the one being detected."""
_METHOD: Final = 1
"""Number of the way chapters are detected: to be raised with every change that makes older detections wrong."""


@dataclass(frozen=True)
class Model:
    """What must be known of a detector without loading it.

    `identity` stands for all that decides its detections; `names` are those of its labels; from the score `threshold`
    on, a fish is counted; there are none below `least_score`.
    """

    name: str
    identity: str
    names: tuple[str, ...]
    threshold: float
    least_score: float


class DetectorSource(Protocol):
    """Where a detector comes from; it is pickled to the worker processes, which load it."""

    def describe(self) -> Model:
        """Check the detector without loading it."""

    def load(self) -> FrameDetector:
        """Make it ready."""


class ChangedError(InputError):
    """A file is not any more what it was when its survey began."""


@dataclass(frozen=True)
class ChapterJob:
    """A chapter to detect: `content` as `identify` tells it, from segment `number` on, which begins at `resume`.

    The `parts` of the survey look at its frames. Segments that are `known`, those from `number` on, are not detected
    again: only the parts look at them.
    """

    path: Path
    content: str
    sampling: Sampling
    number: int = 0
    resume: ResumePoint | None = None
    parts: tuple[PartName, ...] = ()
    known: tuple[Segment, ...] = ()


def chapter_key(content: str, model: Model, sampling: Sampling) -> str:
    """What stands for all that decides a chapter's detections."""
    parts = (str(_METHOD), str(SEGMENT), str(BATCH), content, model.identity, str(sampling))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def detect_chapter(
    job: ChapterJob, detector: FrameDetector, lookers: Lookers
) -> Generator[Segment | ChapterAccount, None, None]:
    """Detect fish in a chapter: its segments, in order, then its account.

    Decoding goes on in a thread of its own while frames are detected and while the caller deals with a segment.

    Raises:
        FileAccessError: The file is gone or cannot be read.
        InputError: It is no video, or has changed.
    """
    _check_unchanged(job)
    with contextlib.closing(ChapterReader(job.path, job.sampling, job.resume)) as reader:
        number = job.number
        known = deque(job.known)
        stretch = Stretch()
        lookers.drop()
        with contextlib.closing(ahead(_batches(reader), _AHEAD)) as batches:
            for batch in batches:
                found = _recalled(batch, known[0], len(stretch), job) if known else _detected(batch, detector)
                stretch.add(batch.frames, found)
                lookers.look(job.parts, batch.frames, found)
                if batch.resume is not None:
                    yield replace(stretch.end(number, batch.resume), looks=lookers.end(job.parts))
                    number, stretch = number + 1, Stretch()
                    if known:
                        known.popleft()
        account = reader.account
    _check_unchanged(job)
    yield account


@dataclass(frozen=True)
class _Batch:
    """Frames for the network; `resume` is where the chapter goes on, where a segment ends with them."""

    frames: list[SampledFrame]
    resume: ResumePoint | None


def _batches(reader: ChapterReader) -> Iterator[_Batch]:
    frames: list[SampledFrame] = []
    count = 0
    for frame in reader:
        frames.append(frame)
        count += 1
        if len(frames) == BATCH:
            yield _Batch(frames, reader.resume_point if count % SEGMENT == 0 else None)
            frames = []
    if count % SEGMENT:
        yield _Batch(frames, reader.resume_point)


def _detected(batch: _Batch, detector: FrameDetector) -> list[Detections]:
    return detector.detect([frame.image for frame in batch.frames])


def _recalled(batch: _Batch, known: Segment, start: int, job: ChapterJob) -> list[Detections]:
    """What was detected earlier in the frames of a batch; its first is that sample of the segment."""
    end = start + len(batch.frames)
    if known.frame[start:end].tolist() != [frame.frame for frame in batch.frames]:
        raise _changed(job)
    return [known.detections(sample) for sample in range(start, end)]


def _check_unchanged(job: ChapterJob) -> None:
    if identify(job.path).content != job.content:
        raise _changed(job)


def _changed(job: ChapterJob) -> ChangedError:
    cure = "wait until it is copied completely, and run the same command again"
    return ChangedError(job.path, "changed while it was surveyed", cure=cure)
