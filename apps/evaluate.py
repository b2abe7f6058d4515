"""`shankha evaluate`: score any artifact on labelled pictures, through the runtime alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from json import dumps
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console, Group
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from apps import counting_scores, species_scores
from apps.counting_scores import CountingReport, report_counts
from apps.detection_scores import DetectionReport, report_detections, report_json, report_tables
from apps.mask_scores import MaskReport, masks_json, masks_table, report_masks
from apps.scores import DigitScores, score, scores_json, scores_table
from apps.species_scores import evaluate_species
from data.errors import InputError, ShankhaError
from data.files import write_text
from data.preprocess import Image, ink_image
from data.readers import DetectionSet, DigitSet, Problem, as_fish, read_detections, read_digits
from data.readers.detectionset import FISH, outlined_once, with_classes
from deploy.runtime.artifact import Artifact
from deploy.runtime.counter import DenseCounter
from deploy.runtime.detector import FishDetector
from deploy.runtime.digits import BATCH, DigitReader, DigitReadings
from deploy.runtime.segmenter import FishSegmenter
from deploy.runtime.spec import (
    ArtifactSpec,
    CountingSpec,
    DetectionSpec,
    DigitSpec,
    EngineName,
    SegmentationSpec,
    SpeciesSpec,
)

SeenT = TypeVar("SeenT")


def evaluate(
    artifact: Annotated[Path, typer.Argument(metavar="ARTIFACT", help="Artifact folder.")],
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            metavar="FOLDER",
            help="For digits: class folders, or a known dataset. For frames: a YOLO folder, COCO json, or points.csv. "
            "For species: a folder of crops a species.",
        ),
    ],
    split: Annotated[
        str | None, typer.Option("--split", metavar="NAME", help="Part of the dataset, such as test or a source.")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write every number here.")] = None,
    engine: Annotated[
        EngineName | None,
        typer.Option("--engine", help="Which of the artifact's networks to score; without it, the one that would run."),
    ] = None,
) -> None:
    """Score an artifact on labelled data.

    Digits: accuracy, classes, calibration, and what review would cost. Detectors: COCO's metrics by size and site,
    precision and recall at the threshold, calibration, and counts. Segmenters: all
    of these, and the same of their masks. Counters: errors of the count by abundance and site,
    and grid errors. Species: accuracy, mean recall, names by vote, and what is made of unknown species.

    Example: shankha evaluate digits-int8 --data my-digits --json scores.json
    """
    opened = Artifact.open(artifact, engine)
    tables, tree = _scored(opened, data, split)
    Console().print(tables)
    if json is not None:
        write_text(json, dumps(tree, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _scored(artifact: Artifact[ArtifactSpec], data: Path, split: str | None) -> tuple[Group, dict[str, Any]]:
    """The scores for the screen and for a file."""
    if isinstance(artifact.spec, DetectionSpec):
        report = evaluate_detector(artifact, data, split)
        return report_tables(report), report_json(report, artifact.of(DetectionSpec))
    if isinstance(artifact.spec, SegmentationSpec):
        report, masks = evaluate_segmenter(artifact, data, split)
        tree = report_json(report, artifact.of(SegmentationSpec)) | {"masks": masks_json(masks)}
        return Group(masks_table(masks), report_tables(report)), tree
    if isinstance(artifact.spec, CountingSpec):
        counts = evaluate_counter(artifact, data, split)
        return counting_scores.report_tables(counts), counting_scores.report_json(counts, artifact.of(CountingSpec))
    if isinstance(artifact.spec, SpeciesSpec):
        names = evaluate_species(artifact, data, split)
        return species_scores.report_tables(names), species_scores.report_json(names, artifact.of(SpeciesSpec))
    scores = evaluate_digits(artifact, data, split)
    return scores_table(scores), scores_json(scores, artifact.of(DigitSpec))


def evaluate_detector(artifact: Artifact[ArtifactSpec], data: Path, split: str | None = None) -> DetectionReport:
    """Look at every picture of a dataset, one at a time, and score what is found.

    A detector of the one class "fish" is scored on all classes that are fish; any other on the classes of its names.

    Raises:
        ShankhaError: The dataset cannot be read (see `data.readers.read_detections`).
        InputError: It has no class that the detector knows, or not one picture of it is readable.
    """
    detector = FishDetector(artifact)
    truth = _known_classes(read_detections(data, split), detector.names, data)
    started = time.perf_counter()
    indices, found, problems = _look_at_all(detector.detect, truth)
    seconds = time.perf_counter() - started
    _require(len(indices), problems, data, "pictures with boxes")
    return report_detections(truth.select(indices), found, detector.threshold, problems, seconds)


def evaluate_segmenter(
    artifact: Artifact[ArtifactSpec], data: Path, split: str | None = None
) -> tuple[DetectionReport, MaskReport]:
    """Outline what is in every picture of a dataset, one at a time, and score the boxes and the masks.

    Raises:
        ShankhaError: The dataset cannot be read (see `data.readers.read_detections`).
        InputError: It has no class that the segmenter knows, no mask, or not one picture of it is readable.
    """
    segmenter = FishSegmenter(artifact)
    truth = outlined_once(_known_classes(read_detections(data, split, masks=True), segmenter.names, data))
    if not any(mask is not None for own in truth.masks or () for mask in own):
        why = f" that can be used{_first(truth.problems)}" if truth.problems else ""
        expected = "COCO json with polygons or run lengths, or YOLO polygons"
        raise InputError(data, f"holds no masks{why}", expected=expected)
    started = time.perf_counter()
    indices, seen, problems = _look_at_all(segmenter.segment, truth)
    seconds = time.perf_counter() - started
    _require(len(indices), problems, data, "pictures with masks")
    chosen, found = truth.select(indices), [one.detections for one in seen]
    report = report_detections(chosen, found, segmenter.threshold, problems, seconds)
    return report, report_masks(chosen, seen, segmenter.threshold)


def evaluate_counter(artifact: Artifact[ArtifactSpec], data: Path, split: str | None = None) -> CountingReport:
    """Count the fish in every picture of a dataset, one at a time, and score the counts.

    Raises:
        ShankhaError: The dataset cannot be read (see `data.readers.read_detections`).
        InputError: Not one picture of it is readable, or in none of them every fish is labelled.
    """
    counter = DenseCounter(artifact)
    truth = _known_classes(read_detections(data, split), (FISH,), data)
    started = time.perf_counter()
    indices, seen, problems = _look_at_all(counter.densities, truth)
    seconds = time.perf_counter() - started
    _require(
        int(np.count_nonzero(truth.exhaustive[indices])), problems, data, "pictures in which every fish is labelled"
    )
    return report_counts(truth.select(indices), seen, problems, seconds, localizes=counter.localizes)


def _known_classes(truth: DetectionSet, names: tuple[str, ...], data: Path) -> DetectionSet:
    mapped = as_fish(truth) if names == (FISH,) else with_classes(truth, names)
    if truth.boxes and not mapped.boxes:
        found = f"has boxes of {', '.join(truth.names)}"
        raise InputError(data, found, expected=" or ".join(names), cure="name the classes in data.yaml or the json")
    return mapped


def _look_at_all(
    look: Callable[[Sequence[Image]], list[SeenT]], truth: DetectionSet
) -> tuple[NDArray[np.int64], list[SeenT], tuple[Problem, ...]]:
    """Indices of the readable pictures, what was seen in each, and the others with their reasons."""
    problems = list(truth.problems)
    indices: list[int] = []
    found: list[SeenT] = []
    with _progress() as bar:
        task = bar.add_task("looking", total=len(truth))
        for index in range(len(truth)):
            try:
                found += look([truth.read(index)])
                indices.append(index)
            except ShankhaError as error:
                problems.append(Problem.of(error, str(truth.ids[index])))
            bar.advance(task)
    return np.array(indices, np.int64), found, tuple(problems)


def _require(count: int, problems: Sequence[Problem], data: Path, expected: str) -> None:
    if not count:
        raise InputError(data, f"holds no readable picture{_first(problems)}", expected=expected)


def _first(problems: Sequence[Problem]) -> str:
    return f"; the first of {len(problems)}: {problems[0].name} {problems[0].why}" if problems else ""


def evaluate_digits(artifact: Artifact[ArtifactSpec], data: Path, split: str | None = None) -> DigitScores:
    """Read every picture of a dataset, one at a time, and score the answers.

    Raises:
        ShankhaError: The dataset cannot be read (see `data.readers.read_digits`).
        InputError: Not one picture of it is readable.
    """
    digits = read_digits(data, split)
    reader = DigitReader(artifact)
    started = time.perf_counter()
    indices, readings, problems = _read_all(reader, digits)
    seconds = time.perf_counter() - started
    _require(len(indices), problems, data, "pictures of digits")
    return score(digits.select(indices), readings, problems, seconds)


def _read_all(reader: DigitReader, digits: DigitSet) -> tuple[NDArray[np.int64], DigitReadings, tuple[Problem, ...]]:
    """Indices of the readable pictures, what was read in them, and the others with their reasons.

    One picture is decoded at a time and shrunk to its frame of ink, so memory stays flat however many and however
    large they are.
    """
    spec = reader.artifact.spec.preprocessing
    problems = list(digits.problems)
    indices: list[int] = []
    frames: list[Image] = []
    parts: list[DigitReadings] = []
    with _progress() as bar:
        task = bar.add_task("reading", total=len(digits))
        for index in range(len(digits)):
            try:
                frames.append(ink_image(digits.read(index), spec, digits.polarity))
                indices.append(index)
            except ShankhaError as error:
                problems.append(Problem.of(error, str(digits.names[index])))
            if len(frames) == BATCH:
                parts.append(reader.read_frames(np.stack(frames)))
                frames.clear()
            bar.advance(task)
    parts.append(reader.read_frames(np.stack(frames) if frames else np.zeros((0, spec.size, spec.size), np.uint8)))
    return np.array(indices, np.int64), _joined(parts), tuple(problems)


def _joined(parts: Sequence[DigitReadings]) -> DigitReadings:
    names = [field.name for field in fields(DigitReadings)]
    return DigitReadings(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)
