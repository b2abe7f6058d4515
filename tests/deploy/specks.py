"""A counter whose right answers are plain: every white cell of 8 x 8 pixels is one fish. And pictures for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from data.frames import FramePreprocessing
from data.preprocess import Image
from data.readers import DetectionSet
from deploy.graph import write_graph
from deploy.packing import write_artifact
from deploy.runtime.artifact import Artifact
from deploy.runtime.spec import MODEL_FILE, counting_graph
from models.counting import Counter
from tests.deploy.bright import Drawn

CELL = 8
GRID_WH = (12, 8)
SIZE_WH = (CELL * GRID_WH[0], CELL * GRID_WH[1])
SPEC = FramePreprocessing(size_wh=SIZE_WH, padding=0)


class Specks(Counter):
    """Frames (N, 3, 64, 96) -> (N, 8, 12), 1 in a white cell, and `haze` everywhere besides."""

    def __init__(self, haze: float = 0.0) -> None:
        super().__init__()
        self.haze = haze
        self.mean = nn.Conv2d(3, 4, CELL, CELL, bias=False)
        self.rate = nn.Conv2d(4, 1, 1)
        nn.init.constant_(self.mean.weight, 1 / (3 * CELL * CELL * 255))
        nn.init.constant_(self.rate.weight, 1 / 4)
        nn.init.zeros_(self.rate.bias)  # type: ignore[arg-type]

    def grid_wh(self, size_wh: tuple[int, int]) -> tuple[int, int]:
        return size_wh[0] // CELL, size_wh[1] // CELL

    def forward(self, images: Tensor) -> Tensor:
        return torch.relu(self.rate(self.mean(images))[:, 0]) + self.haze


def frame(*cells: tuple[int, int]) -> Image:
    """(64, 96, 3) black but for the cells (column, row)."""
    image = np.zeros((SIZE_WH[1], SIZE_WH[0], 3), np.uint8)
    for column, row in cells:
        image[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = 255
    return image


def middle(column: int, row: int) -> list[float]:
    return [(column + 0.5) * CELL, (row + 0.5) * CELL]


def pictures(count: int, seed: int = 0) -> DetectionSet:
    """Frames of 0 to 14 fish, some of which nobody labelled."""
    rng = np.random.default_rng(seed)
    frames, xyxy = [], []
    for _ in range(count):
        flat = rng.choice(GRID_WH[0] * GRID_WH[1], rng.integers(0, 15), replace=False)
        cells = [(int(one % GRID_WH[0]), int(one // GRID_WH[0])) for one in flat]
        frames.append(frame(*cells))
        labelled = [cell for cell in cells if rng.random() < 0.95]
        corners = CELL * np.array(labelled, np.float32).reshape(-1, 2)
        xyxy.append(np.concatenate([corners, corners + CELL], axis=1))
    ids = np.array([f"{number}.png" for number in range(count)])
    return DetectionSet(
        "specks", ("fish",), ids, np.full(count, "reef"), ids, np.ones(count, bool),
        np.tile(np.array([SIZE_WH]), (count, 1)), tuple(xyxy), tuple(np.zeros(len(one), np.int64) for one in xyxy),
        np.arange(count), Drawn(tuple(frames)),
    )  # fmt: skip


def spec(**changes: Any) -> dict[str, Any]:
    """Everything that an artifact of the specks says but its files."""
    return {
        "task": "counting",
        "name": "specks",
        "network": "specks",
        "preprocessing": SPEC,
        "models": ({"engine": "onnxruntime", "precision": "float32", "file": MODEL_FILE},),
        "grid_wh": GRID_WH,
        "scales": (1.0,),
        "dense_from": 6.5,
    } | changes


def specks_artifact(place: Any, network: Counter | None = None, **changes: Any) -> Artifact[Any]:
    place.mkdir(exist_ok=True)
    write_graph(network or Specks(), counting_graph(SPEC, GRID_WH), place / "specks.onnx")
    return write_artifact(place / "specks", spec(**changes), {MODEL_FILE: (place / "specks.onnx").read_bytes()})
