"""What a task gives the shared loop: a network, batches, a loss and a score."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

BatchT = TypeVar("BatchT")


@dataclass(frozen=True)
class Evaluation:
    """How a network did on the validation examples.

    `score` selects the epoch, higher is better. `metrics` are printed and logged, name -> value.
    """

    score: float
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Moment:
    """Where a run stands while it learns from a batch.

    `done` is the share of the run that is over, `teacher` the moving average of the weights, in evaluation; `side`
    fills with the logits of the side heads while the network runs.
    """

    done: float = 0.0
    teacher: nn.Module | None = None
    side: Sequence[Tensor] = ()


class Task(ABC, Generic[BatchT]):
    """One kind of learning. Everything drawn at random depends on the epoch and the recipe's seed alone.

    The loop sets `moment` before every loss. `classes` is what a side head of deep supervision tells apart; None where
    the task is no classification.
    """

    moment: Moment = Moment()
    classes: int | None = None

    @abstractmethod
    def network(self) -> nn.Module:
        """A fresh network, its weights drawn from torch's global generator."""

    @property
    @abstractmethod
    def steps(self) -> int:
        """Batches in an epoch."""

    @abstractmethod
    def batches(self, epoch: int) -> Iterator[BatchT]:
        """The training batches of an epoch, the same ones whenever they are asked for."""

    @abstractmethod
    def loss(self, network: nn.Module, batch: BatchT, device: torch.device) -> Tensor:
        """Mean loss of the batch, a float32 scalar."""

    @abstractmethod
    def evaluate(self, network: nn.Module, device: torch.device) -> Evaluation:
        """Score the network (in evaluation mode) on the validation examples."""

    @abstractmethod
    def picture(self, network: nn.Module, device: torch.device, folder: Path) -> None:
        """Write the pictures that a person looks at after a run (confusion, worst mistakes, ...)."""
