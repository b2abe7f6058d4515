"""Small footage of bright blobs, and a detector that finds them: results are real functions of pixels."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

from apps.fish import detecting
from apps.fish.detecting import Model
from data.detections import Detections
from data.preprocess import Image

WIDTH, HEIGHT, RATE = 96, 64, 30
SPELL = 10
WHITE = 99
"""So many blobs leave no water between them."""
SEGMENT = 20
"""Samples of a segment, so that short clips have many."""


def blob_frame(number: int, blobs: int) -> Image:
    """Blobs that swim to the right, on dark water."""
    if blobs == WHITE:
        return np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    frame = np.full((HEIGHT, WIDTH, 3), (60, 40, 20), np.uint8)
    for blob in range(blobs):
        left = (number // 2 + 37 * blob) % (WIDTH - 12)
        cv2.ellipse(frame, (left + 6, 8 + 14 * blob), (6, 3), 0, 0, 360, (220, 230, 240), -1)
    return frame


def write_clip(path: Path, frames: int, blobs: Sequence[int] = (1, 3, 0, 2), first: int = 0) -> Path:
    """A video whose number of blobs changes every `SPELL` frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "crf": "18", "g": "30"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(frames):
            picture = blob_frame(first + number, blobs[(first + number) // SPELL % len(blobs)])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))
    return path


class BlobDetector:
    """Every bright blob is a fish; the brighter, the surer."""

    def detect(self, frames: Sequence[Image]) -> list[Detections]:
        time.sleep(float(os.environ.get("BLOB_PAUSE", "0")))
        return [_blobs(frame) for frame in frames]


def _blobs(frame: Image) -> Detections:
    grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
    _, _, stats, _ = cv2.connectedComponentsWithStats((grey > 128).astype(np.uint8))
    rows = [row for row in stats[1:] if row[4] >= 10]
    boxes = np.array([[x, y, x + w, y + h] for x, y, w, h, _ in rows], np.float32).reshape(-1, 4)
    scores = np.array([grey[y : y + h, x : x + w].max() / 256 for x, y, w, h, _ in rows], np.float32)
    return Detections(boxes, scores, np.zeros(len(rows), np.int64))


@dataclass(frozen=True)
class BlobSource:
    """Takes the place of `ArtifactSource`: the folder's name is the model's identity.

    Loaded in a worker process, it also makes segments short there.
    """

    folder: Path
    counter: Path | None = None

    def describe(self) -> Model:
        return Model("blobs", self.folder.name, ("fish",), 0.5, 0.05)

    def load(self) -> BlobDetector:
        detecting.SEGMENT = SEGMENT
        return BlobDetector()


class DeadlyDetector(BlobDetector):
    """Ends its process where a frame is wholly white."""

    def detect(self, frames: Sequence[Image]) -> list[Detections]:
        if any(frame.min() > 200 for frame in frames):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().detect(frames)


@dataclass(frozen=True)
class DeadlySource(BlobSource):
    """Loads the detector that ends its process."""

    def load(self) -> BlobDetector:
        super().load()
        return DeadlyDetector()
