"""Regularization of pictures and labels, as small parts that a recipe switches on.

All work on whole batches: inputs (N, C, H, W) and soft targets (N, K), rows summing to one. What a recipe can say is
in `training.regularization_spec`; what acts inside a network is in `training.internal`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.regularization_spec import InputRegularization, PictureRegularization


def smoothed(labels: Tensor, classes: int, smoothing: float) -> Tensor:
    """Targets (N, K): 1 - smoothing on the label, the rest spread evenly over all classes (Szegedy et al. 2016)."""
    return functional.one_hot(labels, classes).float() * (1 - smoothing) + smoothing / classes


def cutout(
    inputs: Tensor, share: float, area: tuple[float, float], rng: np.random.Generator, fill: float | None = None
) -> Tensor:
    """Erase one rectangle in `share` of the examples (DeVries and Taylor: Cutout, 2017).

    Args:
        inputs: (N, C, H, W).
        share: Share of the examples that get a hole.
        area: Smallest and largest share of the picture that a hole covers.
        rng: Source of the random numbers.
        fill: Value of the holes; None takes the example's least, which is paper for ink maps.

    Returns:
        A copy with holes.
    """
    inputs = inputs.clone()
    for number, hole in _holes(inputs, share, area, rng):
        hole[:] = inputs[number].min() if fill is None else fill
    return inputs


def random_erasing(inputs: Tensor, share: float, area: tuple[float, float], rng: np.random.Generator) -> Tensor:
    """Fill one rectangle with noise in `share` of the examples (Zhong et al.: Random erasing, AAAI 2020).

    The noise is even between the example's least and greatest value, whatever the scale of the inputs. Arguments as
    for `cutout`.
    """
    inputs = inputs.clone()
    for number, hole in _holes(inputs, share, area, rng):
        low, high = inputs[number].aminmax()
        noise = torch.as_tensor(rng.random(tuple(hole.shape), np.float32), device=hole.device)
        hole[:] = low + (high - low) * noise
    return inputs


def _holes(
    inputs: Tensor, share: float, area: tuple[float, float], rng: np.random.Generator
) -> Iterator[tuple[int, Tensor]]:
    """Examples that get a hole, and the part (C, h, w) of the picture that it covers."""
    height, width = inputs.shape[-2:]
    for number in np.flatnonzero(rng.random(len(inputs)) < share):
        side = np.sqrt(rng.uniform(*area))
        aspect = np.exp(rng.uniform(-0.7, 0.7) / 2)
        h, w = max(1, round(height * side * aspect)), max(1, round(width * side / aspect))
        top, left = rng.integers(0, max(1, height - h + 1)), rng.integers(0, max(1, width - w + 1))
        yield int(number), inputs[number, :, top : top + h, left : left + w]


def with_holes(
    inputs: Tensor, spec: PictureRegularization, rng: np.random.Generator, fill: float | None = None
) -> Tensor:
    """The pictures after Cutout and random erasing, where the recipe switches them on. Arguments as for `cutout`."""
    if spec.cutout:
        inputs = cutout(inputs, spec.cutout, spec.cutout_area, rng, fill)
    if spec.random_erasing:
        inputs = random_erasing(inputs, spec.random_erasing, spec.cutout_area, rng)
    return inputs


@dataclass(frozen=True)
class Blend:
    """Every example of a batch with another one: `weight` of itself, the rest of the example number `other` (N,)."""

    weight: float
    other: Tensor

    @classmethod
    def draw(cls, count: int, alpha: float, rng: np.random.Generator) -> Blend:
        """A weight from Beta(alpha, alpha) and partners for `count` examples."""
        return cls(float(rng.beta(alpha, alpha)), torch.as_tensor(rng.permutation(count)))

    def __call__(self, values: Tensor) -> Tensor:
        """(N, ...) -> the same shape."""
        return self.weight * values + (1 - self.weight) * values[self.other.to(values.device)]


def mixup(inputs: Tensor, targets: Tensor, alpha: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Blend every example with another and their targets alike (Zhang et al. 2018); weight from Beta(alpha, alpha)."""
    blend = Blend.draw(len(inputs), alpha, rng)
    return blend(inputs), blend(targets)


def cutmix(inputs: Tensor, targets: Tensor, alpha: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Paste a rectangle of another example; targets weigh by the area kept (Yun et al. 2019)."""
    weight = float(rng.beta(alpha, alpha))
    other = torch.as_tensor(rng.permutation(len(inputs)))
    height, width = inputs.shape[-2:]
    h, w = round(height * np.sqrt(1 - weight)), round(width * np.sqrt(1 - weight))
    top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
    mixed = inputs.clone()
    mixed[..., top : top + h, left : left + w] = inputs[other][..., top : top + h, left : left + w]
    kept = 1 - h * w / (height * width)
    return mixed, kept * targets + (1 - kept) * targets[other]


def regularized(
    inputs: Tensor, targets: Tensor, spec: InputRegularization, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """The batch with every input regularization that the recipe switches on."""
    inputs = with_holes(inputs, spec, rng)
    mixers = [(mixer, alpha) for mixer, alpha in ((mixup, spec.mixup), (cutmix, spec.cutmix)) if alpha]
    if mixers and rng.random() < spec.mixed_share:
        mixer, alpha = mixers[int(rng.integers(len(mixers)))]
        inputs, targets = mixer(inputs, targets, alpha, rng)
    return inputs, targets


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over the batch of -sum(targets * log softmax(logits)); both (N, K)."""
    return -(targets * functional.log_softmax(logits.float(), dim=1)).sum(dim=1).mean()
