"""Species networks: crops of fish (N, 3, H, W) -> logits of the species, and how familiar each crop looks.

A backbone turns a crop into features, a linear layer turns those into logits. How near the maps before the features
lie to those of the training crops says how familiar a fish looks (`Familiarity`); it is measured after training, not
learnt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.blocks import ConvNormAct, DropBlock, Residual
from models.yolox import Backbone

PROTOTYPES: Final = 32
_NEAREST: Final = 3
_ROUNDS: Final = 10


class SpeciesNetwork(nn.Module):
    """A backbone, a batch norm over its features, and a linear layer.

    Args:
        backbone: (N, 3, H, W) -> (N, width).
        width: Number of features.
        classes: Number of species.
        dropout: Rate before the linear layer.
        view: Share of a crop's sides, about its middle, that is looked at: beyond is sea and rock.
        maps: Names of the backbone's modules whose maps say how a fish looks, see `looks`.
    """

    def __init__(
        self,
        backbone: nn.Module,
        width: int,
        classes: int,
        dropout: float = 0.2,
        view: float = 1.0,
        maps: Sequence[str] = (),
    ) -> None:
        super().__init__()
        if not 0.25 <= view <= 1:
            raise TypeError(f"view {view} is not from 0.25 to 1")
        self.view = view
        self.maps = tuple(maps)
        self.backbone = backbone
        self.norm = nn.BatchNorm1d(width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, classes)

    def embed(self, crops: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, width) features."""
        height, width = int(crops.shape[2]), int(crops.shape[3])
        top, left = round(height * (1 - self.view) / 2), round(width * (1 - self.view) / 2)
        return self.norm(self.backbone(crops[:, :, top : height - top, left : width - left]))

    def looks(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) -> (N, width) features and (N, L) looks: the means over the backbone's `maps`, or the features.

        What the last layers keep is what tells the species apart that they learnt. How a fish of another species looks
        is still seen before them.
        """
        if not self.maps:
            features = self.embed(crops)
            return features, features
        seen: list[Tensor] = []
        hooks = [
            self.backbone.get_submodule(name).register_forward_hook(lambda *told: seen.append(told[2].mean(dim=(2, 3))))
            for name in self.maps
        ]
        try:
            features = self.embed(crops)
        finally:
            for hook in hooks:
                hook.remove()
        return features, torch.cat(seen, dim=1)

    def forward(self, crops: Tensor) -> Tensor:
        """(N, 3, H, W) -> logits (N, classes)."""
        return self.classifier(self.dropout(self.embed(crops)))


class Familiarity(nn.Module):
    """How much a crop looks like those of the training fish: the higher, the more.

    Two signs, each less its mean over its deviation on held-out known crops, and added: the energy log(sum of
    exp(logits)) (Liu et al.: Energy-based out-of-distribution detection, NeurIPS 2020), and the mean cosine between the
    crop's looks and the `_NEAREST` prototypes nearest to it (as in Sun et al.: Out-of-distribution detection with deep
    nearest neighbors, ICML 2022), each look less its mean over its deviation on the training crops. A species has up to
    `PROTOTYPES`, the middles of its training crops' looks grouped by k-means.

    Args:
        looks: (N, L) of training crops, see `SpeciesNetwork.looks`.
        labels: (N,) their species, 0 to C - 1, each at least once.
    """

    centre: Tensor
    scales: Tensor
    prototypes: Tensor
    owners: Tensor
    means: Tensor
    deviations: Tensor

    def __init__(self, looks: Tensor, labels: Tensor) -> None:
        super().__init__()
        centre = looks.mean(dim=0)
        scales = 1 / looks.std(dim=0, correction=0).clamp(min=1e-6)
        plain = functional.normalize((looks - centre) * scales, dim=1)
        groups = [_middles(plain[labels == label], PROTOTYPES) for label in range(int(labels.max()) + 1)]
        prototypes = torch.cat(groups)
        self.register_buffer("centre", centre)
        self.register_buffer("scales", scales)
        self.register_buffer("prototypes", prototypes)
        self.register_buffer("owners", torch.repeat_interleave(torch.tensor([len(group) for group in groups])))
        self.register_buffer("means", torch.zeros(2))
        self.register_buffer("deviations", torch.ones(2))

    def settle(self, looks: Tensor, logits: Tensor) -> None:
        """Take means and deviations of the signs from held-out known crops: looks (M, L) and logits (M, C)."""
        signs = torch.cat([_energy(logits), _nearest(self.cosines(looks))], dim=1)
        self.means.copy_(signs.mean(dim=0))
        self.deviations.copy_(signs.std(dim=0, correction=0).clamp(min=1e-6))

    def cosines(self, looks: Tensor) -> Tensor:
        """(N, L) -> (N, P) cosine to each prototype."""
        away = (looks - self.centre) * self.scales
        # The division comes last: before it all looks have about the same range, whoever quantizes the product.
        return (away @ self.prototypes.T) / away.square().sum(dim=1, keepdim=True).clamp(min=1e-12).sqrt()

    def forward(self, looks: Tensor, logits: Tensor) -> Tensor:
        """(N, L) and (N, C) -> (N, 1)."""
        return self._joined(_energy(logits), _nearest(self.cosines(looks)))

    def without(self, looks: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """(N, 1) as if each crop's own species, labels (N,), had neither a logit nor prototypes."""
        others = logits.masked_fill(functional.one_hot(labels, logits.shape[1]).bool(), -torch.inf)
        near = self.cosines(looks).masked_fill(self.owners[None] == labels[:, None], -1.0)
        return self._joined(_energy(others), _nearest(near))

    def _joined(self, energy: Tensor, nearest: Tensor) -> Tensor:
        signs = energy - self.means[0], nearest - self.means[1]
        return signs[0] / self.deviations[0] + signs[1] / self.deviations[1]


