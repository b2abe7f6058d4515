"""A task small enough to train in a second: which of two blobs a point belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from training.recipe import DigitRecipe
from training.task import Evaluation, Task

STEPS = 6


def recipe(**changes: object) -> DigitRecipe:
    tree = {
        "name": "toy",
        "task": "digits",
        "network": {"name": "vgg5"},
        "data": {"train": [{"folder": "nowhere"}]},
        "epochs": 4,
        "optimizer": {"name": "adamw", "learning_rate": 0.02},
        "precision": "float32",
        "workers": 0,
    }
    return DigitRecipe.model_validate(tree | changes)


class ToyTask(Task[tuple[Tensor, Tensor]]):
    def __init__(self, seed: int = 3, spoil: bool = False, stop_in_epoch: int | None = None) -> None:
        self.seed, self.spoil, self.stop_in_epoch = seed, spoil, stop_in_epoch

    def network(self) -> nn.Module:
        return nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2))

    @property
    def steps(self) -> int:
        return STEPS

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        rng = np.random.default_rng([self.seed, epoch])
        for step in range(STEPS):
            if epoch == self.stop_in_epoch and step == STEPS // 2:
                raise KeyboardInterrupt
            labels = rng.integers(0, 2, 32)
            points = rng.normal(labels[:, None] * 2.0 - 1.0, 0.7, (32, 2)).astype(np.float32)
            yield torch.from_numpy(points), torch.from_numpy(labels)

    def loss(self, network: nn.Module, batch: tuple[Tensor, Tensor], device: torch.device) -> Tensor:
        points, labels = batch
        loss = nn.functional.cross_entropy(network(points.to(device)), labels.to(device))
        return loss * float("nan") if self.spoil else loss

    def evaluate(self, network: nn.Module, device: torch.device) -> Evaluation:
        points, labels = next(iter(ToyTask(seed=99).batches(0)))
        with torch.no_grad():
            right = (network(points.to(device)).argmax(dim=1).cpu() == labels).float().mean().item()
        return Evaluation(right, {"accuracy": right})

    def picture(self, network: nn.Module, device: torch.device, folder: Path) -> None:
        (folder / "seen.txt").write_text("pictures were asked for")
