"""What a person must know before trusting the numbers of a deployment, in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from apps.fish.counts import counts_per_sample
from apps.fish.evidence import clock
from apps.fish.records import TrackedObservations
from apps.fish.report.stored import ReadDeployment, StoredChapter
from apps.fish.sights import NEAR_THRESHOLD
from data.words import several

_LONG_GAP: Final = 2.0
_USUAL_GAPS: Final = 4


@dataclass(frozen=True)
class Note:
    """A line; `grave` where footage is missing or a number may be wrong because of it."""

    text: str
    grave: bool = False


@dataclass(frozen=True)
class AtThresholds:
    """MaxN of one species if fish were counted from other scores: (score, MaxN), rising; the middle one is in use."""

    species: str
    max_n: tuple[tuple[float, int], ...]

    @property
    def steady(self) -> bool:
        """Whether it makes no difference."""
        return len({number for _, number in self.max_n}) == 1


def notes(one: ReadDeployment, settled: TrackedObservations) -> list[Note]:
    """Everything that is to be said of the footage, its reading and the doubt in the detections."""
    problems = [
        Note(_problem(problem.file, problem.what, problem.cure), problem.loss) for problem in one.about.problems
    ]
    unshown = [Note(shown.problem) for shown in one.evidence if shown.problem]
    chapters = [note for chapter in one.about.chapters for note in _of_chapter(chapter)]
    return [*problems, *unshown, *chapters, *_gaps(one, settled), *_doubt(one, settled)]


def at_thresholds(one: ReadDeployment, settled: TrackedObservations) -> list[AtThresholds]:
    """How MaxN of the species that were seen would change with the threshold."""
    settings = one.about.settings
    held = one.counts.period.holds(settled.observations.samples)
    within = settled.observations.select_samples(held)
    least = one.about.model.least_score if one.about.model else 0.0
    scores = [settings.threshold - NEAR_THRESHOLD, settings.threshold, settings.threshold + NEAR_THRESHOLD]
    scores = [min(1.0, max(least, score)) for score in scores]
    counts = [counts_per_sample(within, score).max(axis=0, initial=0) for score in scores]
    return [
        AtThresholds(name, tuple((score, int(most[label])) for score, most in zip(scores, counts, strict=True)))
        for label, name in enumerate(settled.observations.names)
        if counts[0][label]
    ]


def _problem(file: str, what: str, cure: str) -> str:
    cured = f" {cure[0].upper()}{cure[1:]}." if cure else ""
    return f"{file}: {what}.{cured}"


def _of_chapter(chapter: StoredChapter) -> list[Note]:
    account = chapter.account
    if account is None:
        return [
            Note(f"{chapter.label}: reading was broken off after {several(chapter.samples, 'sample')}.", grave=True)
        ]
    read = f"{chapter.label}: {account.decoded:,} of {account.wanted:,} frames were decoded"
    flaws = []
    if account.damaged_packets:
        flaws.append(several(account.damaged_packets, "damaged packet"))
    if account.corrupt:
        flaws.append(f"{several(account.corrupt, 'frame')} damaged in parts")
    if account.truncated:
        flaws.append(f"the file ends before the {account.stated_duration:.1f} s that it claims")
    said = [Note("; ".join([read, *flaws]) + ".", grave=not account.complete)]
    if account.variable_rate:
        rate = f"{account.average_rate:.2f} frames a second on average"
        said.append(Note(f"{chapter.label}: the frame rate varies ({rate}). Times are the frames' own timestamps."))
    if not chapter.samples:
        said.append(Note(f"{chapter.label}: no frame of it was looked at.", grave=True))
    return said


def _gaps(one: ReadDeployment, settled: TrackedObservations) -> list[Note]:
    samples = settled.observations.samples
    seconds = samples.seconds[one.counts.period.holds(samples)] - one.counts.period.start
    if not len(seconds):
        return [Note("No frame of the period was looked at, so there is no number, not even a zero.", grave=True)]
    steps = np.diff(seconds)
    if not len(steps):
        return []
    long = max(_LONG_GAP, _USUAL_GAPS * float(np.median(steps)))
    return [
        Note(f"No frame was looked at for {steps[at]:.1f} s from {clock(float(seconds[at]))} on.", grave=True)
        for at in np.flatnonzero(steps > long)[:5]
    ]


def _doubt(one: ReadDeployment, settled: TrackedObservations) -> list[Note]:
    held = one.counts.period.holds(settled.observations.samples)
    threshold = one.about.settings.threshold
    scores = settled.observations.select_samples(held).above(threshold).scores
    if not len(scores):
        return []
    share = float((scores < threshold + NEAR_THRESHOLD).mean())
    text = f"{100 * share:.0f} % of the {len(scores):,} detections counted have a score within 0.1 of the threshold"
    changed = [found for found in at_thresholds(one, settled) if not found.steady]
    if not changed:
        return [Note(f"{text}; MaxN stays the same with a threshold 0.1 lower or higher.")]
    told = "; ".join(
        f"{found.species} {', '.join(f'{number} from {score:.2f}' for score, number in found.max_n)}"
        for found in changed
    )
    return [Note(f"{text}. MaxN depends on it: {told}.")]
