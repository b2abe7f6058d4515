"""YOLOX-Nano that outlines what it finds: prototypes from its finest maps, coefficients from each level of its neck."""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from models.detector import BoxTargets
from models.segmenter import MaskTargets, Segmenter, mask_loss
from models.yolox import WIDTHS, YoloxNano, decoded, depthwise, doubled, joint_logits, norm_conv
from models.yolox_loss import YoloxOutput, assign, detection_loss

_WIDTH: Final = 64
_EDGE_WIDTH: Final = 32
_MASK_WEIGHT: Final = 4.0


class SegOutput(NamedTuple):
    """Raw outputs: what the detector gives, coefficients (N, A, P) and prototypes (N, P, H / 4, W / 4), float32."""

    boxes: YoloxOutput
    coefficients: Tensor
    prototypes: Tensor


class PrototypeBranch(nn.Module):
    """Maps at strides 8 (what is where) and 4 (where its edges are) -> (N, prototypes, H / 4, W / 4)."""

    def __init__(self, prototypes: int) -> None:
        super().__init__()
        self.squeeze = depthwise(WIDTHS[2], _WIDTH)
        self.edges = norm_conv(WIDTHS[1], _EDGE_WIDTH)
        self.merge = nn.Sequential(depthwise(_WIDTH + _EDGE_WIDTH, _WIDTH), depthwise(_WIDTH, _WIDTH))
        self.prototypes = nn.Conv2d(_WIDTH, prototypes, 1)

    def forward(self, at4: Tensor, fine: Tensor) -> Tensor:
        """See the class."""
        merged = self.merge(torch.cat([doubled(self.squeeze(fine)), self.edges(at4)], dim=1))
        return self.prototypes(merged)


class CoefficientBranch(nn.Sequential):
    """(N, inputs, H, W) of one level -> (N, prototypes, H, W)."""

    def __init__(self, inputs: int, prototypes: int) -> None:
        super().__init__(norm_conv(inputs, _WIDTH), depthwise(_WIDTH, _WIDTH), nn.Conv2d(_WIDTH, prototypes, 1))


class YoloxNanoSeg(Segmenter):
    """YOLOX-Nano with masks; see the module.

    Args:
        classes: Number of classes.
        prototypes: Number of maps that masks are summed from.
    """

    def __init__(self, classes: int = 1, prototypes: int = 24) -> None:
        super().__init__()
        self.classes, self.prototypes = classes, prototypes
        self.base = YoloxNano(classes)
        self.maps = PrototypeBranch(prototypes)
        self.coefficients = nn.ModuleList(CoefficientBranch(width, prototypes) for width in WIDTHS[2:])

    def forward(self, images: Tensor) -> SegOutput | tuple[Tensor, Tensor, Tensor, Tensor]:
        """(N, 3, H, W) -> raw outputs while training, else boxes, logits, coefficients, prototypes; see `Segmenter`."""
        at4, *coarser = self.base.backbone.maps(images)
        levels = self.base.neck(*coarser)
        boxes = decoded([head(level) for head, level in zip(self.base.heads, levels, strict=True)])
        parts = [branch(level).flatten(2) for branch, level in zip(self.coefficients, levels, strict=True)]
        coefficients = torch.cat(parts, dim=2).transpose(1, 2).float()
        prototypes = self.maps(at4, levels[0]).float()
        if self.training:
            return SegOutput(boxes, coefficients, prototypes)
        return boxes.boxes, joint_logits(boxes.objectness, boxes.classes), coefficients, prototypes

    def loss(self, raw: SegOutput, targets: BoxTargets) -> Tensor:
        """The detector's loss, and that of the masks of the anchors that answer for objects."""
        if not isinstance(targets, MaskTargets):
            raise TypeError("masks are learnt from MaskTargets")
        with torch.autocast(raw.prototypes.device.type, enabled=False):
            assigned = assign(raw.boxes, targets)
            coefficients = raw.coefficients[assigned.image, assigned.anchor]
            masks = mask_loss(coefficients, raw.prototypes, assigned.image, assigned.target, targets)
            return detection_loss(raw.boxes, targets, assigned) + _MASK_WEIGHT * masks
