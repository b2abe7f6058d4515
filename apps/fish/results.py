"""What a survey found in one deployment, and how it becomes files: each kind of file has its writer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from apps.fish.counts import CountSettings, DeploymentCounts
from apps.fish.detecting import Model
from apps.fish.footage import ChapterAccount, Deployment, FootageProblem, Sampling
from apps.fish.parts.found import DenseSamples, LeftOut, NamedDeployment, Outlines
from apps.fish.records import DeploymentRecords
from data.taxonomy import Taxonomy


@dataclass(frozen=True)
class ChapterResult:
    """One chapter file as it was read: `label` is its path on the disk, `start` the second of the deployment's footage
    at which it begins, `account` None where its reading was broken off, `samples` how many frames were looked at."""

    path: Path
    label: str
    start: float
    size_wh: tuple[int, int]
    samples: int
    account: ChapterAccount | None


@dataclass(frozen=True)
class DeploymentResult:
    """A deployment, detected, tracked and counted.

    `chapters` are those that gave at least an account, `records.files` their labels; `records` hold also detections
    too weak to count. `problems` is what a person must know about the footage; `model` and `sampling` say what
    looked at which of its frames.

    Where fish were named, `species` says how, and the labels and names of `records` are those of the species: the keys
    of the taxonomy, then "unknown fish". `outlines` and `dense` belong to rows and samples of `records`. Each is None
    where it was not asked for, or failed: `left_out` tells.
    """

    deployment: Deployment
    chapters: tuple[ChapterResult, ...]
    records: DeploymentRecords = field(repr=False)
    counts: DeploymentCounts = field(repr=False)
    settings: CountSettings
    problems: tuple[FootageProblem, ...]
    model: Model | None = None
    sampling: Sampling | None = None
    species: NamedDeployment | None = None
    outlines: Outlines | None = None
    dense: DenseSamples | None = None
    left_out: tuple[LeftOut, ...] = ()

    @property
    def taxonomy(self) -> Taxonomy | None:
        """What the labels stand for, where fish were named."""
        return self.species.taxonomy if self.species else None

    @property
    def complete(self) -> bool:
        """Whether all of its footage was read: no count over an incomplete deployment is complete."""
        return self.deployment.complete and not any(problem.loss for problem in self.problems)


Writer: TypeAlias = Callable[[DeploymentResult, Path], list[Path]]
"""Writes files of one kind into the deployment's folder, which exists, and says which; same result, same bytes."""

EvidenceWriter: TypeAlias = Callable[[DeploymentResult, Path], tuple[list[Path], list[FootageProblem]]]
"""The same from the footage itself, which may be gone: what cannot be shown is told, and costs no table."""
