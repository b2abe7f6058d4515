"""What every network that outlines objects is to the training loop and to the export, and the loss of its masks."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass, fields
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from models.detector import BoxTargets, Detector

MASK_STRIDE: Final = 4
"""Pixels of the input a pixel of the prototypes, of every network here."""
_MOST: Final = 256
"""Anchors whose masks are learnt in one batch: more teach little and cost much."""
_AROUND: Final = 0.15
"""Share of a box's sides by which its surroundings count too: boxes that are found are a little off."""


@dataclass(frozen=True)
class MaskTargets(BoxTargets):
    """Labelled objects with their masks.

    `masks` (M, h, w) uint8, 1 where the object is, for every `MASK_STRIDE` pixels of the network's input; `outlined`
    (M,) bool: False for an object that has a box alone.
    """

    masks: Tensor
    outlined: Tensor

    def to(self, device: torch.device) -> MaskTargets:
        """The same on another device."""
        return MaskTargets(*(getattr(self, part.name).to(device) for part in fields(self)))


class Segmenter(Detector, ABC):
    """A detector that also outlines what it finds, by `prototypes` maps and as many coefficients an anchor.

    In evaluation it gives `(boxes, logits, coefficients, prototypes)`, all float32: coefficients (N, A, P) and
    prototypes (N, P, H / 4, W / 4). A pixel within a box is the object's where the sum of the prototypes, each times
    its coefficient, is above 0 (Bolya et al.: YOLACT, 2019). Its loss takes `MaskTargets`.
    """

    prototypes: int


def mask_loss(coefficients: Tensor, prototypes: Tensor, image: Tensor, target: Tensor, targets: MaskTargets) -> Tensor:
    """Cross-entropy and Dice loss of the masks, each within its labelled box and a little around it.

    Args:
        coefficients: (P, K) float32 of anchors that answer for objects.
        prototypes: (N, K, h, w) float32.
        image: (P,) whose prototypes are each anchor's.
        target: (P,) which object each anchor answers for.
        targets: What is in the pictures.

    Returns:
        A float32 scalar, the mean over the anchors; 0 where none has a mask to learn.
    """
    outlined = torch.nonzero(targets.outlined[target])[:, 0]
    if len(outlined) > _MOST:
        outlined = outlined[torch.linspace(0, len(outlined) - 1, _MOST, device=outlined.device).round().long()]
    if not len(outlined):
        return prototypes.sum() * 0
    image, target = image[outlined], target[outlined]
    logits = torch.einsum("pk,pkhw->phw", coefficients[outlined], prototypes[image])
    wanted = targets.masks[target].float()
    near = _near(targets.xyxy[target], wanted.shape[1:])
    entropy = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * near
    entropy = entropy.sum(dim=(1, 2)) / near.sum(dim=(1, 2)).clamp(min=1)
    inside = logits.sigmoid() * near
    shared = (inside * wanted).sum(dim=(1, 2))
    dice = 1 - (2 * shared + 1) / (inside.sum(dim=(1, 2)) + (wanted * near).sum(dim=(1, 2)) + 1)
    return (entropy + dice).mean()


def _near(xyxy: Tensor, shape: torch.Size) -> Tensor:
    """(P, h, w) float32: 1 for pixels within a box, or within a little of it."""
    margin = _AROUND * (xyxy[:, 2:] - xyxy[:, :2]) + MASK_STRIDE
    low, high = (xyxy[:, :2] - margin) / MASK_STRIDE, (xyxy[:, 2:] + margin) / MASK_STRIDE
    parts = []
    for axis, length in ((1, shape[0]), (0, shape[1])):
        middles = torch.arange(length, device=xyxy.device) + 0.5
        parts.append((middles > low[:, axis, None]) & (middles < high[:, axis, None]))
    return (parts[0][:, :, None] & parts[1][:, None, :]).float()
