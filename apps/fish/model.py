"""The detector of an artifact, for a survey."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from apps.fish.detecting import FrameDetector, Model
from data.files import sha256_of
from deploy.runtime.artifact import Artifact
from deploy.runtime.detector import FishDetector
from deploy.runtime.spec import SPEC_FILE, DetectionSpec

SHIPPED_MODEL: Final = Path(__file__).resolve().parents[2] / "models" / "weights" / "fish-int8"


@dataclass(frozen=True)
class ArtifactSource:
    """A detector from an artifact's folder. Its spec holds the hashes of all its files."""

    folder: Path

    def describe(self) -> Model:
        """Check the artifact; see `deploy.runtime.artifact.Artifact.open` for what can be wrong with it."""
        artifact = Artifact.open(self.folder).of(DetectionSpec)
        spec, choice = artifact.spec, artifact.choice
        parts = sha256_of(self.folder / SPEC_FILE), choice.engine, choice.file
        identity = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        return Model(spec.name, identity, spec.labels, spec.threshold, spec.least_score)

    def load(self) -> FrameDetector:
        """Load the network on one thread: decoding needs the other."""
        return FishDetector(Artifact.open(self.folder))
