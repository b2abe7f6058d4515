"""What counters are taught by: points alone, one in each object.

Each loss compares the network's objects in each cell, `rates` (N, rows, columns), with points in units of cells. All
are means over the pictures, float32 scalars, and work on a grid of any size, 1 x 1 included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Literal

import torch
from torch import Tensor

LossName = Literal["process", "bayesian", "density"]

_SPREAD: Final = 1.0
"""Standard deviation, in cells, of how far a point may lie from its object's middle."""
_LEAST_RATE: Final = 1e-6
_BACKGROUND: Final = 6.0
"""Distance in cells of the dummy background from the nearest point, as in Bayesian+."""
_DENSITY_WEIGHT: Final = 10.0


def splat(points: Tensor, image: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Points as objects in cells, each shared by the four cells whose middles are around it; sums stay.

    Args:
        points: (M, 2) x, y in cells, counted from the edge of the first.
        image: (M,) int64, which picture of the batch each lies in.
        shape: N, rows, columns.

    Returns:
        (N, rows, columns) float32.
    """
    count, rows, columns = shape
    flat = torch.zeros(count * rows * columns, device=points.device)
    low = torch.floor(points - 0.5)
    part = points - 0.5 - low
    for dx in (0, 1):
        for dy in (0, 1):
            x, y = (low[:, 0] + dx).long().clamp(0, columns - 1), (low[:, 1] + dy).long().clamp(0, rows - 1)
            weight = (part[:, 0] if dx else 1 - part[:, 0]) * (part[:, 1] if dy else 1 - part[:, 1])
            flat.index_add_(0, (image * rows + y) * columns + x, weight.float())
    return flat.view(count, rows, columns)


def process_loss(rates: Tensor, points: Tensor, image: Tensor) -> Tensor:
    """The negative log-likelihood of the points under a Poisson process of these rates.

    Sum of the rates minus the sum of log rate at the points: no width of any bump to choose, and the minimum is the
    expected number of objects in every cell, so sums are unbiased (Daley and Vere-Jones, 2003, chapter 7).
    """
    target = splat(points, image, _shape(rates))
    return (rates - target * torch.log(rates.clamp(min=_LEAST_RATE))).sum(dim=(1, 2)).mean()


def bayesian_loss(rates: Tensor, points: Tensor, image: Tensor) -> Tensor:
    """Each point expects one object among the cells that are likely its own, the background none (Ma et al., 2019)."""
    count, rows, columns = _shape(rates)
    y, x = torch.meshgrid(
        torch.arange(rows, device=rates.device) + 0.5, torch.arange(columns, device=rates.device) + 0.5, indexing="ij"
    )
    cells = torch.stack([x.flatten(), y.flatten()], dim=1)
    losses = [_expected(rates[n].flatten(), cells, points[image == n].float()) for n in range(count)]
    return torch.stack(losses).mean()


def _expected(rates: Tensor, cells: Tensor, points: Tensor) -> Tensor:
    """The Bayesian loss of one picture: rates (M,) at cells (M, 2), and points (P, 2)."""
    if not len(points):
        return rates.sum()
    squared = torch.cdist(points, cells).square()
    nearest = squared.amin(dim=0, keepdim=True)
    background = (_BACKGROUND - nearest.sqrt()).clamp(min=0).square()
    chances = torch.softmax(torch.cat([squared, background]) / (-2 * _SPREAD**2), dim=0)
    expected = chances @ rates
    return (expected[:-1] - 1).abs().sum() + expected[-1]


def density_loss(rates: Tensor, points: Tensor, image: Tensor) -> Tensor:
    """Squared distance from Gaussian bumps around the points, each of sum one (Zhang et al., 2016; CSRNet)."""
    target = _blurred(splat(points, image, _shape(rates)))
    return _DENSITY_WEIGHT * (rates - target).square().sum(dim=(1, 2)).mean()


def _blurred(target: Tensor) -> Tensor:
    """Each object spread over its neighbours; what would leave the grid stays at its edge."""
    for axis in (1, 2):
        reach = min(3, target.shape[axis] - 1)
        weights = torch.exp(-torch.arange(-reach, reach + 1, device=target.device).float().square() / (2 * _SPREAD**2))
        place = torch.arange(target.shape[axis], device=target.device)
        spread = torch.zeros_like(target)
        for weight, step in zip((weights / weights.sum()).tolist(), range(-reach, reach + 1), strict=True):
            spread.index_add_(axis, (place + step).clamp(0, len(place) - 1), weight * target)
        target = spread
    return target


def _shape(rates: Tensor) -> tuple[int, int, int]:
    count, rows, columns = rates.shape
    return count, rows, columns


LOSSES: Final[Mapping[LossName, Callable[[Tensor, Tensor, Tensor], Tensor]]] = MappingProxyType(
    {"process": process_loss, "bayesian": bayesian_loss, "density": density_loss}
)
"""Every loss by the name that a recipe calls it by."""
