"""Building blocks of the digit networks, the internal regularizers among them.

DropBlock and stochastic depth can be part of a network; `training.internal` brings them and others into any network.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth, drop_block2d


class ConvNormAct(nn.Sequential):
    """3x3 convolution, batch norm, ReLU: (N, inputs, H, W) -> (N, outputs, H / stride, W / stride).

    ReLU, because its output is never negative: unsigned activations then lose no bit to the sign.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
        )


def drop_blocks(features: Tensor, rate: float, size: int) -> Tensor:
    """Zero squares of every feature map, so that neighbours cannot fill in for each other; what is left keeps the mean.

    Ghiasi, Lin, Le: DropBlock, NeurIPS 2018, by torchvision. A square that does not fit into the map, or has no middle
    pixel, is made smaller.

    Args:
        features: (N, C, H, W).
        rate: Share of a map to be dropped.
        size: Side of a square in feature-map pixels.

    Returns:
        The same shape.
    """
    fitting = min(size, *features.shape[-2:])
    return drop_block2d(features, rate, fitting - (fitting + 1) % 2)


class DropBlock(nn.Module):
    """`drop_blocks` as a layer: it acts while the network trains."""

    def __init__(self, rate: float, block: int = 3) -> None:
        super().__init__()
        self.rate = rate
        self.block = block

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        if not self.training or self.rate == 0:
            return features
        return drop_blocks(features, self.rate, self.block)


class Residual(nn.Module):
    """Features plus a branch of one or two convolutions over them; shape stays."""

    def __init__(self, channels: int, depth: int = 1, skip_rate: float = 0.0) -> None:
        super().__init__()
        layers: list[nn.Module] = [ConvNormAct(channels, channels) for _ in range(depth - 1)]
        layers += [nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)]
        self.branch = nn.Sequential(*layers)
        self.skip = StochasticDepth(skip_rate, "row")
        self.act = nn.ReLU(inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        return self.act(features + self.skip(self.branch(features)))


class SpinalHead(nn.Module):
    """A classifier in parts, each fed a slice of the features and the previous part's output.

    Kabir et al.: SpinalNet, Deep Neural Network with Gradual Input, 2020. Each of `parts` hidden layers of `width`
    units sees every second slice of half the features; all parts together feed the output layer.

    Args:
        inputs: Number of features; even.
        outputs: Number of classes.
        width: Units of a part.
        parts: Number of parts.
        dropout: Rate before each part.
    """

    def __init__(self, inputs: int, outputs: int, width: int = 32, parts: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        self.slice_size = inputs // 2
        fed = [self.slice_size] + [self.slice_size + width] * (parts - 1)
        self.parts = nn.ModuleList(
            nn.Sequential(nn.Dropout(dropout), nn.Linear(size, width), nn.ReLU(inplace=True)) for size in fed
        )
        self.out = nn.Linear(width * parts, outputs)

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs) -> (N, outputs)."""
        slices = (features[:, : self.slice_size], features[:, self.slice_size : 2 * self.slice_size])
        answers = [self.parts[0](slices[0])]
        for number, part in enumerate(self.parts[1:], start=1):
            answers.append(part(torch.cat([slices[number % 2], answers[-1]], dim=1)))
        return self.out(torch.cat(answers, dim=1))
