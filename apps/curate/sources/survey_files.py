"""The results of a survey, read from their files: what was seen in each deployment, and what people have settled."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from apps.curate.sources import ABOUT
from apps.curate.sources.ledger import Mark
from apps.curate.sources.tables import AGAIN, parsed, read_table, table_rows, whole
from data.boxes import Boxes
from data.errors import FileAccessError, InputError
from data.masks import Mask
from data.provenance import Provenance
from data.readers.digitset import Problem
from data.rle import from_rle

SAMPLES: Final = "samples.parquet"
DETECTIONS: Final = "detections.parquet"
TRACKS: Final = "tracks.csv"
MAXN: Final = "maxn.csv"
MASKS: Final = "masks.json"
EVIDENCE: Final = "evidence.json"
SPECIES: Final = "species.json"


class _Read(BaseModel):
    """A part of a file that others wrote: what is not needed of it is passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Account(_Read):
    """What a chapter file holds: FFmpeg's names of its codec and container, frames, seconds, frames a second."""

    codec: str
    container: str
    expected: int
    duration: float
    average_rate: float


class Chapter(_Read):
    """A chapter file: `label` is its path from the disk on, `start` the second of the deployment at which it begins,
    `size_wh` that of its frames in pixels, upright. `account` is None where its reading was broken off."""

    label: str
    start: float
    size_wh: tuple[int, int]
    account: Account | None = None


class _Metadata(_Read):
    site: str = ""
    latitude: float | None = None
    longitude: float | None = None


class _Settings(_Read):
    threshold: float
    confirmed_after: int = 1


class _Named(_Read):
    name: str
    identity: str = ""


class _Parts(_Read):
    species: _Named | None = None
    masks: _Named | None = None


class About(_Read):
    """What `deployment.json` says of a deployment."""

    opcode: str
    complete: bool
    metadata: _Metadata | None = None
    chapters: tuple[Chapter, ...]
    settings: _Settings
    model: _Named | None = None
    parts: _Parts | None = None

    @property
    def site(self) -> str:
        """The camera site, where the table of deployments names it."""
        return self.metadata.site if self.metadata else ""

    @property
    def detector(self) -> str:
        """The name of the detector."""
        return self.model.name if self.model else "survey"

    @property
    def namer(self) -> str:
        """The name of the model that named the fish."""
        return self.parts.species.name if self.parts and self.parts.species else self.detector


class Shown(_Read):
    """The picture of a species' MaxN, by name in the deployment's folder; empty where there is none."""

    species: str
    frame: str = ""


class _Proposal(_Read):
    name: str | None = None


class _Fish(_Read):
    track: int
    proposed: _Proposal | None = None


class _Species(_Read):
    fish: tuple[_Fish, ...]


@dataclass(frozen=True)
class MaxN:
    """The greatest number of a species in one frame: which frame of which chapter, and when, in seconds since the start
    of the period; `chapter` and `frame` are -1 where it is 0."""

    species: str
    count: int
    chapter: int
    frame: int
    seconds: float


@dataclass(frozen=True, eq=False)
class Seen:
    """N detections in S frames that were looked at, frame after frame.

    `chapter`, `frame` (S,) int64: the chapter file, and the frame's number in it, both from 0; `file_seconds` (S,)
    float64 its timestamp there. `sample` (N,) int64 counts into the frames; `xyxy` (N, 4) float32 pixels of the frame;
    `scores` (N,) float32 calibrated probabilities; `labels` (N,) int64 counts into `names`: a track has one label, that
    its sightings voted for. `tracks` (N,) int64 from 1, 0 belongs to no track. `rows` (N,) int64 are the numbers of
    the detections in the tables.
    """

    chapter: NDArray[np.int64]
    frame: NDArray[np.int64]
    file_seconds: NDArray[np.float64]
    sample: NDArray[np.int64]
    xyxy: Boxes
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    tracks: NDArray[np.int64]
    names: tuple[str, ...]
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.sample)

    def select(self, kept: NDArray[np.bool_]) -> Seen:
        """The detections marked in `kept` (N,); all frames stay."""
        columns = ("sample", "xyxy", "scores", "labels", "tracks", "rows")
        return replace(self, **{name: getattr(self, name)[kept] for name in columns})

    def of_sample(self, sample: int) -> range:
        """The detections in a frame."""
        low, high = np.searchsorted(self.sample, [sample, sample + 1]).tolist()
        return range(low, high)


