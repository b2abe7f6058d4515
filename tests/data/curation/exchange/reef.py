"""A small reef for tests of exchange: real picture files, and everything that can be said of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from data.curation.collection import Collection, Kind, Label, Picture, Provenance
from data.labels import DIGIT_CLASSES
from data.masks import Mask

SIZE_WH = (64, 48)
SOURCE = Provenance(kind="source", name="reef", when="2026-11-01T08:00:00Z")
MODEL = Provenance(kind="model", name="fish-int8")
PERSON = Provenance(kind="person", name="আশা Akter", when="2026-11-22T20:15:03Z")
FISH = ("রুই", "Chromis chrysura")


def picture_file(path: Path, number: int = 0, size_wh: tuple[int, int] = SIZE_WH) -> Path:
    """A picture like no other: `number` decides its pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 255, (size_wh[1], size_wh[0], 3))
    assert cv2.imwrite(str(path), pixels.astype(np.uint8))
    return path


def box(name: str, *sides: float, by: Provenance = SOURCE, sure: float | None = None, track: int = 0) -> Label:
    return Label(name, by, np.array(sides, np.float32), confidence=sure, track=track)


def outline(name: str, mask: Mask, by: Provenance = SOURCE, sure: float | None = None, track: int = 0) -> Label:
    return Label(name, by, mask.xyxy, mask, sure, track)


def two_parts() -> Mask:
    inside = np.zeros((8, 10), np.bool_)
    inside[:4, :5] = inside[5:, 6:] = True
    return Mask(20, 10, inside)


def staircase() -> Mask:
    return Mask(5, 30, np.tril(np.ones((6, 6), np.bool_)))


def boxes(folder: Path) -> Collection:
    """Boxes of two fish in four pictures, two of which have one name; one is empty, one is not wholly labelled."""
    first = (
        box(FISH[0], 2.25, 3.5, 20.75, 30, by=PERSON, track=1),
        box(FISH[1], 30, 10, 60, 40.5, by=MODEL, sure=0.8125, track=2),
    )
    second = (box(FISH[0], 4.25, 3.5, 22.75, 30, by=PERSON, track=1), box(FISH[0], 40, 0, 64, 12))
    names = ("a/x.png", "b/x.png", "b/empty sea.png", "c/সমুদ্র #3.png")
    files = [picture_file(folder / name, number) for number, name in enumerate(names)]
    return Collection(
        "reef",
        "detection",
        FISH,
        (
            Picture(names[0], files[0], SIZE_WH, first, "train", "Jack Evans A"),
            Picture(names[1], files[1], SIZE_WH, second, "train", "Jack Evans A"),
            Picture(names[2], files[2], SIZE_WH, (), "val", "Jack Evans B", tags=("low light",)),
            Picture(names[3], files[3], SIZE_WH, (box(FISH[1], 1, 1, 5, 5),), "val", "Jack Evans B", complete=False),
        ),
    )


def outlines(folder: Path) -> Collection:
    """Outlines in one piece and in two, and a box that nobody outlined."""
    names = ("a/x.png", "b/x.png")
    files = [picture_file(folder / name, number) for number, name in enumerate(names)]
    first = (outline(FISH[0], two_parts(), PERSON, track=4), outline(FISH[1], staircase(), MODEL, 0.25))
    return Collection(
        "reef",
        "segmentation",
        FISH,
        (
            Picture(names[0], files[0], SIZE_WH, first, "train", "site A"),
            Picture(names[1], files[1], SIZE_WH, (box(FISH[0], 3, 3, 9.5, 9),), "val", "site B"),
        ),
    )


def digits(folder: Path) -> Collection:
    pictures = []
    for number, name in enumerate(("7", "0", "not_a_digit", "7")):
        path = picture_file(folder / f"w{number % 2}/{number}.png", number, (20, 20))
        by = PERSON if number else SOURCE
        part, group = ("train", "sheet a") if number < 2 else ("test", "sheet b")
        pictures.append(Picture(f"w{number % 2}/{number}.png", path, (20, 20), (Label(name, by),), part, group))
    return Collection("sheets", "digits", DIGIT_CLASSES, tuple(pictures))


def species(folder: Path) -> Collection:
    names = ("Chromis chrysura", "রুই", "3 spot_fish", "a/b: 50%", "train")
    pictures = []
    for number, name in enumerate(names):
        for frame in range(2):
            item = f"crops/fish_{number:04d}_{frame}.png"
            path = picture_file(folder / item, 10 * number + frame, (20, 20))
            pictures.append(Picture(item, path, (20, 20), (Label(name, SOURCE, confidence=None),), "", f"f{number}"))
    return Collection("crops", "species", names, tuple(pictures))


MADE = {"detection": boxes, "segmentation": outlines, "digits": digits, "species": species}


def made(kind: Kind, folder: Path) -> Collection:
    return MADE[kind](folder)


def differences(one: Collection, other: Collection, *, near: float = 0.0, without: Iterable[str] = ()) -> list[str]:
    """What two collections say differently, by id of the picture; sides of boxes may differ by `near` pixels."""
    left, right = ({picture.id: picture for picture in both.pictures} for both in (one, other))
    found = [f"only in one: {name}" for name in sorted(left.keys() ^ right.keys())]
    parts = {"part", "group", "complete", "tags", "size_wh"}.difference(without)
    says = {"name", "by", "confidence", "track", "mask"}.difference(without)
    for name in sorted(left.keys() & right.keys()):
        mine, theirs = left[name], right[name]
        found += [f"{name}: {part}" for part in sorted(parts) if getattr(mine, part) != getattr(theirs, part)]
        if len(mine.labels) != len(theirs.labels):
            found.append(f"{name}: {len(mine.labels)} labels, not {len(theirs.labels)}")
            continue
        for label, again in zip(_ordered(mine), _ordered(theirs), strict=True):
            found += [f"{name}: {word}" for word in sorted(says) if getattr(label, word) != getattr(again, word)]
            if (label.xyxy is None) != (again.xyxy is None):
                found.append(f"{name}: a box")
            elif label.xyxy is not None and np.abs(label.xyxy - again.xyxy).max() > near:
                found.append(f"{name}: {label.xyxy} is not {again.xyxy}")
    return found


def _ordered(picture: Picture) -> list[Label]:
    return sorted(picture.labels, key=lambda one: (one.name, [] if one.xyxy is None else np.round(one.xyxy).tolist()))
