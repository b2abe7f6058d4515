"""The deployments of a disk: each a folder of video files, in the order in which they were filmed.

A folder that holds video files is a deployment, at any depth, and its name is the opcode. Folders that cameras make
(`DCIM/100GOPRO`) belong to the folder above them. Names that stand for nothing - hidden files, the `._` files of a Mac,
a GoPro's small copies and thumbnails - are passed over.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Final

from apps.fish.footage.metadata import DeploymentMetadata, read_metadata
from apps.fish.footage.problems import FootageProblem
from data.errors import FileAccessError, InputError
from data.files import natural_key

VIDEO_SUFFIXES: Final = frozenset({".mp4", ".mov", ".avi", ".mts", ".m2ts", ".mkv", ".m4v"})
METADATA: Final = "metadata.csv"

_GOPRO: Final = re.compile(r"(?:.*[^a-z0-9])?g[hxl](\d{2})(\d{4})", re.IGNORECASE)
_OLD_GOPRO: Final = re.compile(r"(?:.*[^a-z0-9])?g(opr|p\d{2})(\d{4})", re.IGNORECASE)
_CAMERA_FOLDER: Final = re.compile(
    r"dcim|private|avchd|bdmv|stream|m4root|clip|mp_root|\d{3}(gopro|media|_?pana|canon|msdcf|nikon|olymp|_\d{4})",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Chapter:
    """One video file of a deployment."""

    path: Path


@dataclass(frozen=True)
class Deployment:
    """One camera, put down once.

    `chapters` are in the order in which they were filmed. `complete` is False where the names of the files tell that
    a chapter is missing: no count over such a deployment is complete.
    """

    opcode: str
    folder: Path
    chapters: tuple[Chapter, ...]
    metadata: DeploymentMetadata | None = None
    complete: bool = True


@dataclass(frozen=True, order=True)
class _Place:
    """Where a file stands in its deployment: by recording and chapter where its camera tells, else by name."""

    recording: int
    chapter: int


def find_deployments(
    disk: Path, metadata: Path | None = None, leave_out: Path | None = None
) -> tuple[list[Deployment], list[FootageProblem]]:
    """The deployments below a folder, by name, and everything that is wrong with them and their metadata.

    Args:
        disk: A folder, or a single video file, which is then a deployment of one chapter named after it.
        metadata: The table of deployments; without it `metadata.csv` in `disk`, where there is one.
        leave_out: A folder that is not searched: the results.

    Raises:
        FileAccessError: `disk` or the given table cannot be read.
        InputError: The given table is no table of deployments, or `disk` is a file of another kind.
    """
    if not disk.is_dir():
        return [_alone(disk)], []
    groups, problems = _grouped(disk, leave_out)
    if not groups:
        cure = "give the folder that holds the deployments"
        problems.append(FootageProblem("no_footage", disk, "holds no video file", cure))
    rows, faults = _rows(disk, metadata)
    found, named = _named(disk, groups, rows)
    deployments = []
    for deployment in found:
        ordered, notes = _ordered(deployment)
        deployments.append(ordered)
        problems += notes
    problems += [*named, *faults]
    if rows is not None:
        problems += _unmatched(rows[0], rows[1], deployments)
    return sorted(deployments, key=lambda one: natural_key(one.opcode)), problems


def _alone(path: Path) -> Deployment:
    if not path.is_file():
        raise FileAccessError(path, "is not there", expected="a folder of deployments", cure="check the path")
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        raise InputError(path, "is no video file", expected=f"one of {', '.join(sorted(VIDEO_SUFFIXES))}")
    return Deployment(path.stem, path.parent, (Chapter(path),))


def _grouped(disk: Path, leave_out: Path | None) -> tuple[dict[Path, list[Path]], list[FootageProblem]]:
    """Video files by the folder of their deployment; problems with folders."""
    groups: dict[Path, list[Path]] = defaultdict(list)
    problems: list[FootageProblem] = []
    failures: list[OSError] = []
    passed_over = None if leave_out is None else leave_out.resolve()
    for here, folders, names in os.walk(disk, onerror=failures.append):
        folder = Path(here)
        folders[:] = sorted(name for name in folders if name[0] != "." and (folder / name).resolve() != passed_over)
        videos = [folder / name for name in names if name[0] != "." and Path(name).suffix.lower() in VIDEO_SUFFIXES]
        if videos:
            groups[_deployment_folder(disk, folder)] += videos
        elif not folders and folder != disk and not [name for name in names if name[0] != "."]:
            problems.append(FootageProblem("empty_folder", folder, "is empty", "copy its footage again, or remove it"))
    for failure in failures:
        if failure.filename == str(disk):
            raise FileAccessError(disk, f"cannot be listed ({failure.strerror})", cure="check its permissions")
        what = f"cannot be listed ({failure.strerror})"
        cure = "check its permissions"
        problems.append(FootageProblem("unreadable_folder", Path(str(failure.filename)), what, cure, loss=True))
    return groups, problems


def _deployment_folder(disk: Path, folder: Path) -> Path:
    while folder != disk and _CAMERA_FOLDER.fullmatch(folder.name):
        folder = folder.parent
    return folder


def _rows(
    disk: Path, given: Path | None
) -> tuple[tuple[Path, dict[str, DeploymentMetadata]] | None, list[FootageProblem]]:
    """The table's path and its rows by opcode; problems with it."""
    path = given
    if path is None:
        path = next((one for one in sorted(disk.iterdir()) if one.name.lower() == METADATA), None)
    if path is None:
        return None, []
    try:
        rows, problems = read_metadata(path)
    except (FileAccessError, InputError) as error:
        if given is not None:
            raise
        return None, [replace(FootageProblem.of(error, "bad_metadata"), loss=False)]
    return (path, {row.opcode: row for row in rows}), problems


