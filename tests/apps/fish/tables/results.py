"""Deployments made by hand, counted by the true counting: what the tables say can be told from these few lines."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from apps.fish.counts import CountSettings, Period, count
from apps.fish.detecting import Model
from apps.fish.footage import Chapter, Deployment, DeploymentMetadata
from apps.fish.individuals import Fragmentation
from apps.fish.lines import Line
from apps.fish.parts.found import Crop, DenseSamples, NamedDeployment, NamedFish, Outlines, PartModel
from apps.fish.records import DeploymentRecords, Observations, Samples, TrackedObservations, in_order_of_sight, joined
from apps.fish.results import ChapterResult, DeploymentResult
from data.boxes import Boxes
from data.masks import Mask, area, length
from data.rle import rle
from data.species import Named
from data.taxonomy import Taxon, Taxonomy

SIZE_WH = (1920, 1080)
NAMES = ("fish", "Girella tricuspidata", "stingray")
FILES = ("BR-07/GX010034.MP4", "BR-07/GX020034.MP4")
LINE = Line(0.5, 0, 0.5, 1, fractions=True)


@dataclass(frozen=True)
class Fish:
    """A box from (x, y), 40 wide and 20 high; track 0 is none."""

    label: int
    track: int
    score: float
    x: float
    y: float = 100.5


METADATA = DeploymentMetadata(
    opcode="BR-07",
    campaignid="2026-02_Palm-Beach_BRUVs",
    site="Palm Beach",
    location="Sydney",
    status="Fished",
    latitude=-33.5967,
    longitude=151.3241,
    depth_m=12.5,
    date_time=datetime.datetime(2026, 2, 28, 9, 30, tzinfo=datetime.timezone(datetime.timedelta(hours=11))),
    period_start=30.0,
)
CHAPTERS: tuple[tuple[float, tuple[tuple[float, tuple[Fish, ...]], ...]], ...] = (
    (
        100.0,
        (
            (10.0, (Fish(0, 1, 0.9, 100), Fish(0, 2, 0.9, 300))),  # before the period
            (40.0, ()),
            (41.0, (Fish(0, 3, 0.875, 800), Fish(1, 4, 0.75, 1000, 300))),
            (42.0, (Fish(0, 3, 0.875, 900), Fish(0, 5, 0.625, 20), Fish(1, 4, 0.75, 1010, 300))),
            (43.0, (Fish(0, 3, 0.875, 1000), Fish(0, 0, 0.25, 60))),
        ),
    ),
    (
        60.0,
        (
            (2.0, (Fish(1, 6, 0.8, 500), Fish(1, 7, 0.5, 600), Fish(0, 8, 0.4, 700))),
            (3.0, ()),
        ),
    ),
)


def chapter(
    number: int, start: float, samples: Sequence[tuple[float, Sequence[Fish]]], names: tuple[str, ...]
) -> Observations:
    times = [seconds for seconds, _ in samples]
    fish = [(at, one) for at, (_, frame) in enumerate(samples) for one in frame]
    boxes: Boxes = np.array([[f.x, f.y, f.x + 40, f.y + 20] for _, f in fish], np.float32).reshape(-1, 4)
    return Observations(
        Samples.of_chapter(number, start, [round(30 * seconds) for seconds in times], times),
        np.array([at for at, _ in fish], np.int64),
        boxes,
        np.array([f.score for _, f in fish], np.float32),
        np.array([f.label for _, f in fish], np.int64),
        names,
    )


def deployment_result(
    chapters: Sequence[tuple[float, Sequence[tuple[float, Sequence[Fish]]]]] = CHAPTERS,
    *,
    opcode: str = "BR-07",
    metadata: DeploymentMetadata | None = METADATA,
    names: tuple[str, ...] = NAMES,
    files: tuple[str, ...] = FILES,
    complete: bool = True,
    lines: tuple[Line, ...] = (LINE,),
) -> DeploymentResult:
    """A result; chapters are (duration, (seconds in the file, fish) of each sample)."""
    parts, read, start = [], [], 0.0
    for number, (duration, samples) in enumerate(chapters):
        parts.append(chapter(number, start, samples, names))
        read.append(ChapterResult(Path("/disk") / files[number], files[number], start, SIZE_WH, len(samples), None))
        start += duration
    tracks = in_order_of_sight(np.array([f.track for _, s in chapters for _, frame in s for f in frame], np.int64))
    tracked = TrackedObservations(joined(parts), tracks)
    settings = CountSettings(threshold=0.5, fragmentation=Fragmentation(ratio=0.97, spread=0.3), lines=lines)
    period = Period((metadata.period_start if metadata else None) or 0.0)
    return DeploymentResult(
        Deployment(opcode, Path("/disk") / opcode, tuple(Chapter(one.path) for one in read), metadata, complete),
        tuple(read),
        DeploymentRecords(opcode, files[: len(read)], tracked),
        count(tracked, period, settings, SIZE_WH),
        settings,
        (),
        Model("YOLOX-Nano", "0", names, 0.5, 0.05),
    )


SPECIES = ("Girella tricuspidata", "Acanthopagrus australis", "unknown fish")
TAXONOMY = Taxonomy(
    taxa=(
        Taxon(
            key="Girella tricuspidata",
            family="Kyphosidae",
            genus="Girella",
            species="tricuspidata",
            caab="37361007",
            worms=280978,
        ),
        Taxon(key="Acanthopagrus australis", family="Sparidae", genus="Acanthopagrus", species="australis"),
    )
)


def result_with_parts(scale: float | None = 7.5) -> DeploymentResult:
    """The same footage with names, outlines and counts by points: track 3 is unknown, the boxes of 20 pixels at the
    left edge are cut, and the counter sees four fish where boxes show three."""
    result = deployment_result(names=SPECIES, metadata=METADATA.model_copy(update={"mm_per_pixel": scale}), lines=())
    seen, tracks = result.records.tracked.observations, result.records.tracked.tracks
    labels = np.where(tracks == 3, 2, seen.labels)
    renamed = Observations(seen.samples, seen.sample, seen.xyxy, seen.scores, labels, SPECIES)
    tracked = TrackedObservations(renamed, tracks)
    return replace(
        result,
        records=replace(result.records, tracked=tracked),
        counts=count(tracked, result.counts.period, result.settings, SIZE_WH),
        species=_named(tracked),
        outlines=_outlined(renamed),
        dense=_dense(),
    )


def _named(tracked: TrackedObservations) -> NamedDeployment:
    fish = []
    for track in range(1, tracked.count + 1):
        rows = np.flatnonzero(tracked.tracks == track)
        label = SPECIES[tracked.observations.labels[rows[0]]]
        known = label in SPECIES[:2]
        told = Named(label if known else None, 0.9375 if known else 0.75, SPECIES[1 if label == SPECIES[0] else 0])
        crops = (Crop(int(rows[0]), told, b"a picture"),)
        fish.append(NamedFish(track, rows, label, told, len(rows), crops))
    return NamedDeployment(PartModel("names", "1"), SPECIES[:2], 0.5, TAXONOMY, tuple(fish))


def _outlined(seen: Observations) -> Outlines:
    """A rectangle two pixels within every box that counts."""
    rows = np.flatnonzero(seen.scores >= 0.5)
    masks = [
        Mask(int(x1) + 2, int(y1) + 2, np.ones((16, int(x2) - int(x1) - 4), np.bool_))
        for x1, y1, x2, y2 in seen.xyxy[rows].tolist()
    ]
    return Outlines(
        PartModel("outlines", "2"),
        rows,
        np.array([area(mask) for mask in masks], np.float64),
        np.array([length(mask) for mask in masks], np.float64),
        seen.xyxy[rows, 0] < 50,
        np.tile(np.array(SIZE_WH, np.int64), (len(rows), 1)),
        tuple(rle(mask, SIZE_WH)["counts"].encode() for mask in masks),
    )


def _dense() -> DenseSamples:
    samples, counts = np.array([0, 2, 3, 4, 5]), np.array([2.25, 2.0, 4.25, 1.0, 2.75])
    points = np.zeros((0, 2), np.float32)
    return DenseSamples(PartModel("points", "3"), 4.0, samples, counts, points, np.zeros(6, np.int64))
