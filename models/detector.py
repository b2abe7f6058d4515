"""What every detector network is to the training loop and to the export."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


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
