"""What every detector network is to the training loop and to the export."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

STRIDES: Final = (8, 16, 32)
"""Pixels of the input between the anchors of the three maps, of every network here."""


@dataclass(frozen=True)
class BoxTargets:
    """The labelled objects of a batch of N pictures, M objects in all.

    `xyxy` (M, 4) float32 in pixels of the network's input, `labels` (M,) int64, `image` (M,) int64 index into the
    batch, `exhaustive` (N,) bool: False where only some objects are labelled, so that nothing outside the labelled
    boxes may be taught as background.
    """

    xyxy: Tensor
    labels: Tensor
    image: Tensor
    exhaustive: Tensor

    def to(self, device: torch.device) -> BoxTargets:
        """The same on another device."""
        parts = (self.xyxy, self.labels, self.image, self.exhaustive)
        return BoxTargets(*(part.to(device) for part in parts))


class Detector(nn.Module, ABC):
    """A network that finds objects of `classes` classes.

    Input (N, 3, H, W) float32, BGR, 0 to 255, H and W multiples of 32. While it trains, `forward` gives raw
    outputs that only its own `loss` understands. In evaluation it gives `(boxes, logits)`, both float32: boxes
    (N, A, 4) xyxy in pixels of the input, logits (N, A, classes), of which the sigmoid is the score.
    """

    classes: int

    @abstractmethod
    def loss(self, raw: Any, targets: BoxTargets) -> Tensor:
        """The mean loss of a batch.

        Args:
            raw: What `forward` gave in training.
            targets: What is in those pictures, on the device of `raw`.

        Returns:
            A float32 scalar.
        """


def anchor_grid(sizes: tuple[tuple[int, int], ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """Centres (A, 2) x, y and strides (A,) of all anchors, float32 in input pixels, row by row, finest map first.

    Args:
        sizes: (height, width) of the three maps.
        device: Where to put them.
    """
    centres, strides = _grid(tuple((int(height), int(width)) for height, width in sizes))
    return torch.from_numpy(centres).to(device), torch.from_numpy(strides).to(device)


@lru_cache(maxsize=16)
def _grid(sizes: tuple[tuple[int, int], ...]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """In NumPy, so that an exported graph holds the numbers and not how they are made."""
    centres, strides = [], []
    for (height, width), stride in zip(sizes, STRIDES, strict=True):
        rows, columns = np.mgrid[:height, :width]
        centres.append((np.stack([columns.ravel(), rows.ravel()], axis=1) + 0.5) * stride)
        strides.append(np.full(height * width, stride))
    return np.concatenate(centres).astype(np.float32), np.concatenate(strides).astype(np.float32)


def taught_anchors(centres: Tensor, targets: BoxTargets) -> Tensor:
    """Which anchors may be taught as background: all, but where labels are not exhaustive those in labelled boxes.

    Args:
        centres: (A, 2) x, y of the anchors in input pixels.
        targets: What is in the N pictures.

    Returns:
        (N, A) bool.
    """
    taught = targets.exhaustive[:, None].repeat(1, len(centres))
    left_top = centres[None] - targets.xyxy[:, None, :2]
    right_bottom = targets.xyxy[:, None, 2:] - centres[None]
    target, anchor = torch.nonzero(torch.minimum(left_top, right_bottom).amin(dim=2) > 0, as_tuple=True)
    taught[targets.image[target], anchor] = True
    return taught
