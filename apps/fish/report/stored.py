"""`deployment.json`: what must be known of a deployment beside its records, for whoever reads its results later."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from apps.fish.colours import colours_of
from apps.fish.counts import CountSettings, DeploymentCounts, Period, count, settle
from apps.fish.dense import DenseCounts, dense_counts
from apps.fish.detecting import Model
from apps.fish.evidence import EVIDENCE, Evidence, evidence_list
from apps.fish.footage import ChapterAccount, DeploymentMetadata
from apps.fish.lengths import LengthClass, length_classes, scale_of
from apps.fish.parts.found import PartModel
from apps.fish.records import TrackedObservations
from apps.fish.results import DeploymentResult
from apps.fish.tables.parquet import read_records
from data.errors import FileAccessError, InputError, ShankhaError, validation_faults
from data.files import write_text

ABOUT: Final = "deployment.json"
_AGAIN: Final = "survey the deployment again"


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StoredChapter(_Stored):
    """A chapter as `ChapterResult` has it, without the place of the disk."""

    label: str
    start: float
    size_wh: tuple[int, int]
    samples: int
    account: ChapterAccount | None


class StoredProblem(_Stored):
    """A problem with the footage; `file` is a chapter's label or a name."""

    kind: str
    file: str
    what: str
    cure: str
    loss: bool


class StoredModel(_Stored):
    """The detector: its name, what stands for its weights, the scores that it counts from and gives at least."""

    name: str
    identity: str
    threshold: float
    least_score: float


class StoredPart(_Stored):
    """The model of a part of the survey."""

    name: str
    identity: str


class StoredParts(_Stored):
    """What was done beside finding fish: the models, None for what was not asked for or failed, and what is to be told
    of it. Who was named what is in `species.json`."""

    species: StoredPart | None
    masks: StoredPart | None
    dense: StoredPart | None
    dense_counts: DenseCounts | None
    length_classes: tuple[LengthClass, ...]


class StoredDeployment(_Stored):
    """Everything about a deployment but its records: `software` is the version of Shankha that counted it. `parts` is
    None where nothing was done beside finding fish."""

    format: Literal[1] = 1
    software: str
    opcode: str
    complete: bool
    metadata: DeploymentMetadata | None
    chapters: tuple[StoredChapter, ...]
    problems: tuple[StoredProblem, ...]
    settings: CountSettings
    model: StoredModel | None
    sampling: str
    parts: Annotated[StoredParts | None, Field(exclude_if=lambda parts: parts is None)] = None


@dataclass(frozen=True)
class ReadDeployment:
    """A deployment as its files tell it; `folder` is its folder of results, `colours` the palette's for each label.

    What was seen in it stays in its tables, so that hundreds of deployments fit into memory.
    """

    folder: Path
    about: StoredDeployment
    counts: DeploymentCounts = field(repr=False)
    evidence: tuple[Evidence, ...]
    colours: tuple[int, ...]

    def settled(self) -> TrackedObservations:
        """All that was seen, one species for each fish; it is read anew each time. Errors as in `read_deployment`."""
        return settle(read_records(self.folder).tracked)


def write_about(result: DeploymentResult, folder: Path) -> list[Path]:
    """Write `deployment.json`.

    Raises:
        FileAccessError: The folder cannot be written, or the disk is full.
    """
    labels = {chapter.path: chapter.label for chapter in result.chapters}
    about = StoredDeployment(
        software=version("shankha"),
        opcode=result.deployment.opcode,
        complete=result.complete,
        metadata=result.deployment.metadata,
        chapters=tuple(
            StoredChapter(
                label=one.label, start=one.start, size_wh=one.size_wh, samples=one.samples, account=one.account
            )
            for one in result.chapters
        ),
        problems=tuple(
            StoredProblem(
                kind=one.kind, file=labels.get(one.file, one.file.name), what=one.what, cure=one.cure, loss=one.loss
            )
            for one in result.problems
        ),
        settings=result.settings,
        model=_stored(result.model),
        sampling=str(result.sampling or ""),
        parts=_parts(result),
    )
    path = folder / ABOUT
    write_text(path, json.dumps(about.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n")
    return [path]


def read_deployment(folder: Path) -> ReadDeployment:
    """Read a deployment's files and count again what they hold; the numbers are those of its tables.

    Raises:
        FileAccessError: A file is missing or cannot be read.
        InputError: A file is damaged or of another version.
    """
    try:
        about = StoredDeployment.model_validate_json(_text(folder / ABOUT))
        evidence = evidence_list.validate_json(_text(folder / EVIDENCE))
    except ValidationError as error:
        raise InputError(folder, f"holds a damaged file ({validation_faults(error)})", cure=_AGAIN) from error
    records = read_records(folder)
    if records.opcode != about.opcode:
        raise InputError(folder / ABOUT, f"is of {about.opcode}, its tables are of {records.opcode}", cure=_AGAIN)
    period = Period((about.metadata.period_start if about.metadata else None) or 0.0)
    size_wh = about.chapters[0].size_wh if about.chapters else (0, 0)
    try:
        counts = count(records.tracked, period, about.settings, size_wh)
    except ShankhaError as error:
        raise InputError(folder / ABOUT, f"does not fit its tables ({error.found})", cure=_AGAIN) from error
    return ReadDeployment(folder, about, counts, tuple(evidence), colours_of(settle(records.tracked), counts))


def _stored(model: Model | None) -> StoredModel | None:
    if model is None:
        return None
    scores = {"threshold": model.threshold, "least_score": model.least_score}
    return StoredModel(name=model.name, identity=model.identity, **scores)


def _parts(result: DeploymentResult) -> StoredParts | None:
    named, outlines, dense = result.species, result.outlines, result.dense
    if named is None and outlines is None and dense is None:
        return None
    return StoredParts(
        species=_part(named.model) if named else None,
        masks=_part(outlines.model) if outlines else None,
        dense=_part(dense.model) if dense else None,
        dense_counts=dense_counts(result),
        length_classes=tuple(length_classes(result)) if outlines and scale_of(result) is not None else (),
    )


def _part(model: PartModel) -> StoredPart:
    return StoredPart(name=model.name, identity=model.identity)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise FileAccessError(path, f"cannot be read ({error.strerror})", cure=_AGAIN) from error
    except UnicodeDecodeError as error:
        raise InputError(path, "is not UTF-8 text", cure=_AGAIN) from error
