"""Outlining fish: masks in the samples that show fish, matched to the detections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from apps.fish.footage import SampledFrame
from apps.fish.parts.blocks import Blocks, in_sequence, pack, pack_texts, unpack_texts
from apps.fish.parts.found import Outlines, PartModel
from data.boxes import Boxes, ious
from data.detections import Detections
from data.masks import Mask, area, from_picture, length
from data.preprocess import Image
from data.rle import rle

LEAST_OVERLAP: Final = 0.5
"""IoU from which an outline's box and a detection's are taken for the same fish."""


class Segmented(Protocol):
    """What was outlined in one frame; see `deploy.runtime.segmenter.Segmented`."""

    @property
    def detections(self) -> Detections:
        """What was found."""

    @property
    def masks(self) -> tuple[Mask, ...]:
        """The pixels of each."""


class Segmenter(Protocol):
    """Outlines fish in frames; see `deploy.runtime.segmenter.FishSegmenter`."""

    def segment(self, frames: Sequence[Image]) -> Sequence[Segmented]:
        """What is in each frame."""


@dataclass(frozen=True)
class _Outline:
    """The outline of a detection, and whether it meets the frame's edge."""

    row: int
    area: int
    length: float
    cut: bool
    size_wh: tuple[int, int]
    rle: bytes


class MaskLooker:
    """Outlines the fish of each segment.

    Args:
        segmenter: What outlines them.
        least_score: Detections below it are not outlined.
    """

    def __init__(self, segmenter: Segmenter, least_score: float) -> None:
        self._segmenter = segmenter
        self._least = np.float32(least_score)
        self.drop()

    def look(self, frames: Sequence[SampledFrame], found: Sequence[Detections]) -> None:
        """See `PartLooker.look`."""
        shown = [at for at, seen in enumerate(found) if (seen.scores >= self._least).any()]
        outlined = self._segmenter.segment([frames[at].image for at in shown])
        by_frame = dict(zip(shown, outlined, strict=True))
        for at, seen in enumerate(found):
            if at in by_frame:
                self._match(frames[at].image, seen, by_frame[at])
            self._samples += 1
            self._rows += len(seen)

    def end(self) -> bytes:
        """The block: `row`, `area`, `length` and `cut` (K,), `size_wh` (K, 2) and the run lengths of the outlines."""
        kept = sorted(self._kept, key=lambda one: one.row)
        joined, edges = pack_texts([one.rle for one in kept])
        block = pack(
            self._samples,
            self._rows,
            row=np.array([one.row for one in kept], np.int64),
            area=np.array([one.area for one in kept], np.float64),
            length=np.array([one.length for one in kept], np.float64),
            cut=np.array([one.cut for one in kept], np.bool_),
            size_wh=np.array([one.size_wh for one in kept], np.int64).reshape(-1, 2),
            rle=joined,
            edges=edges,
        )
        self.drop()
        return block

    def drop(self) -> None:
        """See `PartLooker.drop`."""
        self._kept: list[_Outline] = []
        self._samples = self._rows = 0

    def _match(self, frame: Image, seen: Detections, outlined: Segmented) -> None:
        rows = np.flatnonzero(seen.scores >= self._least)
        size_wh = frame.shape[1], frame.shape[0]
        for row, mask in matched(seen.xyxy[rows], outlined.detections.xyxy):
            found = outlined.masks[mask]
            if area(found):
                self._kept.append(_outline(self._rows + int(rows[row]), found, size_wh))


def matched(boxes: Boxes, others: Boxes) -> list[tuple[int, int]]:
    """Pairs of positions, each at most once: boxes that overlap most come first."""
    overlaps = ious(boxes, others)
    pairs: list[tuple[int, int]] = []
    taken: tuple[set[int], set[int]] = set(), set()
    for flat in np.argsort(-overlaps, axis=None, kind="stable").tolist():
        one, other = divmod(flat, overlaps.shape[1])
        if overlaps[one, other] < LEAST_OVERLAP:
            break
        if one not in taken[0] and other not in taken[1]:
            taken[0].add(one)
            taken[1].add(other)
            pairs.append((one, other))
    return pairs


def _outline(row: int, mask: Mask, size_wh: tuple[int, int]) -> _Outline:
    left, top, right, bottom = mask.xyxy.tolist()
    cut = left <= 0 or top <= 0 or right >= size_wh[0] or bottom >= size_wh[1]
    counts = rle(mask, size_wh)["counts"].encode("ascii")
    return _Outline(row, area(mask), length(main_part(mask)), cut, size_wh, counts)


def main_part(mask: Mask) -> Mask:
    """The largest of the parts that hang together; specks beside a fish make it no longer."""
    if not mask.inside.size:  # OpenCV does not bear it
        return mask
    count, numbers, stats, _ = cv2.connectedComponentsWithStats(mask.inside.astype(np.uint8), connectivity=8)
    if count <= 2:
        return mask
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    return from_picture(numbers == largest, mask.left, mask.top)


def outlines_of(chapters: Sequence[Blocks], model: PartModel, detections: int) -> Outlines:
    """The outlines of a deployment.

    Args:
        chapters: The blocks of its chapters, in order.
        model: What outlined.
        detections: How many detections there are.

    Raises:
        ValueError: A block is damaged, or of other detections.
    """
    columns: dict[str, list[NDArray[np.generic]]] = {
        "row": [np.zeros(0, np.int64)],
        "area": [np.zeros(0, np.float64)],
        "length": [np.zeros(0, np.float64)],
        "cut": [np.zeros(0, np.bool_)],
        "size_wh": [np.zeros((0, 2), np.int64)],
    }
    texts: list[bytes] = []
    for block in in_sequence(chapters):
        columns["row"].append(block.row + block.arrays["row"])
        for name in ("area", "length", "cut", "size_wh"):
            columns[name].append(block.arrays[name])
        texts += unpack_texts(block.arrays["rle"], block.arrays["edges"])
    joined = {name: np.concatenate(parts) for name, parts in columns.items()}
    if len(joined["row"]) and int(joined["row"][-1]) >= detections:
        raise ValueError("there are outlines of detections that are not there")
    return Outlines(model, **joined, rle=tuple(texts))
