"""Finding objects in frames with an artifact: preprocessing, network, calibrated scores, suppression."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from data.detections import Detections
from data.frames import in_frame
from data.preprocess import Image
from data.suppression import with_candidates
from deploy.runtime.artifact import Artifact
from deploy.runtime.looking import Answer, Look, check_numbers, look_with
from deploy.runtime.spec import ArtifactSpec, BoxSpec, DetectionSpec

BoxSpecT_co = TypeVar("BoxSpecT_co", bound=BoxSpec, covariant=True)


class BoxFinder(Generic[BoxSpecT_co]):
    """A network that finds objects in frames, with the preprocessing and the scores that its artifact tells.

    Args:
        artifact: An opened artifact.
        threads: Threads of the network; everything else runs in the calling thread.
        look: How frames are shown to the network, where that is shared with another task.

    Raises:
        InputError: The model cannot be loaded, or does not map frames to what its spec says.
    """

    def __init__(self, artifact: Artifact[BoxSpecT_co], threads: int = 1, look: Look | None = None) -> None:
        self.artifact = artifact
        self._look = look or look_with(artifact.session(threads), artifact)

    @property
    def names(self) -> tuple[str, ...]:
        """What the labels of detections count into."""
        return self.artifact.spec.labels

    @property
    def threshold(self) -> float:
        """The score from which a detection counts as seen."""
        return self.artifact.spec.threshold

    def _answers(self, frames: Sequence[Image]) -> Iterator[tuple[Image, Answer]]:
        """Each frame, and the network's outputs for it."""
        for frame, answer in zip(frames, self._look(frames), strict=True):
            check_numbers(answer, self.artifact)
            yield frame, answer

    def _kept(self, boxes: NDArray[np.float32], logits: NDArray[np.float32]) -> tuple[Detections, NDArray[np.int64]]:
        """Boxes (A, 4) with logits (A, labels) -> detections in input pixels with calibrated scores, and their A."""
        spec = self.artifact.spec
        least = (_logit(spec.least_score) - spec.score_shift) / spec.score_scale
        kept, candidates = with_candidates(boxes, logits, least, spec.nms_iou)
        return replace(kept, scores=calibrated(kept.scores, spec.score_scale, spec.score_shift)), candidates


class FishDetector(BoxFinder[DetectionSpec]):
    """Finds fish (or what else its artifact names) in frames.

    Args:
        artifact: An opened detection artifact.
        threads: Threads of the network; everything else runs in the calling thread.
        look: How frames are shown to the network, where that is shared with another task.

    Raises:
        InputError: It is for another task, the model cannot be loaded, or does not map frames to boxes and logits as
            its spec says.
    """

    def __init__(self, artifact: Artifact[ArtifactSpec], threads: int = 1, look: Look | None = None) -> None:
        super().__init__(artifact.of(DetectionSpec), threads, look)

    def detect(self, frames: Sequence[Image]) -> list[Detections]:
        """What is in each frame, in that frame's pixels; everything from the artifact's `least_score` up.

        Args:
            frames: N frames (H, W, 3) BGR uint8, of any sizes. N may be 0.

        Raises:
            InputError: A frame is no picture, or the network answers with what is no number.
        """
        spec = self.artifact.spec.preprocessing
        return [
            in_frame(self._kept(boxes, logits)[0], frame.shape[1::-1], spec)
            for frame, (boxes, logits) in self._answers(frames)
        ]


def calibrated(logits: NDArray[np.float32], scale: float, shift: float) -> NDArray[np.float32]:
    """The probability that a box of that logit is right: 1 / (1 + exp(-(scale * logit + shift)))."""
    strength = np.clip(scale * logits.astype(np.float64) + shift, -_FARTHEST, _FARTHEST)
    return (1 / (1 + np.exp(-strength))).astype(np.float32)


_FARTHEST: Final = 80.0
"""exp(80) still fits float32; every probability beyond is 0 or 1 in it anyway."""


def _logit(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))
