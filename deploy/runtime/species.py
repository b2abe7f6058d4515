"""Naming fish in crops with an artifact: preprocessing, network, calibrated probabilities, unknown fish."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.boxes import Boxes
from data.errors import InputError
from data.frames import fit_frame, frames_input
from data.preprocess import Image
from data.species import crops_around, known_probabilities
from data.taxonomy import Taxonomy
from deploy.runtime.artifact import Artifact
from deploy.runtime.spec import TAXONOMY_FILE, ArtifactSpec, SpeciesSpec

BATCH: Final = 32
"""Crops that go through the network at once."""


class SpeciesNamer:
    """Names fish in crops.

    Args:
        artifact: An opened species artifact.
        threads: Threads of the network; everything else runs in the calling thread.

    Raises:
        InputError: It is for another task, the model cannot be loaded, or does not map crops to logits as its spec
            says.
    """

    def __init__(self, artifact: Artifact[ArtifactSpec], threads: int = 1) -> None:
        self.artifact = artifact.of(SpeciesSpec)
        self._session = artifact.session(threads)

    @property
    def names(self) -> tuple[str, ...]:
        """The C species, keys of the artifact's taxonomy."""
        return self.artifact.spec.labels

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels that crops are brought to."""
        return self.artifact.spec.preprocessing.size_wh

    @property
    def unknown_threshold(self) -> float:
        """The probability of being of a known species from which a fish gets a name; what `vote` takes."""
        return self.artifact.spec.unknown_threshold

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """The artifact's own taxonomy.

        Raises:
            ShankhaError: It is no taxonomy, or disagrees with the model.
        """
        path = self.artifact.folder / TAXONOMY_FILE
        found = Taxonomy.read(path)
        found.check(self.names, path)
        return found

    def crops(self, frame: Image, xyxy: Boxes) -> list[Image]:
        """Cut the fish of boxes (N, 4) out of a frame (H, W, 3), with as much around them as the model learnt from."""
        return crops_around(frame, xyxy, self.artifact.spec.crop_margin)

    def score(self, crops: Sequence[Image]) -> NDArray[np.float32]:
        """Calibrated log-probabilities (N, C) of the species.

        A row sums, as probabilities, to the probability that the fish is of one of them; see `data.species`.

        Args:
            crops: N crops (H, W, 3) BGR uint8, of any sizes. N may be 0.

        Raises:
            InputError: A crop is no picture, or the network answers with what is no number.
        """
        parts = [np.zeros((0, len(self.names)), np.float32)]
        for start in range(0, len(crops), BATCH):
            batch = crops[start : start + BATCH]
            _check_crops(batch, start)
            spec = self.artifact.spec.preprocessing
            parts.append(self.score_inputs(frames_input(np.stack([fit_frame(crop, spec) for crop in batch]), spec)))
        return np.concatenate(parts)

    def score_inputs(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same for network inputs (N, 3, height, width), N of 1 or more."""
        spec = self.artifact.spec
        return decode_species(*self.raw(inputs), spec.temperature, spec.known_scale, spec.known_shift)

    def raw(self, inputs: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Logits (N, C) and familiarity (N, 1), as the network gives them for inputs (N, 3, height, width).

        Raises:
            InputError: The network answers with what is no number.
        """
        logits, familiarity = self._session.run(inputs)
        if not (np.isfinite(logits).all() and np.isfinite(familiarity).all()):
            path = self.artifact.folder / self.artifact.choice.file
            raise InputError(path, "answers with what is no number", cure="export the artifact again")
        return logits, familiarity

    def known(self, scores: NDArray[np.float32]) -> NDArray[np.bool_]:
        """(N, C) log-probabilities of `score` -> (N,) whether each fish is of a known species."""
        return known_probabilities(scores) >= self.unknown_threshold


def decode_species(
    logits: NDArray[np.float32], familiarity: NDArray[np.float32], temperature: float, scale: float, shift: float
) -> NDArray[np.float32]:
    """log p(species) = log softmax(logits / temperature) + log sigmoid(scale * familiarity + shift).

    Args:
        logits: (N, C).
        familiarity: (N, 1), higher for what looks more like the training crops.
        temperature: Above 0.
        scale: Above 0.
        shift: Any.

    Returns:
        (N, C) float32.
    """
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    among = scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))
    known = -np.logaddexp(0.0, -(scale * familiarity.astype(np.float64) + shift))
    return np.asarray(among + known, np.float32)


def _check_crops(crops: Sequence[Image], start: int) -> None:
    for number, crop in enumerate(crops, start):
        if crop.dtype != np.uint8 or crop.ndim != 3 or crop.shape[2] != 3 or not crop.size:
            raise InputError(
                f"crop {number}", f"is {crop.dtype} of shape {crop.shape}", expected="uint8 (height, width, 3)"
            )
