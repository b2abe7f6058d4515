"""`shankha evaluate`: score any digits artifact on labelled pictures, through the runtime alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import fields
from json import dumps
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from apps.scores import DigitScores, score, scores_json, scores_table
from data.errors import InputError, ShankhaError
from data.files import write_text
from data.preprocess import Image, ink_image
from data.readers import DigitSet, Problem, read_digits
from deploy.runtime.artifact import Artifact
from deploy.runtime.digits import BATCH, DigitReader, DigitReadings


def evaluate(
    artifact: Annotated[Path, typer.Argument(metavar="ARTIFACT", help="Artifact folder.")],
    data: Annotated[
        Path, typer.Option("--data", metavar="FOLDER", help="Class folders of pictures, or a known dataset.")
    ],
    split: Annotated[
        str | None, typer.Option("--split", metavar="NAME", help="Part of the dataset, such as test or a source.")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write every number here.")] = None,
) -> None:
    """Score an artifact on labelled digits: accuracy, classes, calibration, and what review would cost.

    Example: shankha evaluate digits-int8 --data my-digits --json scores.json
    """
    opened = Artifact.open(artifact)
    scores = evaluate_digits(opened, data, split)
    Console().print(scores_table(scores))
    if json is not None:
        write_text(json, dumps(scores_json(scores, opened), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def evaluate_digits(artifact: Artifact, data: Path, split: str | None = None) -> DigitScores:
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
    if not len(indices):
        why = f"; the first of {len(problems)}: {problems[0].name} {problems[0].why}" if problems else ""
        raise InputError(data, f"holds no readable picture{why}", expected="pictures of digits")
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
