"""`shankha fish survey`: a disk of deployments becomes tables of fish, with evidence."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from apps.fish.counts import CountSettings
from apps.fish.detecting import Model
from apps.fish.evidence import write_evidence
from apps.fish.footage import Deployment, FootageProblem, find_deployments, parse_sampling
from apps.fish.job import Round, Survey, SurveySettings
from apps.fish.joining import MAXN
from apps.fish.ledger import Ledger
from apps.fish.lines import Line
from apps.fish.model import SHIPPED_MODEL, ArtifactSource
from apps.fish.naming import PROBLEMS, REPORT
from apps.fish.parts.asked import LEFT_OUT, AskedParts
from apps.fish.parts.sources import SHIPPED, DensePart, MasksPart, SpeciesPart
from apps.fish.publishing import Results
from apps.fish.report.stored import write_about
from apps.fish.results import DeploymentResult, Writer
from apps.fish.tables.coco import write_coco, write_masks
from apps.fish.tables.darwincore import write_occurrence
from apps.fish.tables.dense import write_dense
from apps.fish.tables.eventmeasure import write_period, write_points
from apps.fish.tables.globalarchive import write_count, write_metadata
from apps.fish.tables.lengths import write_lengths
from apps.fish.tables.maxn import write_maxn
from apps.fish.tables.minutes import write_per_minute
from apps.fish.tables.mot import write_mot
from apps.fish.tables.parquet import DETECTIONS, SAMPLES, write_records
from apps.fish.tables.species import write_species
from apps.fish.tables.tracks import write_crossings, write_tracks
from apps.fish.tables.yoloseg import write_yolo_seg
from apps.fish.tracking import TrackingSettings
from apps.fish.watch import POLL, Arrivals
from data.errors import ArgumentError, FileAccessError, InputError
from data.words import several

BAD_INPUT: Final = InputError.exit_code
_MOST_WORKERS: Final = 8


def _write_parquet(result: DeploymentResult, folder: Path) -> list[Path]:
    write_records(folder, result.records)
    return [folder / SAMPLES, folder / DETECTIONS]


WRITERS: Final[tuple[Writer, ...]] = (
    _write_parquet,
    write_about,
    write_maxn,
    write_per_minute,
    write_tracks,
    write_crossings,
    write_points,
    write_period,
    write_count,
    write_metadata,
    write_occurrence,
    write_mot,
    write_coco,
    write_species,
    write_masks,
    write_yolo_seg,
    write_lengths,
    write_dense,
)
"""What writes the files of a deployment, in this order."""


def survey(  # noqa: PLR0913, PLR0917  an option each
    disk: Annotated[Path, typer.Argument(metavar="DISK", help="Folder of deployments, each a folder of video files.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the results; a rerun goes on in it.")],
    metadata: Annotated[
        Path | None,
        typer.Option(
            "--metadata", metavar="CSV", help="Table of the deployments.", show_default="DISK/metadata.csv, if any"
        ),
    ] = None,
    every: Annotated[
        str, typer.Option("--every", metavar="STEP", help='Frames to look at: "0.2s", every 6th "6", "keyframes".')
    ] = "0.2s",
    model: Annotated[
        Path, typer.Option("--model", metavar="ARTIFACT", help="The detector.", show_default="the shipped one")
    ] = SHIPPED_MODEL,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", metavar="SCORE", help="Count fish from this score.", show_default="the model's"),
    ] = None,
    lines: Annotated[
        list[str] | None,
        typer.Option("--line", metavar="X1,Y1,X2,Y2", help="Count crossings of this line: pixels or fractions."),
    ] = None,
    species: Annotated[
        str | None,
        typer.Option(
            "--species", metavar="ARTIFACT", help=f"Name fish with this model; {SHIPPED!r}: the one that comes along."
        ),
    ] = None,
    masks: Annotated[
        str | None, typer.Option("--masks", metavar="ARTIFACT", help=f"Outline fish with this model, or {SHIPPED!r}.")
    ] = None,
    dense: Annotated[
        str | None,
        typer.Option("--dense", metavar="ARTIFACT", help=f"Count dense schools with this model, or {SHIPPED!r}."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Chapters read at once.", show_default="half the processor's cores"),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Wait for new files; Ctrl-C ends it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Count the fish of every deployment on a disk.

    Writes a folder a deployment, maxn.csv (MaxN and the other numbers of all deployments) and problems.csv (what a
    person must know about the footage, and what to do). Footage that cannot be read is listed and the rest goes on;
    the exit code is 2 where any of it was not read to its end, or where a part that was asked for (species, masks,
    dense) had to be left out. The same command goes on where it was interrupted.

    Example: shankha fish survey /media/disk --out results/ --metadata deployments.csv
    """
    source = ArtifactSource(model, None if dense is None else DensePart.folder_of(dense))
    known = source.describe()  # a model that cannot be used is found before any work
    counting = CountSettings(
        threshold=_threshold(threshold, known), lines=tuple(Line.parse(line) for line in lines or ())
    )
    sampling = parse_sampling(every)
    tracking = TrackingSettings()
    asked = {SpeciesPart: species, MasksPart: masks, DensePart: dense}
    least = min(tracking.least_score, counting.threshold)
    parts = AskedParts.of(kind.of(name, least) for kind, name in asked.items() if name is not None)
    settings = SurveySettings(disk, source, sampling, counting, tracking, workers or _half_the_cores(), parts)
    with Ledger(_folder(out)) as ledger:
        job = Survey(settings, known, ledger, Results(out, ledger, WRITERS, write_evidence), Console(stderr=True))
        started = time.perf_counter()
        outcome = _surveyed(job, _Disk(disk, metadata, out, ledger), watch)
        seconds = time.perf_counter() - started
    if as_json:
        told = {**job.summary(outcome), "resumed": outcome.resumed, "seconds": round(seconds, 2)}
        typer.echo(json.dumps(told, ensure_ascii=False))
    else:
        typer.echo(_told(outcome, out, seconds))
    lost = any(problem.loss for problem in outcome.problems) or outcome.count("incomplete") + outcome.count("failed")
    if lost or parts.left_out or outcome.without:
        raise typer.Exit(BAD_INPUT)


