"""How a network is shown frames: shrunk to its input, a few at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeAlias

import numpy as np

from data.errors import InputError
from data.frames import check_frames, fit_frame, frames_input
from data.preprocess import Image
from deploy.runtime.artifact import Artifact
from deploy.runtime.engines import Floats, Session
from deploy.runtime.spec import FrameSpec

BATCH: Final = 8
"""Frames that go through the network at once."""

Answer: TypeAlias = tuple[Floats, ...]
"""What a network answers to one frame: each of its outputs, without the batch."""

Look: TypeAlias = Callable[[Sequence[Image]], Iterable[Answer]]
"""Gives the answer to each of N frames (H, W, 3) BGR uint8, of any sizes; raises InputError where one is no picture."""


def look_with(session: Session, artifact: Artifact[FrameSpec]) -> Look:
    """Shows frames to a network of an artifact."""
    spec = artifact.spec.preprocessing

    def look(frames: Sequence[Image]) -> Iterator[Answer]:
        for start in range(0, len(frames), BATCH):
            batch = frames[start : start + BATCH]
            check_frames(batch, start)
            outputs = session.run(frames_input(np.stack([fit_frame(frame, spec) for frame in batch]), spec))
            yield from zip(*outputs, strict=True)

    return look


def check_numbers(answer: Answer, artifact: Artifact[FrameSpec]) -> None:
    """Refuse an answer that is no numbers.

    Raises:
        InputError: It holds NaN or infinity.
    """
    if not all(np.isfinite(output).all() for output in answer):
        path = artifact.folder / artifact.choice.file
        raise InputError(path, "answers with what is no number", cure="export the artifact again")
