"""What a survey saw: the frames that it looked at, and what stood in each.

Structures of arrays, checked when built. Every frame that was looked at is kept, also where nothing was seen: zeros
are data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data.boxes import Boxes, no_boxes
from data.detections import Detections

Chosen = NDArray[np.bool_] | NDArray[np.int64]


def _check(holds: bool | np.bool_, what: str) -> None:
    if not holds:
        raise ValueError(what)


def _check_columns(owner: object, columns: dict[str, tuple[Any, tuple[int, ...]]]) -> None:
    for name, (dtype, shape) in columns.items():
        column = getattr(owner, name)
        _check(isinstance(column, np.ndarray), f"{name} is {type(column).__name__}, not an array")
        _check(column.dtype == dtype, f"{name} is {column.dtype}, not {np.dtype(dtype)}")
        _check(column.shape == shape, f"{name} has shape {column.shape}, not {shape}")


@dataclass(frozen=True, eq=False)
class Samples:
    """S sampled frames of one deployment, in the order of time.

    `chapter` (S,) int64 position of the chapter file in the deployment, from 0; `frame` (S,) int64 0-based number of
    the frame within its file; `file_seconds` (S,) float64 timestamp within the file (0 = its first frame); `seconds`
    (S,) float64 since the first chapter's first frame, cumulative across chapters.

    Raises:
        ValueError: A column has another type or length, is out of order, negative or not finite.
    """

    chapter: NDArray[np.int64]
    frame: NDArray[np.int64]
    file_seconds: NDArray[np.float64]
    seconds: NDArray[np.float64]

    def __post_init__(self) -> None:
        shape = (len(self.chapter),)
        columns = {"chapter": np.int64, "frame": np.int64, "file_seconds": np.float64, "seconds": np.float64}
        _check_columns(self, {name: (dtype, shape) for name, dtype in columns.items()})
        for name in columns:
            column = getattr(self, name)
            _check(np.isfinite(column).all() and (column >= 0).all(), f"{name} is negative or not finite")
        steps = np.diff(self.chapter)
        _check((steps >= 0).all(), "chapters are out of order")
        within = steps == 0
        _check((np.diff(self.frame)[within] > 0).all(), "frames of one chapter do not rise")
        _check((np.diff(self.file_seconds)[within] >= 0).all(), "times within one chapter fall")
        _check((np.diff(self.seconds) >= 0).all(), "times of the deployment fall")

    def __len__(self) -> int:
        return len(self.chapter)

    @classmethod
    def none(cls) -> Samples:
        """No frame was looked at."""
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0))

    @classmethod
    def of_chapter(cls, chapter: int, start: float, frames: ArrayLike, file_seconds: ArrayLike) -> Samples:
        """The sampled frames of one chapter file.

        Args:
            chapter: Position in the deployment, from 0.
            start: Seconds from the first chapter's first frame to this chapter's first frame.
            frames: 0-based numbers of the frames within the file.
            file_seconds: Their timestamps within the file.
        """
        times = np.asarray(file_seconds, np.float64).reshape(-1)
        numbers = np.asarray(frames, np.int64).reshape(-1)
        return cls(np.full(len(numbers), chapter, np.int64), numbers, times, start + times)

    def select(self, chosen: Chosen) -> Samples:
        """The chosen samples (a mask, or rising positions)."""
        return Samples(self.chapter[chosen], self.frame[chosen], self.file_seconds[chosen], self.seconds[chosen])


@dataclass(frozen=True, eq=False)
class Observations:
    """N detections in S samples, sample after sample.

    `sample` (N,) int64 position in `samples`, never falling; `xyxy` (N, 4) float32 pixels of the frame; `scores` (N,)
    float32 calibrated probabilities; `labels` (N,) int64 positions in `names`, the species or categories known.

    Raises:
        ValueError: A column has another type or shape, is out of order or out of range.
    """

    samples: Samples
    sample: NDArray[np.int64]
    xyxy: Boxes
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        count = len(self.sample)
        columns: dict[str, tuple[Any, tuple[int, ...]]] = {
            "sample": (np.int64, (count,)),
            "xyxy": (np.float32, (count, 4)),
            "scores": (np.float32, (count,)),
            "labels": (np.int64, (count,)),
        }
        _check_columns(self, columns)
        names = self.names
        _check(isinstance(names, tuple) and all(names) and len(set(names)) == len(names), "names repeat or are empty")
        _check((np.diff(self.sample) >= 0).all(), "observations are out of order")
        _check(_within(self.sample, len(self.samples)), "an observation belongs to no sample")
        _check(_within(self.labels, len(names)), "a label has no name")
        _check(np.isfinite(self.xyxy).all(), "a box is not finite")
        _check((self.xyxy[:, 2:] >= self.xyxy[:, :2]).all(), "a box is inside out")
        _check(((self.scores >= 0) & (self.scores <= 1)).all(), "a score is no probability")

    def __len__(self) -> int:
        return len(self.sample)

    @classmethod
    def none(cls, names: tuple[str, ...], samples: Samples | None = None) -> Observations:
        """Nothing was seen in these samples."""
        empty = np.zeros(0, np.int64)
        return cls(samples or Samples.none(), empty, no_boxes(), np.zeros(0, np.float32), empty, names)

    @classmethod
    def of_frames(cls, samples: Samples, detections: Sequence[Detections], names: tuple[str, ...]) -> Observations:
        """What the detector said about each sample, in order; `names` are the detector's."""
        _check(len(samples) == len(detections), f"{len(detections)} frames of detections for {len(samples)} samples")
        if not detections:
            return cls.none(names, samples)
        counts = [len(found) for found in detections]
        return cls(
            samples,
            np.repeat(np.arange(len(samples), dtype=np.int64), counts),
            np.concatenate([found.xyxy for found in detections]),
            np.concatenate([found.scores for found in detections]),
            np.concatenate([found.labels for found in detections]),
            names,
        )

    def identity(self, row: int) -> tuple[int, bytes]:
        """What a detection is known by among those of any selection: its sample and its box."""
        return int(self.sample[row]), self.xyxy[row].tobytes()

    def select(self, chosen: Chosen) -> Observations:
        """The chosen observations (a mask, or positions that do not fall); all samples stay."""
        return Observations(
            self.samples, self.sample[chosen], self.xyxy[chosen], self.scores[chosen], self.labels[chosen], self.names
        )

    def above(self, threshold: float) -> Observations:
        """The observations whose score reaches the threshold; all samples stay."""
        return self.select(self.scores >= np.float32(threshold))

    def select_samples(self, kept: NDArray[np.bool_]) -> Observations:
        """The samples marked in `kept` (S,) and what was seen in them."""
        return _with_samples(self.select(kept[self.sample]), self.samples.select(kept), np.cumsum(kept) - 1)


