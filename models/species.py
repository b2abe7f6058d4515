"""Species networks: crops of fish (N, 3, H, W) -> logits of the species, and how familiar each crop looks.

A backbone turns a crop into features, a linear layer turns those into logits. How near the features lie to those of
the training crops says how familiar a fish looks (`Familiarity`); it is measured after training, not learnt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models.blocks import ConvNormAct, DropBlock, Residual
from models.yolox import Backbone


class SpeciesNetwork(nn.Module):
    """A backbone, a batch norm over its features, and a linear layer.

    Args:
        backbone: (N, 3, H, W) -> (N, width).
        width: Number of features.
        classes: Number of species.
        dropout: Rate before the linear layer.
        view: Share of a crop's sides, about its middle, that is looked at: beyond is sea and rock.
    """

    def __init__(self, backbone: nn.Module, width: int, classes: int, dropout: float = 0.2, view: float = 1.0) -> None:
        super().__init__()
        if not 0.25 <= view <= 1:
            raise TypeError(f"view {view} is not from 0.25 to 1")
        self.view = view
        self.backbone = backbone
        self.norm = nn.BatchNorm1d(width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, classes)

    def embed(self, crops: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, width) features."""
        top, left = (round(side * (1 - self.view) / 2) for side in crops.shape[2:])
        return self.norm(self.backbone(crops[:, :, top : crops.shape[2] - top, left : crops.shape[3] - left]))

    def forward(self, crops: Tensor) -> Tensor:
        """(N, 3, H, W) -> logits (N, classes)."""
        return self.classifier(self.dropout(self.embed(crops)))


class Familiarity(nn.Module):
    """How much features look like those of the training crops: the higher, the more.

    Features f (F,) are compared, about their centre m, with the direction d of each species' training crops:
    familiarity = max over species c of cos(f - m, d_c).

    Args:
        features: (N, F) of training crops.
        labels: (N,) their species, 0 to C - 1, each at least once.
    """

    centre: Tensor
    directions: Tensor
    offsets: Tensor

    def __init__(self, features: Tensor, labels: Tensor) -> None:
        super().__init__()
        classes = int(labels.max()) + 1
        means = torch.stack([features[labels == label].mean(dim=0) for label in range(classes)])
        centre = means.mean(dim=0)
        unit = nn.functional.normalize(features - centre, dim=1)
        sums = torch.zeros_like(means).index_add_(0, labels, unit)
        directions = nn.functional.normalize(sums, dim=1)
        self.register_buffer("centre", centre)
        self.register_buffer("directions", directions)
        self.register_buffer("offsets", directions @ centre)

    def cosines(self, features: Tensor) -> Tensor:
        """(N, F) -> (N, C) cosine to each species' direction.

        The product comes first, so that whoever quantizes it takes features as they are, like the classifier.
        """
        lengths = (features - self.centre).square().sum(dim=1, keepdim=True).clamp(min=1e-12).sqrt()
        return (features @ self.directions.T - self.offsets) / lengths

    def forward(self, features: Tensor) -> Tensor:
        """(N, F) -> (N, 1)."""
        return self.cosines(features).amax(dim=1, keepdim=True)


class FamiliarSpecies(nn.Module):
    """A trained species network with its familiarity: what is exported."""

    def __init__(self, network: SpeciesNetwork, familiarity: Familiarity) -> None:
        super().__init__()
        self.network, self.familiarity = network, familiarity

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) -> logits (N, C) and familiarity (N, 1)."""
        features = self.network.embed(crops)
        return self.network.classifier(features), self.familiarity(features)


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
        self.feature_maps = {f"stages.{number}": width for number, width in enumerate(widths[1:])}
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
    """The detector's backbone, mean and maximum of its three maps: it can start from what a detector has learnt."""

    width = 2 * (64 + 128 + 256)

    def forward(self, crops: Tensor) -> Tensor:  # type: ignore[override]
        """(N, 3, H, W) -> (N, 896)."""
        maps = super().forward(crops)
        return torch.cat([part.mean(dim=(2, 3)) for part in maps] + [part.amax(dim=(2, 3)) for part in maps], dim=1)


def residual(classes: int, dropout: float = 0.2, view: float = 1.0, **options: Any) -> SpeciesNetwork:
    """A species network on `ResidualBackbone`, which takes the options."""
    return _on(ResidualBackbone(**options), classes, dropout, view)


def yolox(classes: int, dropout: float = 0.2, view: float = 1.0) -> SpeciesNetwork:
    """A species network on the backbone of YOLOX-Nano."""
    return SpeciesNetwork(YoloxBackbone(), YoloxBackbone.width, classes, dropout, view)


def from_timm(layout: str, classes: int, dropout: float = 0.2, view: float = 1.0, **options: Any) -> SpeciesNetwork:
    """A species network on a backbone of the package timm, fresh weights; the options are those of its layout."""
    import timm  # noqa: PLC0415 - takes a second, and only these networks need it

    return _on(timm.create_model(layout, pretrained=False, num_classes=0, **options), classes, dropout, view)


def _on(backbone: nn.Module, classes: int, dropout: float, view: float) -> SpeciesNetwork:
    backbone.eval()
    with torch.no_grad():
        width = backbone(torch.zeros(1, 3, 64, 64)).shape[1]
    return SpeciesNetwork(backbone.train(), width, classes, dropout, view)
