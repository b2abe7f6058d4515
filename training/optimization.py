"""Optimizers with weight-decay groups, learning-rate schedules, and the moving average of the weights."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn

from training.recipe import Optimizer, Schedule


def build_optimizer(network: nn.Module, spec: Optimizer) -> torch.optim.Optimizer:
    """The recipe's optimizer over two groups: matrices and kernels decay, biases and normalisation weights do not."""
    decayed = [weight for weight in network.parameters() if weight.requires_grad and weight.ndim > 1]
    free = [weight for weight in network.parameters() if weight.requires_grad and weight.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": spec.weight_decay}, {"params": free, "weight_decay": 0.0}]
    if spec.name == "adamw":
        return torch.optim.AdamW(groups, lr=spec.learning_rate, betas=(spec.momentum, 0.999))
    return torch.optim.SGD(groups, lr=spec.learning_rate, momentum=spec.momentum, nesterov=spec.momentum > 0)


def rate_share(spec: Schedule, done: float, warmup: float) -> float:
    """Share of the full learning rate after the share `done` of the run (0 to 1); `warmup` is a share of the run."""
    if spec.name == "one_cycle":
        warmup = max(warmup, 0.3)
    if done < warmup:
        risen = done / warmup
        return 0.04 + 0.96 * (0.5 - 0.5 * math.cos(math.pi * risen) if spec.name == "one_cycle" else risen)
    fallen = (done - warmup) / max(1e-9, 1 - warmup)
    return spec.final_share + (1 - spec.final_share) * (0.5 + 0.5 * math.cos(math.pi * min(1.0, fallen)))


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every group."""
    for group in optimizer.param_groups:
        group["lr"] = rate


class MovingAverage:
    """Exponential moving average of weights and statistics; early steps count more: min(decay, (1 + t) / (10 + t))."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take in the network's present state."""
        self.updates += 1
        decay = min(self.decay, self.updates / (9 + self.updates))
        for mine, theirs in zip(self.network.state_dict().values(), network.state_dict().values(), strict=True):
            if mine.dtype.is_floating_point:
                mine.lerp_(theirs, 1 - decay)
            else:
                mine.copy_(theirs)
