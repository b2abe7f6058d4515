"""What a detector saw in a stretch of one chapter: the unit of work that a survey keeps, or does again."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from apps.fish.footage import ResumePoint, SampledFrame
from apps.fish.parts.looking import Looks
from apps.fish.records import Observations, Samples, joined
from data.boxes import Boxes, no_boxes
from data.detections import Detections

SEGMENT: Final = 300
"""Samples of a full segment: a minute of footage at five samples a second."""
_COLUMNS: Final = ("frame", "file_seconds", "sample", "xyxy", "scores", "labels")


@dataclass(frozen=True, eq=False)
class Segment:
    """S samples of one chapter that follow one another, and the N detections in them.

    `number` counts from 0. `size_wh` is the frames' size in pixels. `frame` (S,) int64 and `file_seconds` (S,) float64
    are as in `Samples`; `sample` (N,) int64 counts into them; `xyxy` (N, 4), `scores` (N,) and `labels` (N,) are as in
    `Observations`. The chapter goes on at `resume`. `looks` is what the parts of the survey found in it.
    """

    number: int
    size_wh: tuple[int, int]
    frame: NDArray[np.int64]
    file_seconds: NDArray[np.float64]
    sample: NDArray[np.int64]
    xyxy: Boxes
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    resume: ResumePoint
    looks: Looks = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.frame)

    def detections(self, sample: int) -> Detections:
        """What was found in one of its samples."""
        rows = slice(*np.searchsorted(self.sample, [sample, sample + 1]).tolist())
        return Detections(self.xyxy[rows], self.scores[rows], self.labels[rows])

    def packed(self) -> bytes:
        """The arrays and the frames' size as one block of bytes, with checksums; all else stays out."""
        stream = io.BytesIO()
        columns = {name: getattr(self, name) for name in _COLUMNS}
        np.savez_compressed(stream, allow_pickle=False, size_wh=np.array(self.size_wh), **columns)
        return stream.getvalue()

    @classmethod
    def unpacked(cls, block: bytes, number: int, resume: ResumePoint) -> Segment:
        """The segment of which `packed` made the block.

        Raises:
            ValueError: The block is damaged.
        """
        try:
            with np.load(io.BytesIO(block), allow_pickle=False) as arrays:
                width, height = arrays["size_wh"].tolist()
                columns = {name: arrays[name] for name in _COLUMNS}
        except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, OSError) as error:
            raise ValueError(f"a block cannot be unpacked ({error})") from error
        return cls(number, (width, height), resume=resume, **columns)


class Stretch:
    """A segment in the making: frames are added, without their pictures."""

    def __init__(self) -> None:
        self._frames: list[tuple[int, float]] = []
        self._found: list[Detections] = []
        self._size_wh = (0, 0)

    def __len__(self) -> int:
        """Frames added."""
        return len(self._frames)

    def add(self, frames: Sequence[SampledFrame], found: Sequence[Detections]) -> None:
        """The next frames and what was found in each."""
        for frame in frames:
            height, width = frame.image.shape[:2]
            self._size_wh = (width, height)
            self._frames.append((frame.frame, frame.seconds))
        self._found += found

    def end(self, number: int, resume: ResumePoint) -> Segment:
        """The segment of all frames added."""
        found = self._found
        return Segment(
            number,
            self._size_wh,
            np.array([frame for frame, _ in self._frames], np.int64),
            np.array([seconds for _, seconds in self._frames], np.float64),
            np.repeat(np.arange(len(found), dtype=np.int64), [len(one) for one in found]),
            np.concatenate([no_boxes(), *(one.xyxy for one in found)]),
            np.concatenate([np.zeros(0, np.float32), *(one.scores for one in found)]),
            np.concatenate([np.zeros(0, np.int64), *(one.labels for one in found)]),
            resume,
        )


def observations(segments: Sequence[Segment], chapter: int, start: float, names: tuple[str, ...]) -> Observations:
    """The segments of one chapter, in order, as observations of its deployment.

    Args:
        segments: All segments of the chapter; may be none.
        chapter: Position in the deployment, from 0.
        start: Seconds from the first chapter's first frame to this chapter's first frame.
        names: The detector's names of its labels.
    """
    if not segments:
        return Observations.none(names)
    return joined([_of_segment(part, chapter, start, names) for part in segments])


def _of_segment(part: Segment, chapter: int, start: float, names: tuple[str, ...]) -> Observations:
    samples = Samples.of_chapter(chapter, start, part.frame, part.file_seconds)
    return Observations(samples, part.sample, part.xyxy, part.scores, part.labels, names)