@dataclass(frozen=True, eq=False)
class Surveyed:
    """A deployment as its results tell it.

    `settled` is who settled the name of a fish, by the numbers of its detections in the tables. `marks` tell each
    chapter file as it was read, None where that is not known. `outlined` are COCO's run lengths with the frame's size,
    by the same numbers.
    """

    folder: Path
    about: About
    seen: Seen = field(repr=False)
    maxn: tuple[MaxN, ...]
    shown: tuple[Shown, ...]
    settled: dict[int, Provenance] = field(repr=False)
    marks: tuple[Mark | None, ...] = ()
    outlined: dict[int, tuple[str, tuple[int, int]]] = field(repr=False, default_factory=dict)

    @property
    def opcode(self) -> str:
        """The deployment's name."""
        return self.about.opcode

    @property
    def named(self) -> bool:
        """Whether a species model gave the names."""
        return self.about.parts is not None and self.about.parts.species is not None

    def by(self, row: int) -> Provenance:
        """Who named a detection, by its position in `seen`."""
        model = Provenance(kind="model", name=self.about.namer)
        return self.settled.get(int(self.seen.rows[row]), model)

    def mask(self, row: int) -> Mask | None:
        """The outline of a detection, by its position in `seen`; None where it has none.

        Raises:
            ValueError: What the tables tell of it is no outline.
        """
        found = self.outlined.get(int(self.seen.rows[row]))
        return from_rle(*found) if found else None


def opcode_of(folder: Path) -> str:
    """The deployment whose results lie in a folder; errors as in `read_surveyed`."""
    return parsed(folder / ABOUT, About).opcode


def read_surveyed(folder: Path, marks: dict[str, Mark]) -> tuple[Surveyed, tuple[Problem, ...]]:
    """The deployment whose results lie in a folder, and what of it could not be used.

    Args:
        folder: The deployment's folder in the results of a survey.
        marks: What the chapter files were when they were read, by label.

    Raises:
        FileAccessError: A table is missing or cannot be read.
        InputError: A table is damaged, or of another version.
    """
    about = parsed(folder / ABOUT, About)
    seen = _read_seen(folder, about)
    species = parsed(folder / SPECIES, _Species) if (folder / SPECIES).is_file() else _Species(fish=())
    person = Provenance(kind="person", name="review")
    tracks = [fish.track for fish in species.fish if fish.track and fish.proposed]
    settled = dict.fromkeys(seen.rows[np.isin(seen.tracks, tracks)].tolist(), person)
    outlined, problems = _outlines(folder / MASKS, len(seen))
    return (
        Surveyed(
            folder,
            about,
            seen,
            tuple(_maxn(folder / MAXN, about)),
            _shown(folder / EVIDENCE),
            settled,
            tuple(marks.get(chapter.label) for chapter in about.chapters),
            outlined,
        ),
        problems,
    )


def _shown(path: Path) -> tuple[Shown, ...]:
    if not path.is_file():
        return ()
    try:
        return tuple(Shown.model_validate(one) for one in json.loads(whole(path)))
    except (ValueError, TypeError) as error:
        raise InputError(path, "is damaged", cure=AGAIN) from error


def _maxn(path: Path, about: About) -> Iterator[MaxN]:
    chapters = {chapter.label: at for at, chapter in enumerate(about.chapters)}
    try:
        for row in table_rows(path):
            if row["maxn"] and row["maxn_file"]:
                place = chapters[row["maxn_file"]], int(row["maxn_frame"]), float(row["maxn_seconds"])
                yield MaxN(row["species"], int(row["maxn"]), *place)
            elif row["maxn"]:
                yield MaxN(row["species"], int(row["maxn"]), -1, -1, 0.0)
    except (KeyError, ValueError) as error:
        raise InputError(path, f"is damaged ({error})", cure=AGAIN) from error


