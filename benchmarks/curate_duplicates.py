"""Planted near duplicates: how many are found, and how much else is.

The section is part of `benchmarks.curate`, which says how to measure it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks.sections import Section
from data.curation.duplicates import Duplicates, find_duplicates
from data.preprocess import Image
from data.readers import read_digits
from data.readers.crops import read_crops
from data.readers.npz import read_cmaterdb
from training.run import data_root

SEEDS = (1, 2, 3)
SHARE_PLANTED = 0.25
"""Copies, as a share of the pictures that they are planted among."""


def cropped(image: Image, rng: np.random.Generator) -> Image:
    """Up to 12 % from each edge, then stretched to the former size or left small."""
    height, width = image.shape[:2]
    top, left, bottom, right = np.round(rng.uniform(0, 0.12, 4) * (height, width, height, width)).astype(int)
    inner = image[max(top, int(top + left + bottom + right == 0)) : height - bottom, left : width - right]
    return cv2.resize(inner, (width, height)) if rng.random() < 0.5 else inner.copy()


def compressed(image: Image, rng: np.random.Generator) -> Image:
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 91))]
    return cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_UNCHANGED)


def brighter(image: Image, rng: np.random.Generator) -> Image:
    """Contrast times 0.6 to 1.3, brightness up to 40 levels up or down, cut off at black and white."""
    changed = image.astype(np.float32) * rng.uniform(0.6, 1.3) + rng.uniform(-40, 40)
    return np.clip(changed, 0, 255).astype(np.uint8)


def resized(image: Image, rng: np.random.Generator) -> Image:
    factor = rng.uniform(0.75, 1.33)
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=how)


def everything(image: Image, rng: np.random.Generator) -> Image:
    return compressed(brighter(cropped(image, rng), rng), rng)


PLANTS: dict[str, Callable[[Image, np.random.Generator], Image]] = {
    "crop": cropped,
    "JPEG": compressed,
    "brightness": brighter,
    "resize": resized,
    "crop, brightness, JPEG": everything,
}


def planted(name: str, pictures: Sequence[Image]) -> list[tuple[str, ...]]:
    """A row of the table for pictures that have no copies, or whose own copies count as wrong answers."""
    kinds = list(PLANTS)
    count = round(SHARE_PLANTED * len(pictures))
    found: dict[str, list[bool]] = {kind: [] for kind in kinds}
    told = right = own = 0
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        origins = rng.choice(len(pictures), count, replace=False)
        copies = [PLANTS[kinds[i % len(kinds)]](pictures[origin], rng) for i, origin in enumerate(origins)]
        everything_here = [*pictures, *copies]
        answer = find_duplicates(everything_here.__getitem__, len(everything_here))
        pairs = {(int(one), int(other)) for one, other in answer.pairs}
        for i, origin in enumerate(origins):
            found[kinds[i % len(kinds)]].append((int(origin), len(pictures) + i) in pairs)
        origin_of = np.concatenate([np.arange(len(pictures)), origins])[answer.pairs]
        told += len(pairs)
        right += int((origin_of[:, 0] == origin_of[:, 1]).sum())
        own += int((answer.pairs[:, 1] < len(pictures)).sum())
    every = [hit for hits in found.values() for hit in hits]
    shares = [f"{np.mean(found[kind]):.1%}" for kind in kinds]
    among = f"{name}: {count} among {len(pictures):,}"
    return [(among, f"**{np.mean(every):.1%}**", *shares, f"**{right / told:.1%}**", f"{own / len(SEEDS):.0f}")]


def duplicates(runs: Path) -> Section:
    digits = read_digits(data_root() / "digits/cmaterdb", "test")
    crops = read_crops(data_root() / "fish/f4k-species", "test")
    rng = np.random.default_rng(0)
    alone = [int(rng.choice(np.flatnonzero(crops.groups == fish))) for fish in np.unique(crops.groups)]
    rows = planted("CMATERdb test digits", [digits.read(index) for index in range(len(digits))])
    rows += planted("Fish4Knowledge test fish, a crop each", [crops.read(index) for index in alone])
    note = (
        f"Copies of pictures planted among them, a fifth of each kind, {len(SEEDS)} seeds: the share of copies that "
        "are paired with their original, and the share of all pairs told that are a picture and its copy, or two "
        "copies of one. Pairs of two originals count as wrong; the last column says how many there are. Crops take up "
        "to 12 % from each edge, JPEG is of quality 40 to 90, contrast times 0.6 to 1.3 and brightness up to 40 levels "
        "up or down, sizes 0.75 to 1.33. The thresholds were chosen on training digits and training fish. Fish are "
        "one crop of each trajectory, as crops of one fish in neighbouring frames are near duplicates themselves. "
        f"{_seven()} {_neighbouring()} Aimed at: 95 % of both."
    )
    columns = ("planted", "found", *PLANTS, "right of those told", "pairs of two originals")
    return Section.of("Planted near duplicates", note, columns, rows)


def _seven() -> str:
    """What is found in CMATERdb as it is."""
    training, test = (read_cmaterdb(data_root() / "digits/cmaterdb", part, copies=True) for part in ("train", "test"))
    pictures = [part.read(index) for part in (training, test) for index in range(len(part))]
    started = time.process_time()
    answer = find_duplicates(pictures.__getitem__, len(pictures))
    seconds = time.process_time() - started
    across = (answer.pairs[:, 0] < len(training)) & (answer.pairs[:, 1] >= len(training))
    seven = ", ".join(str(one) for one in sorted(answer.pairs[across & answer.exact, 1] - len(training)))
    within, near = int((~across & answer.exact).sum()), int((~answer.exact).sum())
    return (
        f"In CMATERdb as published, test digits {seven} are exact copies of training digits; {within} more exact "
        f"copies lie within a part, and {near} pairs are nearly alike "
        f"({seconds:.0f} s of a core for all {len(pictures):,})."
    )


def _neighbouring() -> str:
    """What is found among all crops of the test fish."""
    crops = read_crops(data_root() / "fish/f4k-species", "test")
    answer: Duplicates = find_duplicates(crops.read, len(crops))
    same = crops.groups[answer.pairs[:, 0]] == crops.groups[answer.pairs[:, 1]]
    return (
        f"Among all {len(crops)} test crops {int(same.sum())} pairs are told of one fish, {int((~same).sum())} of two."
    )
