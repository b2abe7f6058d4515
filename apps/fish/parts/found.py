"""What the parts of a survey found in one deployment; see `DeploymentResult`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from data.species import Named
from data.taxonomy import Taxonomy

if TYPE_CHECKING:
    from data.masks import Mask
    from data.points import Points

PartName: TypeAlias = Literal["species", "masks", "dense"]
PART_NAMES: Final[tuple[PartName, ...]] = ("species", "masks", "dense")


@dataclass(frozen=True)
class PartModel:
    """The model of a part: its name, and what stands for all that decides its answers."""

    name: str
    identity: str


@dataclass(frozen=True)
class LeftOut:
    """A part that was asked for and failed: the file at fault, what is wrong with it and what to do, in the words of a
    `ShankhaError`."""

    part: PartName
    where: str
    what: str
    cure: str


@dataclass(frozen=True)
class Crop:
    """A picture of a fish: the detection that it shows (its row in the observations), as JPEG.

    `named` is what this crop alone says.
    """

    row: int
    named: Named
    jpeg: bytes = field(repr=False)


@dataclass(frozen=True)
class NamedFish:
    """The name of one fish: of a track, or of a detection without one.

    `track` is its number, 0 for a detection without one; `rows` are its detections' rows in the observations, rising.
    `label` is the name that the tables use: a key of the taxonomy, or "unknown fish". `votes` says how many crops were
    looked at; `crops` are a few of them, in the order of time. Where a person has settled it, `proposed` is what the
    model said, and the label may be "not a fish": its detections then have the score 0, and count nowhere.
    """

    track: int
    rows: NDArray[np.int64] = field(repr=False)
    label: str
    named: Named
    votes: int
    crops: tuple[Crop, ...]
    proposed: Named | None = None


@dataclass(frozen=True)
class NamedDeployment:
    """The names of all fish that were looked at: tracks in the order of their numbers, then single detections in order.

    `names` are those that the model knows, each a key of the taxonomy; `threshold` is the probability of being known
    from which a fish got a name.
    """

    model: PartModel
    names: tuple[str, ...]
    threshold: float
    taxonomy: Taxonomy = field(repr=False)
    fish: tuple[NamedFish, ...] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Outlines:
    """The outlines of K detections.

    `row` (K,) int64 is each one's row in the observations, rising; `area` (K,) float64 square pixels; `length` (K,)
    float64 pixels along the main axis; `cut` (K,) bool whether it touches the edge of the frame. The outlines are kept
    as COCO run lengths, each for the whole frame of `size_wh` (K, 2) int64: `outlines.mask(k)`.
    """

    model: PartModel
    row: NDArray[np.int64]
    area: NDArray[np.float64]
    length: NDArray[np.float64]
    cut: NDArray[np.bool_]
    size_wh: NDArray[np.int64]
    rle: tuple[bytes, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.row)

    def mask(self, position: int) -> Mask:
        """The pixels of one outline."""
        from data.rle import from_rle

        width, height = self.size_wh[position].tolist()
        return from_rle(self.rle[position], (width, height))

    def of_rows(self, rows: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
        """The rows that have an outline, each with its position here."""
        if not len(self):
            return
        positions = np.minimum(np.searchsorted(self.row, rows), len(self) - 1)
        for row, position in zip(rows.tolist(), positions.tolist(), strict=True):
            if self.row[position] == row:
                yield row, position


@dataclass(frozen=True, eq=False)
class DenseSamples:
    """Counts by points of D samples.

    `sample` (D,) int64 are positions in the deployment's samples, rising: those in which the detector saw anything.
    `count` (D,) float64 is what the counter says, no whole number. The points of sample `sample[d]` are
    `points[edges[d] : edges[d + 1]]`, pixels of the frame. From a count of `dense_from` on, which may be infinite, the
    counter is trusted more than boxes.
    """

    model: PartModel
    dense_from: float
    sample: NDArray[np.int64]
    count: NDArray[np.float64]
    points: Points
    edges: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.sample)

    def points_of(self, position: int) -> Points:
        """(P, 2) the points of one of the D samples."""
        return self.points[self.edges[position] : self.edges[position + 1]]
