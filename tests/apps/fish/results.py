"""Results of small footage, counted here and now: what a survey does, without its workers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from apps.fish import survey
from apps.fish.counts import CountSettings, Period, count
from apps.fish.detecting import Model
from apps.fish.evidence import write_evidence
from apps.fish.footage import Chapter, ChapterReader, Deployment, DeploymentMetadata, FootageProblem, parse_sampling
from apps.fish.ledger import Ledger
from apps.fish.publishing import Results
from apps.fish.records import DeploymentRecords, Observations, Samples, joined
from apps.fish.results import ChapterResult, DeploymentResult
from apps.fish.tracking import TrackingSettings, track
from tests.apps.fish.blobs import BlobDetector

MODEL = Model("blobs", "0123456789abcdef", ("fish",), 0.5, 0.05)


def result_of(
    opcode: str,
    paths: Sequence[Path],
    *,
    settings: CountSettings | None = None,
    species: str = "fish",
    metadata: DeploymentMetadata | None = None,
    problems: Sequence[FootageProblem] = (),
) -> DeploymentResult:
    """Blobs found in every third frame of the files, tracked and counted."""
    sampling, settings = parse_sampling("3"), settings or CountSettings(threshold=0.5)
    chapters, parts, start = [], [], 0.0
    for position, path in enumerate(paths):
        with closing(ChapterReader(path, sampling)) as reader:
            frames = [(one.frame, one.seconds, BlobDetector().detect([one.image])[0]) for one in reader]
            account = reader.account
        numbers, times, found = zip(*frames, strict=True)
        samples = Samples.of_chapter(position, start, numbers, times)
        parts.append(Observations.of_frames(samples, found, (species,)))
        label = f"{opcode}/{path.name}"
        chapters.append(ChapterResult(path, label, start, account.size_wh, len(frames), account))
        start += account.span
    tracked = track(joined(parts), TrackingSettings())
    period = Period((metadata.period_start if metadata else None) or 0.0)
    counts = count(tracked, period, settings, chapters[0].size_wh)
    records = DeploymentRecords(opcode, tuple(chapter.label for chapter in chapters), tracked)
    deployment = Deployment(opcode, paths[0].parent, tuple(map(Chapter, paths)), metadata)
    result = DeploymentResult(deployment, tuple(chapters), records, counts, settings, tuple(problems))
    return replace(result, model=replace(MODEL, names=(species,)), sampling=sampling)


def published(folder: Path, results: Sequence[DeploymentResult]) -> list[FootageProblem]:
    """Write them as a survey does that is broken off before its end."""
    folder.mkdir(exist_ok=True)
    with Ledger(folder) as ledger:
        into = Results(folder, ledger, survey.WRITERS, write_evidence)
        into.begin()
        return [problem for result in results for problem in into.publish(result, f"key of {result.deployment.opcode}")]


def boxes_at(result: DeploymentResult, sample: int) -> np.ndarray:
    """(n, 4) the counted boxes of one sample."""
    seen = result.records.tracked.observations
    return seen.xyxy[(seen.sample == sample) & (seen.scores >= result.settings.threshold)]
