"""Counting by points: what a density counter says of the samples in which anything was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from apps.fish.footage import SampledFrame
from apps.fish.parts.blocks import Blocks, in_sequence, pack
from apps.fish.parts.found import DenseSamples, PartModel
from data.detections import Detections
from data.points import Points, no_points
from data.preprocess import Image


class Counted(Protocol):
    """How many fish there are in one frame, no whole number, and where they are, as far as that can be told."""

    @property
    def count(self) -> float:
        """How many."""

    @property
    def points(self) -> Points:
        """(P, 2) where."""


class Counter(Protocol):
    """Counts fish in frames; see `deploy.runtime.counter.DenseCounter`."""

    def count(self, frames: Sequence[Image]) -> Sequence[Counted]:
        """How many there are in each frame, and where."""


@dataclass(frozen=True)
class DenseModel(PartModel):
    """A counter; from a count of `dense_from` on, which may be infinite, it is trusted more than boxes."""

    dense_from: float


class DenseLooker:
    """Counts the fish of each segment's samples in which the detector saw anything at all.

    Args:
        counter: What counts them.
    """

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self.drop()

    def look(self, frames: Sequence[SampledFrame], found: Sequence[Detections]) -> None:
        """See `PartLooker.look`."""
        shown = [at for at, seen in enumerate(found) if len(seen)]
        counts = self._counter.count([frames[at].image for at in shown])
        self._kept += [(self._samples + at, count) for at, count in zip(shown, counts, strict=True)]
        self._samples += len(found)
        self._rows += sum(len(seen) for seen in found)

    def end(self) -> bytes:
        """The block: `sample` and `count` (D,), `points` (P, 2) of all, and `edges` (D + 1,) between them."""
        points = [one.points for _, one in self._kept]
        block = pack(
            self._samples,
            self._rows,
            sample=np.array([sample for sample, _ in self._kept], np.int64),
            count=np.array([one.count for _, one in self._kept], np.float64),
            points=np.concatenate([no_points(), *points]),
            edges=np.cumsum([0, *(len(one) for one in points)], dtype=np.int64),
        )
        self.drop()
        return block

    def drop(self) -> None:
        """See `PartLooker.drop`."""
        self._kept: list[tuple[int, Counted]] = []
        self._samples = self._rows = 0


def dense_samples(chapters: Sequence[Blocks], model: DenseModel, samples: int) -> DenseSamples:
    """What the counter said of a deployment.

    Args:
        chapters: The blocks of its chapters, in order.
        model: The counter.
        samples: How many samples there are.

    Raises:
        ValueError: A block is damaged, or of other samples.
    """
    sample, count = [np.zeros(0, np.int64)], [np.zeros(0, np.float64)]
    points, sizes = [no_points()], [np.zeros(1, np.int64)]
    for block in in_sequence(chapters):
        sample.append(block.sample + block.arrays["sample"])
        count.append(block.arrays["count"])
        points.append(block.arrays["points"])
        sizes.append(np.diff(block.arrays["edges"]))
    found = np.concatenate(sample)
    if len(found) and int(found[-1]) >= samples:
        raise ValueError("there are counts of samples that are not there")
    about = PartModel(model.name, model.identity)
    return DenseSamples(
        about, model.dense_from, found, np.concatenate(count), np.concatenate(points), np.cumsum(np.concatenate(sizes))
    )
