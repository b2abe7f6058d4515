"""Networks that count objects without boxes, on the CSPDarknet of YOLOX-Nano.

`DensityNet` says how many objects have their middle in every 8 x 8 pixels of its input, in the manner of CSRNet (Li
et al., 2018) and LCFCN (Laradji et al., 2018): the sum is the count, its peaks are the objects. `CountRegressor` says
one number for the whole input, the baseline that any map has to beat.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from torch import Tensor, nn
from torch.nn import functional

from models.yolox import Backbone, TopDown, YoloxNano, depthwise

_PRIOR = 1e-3  # objects in a cell before anything is learnt
_NORM_MOMENTUM = 0.1
_FINE, _COARSE = 64, 256  # channels of the maps at strides 8 and 32
_STRIDE = 8


class Counter(nn.Module, ABC):
    """A network that counts objects in the cells of a grid over its input.

    Input (N, 3, H, W) float32, BGR, 0 to 255, H and W multiples of 32; output (N, rows, columns) float32, how many
    objects have their middle in each cell, never negative.
    """

    answer_layers: ClassVar[tuple[str, ...]] = ("rate",)

    rate: nn.Conv2d

    @abstractmethod
    def grid_wh(self, size_wh: tuple[int, int]) -> tuple[int, int]:
        """Cells across and down for an input of that size in pixels."""

    def take(self, detector: YoloxNano) -> None:
        """Begin with the weights of a detector in all parts that both have."""
        own = self.state_dict()
        shared = {name: value for name, value in detector.state_dict().items() if name in own}
        self.load_state_dict({**own, **shared})


class DensityNet(Counter):
    """See the module: maps of three strides mixed into one of stride 8, and a light head.

    Args:
        width: Channels of the head.
        fixed: What does not learn, batch norms included, so that it stays that of the detector it was taken from:
            the backbone, or the whole trunk of backbone and neck.
    """

    def __init__(self, width: int = 64, fixed: Literal["nothing", "backbone", "trunk"] = "nothing") -> None:
        super().__init__()
        self.backbone = Backbone()
        self.neck = TopDown()
        self.head = nn.Sequential(depthwise(_FINE, width), depthwise(width, width))
        self.rate = nn.Conv2d(width, 1, 1)
        _begin(self, _PRIOR)
        self.fixed = {"nothing": (), "backbone": ("backbone",), "trunk": ("backbone", "neck")}[fixed]
        for name in self.fixed:
            self.get_submodule(name).requires_grad_(False)

    def train(self, mode: bool = True) -> DensityNet:
        """As of any module, but that what is fixed stays in evaluation."""
        super().train(mode)
        for name in self.fixed:
            self.get_submodule(name).eval()
        return self

    def grid_wh(self, size_wh: tuple[int, int]) -> tuple[int, int]:
        """See `Counter`."""
        return size_wh[0] // _STRIDE, size_wh[1] // _STRIDE

    def forward(self, images: Tensor) -> Tensor:
        """See `Counter`."""
        return self.rates(self.neck(*self.backbone(images))[0])

    def rates(self, fine: Tensor) -> Tensor:
        """As `forward`, of the finest map of the neck."""
        return functional.softplus(self.rate(self.head(fine))[:, 0].float())


class CountRegressor(Counter):
    """See the module: the coarsest map, averaged over the picture, and two layers.

    Args:
        width: Channels between the two layers.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.head = nn.Sequential(nn.Conv2d(_COARSE, width, 1), nn.SiLU())
        self.rate = nn.Conv2d(width, 1, 1)
        _begin(self, 1.0)

    def grid_wh(self, size_wh: tuple[int, int]) -> tuple[int, int]:
        """See `Counter`."""
        return 1, 1

    def forward(self, images: Tensor) -> Tensor:
        """See `Counter`."""
        pooled = functional.adaptive_avg_pool2d(self.backbone(images)[2], 1)
        return functional.softplus(self.rate(self.head(pooled))[:, 0].float())


def _begin(network: Counter, rate: float) -> None:
    """Let the answers begin near that rate, and the batch norms follow quickly.

    A count is a sum over a thousand cells: where the norms' running statistics lag behind the weights, it is off by
    tens of fish in evaluation though not in training.
    """
    nn.init.normal_(network.rate.weight, std=0.01)
    nn.init.constant_(network.rate.bias, math.log(math.expm1(rate)))  # type: ignore[arg-type]
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = _NORM_MOMENTUM
