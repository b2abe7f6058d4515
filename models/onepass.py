"""Several jobs in one pass: heads that look at the maps of one trunk, which is run once for all of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.counting import DensityNet
from models.yolox import YoloxNano, decoded, joint_logits

_ALIKE = 1e-3  # share of the greatest value by which maps of the same trunk differ


class OnePass(nn.Module):
    """A detector, and a counter whose trunk is the detector's: what both say, for the price of the detector and a head.

    In evaluation it answers as each of them does alone; it is put together from both once they have learnt.

    Args:
        detector: Finds objects.
        counter: Learnt with its trunk `fixed` as that detector's.

    Raises:
        ValueError: The counter has a trunk of its own.
    """

    def __init__(self, detector: YoloxNano, counter: DensityNet) -> None:
        super().__init__()
        if not _same_trunk(detector.eval(), counter.eval()):
            raise ValueError("the counter learnt a trunk of its own, which is not the detector's")
        self.detector = detector
        self.counter = counter

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, 3, H, W) -> boxes (N, A, 4), logits (N, A, classes), and objects in each cell (N, rows, columns)."""
        levels = self.detector.neck(*self.detector.backbone(images))
        raw = decoded([head(features) for head, features in zip(self.detector.heads, levels, strict=True)])
        return raw.boxes, joint_logits(raw.objectness, raw.classes), self.counter.rates(levels[0])


@torch.no_grad()
def _same_trunk(detector: YoloxNano, counter: DensityNet) -> bool:
    """Whether both make the same map of a picture: weights may differ by what batch norms do and undo."""
    noise = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 255
    fine, theirs = (whole.neck(*whole.backbone(noise))[0] for whole in (detector, counter))
    return torch.allclose(fine, theirs, atol=_ALIKE * float(fine.abs().max()))
