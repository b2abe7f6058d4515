"""What a model of each task says of pictures, as labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from data.curation.collection import Kind, Label, Provenance
from data.detections import Detections
from data.errors import InputError
from data.frames import fit_frame, frames_input
from data.masks import Mask
from data.preprocess import Image
from data.species import known_probabilities
from deploy.runtime.artifact import Artifact
from deploy.runtime.detector import FishDetector
from deploy.runtime.digits import decode
from deploy.runtime.embedding import Embedder, Prepared
from deploy.runtime.segmenter import FishSegmenter
from deploy.runtime.spec import ArtifactSpec, DetectionSpec, DigitSpec, SegmentationSpec, SpeciesSpec
from deploy.runtime.species import SpeciesNamer, decode_species

Floats = NDArray[np.float32]
PreparedT = TypeVar("PreparedT")

UNKNOWN_FISH: Final = "unknown fish"
"""What a fish is called that is of no species that the model knows."""


@dataclass(frozen=True)
class Answers:
    """What a model said of N pictures.

    Attributes:
        labels: Of each picture.
        probabilities: (N, C) calibrated, of the C `classes` of the answerer; None for tasks without such.
        embeddings: (N, D), where the same run of the network gave them.
    """

    labels: tuple[tuple[Label, ...], ...]
    probabilities: Floats | None = None
    embeddings: Floats | None = None


class Answerer(ABC, Generic[PreparedT]):
    """A model that says something of pictures.

    `kind` is what its labels speak of, `classes` what it can say (its probabilities, if any, count into them), `batch`
    the pictures that had best be asked together.
    """

    kind: Kind
    classes: tuple[str, ...]
    batch: int = 8

    def __init__(self, by: Provenance) -> None:
        self.by = by

    @abstractmethod
    def prepare(self, images: Sequence[Image]) -> PreparedT:
        """What the network takes of pictures as they are read, one or more; another thread may do it meanwhile."""

    @abstractmethod
    def answer(self, prepared: PreparedT) -> Answers:
        """What it says of them.

        Raises:
            InputError: The network answers with what is no number.
        """


class DigitAnswerer(Answerer[Prepared]):
    """Reads digits, "not a digit" being an answer like any other; embeds in the same run."""

    kind = "digits"

    def __init__(self, artifact: Artifact[ArtifactSpec], by: Provenance, threads: int = 1) -> None:
        super().__init__(by)
        self._spec = artifact.of(DigitSpec).spec
        self._embedder = Embedder(artifact, threads)
        self.classes = self._spec.labels
        self.batch = self._embedder.batch

    def prepare(self, images: Sequence[Image]) -> Prepared:
        """See `Answerer.prepare`."""
        return self._embedder.prepare(images)

    def answer(self, prepared: Prepared) -> Answers:
        """See `Answerer.answer`."""
        looked = self._embedder.look(prepared)
        read = decode(looked.outputs[0], self._spec.temperature, self._spec.accept_threshold)
        labels = tuple(self._said(row) for row in read.probabilities)
        return Answers(labels, read.probabilities, looked.embeddings)

    def _said(self, row: Floats) -> tuple[Label, ...]:
        best = int(row.argmax())
        return (Label(self.classes[best], self.by, confidence=float(row[best])),)


class SpeciesAnswerer(Answerer[Prepared]):
    """Names fish in crops; what is likelier no known species is an unknown fish.

    Probabilities count into the species, and last into `UNKNOWN_FISH`. Embeddings come along where the network that
    runs is the one that embeds.
    """

    kind = "species"

    def __init__(self, artifact: Artifact[ArtifactSpec], by: Provenance, threads: int = 1) -> None:
        super().__init__(by)
        self._spec = artifact.of(SpeciesSpec).spec
        self._namer = SpeciesNamer(artifact, threads)
        embedder = Embedder(artifact, threads)
        self._embedder = embedder if embedder.answers else None
        self.classes = (*self._spec.labels, UNKNOWN_FISH)
        self.batch = embedder.batch

    def prepare(self, images: Sequence[Image]) -> Prepared:
        """See `Answerer.prepare`."""
        spec = self._spec.preprocessing
        fitted = np.stack([fit_frame(in_colour(image), spec) for image in images])
        return Prepared(frames_input(fitted, spec), tuple((one.shape[1], one.shape[0]) for one in images))

    def answer(self, prepared: Prepared) -> Answers:
        """See `Answerer.answer`."""
        if self._embedder is None:
            return self._named(self._namer.score_inputs(prepared.inputs), None)
        looked, spec = self._embedder.look(prepared), self._spec
        raw = looked.outputs
        scores = decode_species(raw[0], raw[1], spec.temperature, spec.known_scale, spec.known_shift)
        return self._named(scores, looked.embeddings)

    def _named(self, scores: Floats, embeddings: Floats | None) -> Answers:
        chance = np.minimum(known_probabilities(scores), 1.0).astype(np.float32)
        probabilities = np.concatenate([np.exp(scores), 1 - chance[:, None]], axis=1)
        best = np.where(self._namer.known(scores), scores.argmax(axis=1), len(self.classes) - 1)
        labels = tuple(
            (Label(self.classes[label], self.by, confidence=float(min(row[label], 1.0))),)
            for label, row in zip(best, probabilities, strict=True)
        )
        return Answers(labels, probabilities, embeddings)


class BoxAnswerer(Answerer[tuple[Image, ...]]):
    """Finds or outlines objects: everything from the artifact's `least_score` up, as COCO's metrics want it."""

    kind: Kind = "detection"

    def __init__(self, artifact: Artifact[ArtifactSpec], by: Provenance, threads: int = 1) -> None:
        super().__init__(by)
        self._detector: FishDetector | None = None
        self._segmenter: FishSegmenter | None = None
        if isinstance(artifact.spec, SegmentationSpec):
            self.kind, self._segmenter = "segmentation", FishSegmenter(artifact, threads)
            self.classes = self._segmenter.names
        else:
            self._detector = FishDetector(artifact, threads)
            self.classes = self._detector.names

    def prepare(self, images: Sequence[Image]) -> tuple[Image, ...]:
        """See `Answerer.prepare`."""
        return tuple(in_colour(image) for image in images)

    def answer(self, prepared: tuple[Image, ...]) -> Answers:
        """See `Answerer.answer`."""
        if self._segmenter is not None:
            outlined = self._segmenter.segment(prepared)
            return Answers(tuple(self._labels(one.detections, one.masks) for one in outlined))
        found = [] if self._detector is None else self._detector.detect(prepared)
        return Answers(tuple(self._labels(one, None) for one in found))

    def _labels(self, found: Detections, masks: tuple[Mask, ...] | None) -> tuple[Label, ...]:
        return tuple(
            Label(
                self.classes[int(found.labels[number])],
                self.by,
                xyxy=found.xyxy[number],
                mask=None if masks is None else masks[number],
                confidence=float(found.scores[number]),
            )
            for number in range(len(found))
        )


def answerer(artifact: Artifact[ArtifactSpec], by: Provenance, threads: int = 1) -> Answerer[Any]:
    """What asks an artifact.

    Raises:
        InputError: It is for a task that says nothing of pictures that a label could hold.
        MissingDependencyError: Its engine, or the package `onnx`, is not installed.
    """
    if isinstance(artifact.spec, DigitSpec):
        return DigitAnswerer(artifact, by, threads)
    if isinstance(artifact.spec, SpeciesSpec):
        return SpeciesAnswerer(artifact, by, threads)
    if isinstance(artifact.spec, DetectionSpec | SegmentationSpec):
        return BoxAnswerer(artifact, by, threads)
    expected = "an artifact that reads digits, names species, or detects or outlines objects"
    raise InputError(artifact.folder, f"its task is {artifact.spec.task}, which gives no labels", expected=expected)


def in_colour(picture: Image) -> Image:
    """(H, W) or (H, W, 3) -> (H, W, 3) BGR."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR), np.uint8) if picture.ndim == 2 else picture
