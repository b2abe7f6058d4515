"""What shows that a number is right: for every species the frame of its MaxN, and a clip around it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict, TypeAdapter

from apps.fish.clips import window, write_clip
from apps.fish.counts import Sighting, SpeciesCounts
from apps.fish.dense import dense_counts
from apps.fish.footage import FootageProblem, SampledFrame
from apps.fish.naming import folder_name
from apps.fish.pictures import write_frame, write_marked, write_points
from apps.fish.results import DeploymentResult
from apps.fish.sights import Sights
from data.errors import FileAccessError, InputError, ShankhaError
from data.files import write_text
from data.footage.excerpts import frame_at, frames_between

EVIDENCE: Final = "evidence.json"
DENSE: Final = "maxn-by-points.jpg"
"""The frame of the MaxN that was counted by points; there is none where boxes counted."""
_CURE: Final = "copy the file again from the camera's card and run the same command again"
_SAME: Final = 1e-3


class Evidence(BaseModel):
    """The files that show a species' MaxN, by name in the deployment's folder, empty where there is none; `problem`
    says why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    species: str
    marked: str = ""
    frame: str = ""
    clip: str = ""
    problem: str = ""


evidence_list: TypeAdapter[list[Evidence]] = TypeAdapter(list[Evidence])


def write_evidence(result: DeploymentResult, folder: Path) -> tuple[list[Path], list[FootageProblem]]:
    """Write the pictures, the clips and `evidence.json`, which says what there is.

    Returns:
        The files, and what could not be shown: footage that is gone or damaged at that place costs no table.

    Raises:
        FileAccessError: The folder cannot be written, or the disk is full.
    """
    found, problems = [], []
    for species in result.counts.species:
        if species.max_n_at is not None:
            one = _Shown(result, folder, species, species.max_n_at)
            found.append(one.write())
            problems += one.problems
    dense = _DenseShown(result, folder) if result.dense else None
    shown = dense.write() if dense else []
    problems += dense.problems if dense else []
    path = folder / EVIDENCE
    write_text(path, evidence_list.dump_json(found, indent=1).decode() + "\n")
    names = [name for one in found for name in (one.marked, one.frame, one.clip) if name]
    return [*(folder / name for name in names), *shown, path], problems


def clock(seconds: float) -> str:
    """h:mm:ss.s"""
    tenths = round(seconds * 10)
    minutes, tenths = divmod(tenths, 600)
    return f"{minutes // 60}:{minutes % 60:02d}:{tenths // 10:02d}.{tenths % 10}"


class _Shown:
    """The evidence of one species."""

    def __init__(self, result: DeploymentResult, folder: Path, species: SpeciesCounts, sighting: Sighting) -> None:
        samples = result.records.tracked.observations.samples
        self.result, self.folder, self.species, self.sighting = result, folder, species, sighting
        position = int(samples.chapter[sighting.sample])
        self.chapter = result.chapters[position]
        self.frame = int(samples.frame[sighting.sample])
        self.at = float(samples.file_seconds[sighting.sample])
        self.sights = Sights(result, position, window(self.at))
        self.problems: list[FootageProblem] = []

    def write(self) -> Evidence:
        """Write what can be shown."""
        base = f"maxn-{folder_name(self.species.species)}"
        marked, frame, clip = f"{base}.jpg", f"{base}-frame.jpg", f"{base}.mp4"
        try:
            picture = self._picture()
        except (InputError, FileAccessError) as error:
            return Evidence(species=self.species.species, problem=self._tell(error))
        write_frame(self.folder / frame, picture.image)
        names = self.result.records.tracked.observations.names
        write_marked(self.folder / marked, picture.image, self.sights.at(self.at), names, self._lines())
        problem = self._write_clip(self.folder / clip)
        return Evidence(
            species=self.species.species, marked=marked, frame=frame, clip="" if problem else clip, problem=problem
        )

    def _picture(self) -> SampledFrame:
        found = frame_at(self.chapter.path, self.at)
        if abs(found.seconds - self.at) > _SAME:
            gone = f"frame {self.frame}, at {self.at:.3f} s, cannot be read any more"
            raise InputError(self.chapter.path, gone, cure=_CURE)
        return found

    def _write_clip(self, path: Path) -> str:
        """Returns what went wrong with the footage."""
        faults: list[ShankhaError] = []
        title = f"MaxN {self.species.max_n} · {self.species.species}"
        if not write_clip(path, self._frames(faults), self.sights, self.at, title):
            faults = faults or [InputError(self.chapter.path, "no frame of it can be read", cure=_CURE)]
        if faults:
            path.unlink(missing_ok=True)
        return self._tell(faults[0]) if faults else ""

    def _frames(self, faults: list[ShankhaError]) -> Iterator[SampledFrame]:
        try:
            yield from frames_between(self.chapter.path, *window(self.at))
        except (InputError, FileAccessError) as error:
            faults.append(error)

    def _tell(self, fault: ShankhaError) -> str:
        what = f"{fault.found}, so MaxN of {self.species.species} is not shown; the tables stand"
        opcode = self.result.deployment.opcode
        self.problems.append(FootageProblem("not_shown", self.chapter.path, what, fault.cure or _CURE, opcode))
        return f"{self.chapter.label}: {what}"

    def _lines(self) -> list[str]:
        species = self.species
        first = f"{self.result.deployment.opcode}   {species.species}: MaxN {species.max_n}"
        where = f"{clock(self.sighting.seconds)} after the period's start   {self.chapter.label}, frame {self.frame}"
        return [first, where]


class _DenseShown:
    """The frame of a MaxN that was counted by points, with the points."""

    def __init__(self, result: DeploymentResult, folder: Path) -> None:
        self.result, self.path = result, folder / DENSE
        self.problems: list[FootageProblem] = []

    def write(self) -> list[Path]:
        """Write the picture, where there is such a MaxN and its frame can be read."""
        counts, dense = dense_counts(self.result), self.result.dense
        if counts is None or dense is None or counts.at is None or counts.used == "boxes":
            return []
        samples = self.result.records.tracked.observations.samples
        at, chapter = counts.at.sample, self.result.chapters[int(samples.chapter[counts.at.sample])]
        try:
            picture = frame_at(chapter.path, float(samples.file_seconds[at]))
        except (InputError, FileAccessError) as error:
            what = f"{error.found}, so MaxN by points is not shown; the tables stand"
            opcode = self.result.deployment.opcode
            self.problems.append(FootageProblem("not_shown", chapter.path, what, error.cure or _CURE, opcode))
            return []
        points = dense.points_of(int(np.searchsorted(dense.sample, at)))
        where = f"{clock(counts.at.seconds)} after the period's start   {chapter.label}, frame {samples.frame[at]}"
        found = f"{counts.max_n} counted by points ({len(points)} of them placed); most by boxes {counts.max_n_boxes}"
        write_points(self.path, picture.image, points, [f"{self.result.deployment.opcode}   {found}", where])
        return [self.path]
