"""Species networks: crops of fish (N, 3, H, W) -> logits of the species, and how familiar each crop looks.

A backbone turns a crop into features, a linear layer turns those into logits. How far the features lie from those of
the training crops says how unfamiliar a fish is (`Familiarity`); it is measured after training, not learnt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models.blocks import ConvNormAct, DropBlock, Residual
from models.yolox import Backbone


class Familiarity(nn.Module):
    """How much features look like those of the training crops: the higher, the more.

    Features f (F,) are centred, brought to length one, and compared with the direction of each species:
    familiarity = max over species c of cos(f - m, d_c), d_c the mean direction of species c's training crops.

    Args:
        width: F.
        classes: C.
    """

    centre: Tensor
    directions: Tensor

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("directions", torch.zeros(classes, width))

    @torch.no_grad()
    def fit(self, features: Tensor, labels: Tensor) -> None:
        """Take the centre and the directions from training crops' features (N, F) and labels (N,)."""
        means = torch.stack([features[labels == label].mean(dim=0) for label in range(len(self.directions))])
        self.centre.copy_(means.mean(dim=0))
        unit = nn.functional.normalize(features - self.centre, dim=1)
        sums = torch.zeros_like(self.directions).index_add_(0, labels, unit)
        self.directions.copy_(nn.functional.normalize(sums, dim=1))

    def cosines(self, features: Tensor) -> Tensor:
        """(N, F) -> (N, C) cosine to each species' direction."""
        return nn.functional.normalize(features - self.centre, dim=1) @ self.directions.T

    def forward(self, features: Tensor) -> Tensor:
        """(N, F) -> (N, 1)."""
        return self.cosines(features).amax(dim=1, keepdim=True)


class SpeciesNetwork(nn.Module):
    """A backbone, a batch norm over its features, and a linear layer.

    Args:
        backbone: (N, 3, H, W) -> (N, width).
        width: Number of features.
        classes: Number of species.
        dropout: Rate before the linear layer.
    """

    def __init__(self, backbone: nn.Module, width: int, classes: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.classes = classes
        self.backbone = backbone
        self.norm = nn.BatchNorm1d(width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, classes)
        self.familiarity = Familiarity(width, classes)

    def embed(self, crops: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, width) features."""
        return self.norm(self.backbone(crops))

    def forward(self, crops: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(N, 3, H, W) -> logits (N, classes); in evaluation also the familiarity (N, 1)."""
        features = self.embed(crops)
        logits = self.classifier(self.dropout(features))
        return logits if self.training else (logits, self.familiarity(features))


class ResidualBackbone(nn.Module):
    """A stem and halving stages of plain 3x3 convolutions with ReLU, and the mean over the last map.

    Plain, because int8 kernels gain most there: depthwise ones are held up by memory, not by arithmetic.

    Args:
        widths: Channels of the stem (at half the side) and of each halving stage.
        depths: Residual blocks of each stage.
        drop_block: Share of the last map that DropBlock removes.
        stochastic_depth: Rate at which the last residual branch is skipped; earlier ones less, linearly.
    """

    def __init__(
        self,
        widths: Sequence[int] = (24, 48, 96, 160),
        depths: Sequence[int] = (1, 2, 1),
        drop_block: float = 0.0,
        stochastic_depth: float = 0.0,
    ) -> None:
        super().__init__()
        rates = iter(stochastic_depth * (i + 1) / sum(depths) for i in range(sum(depths)))
        self.stem = ConvNormAct(3, widths[0], stride=2)
        self.stages = nn.Sequential(
            *(
                nn.Sequential(
                    ConvNormAct(inputs, outputs, stride=2),
                    *(Residual(outputs, depth=2, skip_rate=next(rates)) for _ in range(depth)),
                )
                for inputs, outputs, depth in zip(widths, widths[1:], depths, strict=False)
            )
        )
        self.drop_block = DropBlock(drop_block)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, crops: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, widths[-1])."""
        return self.pool(self.drop_block(self.stages(self.stem(crops))))


class YoloxBackbone(Backbone):
    """The detector's backbone, its three maps averaged: it can start from what a detector has learnt."""

    width = 64 + 128 + 256

    def forward(self, crops: Tensor) -> Tensor:  # type: ignore[override]
        """(N, 3, H, W) -> (N, 448)."""
        return torch.cat([features.mean(dim=(2, 3)) for features in super().forward(crops)], dim=1)


def residual(classes: int, dropout: float = 0.2, **options: Any) -> SpeciesNetwork:
    """A species network on `ResidualBackbone`, which takes the options."""
    return _on(ResidualBackbone(**options), classes, dropout)


def yolox(classes: int, dropout: float = 0.2) -> SpeciesNetwork:
    """A species network on the backbone of YOLOX-Nano."""
    return SpeciesNetwork(YoloxBackbone(), YoloxBackbone.width, classes, dropout)


def from_timm(layout: str, classes: int, dropout: float = 0.2, **options: Any) -> SpeciesNetwork:
    """A species network on a backbone of the package timm, fresh weights; the options are those of its layout."""
    import timm  # noqa: PLC0415 - takes a second, and only these networks need it

    return _on(timm.create_model(layout, pretrained=False, num_classes=0, **options), classes, dropout)


def _on(backbone: nn.Module, classes: int, dropout: float) -> SpeciesNetwork:
    backbone.eval()
    with torch.no_grad():
        width = backbone(torch.zeros(1, 3, 64, 64)).shape[1]
    return SpeciesNetwork(backbone.train(), width, classes, dropout)
