"""The truth about a made-up clip: who is where in every frame, and the counts that follow."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.boxes import Boxes, to_xywh
from data.files import write_text

SEEN_SHARE: Final = 0.3
"""An animal counts in a frame where at least this share of it shows."""


@dataclass(frozen=True)
class FishTruth:
    """One animal in one frame.

    `xyxy` bounds the whole animal, also where something hides it, cut at the frame's edges. `visible` is the share of
    the animal that shows: neither hidden by another animal, a rock or seagrass, nor outside the frame.
    """

    frame: int
    identity: int
    species: str
    xyxy: tuple[float, float, float, float]
    visible: float
    depth_m: float


@dataclass(frozen=True)
class TrueMaxN:
    """The most of a species seen in one frame, and the first such frame; None where it is never seen."""

    species: str
    count: int
    frame: int | None


@dataclass(frozen=True)
class ClipTruth:
    """All animals in all frames of a clip, by frame, then identity.

    `frame` (N,) int64 from 0, `identity` (N,) int64 from 1, `label` (N,) int64 into `names` (the species), `xyxy`
    (N, 4) float32, `visible` (N,) and `depth_m` (N,) float64: see `FishTruth`. Also animals that are wholly hidden have
    rows while their box touches the frame; `frames` is the clip's length.
    """

    names: tuple[str, ...]
    frames: int
    fps: float
    frame: NDArray[np.int64]
    identity: NDArray[np.int64]
    label: NDArray[np.int64]
    xyxy: Boxes
    visible: NDArray[np.float64]
    depth_m: NDArray[np.float64]

    @classmethod
    def of(cls, rows: Sequence[FishTruth], names: tuple[str, ...], frames: int, fps: float) -> ClipTruth:
        """Gather rows that are sorted by frame, then identity."""
        return cls(
            names=names,
            frames=frames,
            fps=fps,
            frame=np.array([row.frame for row in rows], np.int64),
            identity=np.array([row.identity for row in rows], np.int64),
            label=np.array([names.index(row.species) for row in rows], np.int64),
            xyxy=np.array([row.xyxy for row in rows], np.float32).reshape(-1, 4),
            visible=np.array([row.visible for row in rows], np.float64),
            depth_m=np.array([row.depth_m for row in rows], np.float64),
        )

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def seen(self) -> NDArray[np.bool_]:
        """(N,): where enough of the animal shows to count it."""
        return self.visible >= SEEN_SHARE

    def of_frame(self, frame: int) -> tuple[FishTruth, ...]:
        """The animals in one frame, by identity."""
        first, last = np.searchsorted(self.frame, [frame, frame + 1])
        return tuple(self._row(index) for index in range(first, last))

    def _row(self, index: int) -> FishTruth:
        left, top, right, bottom = (float(edge) for edge in self.xyxy[index])
        return FishTruth(
            frame=int(self.frame[index]),
            identity=int(self.identity[index]),
            species=self.names[self.label[index]],
            xyxy=(left, top, right, bottom),
            visible=float(self.visible[index]),
            depth_m=float(self.depth_m[index]),
        )

    def __iter__(self) -> Iterator[FishTruth]:
        return (self._row(index) for index in range(len(self)))

    def counts(self) -> NDArray[np.int64]:
        """(frames, species): how many animals of each species are seen in each frame."""
        counts = np.zeros((self.frames, len(self.names)), np.int64)
        np.add.at(counts, (self.frame[self.seen], self.label[self.seen]), 1)
        return counts

    def max_n(self) -> tuple[TrueMaxN, ...]:
        """MaxN of every species that the clip was made with, also of those never seen."""
        counts = self.counts()
        best = counts.max(axis=0)
        first = counts.argmax(axis=0)
        return tuple(
            TrueMaxN(name, int(best[label]), int(first[label]) if best[label] else None)
            for label, name in enumerate(self.names)
        )

    def max_n_together(self) -> TrueMaxN:
        """The most animals of all species seen in one frame, under the name fish."""
        together = self.counts().sum(axis=1)
        best = int(together.max(initial=0))
        return TrueMaxN("fish", best, int(together.argmax()) if best else None)

    def individuals(self) -> dict[str, int]:
        """How many animals of each species are seen in at least one frame."""
        pairs = {
            (int(label), int(who)) for label, who in zip(self.label[self.seen], self.identity[self.seen], strict=True)
        }
        return {name: sum(label == mine for label, _ in pairs) for mine, name in enumerate(self.names)}

    def between(self, first: int, last: int) -> ClipTruth:
        """The truth about frames `first` to `last` (excluded), numbered from 0 again."""
        chosen = (self.frame >= first) & (self.frame < last)
        return ClipTruth(
            self.names, last - first, self.fps, self.frame[chosen] - first, self.identity[chosen], self.label[chosen],
            self.xyxy[chosen], self.visible[chosen], self.depth_m[chosen],
        )  # fmt: skip


def write_csv(path: Path, truth: ClipTruth) -> None:
    """Write one row an animal and frame: frame (from 0), seconds, identity, species, box, visible share, depth.

    Raises:
        FileAccessError: The file cannot be written.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("frame", "seconds", "identity", "species", "x1", "y1", "x2", "y2", "visible", "depth_m"))
    for fish in truth:
        box = (f"{edge:.2f}" for edge in fish.xyxy)
        seconds = f"{fish.frame / truth.fps:.3f}"
        table.writerow(
            (fish.frame, seconds, fish.identity, fish.species, *box, f"{fish.visible:.3f}", f"{fish.depth_m:.2f}")
        )
    write_text(path, text.getvalue())


def write_mot(path: Path, truth: ClipTruth) -> None:
    """Write MOTChallenge ground truth: frame, id, left, top, width, height, counts (0 or 1), class, visible share.

    Frames, pixels and classes count from 1. Rows with too little to see carry 0 and are not scored.

    Raises:
        FileAccessError: The file cannot be written.
    """
    rows = zip(truth.frame, truth.identity, to_xywh(truth.xyxy), truth.seen, truth.label, truth.visible, strict=True)
    lines = [
        f"{frame + 1},{who},{x + 1:.2f},{y + 1:.2f},{w:.2f},{h:.2f},{int(counts)},{label + 1},{visible:.3f}\n"
        for frame, who, (x, y, w, h), counts, label, visible in rows
    ]
    write_text(path, "".join(lines))


def write_counts(path: Path, truth: ClipTruth) -> None:
    """Write one row a species: MaxN, its first frame (empty where never seen), and individuals seen.

    Raises:
        FileAccessError: The file cannot be written.
    """
    individuals = truth.individuals()
    lines = ["species,maxn,frame,individuals\n"]
    for best in truth.max_n():
        frame = "" if best.frame is None else best.frame
        lines.append(f"{best.species},{best.count},{frame},{individuals[best.species]}\n")
    write_text(path, "".join(lines))