@dataclass(frozen=True, eq=False)
class TrackedObservations:
    """Observations and the track of each.

    `tracks` (N,) int64: numbered from 1 in the order of first sight, 0 belongs to no track.

    Raises:
        ValueError: Wrong type or length, a number is left out, or a track has two boxes in one sample.
    """

    observations: Observations
    tracks: NDArray[np.int64]

    def __post_init__(self) -> None:
        _check_columns(self, {"tracks": (np.int64, (len(self.observations),))})
        tracked = self.tracks > 0
        _check((self.tracks >= 0).all(), "a track number is negative")
        pairs = self.observations.sample[tracked] * (int(self.tracks.max(initial=0)) + 1) + self.tracks[tracked]
        _check(len(np.unique(pairs)) == len(pairs), "a track has two boxes in one sample")
        numbers, firsts = np.unique(self.tracks[tracked], return_index=True)
        rising = (np.diff(firsts) > 0).all() and np.array_equal(numbers, np.arange(1, len(numbers) + 1))
        _check(rising, "tracks are not numbered from 1 in the order of first sight")

    def __len__(self) -> int:
        return len(self.tracks)

    @classmethod
    def untracked(cls, observations: Observations) -> TrackedObservations:
        """Observations that belong to no track."""
        return cls(observations, np.zeros(len(observations), np.int64))

    @property
    def count(self) -> int:
        """How many tracks there are."""
        return int(self.tracks.max(initial=0))

    def select(self, chosen: Chosen) -> TrackedObservations:
        """The chosen observations (a mask, or positions that do not fall); tracks are numbered anew."""
        return TrackedObservations(self.observations.select(chosen), in_order_of_sight(self.tracks[chosen]))

    def select_samples(self, kept: NDArray[np.bool_]) -> TrackedObservations:
        """The samples marked in `kept` (S,) and what was seen in them; tracks are numbered anew."""
        tracks = self.tracks[kept[self.observations.sample]]
        return TrackedObservations(self.observations.select_samples(kept), in_order_of_sight(tracks))


@dataclass(frozen=True, eq=False)
class DeploymentRecords:
    """Everything seen in one deployment: `opcode`, the names of its chapter files in order, and the observations.

    Raises:
        ValueError: A sample belongs to a chapter that has no file name.
    """

    opcode: str
    files: tuple[str, ...]
    tracked: TrackedObservations = field(repr=False)

    def __post_init__(self) -> None:
        last = int(self.tracked.observations.samples.chapter.max(initial=-1))
        _check(last < len(self.files), f"samples of chapter {last}, but {len(self.files)} chapter files are named")


def joined(chapters: Sequence[Observations]) -> Observations:
    """Observations of the chapters of one deployment, or of the parts of a chapter, in order, as one.

    Raises:
        ValueError: No chapter, differing names, or chapters that do not follow one another in time.
    """
    _check(len(chapters) > 0, "no chapter to join")
    names = chapters[0].names
    _check(all(chapter.names == names for chapter in chapters), "chapters know different names")
    if len(chapters) == 1:
        return chapters[0]
    starts = np.cumsum([0, *(len(chapter.samples) for chapter in chapters[:-1])])
    samples = Samples(
        np.concatenate([chapter.samples.chapter for chapter in chapters]),
        np.concatenate([chapter.samples.frame for chapter in chapters]),
        np.concatenate([chapter.samples.file_seconds for chapter in chapters]),
        np.concatenate([chapter.samples.seconds for chapter in chapters]),
    )
    return Observations(
        samples,
        np.concatenate([chapter.sample + start for chapter, start in zip(chapters, starts, strict=True)]),
        np.concatenate([chapter.xyxy for chapter in chapters]),
        np.concatenate([chapter.scores for chapter in chapters]),
        np.concatenate([chapter.labels for chapter in chapters]),
        names,
    )


def in_order_of_sight(tracks: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same tracks (N,), numbered from 1 in the order in which they appear; 0 stays 0."""
    numbers, firsts, inverse = np.unique(tracks, return_index=True, return_inverse=True)
    order = np.zeros(len(numbers), np.int64)
    seen = numbers[np.argsort(firsts)]
    order[np.searchsorted(numbers, seen[seen > 0])] = np.arange(1, int((numbers > 0).sum()) + 1)
    return np.asarray(order[inverse], np.int64)


def _within(column: NDArray[np.int64], size: int) -> bool:
    return bool(((column >= 0) & (column < size)).all())


def _with_samples(seen: Observations, samples: Samples, new_position: NDArray[np.int64]) -> Observations:
    sample = np.asarray(new_position[seen.sample], np.int64)
    return Observations(samples, sample, seen.xyxy, seen.scores, seen.labels, seen.names)