def _named(
    disk: Path,
    groups: Mapping[Path, Sequence[Path]],
    table: tuple[Path, dict[str, DeploymentMetadata]] | None,
) -> tuple[list[Deployment], list[FootageProblem]]:
    """Give each group of files its opcode and its row; opcodes that several folders have are told apart."""
    rows = {} if table is None else table[1]
    folders = {(disk / row.folder).resolve(): row.opcode for row in rows.values() if row.folder}
    own = {folder: folders.get(folder.resolve(), folder.resolve().name) for folder in groups}
    by_opcode: dict[str, list[Path]] = defaultdict(list)
    for folder in sorted(groups):
        by_opcode[own[folder].casefold()].append(folder)
    problems, taken = [], {own[same[0]] for same in by_opcode.values() if len(same) == 1}
    deployments = []
    for same in by_opcode.values():
        for folder in same:
            opcode = own[folder] if len(same) == 1 else _longer(disk, folder, taken)
            taken.add(opcode)
            chapters = tuple(Chapter(path) for path in groups[folder])
            deployments.append(Deployment(opcode, folder, chapters, rows.get(opcode)))
            if len(same) > 1:
                what = f"{len(same)} folders are named {own[folder]!r}: this one is called {opcode!r}"
                cure = "name each folder after its own opcode"
                problems.append(FootageProblem("same_opcode", folder, what, cure, opcode))
    return deployments, problems


def _longer(disk: Path, folder: Path, taken: Iterable[str]) -> str:
    """An opcode from the folder's path below the disk; with a number where that is taken, too."""
    opcode = name = "_".join(folder.relative_to(disk).parts) or folder.resolve().name
    used = {one.casefold() for one in taken}
    number = 2
    while opcode.casefold() in used:
        opcode, number = f"{name}_{number}", number + 1
    return opcode


def _ordered(deployment: Deployment) -> tuple[Deployment, list[FootageProblem]]:
    """The chapters in the order of filming; what their names tell of missing ones."""
    places = {chapter: _place(chapter.path.stem) for chapter in deployment.chapters}
    chapters = sorted(deployment.chapters, key=lambda one: _sort_key(one, places[one], deployment.folder))
    recordings: dict[int, list[int]] = defaultdict(list)
    for place in places.values():
        if place is not None:
            recordings[place.recording].append(place.chapter)
    problems = []
    missing = [_told(number, gaps) for number, parts in sorted(recordings.items()) if (gaps := _missing(parts))]
    if missing:
        what = f"{'; '.join(missing)} missing: what was filmed then is not counted"
        cure = "copy it from the camera's card"
        problem = FootageProblem("missing_chapter", deployment.folder, what, cure, deployment.opcode, loss=True)
        problems.append(problem)
    if len(recordings) > 1:
        numbers = ", ".join(f"{number:04d}" for number in sorted(recordings))
        what = f"holds {len(recordings)} recordings ({numbers}): they are taken as one deployment, in this order"
        problems.append(FootageProblem("several_recordings", deployment.folder, what, "", deployment.opcode))
    return replace(deployment, chapters=tuple(chapters), complete=not missing), problems


def _place(stem: str) -> _Place | None:
    """Recording and chapter of a GoPro's file, chapters counted from 1; None for other names.

    GX020034 is chapter 2 of recording 34; of older cameras GOPR0034 is the first and GP010034 the second chapter.
    """
    if match := _GOPRO.fullmatch(stem):
        return _Place(int(match[2]), int(match[1]))
    if match := _OLD_GOPRO.fullmatch(stem):
        first = match[1].lower() == "opr"
        return _Place(int(match[2]), 1 if first else int(match[1][1:]) + 1)
    return None


def _sort_key(chapter: Chapter, place: _Place | None, folder: Path) -> tuple[object, ...]:
    name = natural_key(str(chapter.path.relative_to(folder)))
    return (1, 0, 0, name) if place is None else (0, place.recording, place.chapter, name)


def _missing(chapters: Sequence[int]) -> list[int]:
    """Numbers that lie between 1 and the last chapter and are not there."""
    return [gap for low, high in pairwise([0, *sorted(set(chapters))]) for gap in range(low + 1, high)]


def _told(recording: int, chapters: Sequence[int]) -> str:
    numbers = ", ".join(map(str, chapters))
    return f"chapter{'s' if len(chapters) > 1 else ''} {numbers} of recording {recording:04d}"


def _unmatched(
    path: Path, rows: Mapping[str, DeploymentMetadata], deployments: Sequence[Deployment]
) -> list[FootageProblem]:
    """Rows without a folder, and folders without a row."""
    named = {deployment.opcode for deployment in deployments}
    problems = []
    for row in rows.values():
        if row.opcode not in named:
            what = f"opcode {row.opcode!r} has no folder with footage"
            cure = "check the opcode and the folder's name"
            problems.append(FootageProblem("unknown_opcode", path, what, cure, row.opcode, row.line))
    for deployment in deployments:
        if deployment.metadata is None:
            what = f"has no row in {path.name}: its place and time stay empty"
            cure = f"add a row with opcode {deployment.opcode}"
            problems.append(FootageProblem("no_metadata", deployment.folder, what, cure, deployment.opcode))
    return problems
