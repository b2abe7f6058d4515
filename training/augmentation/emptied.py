"""Empty water: what the frames of a camera that stands still have in common, without the fish that pass.

A network that only ever sees some place full of fish learns the place. Here it is shown the same place without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from data.preprocess import Image
from training.augmentation.windows import LabelledPicture

FRAMES: Final = 15
"""Frames of a clip that it is emptied with; shorter clips stay as they are."""


def emptied(picture: LabelledPicture, frames: Sequence[Image]) -> LabelledPicture:
    """The median, pixel by pixel, of frames of the picture's clip: fish that are elsewhere in most of them are gone.

    A fish that rests through most of the clip stays in it, unlabelled, and so does what a camera smears that moves.

    Args:
        picture: One picture of the clip.
        frames: `FRAMES` of the clip, of its size.
    """
    median = np.rint(np.median(np.stack(frames), axis=0)).astype(np.uint8)
    masks = None if picture.masks is None else ()
    return replace(picture, image=median, xyxy=picture.xyxy[:0], labels=picture.labels[:0], masks=masks)
