"""Reading digit pictures with an artifact: preprocessing, network, calibration, acceptance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.labels import DIGIT_CLASSES, NOT_A_DIGIT
from data.metrics import softmax
from data.preprocess import Image, Polarity, ink_batch, network_input
from deploy.runtime.artifact import Artifact
from deploy.runtime.spec import ArtifactSpec, DigitSpec

BATCH: Final = 256
"""Pictures that go through the network at once."""


@dataclass(frozen=True)
class DigitReadings:
    """What was read in N pictures.

    Attributes:
        logits: (N, 11) float32, as the network gives them.
        probabilities: (N, 11) float32, calibrated: softmax of the logits over the artifact's temperature.
        values: (N,) int64, the likeliest of the ten digits.
        confidences: (N,) float32, calibrated probability of that digit.
        runner_ups: (N,) int64, the second likeliest digit.
        not_a_digit: (N,) bool, whether "not a digit" is likelier than every digit.
        accepted: (N,) bool, whether no person needs to look: a digit, and confident enough.
    """

    logits: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    values: NDArray[np.int64]
    confidences: NDArray[np.float32]
    runner_ups: NDArray[np.int64]
    not_a_digit: NDArray[np.bool_]
    accepted: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.values)


def decode(logits: NDArray[np.float32], temperature: float, accept_threshold: float) -> DigitReadings:
    """Turn logits (N, 11) into readings."""
    probabilities = softmax(logits, temperature).astype(np.float32)
    # A stable sort of the negated logits: the lower digit first on a tie, as argmax has it.
    order = np.argsort(-logits[:, :NOT_A_DIGIT], axis=1, kind="stable")
    values = order[:, 0].astype(np.int64)
    confidences = np.take_along_axis(probabilities, values[:, None], axis=1)[:, 0]
    not_a_digit = logits.argmax(axis=1) == NOT_A_DIGIT
    return DigitReadings(
        logits=logits,
        probabilities=probabilities,
        values=values,
        confidences=confidences,
        runner_ups=order[:, 1].astype(np.int64),
        not_a_digit=not_a_digit,
        accepted=~not_a_digit & (confidences >= np.float32(accept_threshold)),
    )


class DigitReader:
    """Reads digits with an artifact.

    Args:
        artifact: An opened digits artifact.
        threads: Threads of the network; preprocessing runs in the calling thread.

    Raises:
        InputError: It is for another task, the model cannot be loaded, or does not map ink to logits as its spec says.
    """

    def __init__(self, artifact: Artifact[ArtifactSpec], threads: int = 1) -> None:
        self.artifact = artifact.of(DigitSpec)
        self._session = artifact.session(threads)

    def read(self, images: Sequence[Image], polarity: Polarity = "auto") -> DigitReadings:
        """Read pictures of one digit each.

        Args:
            images: N pictures of any size, (H, W) grey or (H, W, 3) BGR, uint8. N may be 0.
            polarity: Whether the ink is dark or light; "auto" decides for each picture.
        """
        return self.read_frames(ink_batch(images, self.artifact.spec.preprocessing, polarity))

    def read_frames(self, frames: Image) -> DigitReadings:
        """Read (N, size, size) uint8 frames of ink, as `data.preprocess.ink_image` makes them."""
        spec = self.artifact.spec
        logits = self.logits(network_input(frames, spec.preprocessing))
        return decode(logits, spec.temperature, spec.accept_threshold)

    def logits(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 11) logits of network inputs (N, 1, size, size)."""
        parts = [np.zeros((0, len(DIGIT_CLASSES)), np.float32)]
        parts += [self._session.run(inputs[start : start + BATCH])[0] for start in range(0, len(inputs), BATCH)]
        return np.concatenate(parts)
