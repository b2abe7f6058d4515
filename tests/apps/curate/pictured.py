"""Datasets of drawn pictures that are files, for tests that show them to the shipped models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from apps.curate.samples import dataset_of
from data.curation.collection import Collection, Kind, Label, Picture, Provenance
from data.labels import DIGIT_CLASSES
from data.preprocess import Image
from tests.tiny import drawn_batch

SHIPPED = Path(__file__).parents[3] / "models" / "weights"
SOURCE = Provenance(kind="source", name="drawn")


def write(path: Path, image: Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return path


def drawn_digits(place: Path, count: int = 22, seed: int = 5) -> Collection:
    images, labels = drawn_batch(count, seed)
    pictures = [
        Picture(
            f"{n}.png",
            write(place / f"{n}.png", image),
            (image.shape[1], image.shape[0]),
            (Label(DIGIT_CLASSES[label], SOURCE),),
            "train" if n % 2 else "val",
            f"writer-{n % 3}",
        )
        for n, (image, label) in enumerate(zip(images, labels, strict=True))
    ]
    return Collection("drawn", "digits", DIGIT_CLASSES, tuple(pictures))


def drawn_frames(place: Path, count: int = 3, kind: Kind = "detection") -> Collection:
    """Bright ellipses on blue: the shipped models find something in them, right or not."""
    rng = np.random.default_rng(1)
    pictures = []
    for n in range(count):
        image = np.full((240, 320, 3), (120, 70, 20), np.uint8)
        for _ in range(4):
            centre = (int(rng.integers(40, 280)), int(rng.integers(30, 210)))
            cv2.ellipse(image, centre, (34, 14), float(rng.integers(0, 90)), 0, 360, (190, 200, 210), -1, cv2.LINE_AA)
        image = np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
        pictures.append(Picture(f"{n}.png", write(place / f"{n}.png", image), (320, 240)))
    return Collection("frames", kind, ("fish",), tuple(pictures))


def opened(collection: Collection, name: str = "drawn") -> Any:
    return dataset_of(collection, name)
