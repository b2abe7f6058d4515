"""Finding objects in frames with an artifact: preprocessing, network, calibrated scores, suppression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.detections import Detections
from data.errors import InputError
from data.frames import check_frames, fit_frame, frames_input, in_frame
from data.preprocess import Image
from data.suppression import suppressed
from deploy.runtime.artifact import Artifact
from deploy.runtime.spec import ArtifactSpec, DetectionSpec

BATCH: Final = 8
"""Frames that go through the network at once."""


class FishDetector:
    """Finds fish (or what else its artifact names) in frames.

    Args:
        artifact: An opened detection artifact.
        threads: Threads of the network; everything else runs in the calling thread.
        least_score: Detections below are left out; by default those below the artifact's `least_score`.

    Raises:
        InputError: It is for another task, the model cannot be loaded, or does not map frames to boxes and logits as
            its spec says.
    """

    def __init__(self, artifact: Artifact[ArtifactSpec], threads: int = 1, *, least_score: float | None = None) -> None:
        self.artifact = artifact.of(DetectionSpec)
        self.least_score = self.artifact.spec.least_score if least_score is None else least_score
        self._session = artifact.session(threads)

    @property
    def names(self) -> tuple[str, ...]:
        """What the labels of detections count into."""
        return self.artifact.spec.labels

    @property
    def threshold(self) -> float:
        """The score from which a detection counts as seen."""
        return self.artifact.spec.threshold

    def detect(self, frames: Sequence[Image]) -> list[Detections]:
        """What is in each frame, in that frame's pixels; everything from `least_score` up.

        Args:
            frames: N frames (H, W, 3) BGR uint8, of any sizes. N may be 0.

        Raises:
            InputError: A frame is no picture, or the network answers with what is no number.
        """
        spec = self.artifact.spec.preprocessing
        found: list[Detections] = []
        for start in range(0, len(frames), BATCH):
            batch = frames[start : start + BATCH]
            check_frames(batch, start)
            inputs = frames_input(np.stack([fit_frame(frame, spec) for frame in batch]), spec)
            boxes, logits = self._session.run(inputs)
            found += [self._decoded(*one) for one in zip(batch, boxes, logits, strict=True)]
        return found

    def _decoded(self, frame: Image, boxes: NDArray[np.float32], logits: NDArray[np.float32]) -> Detections:
        """Boxes (A, 4) in input pixels with logits (A, labels) -> detections in pixels of the frame."""
        spec = self.artifact.spec
        if not (np.isfinite(boxes).all() and np.isfinite(logits).all()):
            path = self.artifact.folder / self.artifact.choice.file
            raise InputError(path, "answers with what is no number", cure="export the artifact again")
        least = (_logit(self.least_score) - spec.score_shift) / spec.score_scale
        kept = in_frame(suppressed(boxes, logits, least, spec.nms_iou), frame.shape[1::-1], spec.preprocessing)
        return replace(kept, scores=calibrated(kept.scores, spec.score_scale, spec.score_shift))


def calibrated(logits: NDArray[np.float32], scale: float, shift: float) -> NDArray[np.float32]:
    """The probability that a box of that logit is right: 1 / (1 + exp(-(scale * logit + shift)))."""
    strength = np.clip(scale * logits.astype(np.float64) + shift, -_FARTHEST, _FARTHEST)
    return (1 / (1 + np.exp(-strength))).astype(np.float32)


_FARTHEST: Final = 80.0
"""exp(80) still fits float32; every probability beyond is 0 or 1 in it anyway."""


def _logit(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))
