"""The detector of an artifact, for a survey."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from apps.fish.detecting import Model
from apps.fish.parts.dense import Counter
from apps.fish.parts.looking import FrameDetector
from data.detections import Detections
from data.errors import ShankhaError
from data.files import sha256_of
from data.preprocess import Image
from deploy.runtime.artifact import Artifact
from deploy.runtime.detector import FishDetector
from deploy.runtime.onepass import OnePass, one_pass
from deploy.runtime.spec import SPEC_FILE, ArtifactSpec, DetectionSpec

_LEAST_KEPT: Final = 0.1
SHIPPED_MODEL: Final = Path(__file__).resolve().parents[2] / "models" / "weights" / "fish-int8"


@dataclass(frozen=True)
class ArtifactSource:
    """A detector from an artifact's folder. Its spec holds the hashes of all its files.

    `counter` is the artifact of a counter that is asked about the same frames, if any.
    """

    folder: Path
    counter: Path | None = None

    def describe(self) -> Model:
        """Check the artifact; see `deploy.runtime.artifact.Artifact.open` for what can be wrong with it."""
        artifact = Artifact.open(self.folder).of(DetectionSpec)
        spec, choice = artifact.spec, artifact.choice
        least = least_kept(spec)
        parts = sha256_of(self.folder / SPEC_FILE), choice.engine, choice.file, f"{least:g}"
        identity = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        return Model(spec.name, identity, spec.labels, spec.threshold, least)

    def load(self) -> FrameDetector:
        """Load the network on one thread: decoding needs the other.

        Where the counter's network gives the detector's answers too, that one is loaded, for both.
        """
        artifact = Artifact.open(self.folder)
        least = least_kept(artifact.of(DetectionSpec).spec)
        both = self._both(artifact)
        if both is None:
            return _Surer(FishDetector(artifact), least)
        return _SurerAndCounter(both.detector, least, both.counter)

    def _both(self, artifact: Artifact[ArtifactSpec]) -> OnePass | None:
        if self.counter is None:
            return None
        try:
            counter = Artifact.open(self.counter)
            return OnePass(artifact, counter) if one_pass(artifact, counter) else None
        except ShankhaError:  # it is told by the part that counts, which goes without it
            return None


class _Surer:
    """A detector of which only detections from a score on are kept."""

    def __init__(self, detector: FrameDetector, least: float) -> None:
        self._detector = detector
        self._least = np.float32(least)

    def detect(self, frames: Sequence[Image]) -> list[Detections]:
        """See `FrameDetector.detect`."""
        return [found.select(np.flatnonzero(found.scores >= self._least)) for found in self._detector.detect(frames)]


class _SurerAndCounter(_Surer):
    """The same of a detector whose network counts too."""

    def __init__(self, detector: FrameDetector, least: float, counter: Counter) -> None:
        super().__init__(detector, least)
        self.counter = counter


def least_kept(spec: DetectionSpec) -> float:
    """The score from which a survey keeps detections.

    An artifact gives many more than anybody counts, for curves of precision and recall. Scores are probabilities: of
    boxes below 0.1 nine in ten show no fish, tracks begin higher, and an hour of them would fill the memory. A model
    that counts from so low a score that 0.1 is near it keeps them from half that score on.
    """
    return max(spec.least_score, min(_LEAST_KEPT, spec.threshold / 2))
