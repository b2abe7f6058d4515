"""Scores of a species model on labelled crops: computed, as JSON, and as a table. Keys: docs/species.md."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, Group
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from data.errors import InputError, ShankhaError
from data.metrics import (
    Accuracy,
    ClassScores,
    accuracy_of,
    class_scores,
    confusion_matrix,
    expected_calibration_error,
    wilson_interval,
)
from data.readers.crops import CropSet, CropSplit, read_crops
from data.readers.digitset import Problem
from data.species import Named, known_probabilities, vote
from deploy.runtime.artifact import Artifact
from deploy.runtime.spec import ArtifactSpec, SpeciesSpec
from deploy.runtime.species import BATCH, SpeciesNamer

_DRAWS: Final = 1000
_SHOWN_CONFUSIONS: Final = 3
_SHOWN_PROBLEMS: Final = 10


@dataclass(frozen=True)
class Unknown:
    """A species that the model was not taught: how many of its crops, and of its fish by vote, are called unknown."""

    name: str
    crops: Accuracy
    fish: Accuracy


@dataclass(frozen=True)
class SpeciesReport:
    """Everything that is known about one artifact on one set of crops.

    Accuracy, classes, confusion (C, C), macro recall and calibration count crops of known species, each a forced choice
    among the C names. `macro` is the mean recall of the species that have crops, with a 95 % interval from drawing the
    fish of each species anew. `rejected` are the known crops that are called unknown. `fish` are known fish named right
    by the vote of their crops, an unknown one being wrong, and `fish_rejected` those called unknown.
    """

    data: str
    names: tuple[str, ...]
    accuracy: Accuracy
    classes: ClassScores
    confusion: NDArray[np.integer[Any]]
    fish_of_class: NDArray[np.integer[Any]]
    macro: float
    macro_interval: tuple[float, float]
    ece: float
    rejected: Accuracy
    fish: Accuracy
    fish_rejected: Accuracy
    unknown: tuple[Unknown, ...]
    problems: tuple[Problem, ...]
    left_out: tuple[Problem, ...]
    seconds: float

    @property
    def unknown_crops(self) -> Accuracy:
        """Crops of all unknown species, and how many of them are called unknown."""
        return _pooled([one.crops for one in self.unknown])


def evaluate_species(artifact: Artifact[ArtifactSpec], data: Path, split: str | None = None) -> SpeciesReport:
    """Name every crop of a folder and score the names.

    Folders named after no species of the model are unknown species to it.

    Raises:
        ShankhaError: The folder cannot be read (see `data.readers.crops.read_crops`).
        InputError: No crop of it is readable, or none is of a species that the model knows.
    """
    namer = SpeciesNamer(artifact)
    told = namer.artifact.spec.training.get("split")
    crops = read_crops(data, split, CropSplit.model_validate(told) if told else None)
    started = time.perf_counter()
    indices, scores, problems = _scored(namer, crops)
    seconds = time.perf_counter() - started
    if not len(indices):
        raise InputError(data, "holds no readable picture", expected="crops in a folder a species")
    return report_species(crops.select(indices), scores, namer, problems, seconds)


def _scored(namer: SpeciesNamer, crops: CropSet) -> tuple[NDArray[np.int64], NDArray[np.float32], tuple[Problem, ...]]:
    """Indices of the readable crops, their log-probabilities, and the others with their reasons."""
    problems = list(crops.problems)
    indices: list[int] = []
    parts = [np.zeros((0, len(namer.names)), np.float32)]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("naming", total=len(crops))
        for start in range(0, len(crops), BATCH):
            images = []
            for index in range(start, min(start + BATCH, len(crops))):
                try:
                    images.append(crops.read(index))
                    indices.append(index)
                except ShankhaError as error:
                    problems.append(Problem.of(error, str(crops.files[index])))
                bar.advance(task)
            parts.append(namer.score(images))
    return np.array(indices, np.int64), np.concatenate(parts), tuple(problems)


def report_species(
    crops: CropSet, scores: NDArray[np.float32], namer: SpeciesNamer, problems: tuple[Problem, ...], seconds: float
) -> SpeciesReport:
    """Compare the log-probabilities (N, C) of crops with their species."""
    names = namer.names
    label_of = np.array([names.index(name) if name in names else -1 for name in crops.names], np.int64)
    labels = label_of[crops.labels]
    known = labels >= 0
    if not known.any():
        found = f"holds none of the model's species, but {', '.join(crops.names[:3])}"
        raise InputError(crops.name, found, expected=", ".join(names[:3]))
    read = scores.argmax(axis=1).astype(np.int64)
    is_known = namer.known(scores)
    confusion = confusion_matrix(labels[known], read[known], len(names))
    classes = class_scores(confusion)
    voted = _votes(crops.groups, scores, namer)
    of_fish = {group: int(label) for group, label in zip(crops.groups.tolist(), labels, strict=True)}
    taught = [(group, voted[group]) for group in voted if of_fish[group] >= 0]
    among = scores.max(axis=1) - np.log(known_probabilities(scores))
    return SpeciesReport(
        data=crops.name,
        names=names,
        accuracy=accuracy_of(read[known] == labels[known]),
        classes=classes,
        confusion=confusion,
        fish_of_class=np.bincount([of_fish[group] for group, _ in taught], minlength=len(names)),
        macro=float(np.nanmean(classes.recall)),
        macro_interval=macro_interval(labels[known], read[known] == labels[known], crops.groups[known]),
        ece=expected_calibration_error(np.exp(among[known]), read[known] == labels[known]),
        rejected=accuracy_of(~is_known[known]),
        fish=accuracy_of(np.array([names[of_fish[group]] == named.name for group, named in taught], np.bool_)),
        fish_rejected=accuracy_of(np.array([named.name is None for _, named in taught], np.bool_)),
        unknown=_unknown(crops, label_of, is_known, voted),
        problems=problems,
        left_out=crops.left_out,
        seconds=seconds,
    )


def _votes(groups: NDArray[np.str_], scores: NDArray[np.float32], namer: SpeciesNamer) -> dict[str, Named]:
    """The name of each fish, every crop of it counting alike."""
    unique, inverse = np.unique(groups, return_inverse=True)
    voted = {}
    for number, group in enumerate(unique):
        own = scores[inverse == number]
        voted[str(group)] = vote(own, np.ones(len(own)), namer.names, namer.unknown_threshold)
    return voted


def _unknown(
    crops: CropSet, label_of: NDArray[np.int64], is_known: NDArray[np.bool_], voted: dict[str, Named]
) -> tuple[Unknown, ...]:
    found = []
    for number in np.flatnonzero((label_of < 0) & (np.bincount(crops.labels, minlength=len(label_of)) > 0)):
        own = crops.labels == number
        nameless = np.array([voted[str(group)].name is None for group in np.unique(crops.groups[own])], np.bool_)
        found.append(Unknown(crops.names[number], accuracy_of(~is_known[own]), accuracy_of(nameless)))
    return tuple(found)


def macro_interval(
    labels: NDArray[np.int64], right: NDArray[np.bool_], groups: NDArray[np.str_]
) -> tuple[float, float]:
    """95 % interval of the mean recall: of 1,000 draws, each with as many fish of every species, drawn with return.

    A species of a single fish always gives the same recall: where there are many of those the interval is too narrow.

    Args:
        labels: (N,) species of each crop.
        right: (N,) whether it is named right.
        groups: (N,) its fish.
    """
    rng = np.random.default_rng(0)
    recalls = []
    for label in np.unique(labels):
        own = labels == label
        _, inverse = np.unique(groups[own], return_inverse=True)
        hits, totals = np.bincount(inverse, weights=right[own]), np.bincount(inverse)
        drawn = rng.integers(0, len(totals), (_DRAWS, len(totals)))
        recalls.append(hits[drawn].sum(axis=1) / totals[drawn].sum(axis=1))
    low, high = np.quantile(np.mean(recalls, axis=0), [0.025, 0.975])
    return float(low), float(high)


def _pooled(shares: Sequence[Accuracy]) -> Accuracy:
    right, total = sum(one.right for one in shares), sum(one.total for one in shares)
    return Accuracy(right, total, *wilson_interval(right, total))


def report_json(report: SpeciesReport, artifact: Artifact[SpeciesSpec]) -> dict[str, Any]:
    """The scores as docs/species.md describes them; null where there is nothing to divide by."""
    spec = artifact.spec
    return {
        "artifact": {
            "name": spec.name,
            "network": spec.network,
            "engine": artifact.choice.engine,
            "precision": artifact.choice.precision,
            "temperature": spec.temperature,
            "unknown_threshold": spec.unknown_threshold,
            "sha256": spec.files[artifact.choice.file],
        },
        "data": report.data,
        "unreadable": len(report.problems),
        "left_out": len(report.left_out),
        "accuracy": _json(report.accuracy),
        "macro_recall": _number(report.macro),
        "macro_interval": list(report.macro_interval),
        "ece": _number(report.ece),
        "known_rejected": _json(report.rejected),
        "fish": _json(report.fish),
        "fish_rejected": _json(report.fish_rejected),
        "classes": {name: _class_json(report, label) for label, name in enumerate(report.names)},
        "confusion": report.confusion.tolist(),
        "unknown_rejected": _json(report.unknown_crops),
        "unknown": {one.name: {"crops": _json(one.crops), "fish": _json(one.fish)} for one in report.unknown},
        "unreadable_files": [{"file": one.name, "why": one.why} for one in report.problems],
        "left_out_files": [{"file": one.name, "why": one.why} for one in report.left_out],
        "seconds": round(report.seconds, 3),
    }


def _json(share: Accuracy) -> dict[str, Any]:
    return {"share": _number(share.share), "interval": [share.low, share.high], "count": share.right, "n": share.total}


def _class_json(report: SpeciesReport, label: int) -> dict[str, Any]:
    recall = _recall(report, label)
    return {
        "crops": recall.total,
        "fish": int(report.fish_of_class[label]),
        "recall": _number(recall.share),
        "interval": [recall.low, recall.high],
        "precision": _number(float(report.classes.precision[label])),
    }


def _recall(report: SpeciesReport, label: int) -> Accuracy:
    right, total = int(report.confusion[label, label]), int(report.confusion[label].sum())
    return Accuracy(right, total, *wilson_interval(right, total))


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def report_tables(report: SpeciesReport) -> Group:
    """The scores for a terminal."""
    parts: list[Table | Text] = [_overview(report), _class_table(report)]
    if report.unknown:
        parts.append(_unknown_table(report))
    parts += [Text(f"unreadable: {one.name}: {one.why}") for one in report.problems[:_SHOWN_PROBLEMS]]
    more = len(report.problems) - _SHOWN_PROBLEMS
    return Group(*parts, *([Text(f"... and {more} more (all are in the --json file)")] if more > 0 else []))


def _overview(report: SpeciesReport) -> Table:
    low, high = report.macro_interval
    table = Table("", "", title=Text(report.data), title_justify="left", show_header=False)
    table.add_row("accuracy", f"{_text(report.accuracy)}, {report.accuracy.total:,} crops of known species")
    table.add_row("mean recall of the species", f"{report.macro:.2%} (95 %: {low:.2%} to {high:.2%})")
    table.add_row("calibration error", f"{report.ece:.4f}")
    table.add_row("known crops called unknown", _text(report.rejected))
    table.add_row("fish named right by vote", f"{_text(report.fish)}, {report.fish.total:,} fish")
    table.add_row("known fish called unknown by vote", _text(report.fish_rejected))
    if report.unknown:
        table.add_row("crops of unknown species rejected", _text(report.unknown_crops))
    table.add_row("unreadable", f"{len(report.problems):,}")
    table.add_row("left out", f"{len(report.left_out):,}")
    speed = (report.accuracy.total + report.unknown_crops.total) / max(report.seconds, 1e-9)
    table.add_row("speed", f"{speed:,.0f} crops a second")
    return table


def _text(share: Accuracy) -> str:
    return f"{share.share:.2%} (95 %: {share.low:.2%} to {share.high:.2%})" if share.total else "none"


def _class_table(report: SpeciesReport) -> Table:
    table = Table("species", "crops", "fish", "recall", "precision", "most often named")
    for label, name in enumerate(report.names):
        recall, row = _recall(report, label), report.confusion[label]
        wrong = [o for o in np.argsort(-row, kind="stable") if o != label and row[o]][:_SHOWN_CONFUSIONS]
        precision = report.classes.precision[label]
        table.add_row(
            Text(name),
            f"{recall.total:,}",
            f"{report.fish_of_class[label]:,}",
            _text(recall),
            "none" if math.isnan(precision) else f"{precision:.2%}",
            Text(", ".join(f"{report.names[o]}: {row[o]}" for o in wrong)),
        )
    return table


def _unknown_table(report: SpeciesReport) -> Table:
    table = Table("unknown species", "crops", "called unknown", "fish called unknown by vote")
    for one in report.unknown:
        table.add_row(Text(one.name), f"{one.crops.total:,}", _text(one.crops), _text(one.fish))
    return table
