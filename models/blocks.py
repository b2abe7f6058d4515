"""Building blocks of the digit networks, the internal regularizers among them.

Internal regularization acts inside the network and only while it trains: `DropBlock` and `StochasticDepth` here,
plain dropout from torch, and deep supervision as extra heads (`models.digits`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class ConvNormAct(nn.Sequential):
    """3x3 convolution, batch norm, ReLU: (N, inputs, H, W) -> (N, outputs, H / stride, W / stride).

    ReLU, because its output is never negative: unsigned activations then lose no bit to the sign.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
        )


class DropBlock(nn.Module):
    """Zero square blocks of every feature map, so that neighbours cannot fill in for each other.

    Ghiasi, Lin, Le: DropBlock, NeurIPS 2018. Block centres are drawn with probability
    gamma = rate / block^2 * H W / ((H - block + 1) (W - block + 1)); what is left is scaled to keep its mean.

    Args:
        rate: Share of a map to be dropped.
        block: Side of a block in feature-map pixels.
    """

    def __init__(self, rate: float, block: int = 3) -> None:
        super().__init__()
        self.rate = rate
        self.block = block

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        if not self.training or self.rate == 0:
            return features
        height, width = features.shape[-2:]
        block = min(self.block, height, width)
        room = (height - block + 1) * (width - block + 1)
        gamma = self.rate / block**2 * height * width / room
        centres = (
            torch.rand((*features.shape[:2], height - block + 1, width - block + 1), device=features.device) < gamma
        )
        padded = functional.pad(centres.float(), (block - 1,) * 4)
        kept = 1 - functional.max_pool2d(padded, block, stride=1)
        return features * kept * (kept.numel() / kept.sum().clamp(min=1)).to(features.dtype)


class StochasticDepth(nn.Module):
    """Skip a residual branch for whole examples (Huang et al., ECCV 2016); kept ones are scaled by 1 / (1 - rate)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape, some examples all zero."""
        if not self.training or self.rate == 0:
            return branch
        kept = (torch.rand(branch.shape[0], 1, 1, 1, device=branch.device) >= self.rate).to(branch.dtype)
        return branch * kept / (1 - self.rate)


class Residual(nn.Module):
    """Features plus a branch of one or two convolutions over them; shape stays."""

    def __init__(self, channels: int, depth: int = 1, skip_rate: float = 0.0) -> None:
        super().__init__()
        layers: list[nn.Module] = [ConvNormAct(channels, channels) for _ in range(depth - 1)]
        layers += [nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)]
        self.branch = nn.Sequential(*layers)
        self.skip = StochasticDepth(skip_rate)
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
