"""The parts of a survey from the artifacts of their models."""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Protocol, runtime_checkable

from apps.fish.parts.dense import Counter, DenseLooker, DenseModel
from apps.fish.parts.found import PartModel, PartName
from apps.fish.parts.looking import FrameDetector, PartLooker
from apps.fish.parts.masks import MaskLooker
from apps.fish.parts.species import SpeciesLooker, SpeciesModel
from data.files import sha256_of
from data.taxonomy import Taxonomy
from deploy.runtime.artifact import Artifact
from deploy.runtime.spec import (
    SPEC_FILE,
    TAXONOMY_FILE,
    ArtifactSpec,
    CountingSpec,
    KindT,
    SegmentationSpec,
    SpeciesSpec,
)

SHIPPED: Final = "shipped"
"""The word for the model that comes with the suite."""
_WEIGHTS: Final = Path(__file__).resolve().parents[3] / "models" / "weights"


@runtime_checkable
class CountingDetector(Protocol):
    """A detector with the survey's counter in its network: frames that it was shown last are counted at no cost."""

    counter: Counter


@dataclass(frozen=True)
class ArtifactPart(ABC):
    """A part whose model is an artifact: its folder, and the score from which a detection is looked at."""

    folder: Path
    least_score: float
    name: ClassVar[PartName]

    @classmethod
    def of(cls, model: str, least_score: float) -> ArtifactPart:
        """The part with that model; see `folder_of`."""
        return cls(cls.folder_of(model), least_score)

    @classmethod
    def folder_of(cls, model: str) -> Path:
        """Where a model lies: a folder, or the word `SHIPPED`."""
        return _WEIGHTS / f"{cls.name}-int8" if model == SHIPPED else Path(model)

    @property
    def settings(self) -> str:
        """See `PartSource.settings`."""
        return f"{self.least_score:g}"

    @abstractmethod
    def describe(self) -> PartModel:
        """See `PartSource.describe`; what can be wrong is told by `deploy.runtime.artifact.Artifact.open`."""

    @abstractmethod
    def load(self, detector: FrameDetector) -> PartLooker:
        """See `PartSource.load`."""

    def _opened(self, kind: type[KindT]) -> tuple[KindT, str]:
        """The artifact's spec, and what stands for its answers."""
        artifact: Artifact[KindT] = Artifact.open(self.folder).of(kind)
        parts = sha256_of(self.folder / SPEC_FILE), artifact.choice.engine, artifact.choice.file
        return artifact.spec, hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _artifact(self) -> Artifact[ArtifactSpec]:
        return Artifact.open(self.folder)


class SpeciesPart(ArtifactPart):
    """Naming fish."""

    name = "species"

    def describe(self) -> SpeciesModel:
        """Check the artifact and its taxonomy."""
        spec, identity = self._opened(SpeciesSpec)
        taxonomy = Taxonomy.read(self.folder / TAXONOMY_FILE)
        taxonomy.check(spec.labels, self.folder / TAXONOMY_FILE)
        return SpeciesModel(spec.name, identity, spec.labels, spec.unknown_threshold, taxonomy.only(spec.labels))

    def load(self, detector: FrameDetector) -> SpeciesLooker:
        """Load the network on one thread."""
        from deploy.runtime.species import SpeciesNamer

        return SpeciesLooker(SpeciesNamer(self._artifact()), self.least_score)


class MasksPart(ArtifactPart):
    """Outlining fish."""

    name = "masks"

    def describe(self) -> PartModel:
        """Check the artifact."""
        spec, identity = self._opened(SegmentationSpec)
        return PartModel(spec.name, identity)

    def load(self, detector: FrameDetector) -> MaskLooker:
        """Load the network on one thread."""
        from deploy.runtime.segmenter import FishSegmenter

        return MaskLooker(FishSegmenter(self._artifact()), self.least_score)


class DensePart(ArtifactPart):
    """Counting fish by points."""

    name = "dense"

    @property
    def settings(self) -> str:
        """No score decides what it looks at."""
        return ""

    def describe(self) -> DenseModel:
        """Check the artifact."""
        spec, identity = self._opened(CountingSpec)
        return DenseModel(spec.name, identity, math.inf if spec.dense_from is None else spec.dense_from)

    def load(self, detector: FrameDetector) -> DenseLooker:
        """Take the counter that the detector brings along, where it does; else load the network on one thread."""
        if isinstance(detector, CountingDetector):
            return DenseLooker(detector.counter)
        from deploy.runtime.counter import DenseCounter

        return DenseLooker(DenseCounter(self._artifact()))
