"""Drawn fish of a few kinds, so different that a small network tells them apart in a few epochs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from data.preprocess import Image

KINDS = {
    "Rubra longa": (40, 40, 210),
    "Viridis alta": (40, 190, 40),
    "Azurea magna": (220, 90, 30),
    "Nigra": (15, 15, 15),
}
TREE = {
    "name": "tiny",
    "task": "species",
    "network": {"name": "crop-residual", "options": {"widths": [8, 12, 16, 16], "depths": [0, 0, 1], "view": 0.75}},
    "data": {"folder": "crops"},
    "preprocessing": {"size_wh": [32, 32], "mean": 114.0, "std": 60.0},
    "optimizer": {"name": "adamw", "learning_rate": 0.01},
    "schedule": {"warmup_epochs": 0.0},
    "epochs": 6,
    "batch_size": 24,
    "ema_decay": 0.8,
    "precision": "float32",
    "workers": 0,
}


def drawn(colour: tuple[int, int, int], rng: np.random.Generator, wh: tuple[int, int] = (48, 40)) -> Image:
    """(height, width, 3) BGR uint8: a fish of that colour in the middle of some water."""
    image = np.full((wh[1], wh[0], 3), rng.integers(90, 160, 3), np.uint8)
    centre = (wh[0] // 2 + int(rng.integers(-2, 3)), wh[1] // 2 + int(rng.integers(-2, 3)))
    tail = np.array([[centre[0] - 10, centre[1]], [centre[0] - 17, centre[1] - 6], [centre[0] - 17, centre[1] + 6]])
    cv2.ellipse(image, centre, (12, 7), float(rng.normal(0, 10)), 0, 360, colour, -1, cv2.LINE_AA)
    cv2.fillPoly(image, [tail.astype(np.int32)], colour, cv2.LINE_AA)
    return np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def draw_folder(folder: Path, fish: int = 10, frames: int = 2, seed: int = 0) -> None:
    """A folder a kind, each of so many fish in so many frames."""
    rng = np.random.default_rng(seed)
    for number, (name, colour) in enumerate(KINDS.items(), 1):
        place = folder / f"{number:02d}_{name.replace(' ', '_')}"
        place.mkdir(parents=True)
        for trajectory in range(fish):
            for frame in range(frames):
                cv2.imwrite(str(place / f"fish_{trajectory:012d}_{frame:05d}.png"), drawn(colour, rng))