def _nearest(cosines: Tensor) -> Tensor:
    """(N, P) -> (N, 1) mean of the greatest."""
    return cosines.topk(min(_NEAREST, cosines.shape[1]), dim=1).values.mean(dim=1, keepdim=True)


def _energy(logits: Tensor) -> Tensor:
    # In plain steps: OpenVINO's one operation for it is wrong by units.
    largest = logits.amax(dim=1, keepdim=True)
    return largest + (logits - largest).exp().sum(dim=1, keepdim=True).log()


def _middles(points: Tensor, count: int) -> Tensor:
    """(K, F) directions of up to `count` groups of unit vectors (N, F), by k-means from points far from each other."""
    chosen = [int((points @ points.mean(dim=0)).argmax())]
    nearest = points @ points[chosen[0]]
    while len(chosen) < min(count, len(points)):
        chosen.append(int(nearest.argmin()))
        nearest = torch.maximum(nearest, points @ points[chosen[-1]])
    middles = points[chosen]
    for _ in range(_ROUNDS):
        group = (points @ middles.T).argmax(dim=1)
        sums = torch.zeros_like(middles).index_add_(0, group, points)
        empty = sums.norm(dim=1, keepdim=True) < 1e-6
        middles = torch.where(empty, middles, functional.normalize(sums, dim=1))
    return middles


class FamiliarSpecies(nn.Module):
    """A trained species network with its familiarity: what is exported."""

    def __init__(self, network: SpeciesNetwork, familiarity: Familiarity) -> None:
        super().__init__()
        self.network, self.familiarity = network, familiarity

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) -> logits (N, C) and familiarity (N, 1)."""
        features, looks = self.network.looks(crops)
        logits = self.network.classifier(features)
        return logits, self.familiarity(looks, logits)


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


def from_timm(
    layout: str,
    classes: int,
    dropout: float = 0.2,
    view: float = 1.0,
    maps: Sequence[str] = (),
    **options: Any,
) -> SpeciesNetwork:
    """A species network on a backbone of the package timm, fresh weights; the options are those of its layout."""
    import timm  # noqa: PLC0415 - takes a second, and only these networks need it

    return _on(timm.create_model(layout, pretrained=False, num_classes=0, **options), classes, dropout, view, maps)


def _on(backbone: nn.Module, classes: int, dropout: float, view: float, maps: Sequence[str] = ()) -> SpeciesNetwork:
    backbone.eval()
    with torch.no_grad():
        width = backbone(torch.zeros(1, 3, 64, 64)).shape[1]
    return SpeciesNetwork(backbone.train(), width, classes, dropout, view, maps)
