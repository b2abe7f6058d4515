"""Frames of surveyed footage as pictures: those of MaxN and those that the models are unsure of, to be corrected."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from apps.curate.fields import MAXN_FRAME, UNSURE_FRAME
from apps.curate.sources.footage import still
from apps.curate.sources.survey_files import Chapter, Surveyed
from apps.pictures import write_jpeg
from data.boxes import areas, clipped
from data.curation.collection import Label, Picture
from data.errors import ShankhaError
from data.files import write_bytes
from data.images import image_size
from data.provenance import Provenance
from data.readers.detectionset import FISH
from data.readers.digitset import Problem

APART: Final = 5.0
"""Seconds that frames which the models are unsure of are apart: neighbours look alike."""
UNSURE: Final = 20
"""Frames of a deployment that the models are unsure of and that are shown."""
_SHORT: Final = 0.5
"""Doubt about a fish that was counted and is seen in few frames, or in one only."""
_QUALITY: Final = 95
_UNSAFE: Final = re.compile(r'[\x00-\x1f\\:*?"<>|]')


@dataclass(frozen=True)
class Chosen:
    """A frame that is shown: its position among those that were looked at, and why."""

    sample: int
    why: tuple[str, ...]


@dataclass(frozen=True)
class Still:
    """A frame as a picture, the detections in it, and where it is from: `row` are their positions in what was seen."""

    picture: Picture
    chosen: Chosen
    chapter: int
    rows: tuple[int, ...]


def choose(surveyed: Surveyed, unsure: int = UNSURE) -> list[Chosen]:
    """The frames of MaxN, and the frames that hold most doubt, in the order of time.

    Args:
        surveyed: A deployment.
        unsure: How many of the doubtful frames; they are `APART` seconds from each other and from those of MaxN.
    """
    seen = surveyed.seen
    place = {where: at for at, where in enumerate(zip(seen.chapter.tolist(), seen.frame.tolist(), strict=True))}
    why: dict[int, list[str]] = {}
    for one in surveyed.maxn:
        if one.count and (one.chapter, one.frame) in place:
            why.setdefault(place[one.chapter, one.frame], []).append(f"{MAXN_FRAME} of {one.species}")
    starts = np.array([chapter.start for chapter in surveyed.about.chapters])
    seconds = seen.file_seconds + starts[seen.chapter]
    doubts = doubt_of_frames(surveyed)
    taken = [float(seconds[sample]) for sample in why]
    most = len(taken) + unsure
    for sample in np.argsort(-doubts, kind="stable").tolist():
        if len(taken) == most or not doubts[sample]:
            break
        if all(abs(seconds[sample] - other) >= APART for other in taken):
            taken.append(float(seconds[sample]))
            doubtful = why.setdefault(sample, [])
            doubtful.append(UNSURE_FRAME)
    return [Chosen(sample, tuple(why[sample])) for sample in sorted(why)]


def doubt_of_frames(surveyed: Surveyed) -> NDArray[np.float64]:
    """(S,) how much is doubtful in each frame: over its detections the sum of 1 - |2 p - 1| of the probability p, and
    `_SHORT` more for a fish that counts but was seen too seldom to be confirmed."""
    seen, settings = surveyed.seen, surveyed.about.settings
    scores = seen.scores.astype(np.float64)
    sightings = np.bincount(seen.tracks, minlength=1)
    sightings[0] = 0
    short = (scores >= settings.threshold) & (sightings[seen.tracks] < settings.confirmed_after)
    doubts = 1 - np.abs(2 * scores - 1) + _SHORT * short
    return np.bincount(seen.sample, doubts, minlength=len(seen.frame)).astype(np.float64)


def write_stills(
    surveyed: Surveyed, chosen: Sequence[Chosen], files: Mapping[int, Path], folder: Path
) -> tuple[list[Still], list[Problem]]:
    """Decode the chosen frames into a folder, and say what was seen in them.

    A frame whose file is not there is taken from the pictures in the results, where it is one of those.

    Args:
        surveyed: A deployment.
        chosen: Its frames.
        files: The video files by chapter; of those that are missing there are none.
        folder: For the pictures.

    Raises:
        FileAccessError: The folder cannot be written, or the disk is full.
    """
    stills: list[Still] = []
    problems: list[Problem] = []
    for one in chosen:
        chapter = int(surveyed.seen.chapter[one.sample])
        name = still_name(surveyed.about.chapters[chapter], int(surveyed.seen.frame[one.sample]))
        path = folder / name
        try:
            if not _write(surveyed, one, files.get(chapter), path):
                continue
            picture, rows, faults = _picture(surveyed, one, name, path)
        except ShankhaError as error:
            if error.exit_code == 5 and Path(error.where) == path:
                raise
            problems.append(Problem.of(error))
            continue
        problems += faults
        stills.append(Still(picture, one, chapter, rows))
    return stills, problems


def still_name(chapter: Chapter, frame: int) -> str:
    """The name of a frame's picture, below the folder of all: a folder for each video."""
    parts = [part for part in Path(_UNSAFE.sub("_", chapter.label)).parts if part not in {"/", "..", "."}]
    return "/".join([*parts, f"{frame:08d}.jpg"])


