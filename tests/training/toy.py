"""A task small enough to train in a second: which of two blobs a point belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from training.classification import ClassificationLoss
from training.recipe import DigitRecipe
from training.regularization_spec import Regularization
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


class ImageTask(ToyTask):
    """The same points as small pictures, for a network of maps and the loss of classifiers."""

    classes = 2
    spec = Regularization.model_validate({"internal": {"deep_supervision": 0.5}, "label": {"distillation": 0.5}})

    def network(self) -> nn.Module:
        return _MapNet()

    def loss(self, network: nn.Module, batch: tuple[Tensor, Tensor], device: torch.device) -> Tensor:
        points, labels = batch
        learn = ClassificationLoss(2, self.spec)
        return learn(network, _pictures(points).to(device), labels, self.moment, np.random.default_rng(0))

    def evaluate(self, network: nn.Module, device: torch.device) -> Evaluation:
        points, labels = next(iter(ToyTask(seed=99).batches(0)))
        with torch.no_grad():
            right = (network(_pictures(points)).argmax(dim=1) == labels).float().mean().item()
        return Evaluation(right, {"accuracy": right})


class _MapNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.feature_maps = {"first": 4, "second": 4}
        self.first, self.second = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 1)
        self.answer = nn.Linear(4, 2)

    def forward(self, pictures: Tensor) -> Tensor:
        features = torch.relu(self.second(torch.relu(self.first(pictures))))
        return self.answer(features.mean(dim=(2, 3)))


def _pictures(points: Tensor) -> Tensor:
    return points[:, :, None, None].expand(-1, -1, 4, 4).contiguous()