def _read_seen(folder: Path, about: About) -> Seen:
    samples, told = read_table(folder / SAMPLES, ("chapter", "frame", "file_seconds"))
    columns = ("chapter", "frame", "x1", "y1", "x2", "y2", "score", "label", "track")
    found, _ = read_table(folder / DETECTIONS, columns)
    if told.get("opcode") != about.opcode or len(told.get("files", ())) != len(about.chapters):
        raise InputError(folder / SAMPLES, f"is not of {about.opcode}, as {ABOUT} is", cure=AGAIN)
    names = [str(name) for name in told.get("names", ())]
    voted = _votes(folder / TRACKS)
    names += sorted(set(voted.values()) - set(names))
    number = {name: at for at, name in enumerate(names)}
    tracks = found["track"].astype(np.int64)
    missing = sorted(set(tracks.tolist()) - {0} - voted.keys())
    if missing:
        raise InputError(folder / TRACKS, f"lacks track {missing[0]}", cure=AGAIN)
    of_track = np.zeros(max([0, *voted]) + 1, np.int64)
    of_track[list(voted)] = [number[species] for species in voted.values()]
    try:
        own = np.array([number[label] for label in found["label"]], np.int64)
        sample = _positions(samples, found)
    except (KeyError, ValueError) as error:
        raise InputError(folder / DETECTIONS, f"does not fit the other tables ({error})", cure=AGAIN) from error
    return Seen(
        samples["chapter"],
        samples["frame"],
        samples["file_seconds"],
        sample,
        np.stack([found[side] for side in ("x1", "y1", "x2", "y2")], axis=1).astype(np.float32),
        found["score"].astype(np.float32),
        np.where(tracks > 0, of_track[tracks], own).astype(np.int64),
        tracks,
        tuple(names),
        np.arange(len(sample), dtype=np.int64),
    )


def _votes(path: Path) -> dict[int, str]:
    """The species of each track."""
    try:
        return {int(row["track"]): row["species"] for row in table_rows(path)}
    except (KeyError, ValueError) as error:
        raise InputError(path, f"is damaged ({error})", cure=AGAIN) from error


def _positions(samples: dict[str, NDArray[Any]], found: dict[str, NDArray[Any]]) -> NDArray[np.int64]:
    """(N,) which of the frames each detection is in."""
    frames = int(max(samples["frame"].max(initial=0), found["frame"].max(initial=0))) + 1
    known, wanted = (table["chapter"] * frames + table["frame"] for table in (samples, found))
    position = np.searchsorted(known, wanted)
    if len(wanted) and (not len(known) or (known[np.minimum(position, len(known) - 1)] != wanted).any()):
        raise ValueError("the frame of a detection is missing")
    return np.asarray(position, np.int64)


def _outlines(path: Path, count: int) -> tuple[dict[int, tuple[str, tuple[int, int]]], tuple[Problem, ...]]:
    """The outlines by the number of their detection. An item a line: a file as large as the footage is long is never
    in memory at once."""
    found: dict[int, tuple[str, tuple[int, int]]] = {}
    problems = []
    if not path.is_file():
        return found, ()
    try:
        with path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                if '"segmentation"' not in line:
                    continue
                try:
                    one = json.loads(line.strip().removesuffix(",").removesuffix("]}"))
                    height, width = one["segmentation"]["size"]
                    row = int(one["id"]) - 1
                    if not 0 <= row < count:
                        raise ValueError(f"there is no detection {row + 1}")
                    found[row] = str(one["segmentation"]["counts"]), (int(width), int(height))
                except (ValueError, KeyError, TypeError) as error:
                    problems.append(Problem(f"{path}: line {number}", f"is no outline ({error})"))
    except OSError as error:
        raise FileAccessError(path, f"cannot be read ({error.strerror})", cure=AGAIN) from error
    return found, tuple(problems)
