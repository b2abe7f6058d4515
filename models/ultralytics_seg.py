"""YOLO11n-seg: network and head of the ultralytics package, its loss of boxes and classes, and our loss of masks."""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor

from models.detector import BoxTargets
from models.segmenter import MaskTargets, Segmenter, mask_loss
from models.ultralytics_detectors import UltralyticsDetector, YoloOutput

_MASK_WEIGHT: Final = 4.0


class YoloSegOutput(NamedTuple):
    """Raw outputs: what the detector gives, coefficients (N, A, P) and prototypes (N, P, H / 4, W / 4), float32."""

    boxes: YoloOutput
    coefficients: Tensor
    prototypes: Tensor


class UltralyticsSegmenter(UltralyticsDetector, Segmenter):
    """YOLO11n-seg behind the contract of `Segmenter`.

    Args:
        classes: Number of classes.
    """

    def __init__(self, classes: int = 1) -> None:
        super().__init__("yolo11n-seg", classes)
        self.prototypes = self.head.nm

    def forward(self, images: Tensor) -> YoloSegOutput | tuple[Tensor, ...]:  # type: ignore[override]
        """(N, 3, H, W) -> raw outputs while training, else boxes, logits, coefficients, prototypes; see `Segmenter`."""
        maps = self._maps(images.flip(1) / 255)
        outputs = self.head.forward_head(maps, **self.head.one2many)
        raw = self._raw(outputs, maps)
        coefficients = outputs["mask_coefficient"].transpose(1, 2).float()
        prototypes = self.head.proto(maps[0]).float()
        if self.training:
            return YoloSegOutput(raw, coefficients, prototypes)
        return self._boxes(raw), raw.scores.transpose(1, 2), coefficients, prototypes

    def loss(self, raw: YoloSegOutput, targets: BoxTargets) -> Tensor:  # type: ignore[override]
        """The detector's loss, and that of the masks of the anchors that answer for objects."""
        if not isinstance(targets, MaskTargets):
            raise TypeError("masks are learnt from MaskTargets")
        boxes, assigned = self.assigned_loss(raw.boxes, targets)
        with torch.autocast(raw.prototypes.device.type, enabled=False):
            coefficients = raw.coefficients[assigned.image, assigned.anchor]
            masks = mask_loss(coefficients, raw.prototypes, assigned.image, assigned.target, targets)
            return boxes + _MASK_WEIGHT * masks
