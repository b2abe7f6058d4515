"""Outlining objects in frames with an artifact: what a detector does, and a mask for every box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from data.detections import Detections
from data.frames import boxes_in_frame, place_frame
from data.masks import Mask
from data.preprocess import Image
from data.prototypes import decoded_masks
from deploy.runtime.artifact import Artifact
from deploy.runtime.detector import BoxFinder
from deploy.runtime.spec import ArtifactSpec, SegmentationSpec


@dataclass(frozen=True)
class Segmented:
    """What was found in one frame, and a mask in pixels of that frame for every detection, none of them empty."""

    detections: Detections
    masks: tuple[Mask, ...]

    def __len__(self) -> int:
        return len(self.masks)

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Segmented:
        """The chosen ones, in that order."""
        index = np.arange(len(self))[chosen]
        return Segmented(self.detections.select(index), tuple(self.masks[i] for i in index))


class FishSegmenter(BoxFinder[SegmentationSpec]):
    """Outlines fish (or what else its artifact names) in frames.

    Args:
        artifact: An opened segmentation artifact.
        threads: Threads of the network; everything else runs in the calling thread.

    Raises:
        InputError: It is for another task, the model cannot be loaded, or does not map frames to boxes, logits,
            coefficients and prototypes as its spec says.
    """

    def __init__(self, artifact: Artifact[ArtifactSpec], threads: int = 1) -> None:
        super().__init__(artifact.of(SegmentationSpec), threads)

    def segment(self, frames: Sequence[Image]) -> list[Segmented]:
        """What is in each frame, in that frame's pixels; everything from the artifact's `least_score` up.

        A box without a single pixel of its object is nothing, and is left out.

        Args:
            frames: N frames (H, W, 3) BGR uint8, of any sizes. N may be 0.

        Raises:
            InputError: A frame is no picture, or the network answers with what is no number.
        """
        return [self._segmented(frame, *outputs) for frame, outputs in self._answers(frames)]

    def _segmented(
        self,
        frame: Image,
        boxes: NDArray[np.float32],
        logits: NDArray[np.float32],
        coefficients: NDArray[np.float32],
        prototypes: NDArray[np.float32],
    ) -> Segmented:
        spec = self.artifact.spec
        found, candidates = self._kept(boxes, logits)
        frame_wh = frame.shape[1], frame.shape[0]
        xyxy = boxes_in_frame(found.xyxy, frame_wh, spec.preprocessing)
        placement = place_frame(frame_wh, spec.preprocessing)
        masks = decoded_masks(coefficients[candidates], prototypes, xyxy, placement, spec.mask_stride)
        some = np.array([mask.inside.size > 0 for mask in masks], np.bool_)
        return Segmented(replace(found, xyxy=xyxy), masks).select(some)
