"""A detector whose right answers are plain: it finds the bright cells of a frame. And pictures for it, with truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from data.frames import FramePreprocessing
from data.preprocess import Image
from data.readers import DetectionSet
from deploy.graph import write_graph
from deploy.packing import write_artifact
from deploy.runtime.artifact import Artifact
from deploy.runtime.spec import MODEL_FILE, detector_graph

SIZE_WH = (96, 64)
SPEC = FramePreprocessing(size_wh=SIZE_WH)
CELL = 16
COLUMNS, ROWS = SIZE_WH[0] // CELL, SIZE_WH[1] // CELL


class BrightCells(nn.Module):
    """Frames (N, 3, 64, 96) -> boxes (N, 24, 4), the cells; logits (N, 24, names), 10 in a white cell, -10 in a black.

    Every name after the first sees the same, but less surely.
    """

    def __init__(self, names: int = 1) -> None:
        super().__init__()
        self.classes = names
        self.mean = nn.Conv2d(3, 8, CELL, CELL, bias=False)
        self.logits = nn.Conv2d(8, names, 1)
        nn.init.constant_(self.mean.weight, 1 / (3 * CELL * CELL * 255))
        nn.init.constant_(self.logits.weight, 20 / 8)
        with torch.no_grad():
            self.logits.bias.copy_(-10 - 2.0 * torch.arange(names))
        y, x = torch.meshgrid(torch.arange(ROWS), torch.arange(COLUMNS), indexing="ij")
        corner = torch.stack([x, y], dim=-1).reshape(-1, 2).float() * CELL
        self.register_buffer("cells", torch.cat([corner, corner + CELL], dim=1))

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = self.logits(nn.functional.relu(self.mean(frames))).flatten(2).transpose(1, 2)
        return self.cells + 0 * logits[..., :1], logits


@dataclass(frozen=True)
class Drawn:
    """Pictures in memory."""

    frames: tuple[Image, ...]

    def read(self, index: int) -> Image:
        return self.frames[index]


def frame(*cells: tuple[int, int], brightness: int = 255) -> Image:
    """(64, 96, 3) black but for the cells (column, row)."""
    image = np.zeros((SIZE_WH[1], SIZE_WH[0], 3), np.uint8)
    for column, row in cells:
        image[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = brightness
    return image


def box(column: int, row: int) -> list[float]:
    return [column * CELL, row * CELL, (column + 1) * CELL, (row + 1) * CELL]


def pictures(count: int, seed: int = 0) -> DetectionSet:
    """Frames whose bright cells are fish; some fish are dim, and some bright cells are none."""
    rng = np.random.default_rng(seed)
    frames, xyxy = [], []
    for _ in range(count):
        chosen = [divmod(int(cell), ROWS) for cell in rng.choice(COLUMNS * ROWS, 4, replace=False)]
        image = np.zeros((SIZE_WH[1], SIZE_WH[0], 3), np.uint8)
        for cell in chosen:
            image = np.maximum(image, frame(cell, brightness=int(rng.integers(110, 220))))
        frames.append(image)
        is_fish = [image[row * CELL, column * CELL, 0] > rng.integers(90, 200) for column, row in chosen]
        boxes = [box(*cell) for cell, fish in zip(chosen, is_fish, strict=True) if fish]
        xyxy.append(np.array(boxes, np.float32).reshape(-1, 4))
    ids = np.array([f"{number}.png" for number in range(count)])
    return DetectionSet(
        "drawn", ("fish",), ids, np.full(count, "reef"), ids, np.ones(count, bool),
        np.tile(np.array([SIZE_WH]), (count, 1)), tuple(xyxy), tuple(np.zeros(len(one), np.int64) for one in xyxy),
        np.arange(count), Drawn(tuple(frames)),
    )  # fmt: skip


def graph_bytes(place: Path, names: int = 1) -> bytes:
    write_graph(BrightCells(names), detector_graph(SPEC, names), place / "bright.onnx")
    return (place / "bright.onnx").read_bytes()


def spec(**changes: Any) -> dict[str, Any]:
    """Everything that an artifact of the bright cells says but its files."""
    return {
        "task": "detection",
        "name": "bright",
        "network": "bright-cells",
        "labels": ("fish",),
        "preprocessing": SPEC,
        "models": ({"engine": "onnxruntime", "precision": "float32", "file": MODEL_FILE},),
        "score_scale": 1.0,
        "score_shift": 0.0,
        "nms_iou": 0.6,
        "least_score": 0.01,
        "threshold": 0.5,
    } | changes


def bright_artifact(place: Path, **changes: Any) -> Artifact[Any]:
    model = graph_bytes(place, len(changes.get("labels", ("fish",))))
    return write_artifact(place / "bright", spec(**changes), {MODEL_FILE: model})