class _Disk:
    """The deployments to survey."""

    def __init__(self, disk: Path, metadata: Path | None, out: Path, ledger: Ledger) -> None:
        self._disk = disk
        self._metadata = metadata
        self._out = out
        self._ledger = ledger

    def look(self) -> tuple[list[Deployment], list[FootageProblem]]:
        """What there is now, if anything."""
        found, problems = find_deployments(self._disk, self._metadata, leave_out=self._out)
        self._refuse_other_disk(found)
        return found, problems

    def all(self) -> tuple[list[Deployment], list[FootageProblem]]:
        """What there is.

        Raises:
            InputError: There is nothing.
        """
        found, problems = self.look()
        if not found:
            why = f" that can be read ({problems[0]})" if problems else ""
            expected = "a folder of deployments, each a folder of video files"
            raise InputError(self._disk, f"holds no footage{why}", expected=expected, cure="check the path")
        return found, problems

    def _refuse_other_disk(self, found: Sequence[Deployment]) -> None:
        earlier = set(self._ledger.deployments())
        if found and earlier and earlier.isdisjoint(one.opcode for one in found):
            some = ", ".join(sorted(earlier)[:3])
            fault = f"holds the results of other deployments ({some})"
            raise ArgumentError(self._out, fault, cure="choose another folder for --out")


def _surveyed(job: Survey, disk: _Disk, watch: bool) -> Round:
    try:
        return _watched(job, disk) if watch else job.round(*disk.all())
    except KeyboardInterrupt:
        out = job.results.folder
        job.tell(f"Interrupted. What is done is kept in {out}: run the same command again, and it goes on from there.")
        raise


def _watched(job: Survey, disk: _Disk) -> Round:
    """Round after round, whenever there is something new, until Ctrl-C."""
    arrivals = Arrivals(job.settings.sampling)
    outcome, before = Round(), None
    job.tell(f"Watching {job.settings.disk}; Ctrl-C ends it.")
    while True:
        try:
            found, problems = disk.look()
            arriving = arrivals.arriving(found)
            now = (found, problems, arriving, arrivals.marks(found))
            if now == before or not found:
                time.sleep(POLL)
                continue
        except KeyboardInterrupt:
            return outcome
        outcome, before = job.round(found, problems, arriving), now


def _threshold(asked: float | None, model: Model) -> float:
    if asked is not None and not model.least_score <= asked <= 1:
        expected = f"{model.least_score:g} to 1: the model gives no lower scores"
        raise ArgumentError("--threshold", f"is {asked:g}", expected=expected)
    return model.threshold if asked is None else asked


def _half_the_cores() -> int:
    """Each worker decodes on one core and detects on another."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(_MOST_WORKERS, max(1, cores // 2))


def _folder(out: Path) -> Path:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        cure = "choose a folder that you may write to, with free space"
        raise FileAccessError(out, f"cannot be written ({error.strerror})", cure=cure) from error
    return out


def _told(outcome: Round, out: Path, seconds: float) -> str:
    footage = timedelta(seconds=round(outcome.seconds))
    lines = [
        f"{several(len(outcome.statuses), 'deployment')}, {several(outcome.chapters, 'chapter')}, "
        f"{footage} of footage, {several(outcome.samples, 'frame')} looked at: {outcome.count('complete')} complete, "
        f"{outcome.count('incomplete')} incomplete, {outcome.count('failed')} not counted."
    ]
    if outcome.new_seconds:
        speed = outcome.new_seconds / max(seconds, 0.01)
        lines.append(f"{timedelta(seconds=round(outcome.new_seconds))} were read now, at {speed:.1f} times real time.")
    if outcome.resumed:
        lines.append(f"{outcome.resumed} of the deployments were done before and have not changed.")
    lines.append(f"The numbers are in {out / MAXN}, those of each deployment in its folder beside it.")
    lines.append(f"Open {out / REPORT}: the page shows them all, with the evidence for each.")
    undone = [opcode for opcode, status in outcome.statuses.items() if status != "complete"]
    if undone:
        lines.append(f"Not complete: {', '.join(undone)}.")
    without = [problem for problem in outcome.problems if problem.kind in LEFT_OUT.values()]
    lines += [f"Left out: {problem.file}: {problem.what}." for problem in without]
    if outcome.problems:
        lines.append(
            f"Next: {out / PROBLEMS} lists {several(len(outcome.problems), 'problem')}, and what to do about each."
        )
    return "\n".join(lines)
