"""Batches made by worker processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

BatchT = TypeVar("BatchT")


def in_workers(batches: Dataset[BatchT], workers: int) -> Iterator[BatchT]:
    """The batches of a dataset of whole batches, in order; without workers they are made where they are asked for."""
    return iter(DataLoader(batches, batch_size=None, num_workers=workers, worker_init_fn=_one_thread))


def _one_thread(_worker: int) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