def labels_of(
    surveyed: Surveyed, sample: int, least: float, *, as_fish: bool
) -> tuple[list[Label], list[int], list[Problem]]:
    """What was seen in a frame, from a score on: labels, their positions in what was seen, and outlines that are none.

    Args:
        surveyed: A deployment.
        sample: Position of the frame.
        least: The score.
        as_fish: Whether a fish is called a fish by the detector, and not by its species.
    """
    seen = surveyed.seen
    size_wh = surveyed.about.chapters[int(seen.chapter[sample])].size_wh
    detector = Provenance(kind="model", name=surveyed.about.detector)
    labels, rows, problems = [], [], []
    for row in seen.of_sample(sample):
        xyxy = clipped(seen.xyxy[row : row + 1], size_wh)
        if seen.scores[row] < np.float32(least) or not areas(xyxy)[0]:
            continue
        try:
            mask = surveyed.mask(row)
        except ValueError as error:
            mask = None
            problems.append(
                Problem(f"{surveyed.opcode}: outline {int(seen.rows[row]) + 1}", f"cannot be used: {error}")
            )
        name, by = (FISH, detector) if as_fish else (seen.names[seen.labels[row]], surveyed.by(row))
        confidence = min(1.0, float(seen.scores[row]))
        labels.append(Label(name, by, xyxy[0], mask, confidence, int(seen.tracks[row])))
        rows.append(row)
    return labels, rows, problems


def _write(surveyed: Surveyed, chosen: Chosen, video: Path | None, path: Path) -> bool:
    """Write the frame's picture; False where there is neither the video nor a picture of it."""
    if video is not None:
        write_jpeg(path, still(video, float(surveyed.seen.file_seconds[chosen.sample])), _QUALITY)
        return True
    shown = {f"{MAXN_FRAME} of {one.species}": one.frame for one in surveyed.shown if one.frame}
    kept = next((shown[why] for why in chosen.why if why in shown), None)
    if kept is None or not (surveyed.folder / kept).is_file():
        return False
    write_bytes(path, (surveyed.folder / kept).read_bytes())
    return True


def _picture(
    surveyed: Surveyed, chosen: Chosen, name: str, path: Path
) -> tuple[Picture, tuple[int, ...], list[Problem]]:
    least = surveyed.about.settings.threshold
    labels, rows, problems = labels_of(surveyed, chosen.sample, least, as_fish=surveyed.named)
    group = surveyed.about.site or surveyed.opcode
    picture = Picture(name, path, image_size(path), tuple(labels), group=group, complete=False)
    return picture, tuple(rows), problems
