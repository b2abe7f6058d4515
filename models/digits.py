"""Digit networks: (N, 1, 32, 32) normalised ink -> (N, 11) logits, ten digits and "not a digit".

`feature_maps` names the modules that internal regularization may act on (`models.places`).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from data.labels import DIGIT_CLASSES
from models.blocks import ConvNormAct, DropBlock, Residual, SpinalHead

CLASSES = len(DIGIT_CLASSES)


class CompactNet(nn.Module):
    """A small residual network: a stem and three halving stages, mean over the last map, one linear layer.

    Args:
        widths: Channels of the stem and the three stages.
        depths: Residual blocks after each stage's halving convolution.
        dropout: Rate before the last layer.
        drop_block: Share of each map that DropBlock removes after stages two and three.
        stochastic_depth: Rate at which the last residual branch is skipped; earlier ones less, linearly.
    """

    def __init__(
        self,
        widths: Sequence[int] = (24, 40, 80, 112),
        depths: Sequence[int] = (1, 2, 1),
        dropout: float = 0.0,
        drop_block: float = 0.0,
        stochastic_depth: float = 0.0,
    ) -> None:
        super().__init__()
        self.feature_maps = {f"stages.{number}": width for number, width in enumerate(widths[1:])}
        self.stem = ConvNormAct(1, widths[0])
        rates = iter(stochastic_depth * (i + 1) / sum(depths) for i in range(sum(depths)))
        self.stages = nn.ModuleList(
            nn.Sequential(
                ConvNormAct(inputs, outputs, stride=2),
                *(Residual(outputs, skip_rate=next(rates)) for _ in range(depth)),
            )
            for inputs, outputs, depth in zip(widths, widths[1:], depths, strict=False)
        )
        self.drop_block = DropBlock(drop_block)
        self.head = _mean_head(widths[3], dropout)

    def forward(self, ink: Tensor) -> Tensor:
        """(N, 1, 32, 32) -> (N, 11)."""
        features = self.stages[0](self.stem(ink))
        middle = self.drop_block(self.stages[1](features))
        return self.head(self.drop_block(self.stages[2](middle)))


def _mean_head(channels: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels, CLASSES))


class Vgg5(nn.Module):
    """Five weight layers: three convolutions, each followed by pooling, and two linear layers or a SpinalNet head.

    Args:
        widths: Channels of the three convolutions.
        hidden: Units of the hidden linear layer.
        spinal_width: Units of each part of a SpinalNet head; 0 takes the two linear layers instead.
        dropout: Rate in the head.
        drop_block: Share of the last two maps that DropBlock removes.
    """

    def __init__(
        self,
        widths: Sequence[int] = (32, 64, 128),
        hidden: int = 128,
        spinal_width: int = 0,
        dropout: float = 0.0,
        drop_block: float = 0.0,
    ) -> None:
        super().__init__()
        self.feature_maps = {"first": widths[1], "second": widths[2]}
        self.first = nn.Sequential(ConvNormAct(1, widths[0]), nn.MaxPool2d(2), ConvNormAct(widths[0], widths[1]))
        self.second = nn.Sequential(nn.MaxPool2d(2), ConvNormAct(widths[1], widths[2]), nn.MaxPool2d(2))
        self.drop_block = DropBlock(drop_block)
        features = widths[2] * 4 * 4
        self.head = nn.Sequential(
            nn.Flatten(),
            SpinalHead(features, CLASSES, spinal_width, dropout=dropout)
            if spinal_width
            else nn.Sequential(
                nn.Dropout(dropout),
                nn.Linear(features, hidden),
                nn.ReLU(inplace=True),
                nn.Dropout(dropout),
                nn.Linear(hidden, CLASSES),
            ),
        )

    def forward(self, ink: Tensor) -> Tensor:
        """(N, 1, 32, 32) -> (N, 11)."""
        middle = self.drop_block(self.first(ink))
        return self.head(self.drop_block(self.second(middle)))
