"""The loss that every classifier of the suite learns by, with all the regularization that acts on labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from models.places import feature_maps
from training.internal import changed_output
from training.regularization import Blend, regularized, smoothed, soft_cross_entropy
from training.regularization_spec import LabelRegularization, Regularization
from training.task import Moment

Criterion = Callable[[Tensor, Tensor], Tensor]
"""Mean loss of logits (N, K) against soft targets (N, K)."""


@dataclass(frozen=True)
class ClassificationLoss:
    """The loss of a batch under a recipe's regularization.

    Args:
        classes: Number of classes.
        spec: What acts on inputs, maps and labels.
        criterion: What is made small.
    """

    classes: int
    spec: Regularization
    criterion: Criterion = soft_cross_entropy

    def __call__(
        self, network: nn.Module, inputs: Tensor, labels: Tensor, moment: Moment, rng: np.random.Generator
    ) -> Tensor:
        """The criterion of the network's answer, and `deep_supervision` times that of every side head: a scalar.

        Args:
            network: Gives logits (N, classes).
            inputs: (N, C, H, W).
            labels: (N,) int64.
            moment: Where the run stands.
            rng: Source of the random numbers.
        """
        spec = self.spec
        targets = smoothed(labels, self.classes, smoothing_at(spec.label, moment.done))
        inputs, targets = regularized(inputs, targets, spec.input, rng)
        targets = taught(targets, inputs, spec.label.distillation * moment.done, moment.teacher)
        if spec.internal.manifold_mixup:
            logits, targets = mixed_inside(network, inputs, targets, spec.internal.manifold_mixup, rng)
        else:
            logits = network(inputs)
        loss = self.criterion(logits, targets)
        for side in moment.side:
            loss = loss + spec.internal.deep_supervision * self.criterion(side, targets)
        return loss


def mixed_inside(
    network: nn.Module, inputs: Tensor, targets: Tensor, alpha: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """The network's logits with the examples mixed at its input or at one of its maps, and targets mixed alike.

    Verma et al.: Manifold mixup, ICML 2019. The place is drawn anew for every batch.
    """
    blend = Blend.draw(len(inputs), alpha, rng)
    maps = feature_maps(network)
    place = int(rng.integers(-1, len(maps)))
    if place < 0:
        return network(blend(inputs)), blend(targets)
    with changed_output(maps[place].module, blend):
        return network(inputs), blend(targets)


def smoothing_at(spec: LabelRegularization, done: float) -> float:
    """Smoothing of the labels after the share `done` of the run.

    The two stages of Xu et al.: Towards understanding label smoothing, 2020 (TSLA): smoothed labels, then hard ones.
    """
    return spec.smoothing if done < spec.smoothed_share else 0.0


def taught(targets: Tensor, inputs: Tensor, share: float, teacher: nn.Module | None) -> Tensor:
    """Targets of which `share` are the teacher's probabilities for the same inputs.

    The share grows as in Kim et al.: Self-knowledge distillation with progressive refinement of targets, ICCV 2021; the
    teacher is the moving average of the weights, as in Tarvainen and Valpola: Mean teachers, NeurIPS 2017.
    """
    if share == 0 or teacher is None:
        return targets
    with torch.no_grad():
        answer = teacher(inputs)
    # What a network tells in evaluation beside its logits comes after them.
    logits = answer[0] if isinstance(answer, tuple) else answer
    return (1 - share) * targets + share * logits.float().softmax(dim=1)
