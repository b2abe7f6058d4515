"""A set of labelled digit pictures, decoded one by one when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from data.errors import ShankhaError
from data.images import read_image
from data.labels import DIGIT_CLASSES
from data.preprocess import Image, Polarity

MAX_EXAMPLE_PIXELS: Final = 50_000_000
"""A photograph of one digit may be a phone's whole frame, never more."""


@dataclass(frozen=True)
class Problem:
    """One example, or one file of examples, that is not used, and why."""

    name: str
    why: str

    @classmethod
    def of(cls, error: ShankhaError, name: str = "") -> Problem:
        """The problem that an error tells of; `name` says the place better where the error's own does not."""
        return cls(name or error.where, error.found)


class ImageStore(Protocol):
    """Pictures by index."""

    def read(self, index: int) -> Image:
        """(H, W) or (H, W, 3) BGR uint8; raises InputError or FileAccessError."""
        ...


@dataclass(frozen=True)
class ArrayImages:
    """Pictures of one size that already lie in memory: (N, H, W) or (N, H, W, 3) BGR uint8."""

    pixels: Image

    def read(self, index: int) -> Image:
        """The picture, a view of the array."""
        return np.asarray(self.pixels[index], np.uint8)


@dataclass(frozen=True)
class FileImages:
    """Pictures in files, decoded at each call."""

    paths: Sequence[Path]

    def read(self, index: int) -> Image:
        """Decode the file; raises InputError or FileAccessError."""
        return read_image(self.paths[index], max_pixels=MAX_EXAMPLE_PIXELS)


@dataclass(frozen=True)
class DigitBatch:
    """Decoded examples: `indices` (B,) into the set, their `images`, and the `problems` of those that failed."""

    indices: NDArray[np.int64]
    images: tuple[Image, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class DigitSet:
    """N labelled pictures of single digits.

    Attributes:
        name: What the set is called in tables.
        labels: (N,) int64, index into `data.labels.DIGIT_CLASSES`; 10 is "not a digit".
        sources: (N,) str, the collection that an example comes from; splits never cut through one.
        groups: (N,) str, the finest group known (writer, scanned sheet), else the source.
        names: (N,) file name, or archive and index ("training-abc.npz#123").
        places: (N,) int64, index of each example in `images`.
        images: Where the pictures are.
        polarity: Whether the ink is dark or light, where the whole set is known to be one way.
        problems: Examples that could not be taken in: missing files, nonsense labels, unknown folders.
        left_out: Sound examples and files left out on purpose: copies of training images, files without labels.
    """

    name: str
    labels: NDArray[np.int64]
    sources: NDArray[np.str_]
    groups: NDArray[np.str_]
    names: NDArray[np.str_]
    places: NDArray[np.int64]
    images: ImageStore
    polarity: Polarity
    problems: tuple[Problem, ...] = ()
    left_out: tuple[Problem, ...] = ()

    def __post_init__(self) -> None:
        lengths = {len(self.labels), len(self.sources), len(self.groups), len(self.names), len(self.places)}
        if len(lengths) != 1:
            raise ValueError(f"{self.name}: labels, sources, groups, names and places differ in length")
        if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < len(DIGIT_CLASSES):
            raise ValueError(f"{self.name}: labels must be from 0 to {len(DIGIT_CLASSES) - 1}")

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, index: int) -> Image:
        """Decode one picture: (H, W) or (H, W, 3) BGR uint8; raises InputError or FileAccessError."""
        return self.images.read(int(self.places[index]))

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.int64] | Sequence[int]) -> DigitSet:
        """The chosen examples, by mask or by index, in that order; problems stay with the whole."""
        index = np.asarray(chosen)
        index = np.flatnonzero(index) if index.dtype == np.bool_ else index.astype(np.int64)
        parts = {part: getattr(self, part)[index] for part in ("labels", "sources", "groups", "names", "places")}
        return replace(self, **parts)

    def batches(self, size: int = 256) -> Iterator[DigitBatch]:
        """Decode the set piece by piece, so that a large one never sits in memory."""
        for start in range(0, len(self), size):
            yield _batch(self, range(start, min(start + size, len(self))))

    def check(self, tick: Callable[[int], None] | None = None) -> tuple[Problem, ...]:
        """Decode every picture; the set's problems and those found now. `tick` hears how many were tried so far."""
        found, tried = list(self.problems), 0
        for batch in self.batches():
            found += batch.problems
            tried += len(batch.indices) + len(batch.problems)
            if tick:
                tick(tried)
        return tuple(found)


def _batch(digits: DigitSet, indices: Iterable[int]) -> DigitBatch:
    read: list[int] = []
    images: list[Image] = []
    problems: list[Problem] = []
    for index in indices:
        try:
            images.append(digits.read(index))
            read.append(index)
        except ShankhaError as error:
            problems.append(Problem.of(error, str(digits.names[index])))
    return DigitBatch(np.array(read, np.int64), tuple(images), tuple(problems))


def joined(name: str, sets: Sequence[DigitSet]) -> DigitSet:
    """All examples of several sets in one; polarity becomes "auto" where they differ."""
    if not sets:
        raise ValueError("there are no sets to join")
    offsets = np.cumsum([0] + [len(one) for one in sets])
    polarities = {one.polarity for one in sets}
    return DigitSet(
        name,
        labels=np.concatenate([one.labels for one in sets]),
        sources=np.concatenate([one.sources for one in sets]),
        groups=np.concatenate([one.groups for one in sets]),
        names=np.concatenate([one.names for one in sets]),
        places=np.arange(offsets[-1]),
        images=_JoinedImages(tuple(sets), offsets),
        polarity=polarities.pop() if len(polarities) == 1 else "auto",
        problems=tuple(problem for one in sets for problem in one.problems),
        left_out=tuple(problem for one in sets for problem in one.left_out),
    )


@dataclass(frozen=True)
class _JoinedImages:
    sets: tuple[DigitSet, ...]
    offsets: NDArray[np.int64]

    def read(self, index: int) -> Image:
        which = int(np.searchsorted(self.offsets, index, side="right")) - 1
        return self.sets[which].read(index - int(self.offsets[which]))
