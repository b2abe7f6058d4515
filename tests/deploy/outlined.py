"""A segmenter whose right answers are plain: it outlines what is bright in the bright cells of a frame."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from data.masks import from_picture
from data.preprocess import Image
from data.readers import DetectionSet
from deploy.graph import write_graph
from deploy.packing import write_artifact
from deploy.runtime.artifact import Artifact
from deploy.runtime.spec import MODEL_FILE, segmenter_graph
from models.detector import BoxTargets
from models.segmenter import MASK_STRIDE, Segmenter
from tests.deploy import bright

CELL = bright.CELL


class OutlinedCells(Segmenter):
    """Boxes and logits of `BrightCells`; two prototypes, brightness and nothing, and the coefficients (1, 0)."""

    def __init__(self, names: int = 1) -> None:
        super().__init__()
        self.classes, self.prototypes = names, 2
        self.cells = bright.BrightCells(names)
        self.brightness = nn.Conv2d(3, 2, MASK_STRIDE, MASK_STRIDE)
        with torch.no_grad():
            self.brightness.weight[0] = 20 / (3 * MASK_STRIDE**2 * 255)
            self.brightness.weight[1] = 0
            self.brightness.bias.copy_(torch.tensor([-5.0, 0.0]))

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, ...]:
        boxes, logits = self.cells(frames)
        coefficients = torch.cat([boxes[..., :1] * 0 + 1, boxes[..., :1] * 0], dim=-1)
        return boxes, logits, coefficients, self.brightness(frames)

    def loss(self, raw: Any, targets: BoxTargets) -> torch.Tensor:
        raise TypeError("it learns nothing")


def half_bright(*cells: tuple[int, int]) -> Image:
    """A frame in whose cells (column, row) the left 12 of 16 pixels are bright."""
    image = np.zeros((bright.SIZE_WH[1], bright.SIZE_WH[0], 3), np.uint8)
    for column, row in cells:
        image[row * CELL : (row + 1) * CELL, column * CELL : column * CELL + 12] = 255
    return image


def pictures(count: int, seed: int = 0) -> DetectionSet:
    """The pictures of `bright.pictures` with the whole cell as the mask of each fish."""
    plain = bright.pictures(count, seed)
    whole = np.ones((CELL, CELL))
    masks = tuple(tuple(from_picture(whole, int(box[0]), int(box[1])) for box in own) for own in plain.xyxy)
    return replace(plain, masks=masks)


def outlined_artifact(place: Path, **changes: Any) -> Artifact[Any]:
    names = len(changes.get("labels", ("fish",)))
    write_graph(OutlinedCells(names), segmenter_graph(bright.SPEC, names, 2, MASK_STRIDE), place / "outlined.onnx")
    own = {"task": "segmentation", "name": "outlined", "prototypes": 2, "mask_stride": MASK_STRIDE}
    return write_artifact(
        place / "outlined", bright.spec(**own, **changes), {MODEL_FILE: (place / "outlined.onnx").read_bytes()}
    )
