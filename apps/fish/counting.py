"""From the chapters' detections to a deployment's result: join, track, count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from apps.fish.counts import CountSettings, Period, count
from apps.fish.footage import ChapterAccount, Deployment, FootageProblem
from apps.fish.parts.reading import KeptPart, read_parts
from apps.fish.records import DeploymentRecords, Observations, joined
from apps.fish.results import ChapterResult, DeploymentResult
from apps.fish.segments import Segment, observations
from apps.fish.tracking import TrackingSettings, track


@dataclass(frozen=True)
class ReadChapter:
    """A chapter as far as it was read; its account is None where that was broken off."""

    path: Path
    label: str
    segments: tuple[Segment, ...]
    account: ChapterAccount | None

    @property
    def size_wh(self) -> tuple[int, int]:
        """Size of the frames; that of the file where no frame was looked at."""
        if self.segments:
            return self.segments[0].size_wh
        return self.account.size_wh if self.account else (0, 0)

    @property
    def span(self) -> float:
        """Seconds of the deployment it stands for; up to the last sample where the reading was broken off."""
        if self.account:
            return self.account.span
        return float(self.segments[-1].file_seconds[-1]) if self.segments else 0.0


def result_of(
    deployment: Deployment,
    read: Sequence[ReadChapter],
    names: tuple[str, ...],
    tracking: TrackingSettings,
    settings: CountSettings,
    problems: Sequence[FootageProblem],
    parts: Sequence[KeptPart] = (),
) -> DeploymentResult:
    """Join the chapters of a deployment, follow the fish through them and count.

    Args:
        deployment: The deployment.
        read: Its chapters, in order; those without anything readable left out.
        names: The detector's names of its labels.
        tracking: How detections become tracks.
        settings: What is counted.
        problems: What is wrong with its footage.
        parts: What the ledger keeps of the parts of the survey.

    Raises:
        ArgumentError: A line leaves the frame.
        InputError: What is kept of a part is damaged.
    """
    chapters, seen = _in_sequence(read, names)
    tracked = track(joined(seen) if seen else Observations.none(names), tracking)
    files = tuple(chapter.label for chapter in chapters)
    tracked, found = read_parts(tracked, parts, files)
    period = Period((deployment.metadata.period_start if deployment.metadata else None) or 0.0)
    size_wh = chapters[0].size_wh if chapters else (0, 0)
    counts = count(tracked, period, settings, size_wh)
    records = DeploymentRecords(deployment.opcode, files, tracked)
    result = DeploymentResult(deployment, tuple(chapters), records, counts, settings, tuple(problems))
    return replace(result, species=found.species, outlines=found.outlines, dense=found.dense)


def _in_sequence(read: Sequence[ReadChapter], names: tuple[str, ...]) -> tuple[list[ChapterResult], list[Observations]]:
    """The chapters one after the other, each beginning where the one before ended."""
    chapters, parts, start = [], [], 0.0
    for position, chapter in enumerate(read):
        part = observations(chapter.segments, position, start, names)
        samples = len(part.samples)
        chapters.append(ChapterResult(chapter.path, chapter.label, start, chapter.size_wh, samples, chapter.account))
        parts.append(part)
        start += chapter.span
    return chapters, parts
