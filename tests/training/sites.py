"""A small dataset of three camera sites, with which scenes of footage can be learnt from, and how to learn from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

SITES = ("7001", "7002", "7003")
SMALL: Final[dict[str, Any]] = {
    "name": "small",
    "data": {"train": [{"folder": "fish", "split": "train"}], "validation_share": 0.3},
    "preprocessing": {"size_wh": (128, 96)},
    "scene_wh": (128, 96),
    "schedule": {"warmup_epochs": 0.5},
    "epochs": 2,
    "plain_epochs": 1,
    "batch_size": 8,
    "precision": "float32",
    "workers": 0,
}
"""What the recipes of all tasks on scenes have in common here."""


def fish_of_three_sites(root: Path) -> Path:
    """A YOLO folder `fish` below the root, which is given back: bright ellipses on dark water, in some frames none."""
    rng = np.random.default_rng(1)
    for part in ("images", "labels"):
        (root / "fish" / part / "train").mkdir(parents=True)
    for site in SITES:
        for number in range(8):
            name = f"{site}_F1_f{number:06d}"
            picture = np.full((72, 128, 3), rng.integers(20, 60), np.uint8)
            lines = []
            for _ in range(number % 3):
                x, y = rng.uniform(20, 108), rng.uniform(16, 56)
                cv2.ellipse(picture, (round(x), round(y)), (14, 7), 0, 0, 360, (200, 210, 190), -1)
                lines.append(f"0 {x / 128:.5f} {y / 72:.5f} {28 / 128:.5f} {14 / 72:.5f}")
            cv2.imwrite(str(root / "fish/images/train" / f"{name}.jpg"), picture)
            (root / "fish/labels/train" / f"{name}.txt").write_text("\n".join(lines))
    return root
