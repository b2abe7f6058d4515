"""Small collections with real pictures, for everything that writes, reads and compares them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from data.curation.collection import Collection, Kind, Label, Part, Picture, Provenance
from data.labels import DIGIT_CLASSES
from data.masks import Mask

SOURCE = Provenance(kind="source", name="bay", when="2026-11-01T10:00:00Z")
ASHA = Provenance(kind="person", name="Asha", when="2026-11-22T20:15:03Z")
MODEL = Provenance(kind="model", name="fish-int8")
SIZE = (48, 40)
NAMES: dict[Kind, tuple[str, ...]] = {
    "digits": DIGIT_CLASSES,
    "species": ("Rubra longa", "Nigra"),
    "detection": ("fish", "shark"),
    "segmentation": ("luderick", "bream"),
}


def collection(
    kind: Kind, folder: Path, parts: tuple[Part, ...] = ("train", "val", "test"), count: int = 12
) -> Collection:
    """`count` pictures in the folder, shared out over the parts; three of each group."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    pictures = []
    for number in range(count):
        path = folder / f"p{number:02d}.png"
        cv2.imwrite(str(path), rng.integers(0, 255, (SIZE[1], SIZE[0], 3)).astype(np.uint8))
        part = parts[number // 3 % len(parts)]
        group = f"{kind}/site {number // 3}"
        pictures.append(Picture(f"{part or 'all'}/{path.name}", path, SIZE, _labels(kind, number), part, group))
    return Collection("bay", kind, NAMES[kind], tuple(pictures))


def _labels(kind: Kind, number: int) -> tuple[Label, ...]:
    names = NAMES[kind]
    if kind in {"digits", "species"}:
        return (Label(names[number % len(names)], SOURCE),)
    boxes = []
    for index in range(number % 3):
        left = np.float32(2.3 + number + 7 * index)
        xyxy = np.array([left, 3.1, left + np.float32(9.7), 21.3], np.float32)
        mask = Mask(int(left), 4, np.ones((12, 8), np.bool_)) if kind == "segmentation" else None
        xyxy = mask.xyxy if mask else xyxy
        by, sure = (MODEL, 0.8125) if index else (SOURCE, None)
        boxes.append(Label(names[(number + index) % 2], by, xyxy, mask, sure, track=index))
    return tuple(boxes)
