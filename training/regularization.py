"""Regularization of the input and label families, as small parts that a recipe switches on.

After the three families of Santos and Papa, "Avoiding overfitting: a survey on regularization methods for
convolutional neural networks" (2022): input (here), internal (`models.blocks`, options of a network), label (here).
All work on whole batches: inputs (N, C, H, W) and soft targets (N, K), rows summing to one.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.recipe import InputRegularization


def smoothed(labels: Tensor, classes: int, smoothing: float) -> Tensor:
    """Targets (N, K): 1 - smoothing on the label, the rest spread evenly over all classes (Szegedy et al. 2016)."""
    return functional.one_hot(labels, classes).float() * (1 - smoothing) + smoothing / classes


def cutout(
    inputs: Tensor, share: float, area: tuple[float, float], rng: np.random.Generator, fill: float | None = None
) -> Tensor:
    """Erase one rectangle in `share` of the examples (DeVries and Taylor 2017; Zhong et al. 2020).

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
    height, width = inputs.shape[-2:]
    for number in np.flatnonzero(rng.random(len(inputs)) < share):
        side = np.sqrt(rng.uniform(*area))
        aspect = np.exp(rng.uniform(-0.7, 0.7) / 2)
        h, w = max(1, round(height * side * aspect)), max(1, round(width * side / aspect))
        top, left = rng.integers(0, max(1, height - h + 1)), rng.integers(0, max(1, width - w + 1))
        hole = inputs[number].min() if fill is None else fill
        inputs[number, :, top : top + h, left : left + w] = hole
    return inputs


def mixup(inputs: Tensor, targets: Tensor, alpha: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Blend every example with another and their targets alike (Zhang et al. 2018); weight from Beta(alpha, alpha)."""
    weight = float(rng.beta(alpha, alpha))
    other = torch.as_tensor(rng.permutation(len(inputs)))
    return weight * inputs + (1 - weight) * inputs[other], weight * targets + (1 - weight) * targets[other]


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
    if spec.cutout:
        inputs = cutout(inputs, spec.cutout, spec.cutout_area, rng)
    mixers = [(mixer, alpha) for mixer, alpha in ((mixup, spec.mixup), (cutmix, spec.cutmix)) if alpha]
    if mixers and rng.random() < spec.mixed_share:
        mixer, alpha = mixers[int(rng.integers(len(mixers)))]
        inputs, targets = mixer(inputs, targets, alpha, rng)
    return inputs, targets


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over the batch of -sum(targets * log softmax(logits)); both (N, K)."""
    return -(targets * functional.log_softmax(logits.float(), dim=1)).sum(dim=1).mean()
