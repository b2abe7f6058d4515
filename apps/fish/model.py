"""The detector of an artifact, for a survey."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from apps.fish.detecting import FrameDetector, Model
from data.detections import Detections
from data.files import sha256_of
from data.preprocess import Image
from deploy.runtime.artifact import Artifact
from deploy.runtime.detector import FishDetector
from deploy.runtime.spec import SPEC_FILE, DetectionSpec

_LEAST_KEPT: Final = 0.1
SHIPPED_MODEL: Final = Path(__file__).resolve().parents[2] / "models" / "weights" / "fish-int8"


@dataclass(frozen=True)
class ArtifactSource:
    """A detector from an artifact's folder. Its spec holds the hashes of all its files."""

    folder: Path

    def describe(self) -> Model:
        """Check the artifact; see `deploy.runtime.artifact.Artifact.open` for what can be wrong with it."""
        artifact = Artifact.open(self.folder).of(DetectionSpec)
        spec, choice = artifact.spec, artifact.choice
        least = least_kept(spec)
        parts = sha256_of(self.folder / SPEC_FILE), choice.engine, choice.file, f"{least:g}"
        identity = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        return Model(spec.name, identity, spec.labels, spec.threshold, least)

    def load(self) -> FrameDetector:
        """Load the network on one thread: decoding needs the other."""
        artifact = Artifact.open(self.folder)
        return _Surer(FishDetector(artifact), least_kept(artifact.of(DetectionSpec).spec))


class _Surer:
    """A detector of which only detections from a score on are kept."""

    def __init__(self, detector: FrameDetector, least: float) -> None:
        self._detector = detector
        self._least = np.float32(least)

    def detect(self, frames: Sequence[Image]) -> list[Detections]:
        """See `FrameDetector.detect`."""
        return [found.select(np.flatnonzero(found.scores >= self._least)) for found in self._detector.detect(frames)]


def least_kept(spec: DetectionSpec) -> float:
    """The score from which a survey keeps detections.

    An artifact gives many more than anybody counts, for curves of precision and recall. Scores are probabilities: of
    boxes below 0.1 nine in ten show no fish, tracks begin higher, and an hour of them would fill the memory. A model
    that counts from so low a score that 0.1 is near it keeps them from half that score on.
    """
    return max(spec.least_score, min(_LEAST_KEPT, spec.threshold / 2))
