"""Draw the picture of `docs/dense.md`: a rendered school, its fish, and where the shipped counter places them.

uv run scripts/draw_dense.py
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from data.files import write_bytes
from data.points import Points, middles
from data.preprocess import Image
from data.synth.footage import render_clip, standard_clips
from deploy.runtime.artifact import Artifact
from deploy.runtime.counter import DenseCounter

ROOT = Path(__file__).resolve().parents[1]
CLIP, SEED, FRAME = 6, 1006, 120
LEAST_VISIBLE = 0.25
RING, DOT = (127, 208, 53), (31, 159, 255)
JPEG_QUALITY = 85


def school() -> tuple[Image, Points]:
    """A frame, and the middles of the fish that can be seen in it."""
    for index, (image, animals) in enumerate(render_clip(standard_clips()[CLIP], SEED)):
        if index == FRAME:
            boxes = [fish.xyxy for fish in animals if fish.visible >= LEAST_VISIBLE]
            return image, middles(np.array(boxes, np.float32).reshape(-1, 4))
    raise ValueError(f"the clip has no frame {FRAME}")


def drawn(image: Image, true: Points, found: Points, told: str) -> Image:
    """The frame with rings around true fish, dots where they were found, and a line of text."""
    image = image.copy()
    radius = max(5, image.shape[0] // 60)
    for x, y in true:
        cv2.circle(image, (round(float(x)), round(float(y))), radius, RING, 1, cv2.LINE_AA)
    for x, y in found:
        cv2.circle(image, (round(float(x)), round(float(y))), max(2, radius // 3), DOT, -1, cv2.LINE_AA)
    cv2.putText(image, told, (10, image.shape[0] - 12), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 1, cv2.LINE_AA)
    return image


def main() -> None:
    """Render, count, draw."""
    image, true = school()
    (seen,) = DenseCounter(Artifact.open(ROOT / "models/weights/dense-int8")).count([image])
    picture = drawn(image, true, seen.points, f"{len(true)} fish, {seen.count:.1f} counted")
    encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    write_bytes(ROOT / "docs/pictures/dense.jpg", encoded.tobytes())


if __name__ == "__main__":
    main()
