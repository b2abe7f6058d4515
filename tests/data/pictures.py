"""Sets of pictures with boxes, made up for tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.boxes import no_boxes
from data.readers import DetectionSet

SIZE_WH = (640, 360)


class GreyPictures:
    """Every picture is plain grey."""

    def read(self, index: int) -> np.ndarray:
        return np.full((SIZE_WH[1], SIZE_WH[0], 3), index % 256, np.uint8)


def detection_set(
    boxes: Sequence[Sequence[Sequence[float]]],
    *,
    labels: Sequence[Sequence[int]] | None = None,
    sites: Sequence[str] | None = None,
    clips: Sequence[str] | None = None,
    names: tuple[str, ...] = ("fish",),
    exhaustive: Sequence[bool] | None = None,
) -> DetectionSet:
    """Pictures of `SIZE_WH`, one for each list of boxes (left, top, right, bottom)."""
    ids = [f"{number}.jpg" for number in range(len(boxes))]
    xyxy = tuple(np.array(one, np.float32) if len(one) else no_boxes() for one in boxes)
    return DetectionSet(
        "made-up",
        names,
        ids=np.array(ids, np.str_),
        sites=np.array(sites if sites is not None else [""] * len(ids), np.str_),
        clips=np.array(clips if clips is not None else ids, np.str_),
        exhaustive=np.array(exhaustive if exhaustive is not None else [True] * len(ids), np.bool_),
        sizes_wh=np.tile(np.array(SIZE_WH), (len(ids), 1)),
        xyxy=xyxy,
        labels=tuple(
            np.array(labels[n] if labels is not None else [0] * len(one), np.int64) for n, one in enumerate(boxes)
        ),
        places=np.arange(len(ids)),
        images=GreyPictures(),
    )
