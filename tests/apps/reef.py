"""Pictures in which a detector of bright cells finds most fish, as COCO json tells them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import cv2

from tests.deploy.bright import SIZE_WH, frame

Cell = tuple[int, int]
SCENES: Final[dict[str, tuple[list[Cell], list[Cell]]]] = {
    "1001_A_f000000": ([(0, 0), (3, 2)], [(0, 0), (3, 2)]),
    "1001_A_f000001": ([(1, 1)], [(1, 1), (4, 3)]),
    "2002_B_f000000": ([(2, 2), (5, 0)], [(2, 2)]),
    "2002_B_f000001": ([], []),
}
"""What is bright, and what is a fish: one fish missed, one bright cell that is none, one empty picture."""


def coco_reef(folder: Path, told: Callable[[Cell], dict[str, Any]]) -> Path:
    """The pictures with a file val.json, in which each fish has an annotation: what is `told` of its cell."""
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for number, (name, (bright, fish)) in enumerate(SCENES.items(), 1):
        cv2.imwrite(str(folder / "images" / f"{name}.png"), frame(*bright))
        images.append({"id": number, "file_name": f"{name}.png", "width": SIZE_WH[0], "height": SIZE_WH[1]})
        for cell in fish:
            annotations.append({"id": len(annotations) + 1, "image_id": number, "category_id": 7} | told(cell))
    tree = {"images": images, "annotations": annotations, "categories": [{"id": 7, "name": "fish"}]}
    (folder / "val.json").write_text(json.dumps(tree))
    return folder
