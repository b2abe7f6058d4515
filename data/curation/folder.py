"""Versioned dataset folders: pictures, labels in a format that tools read, and a manifest of who said what.

A folder is whole or absent, and never written to again: the next version lies beside it ("reef", "reef-v2"). Pictures
are copied, not linked: one that is edited in place afterwards changes no version.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final, cast

import numpy as np

from data.curation.collection import Collection, Label, Picture, Provenance, now
from data.curation.exchange import FORMATS, classes
from data.curation.exchange.format import check_kind
from data.curation.exchange.places import copy_pictures, is_frame
from data.download import check_space
from data.errors import ArgumentError, FileAccessError, InputError, ShankhaError
from data.files import write_text
from data.images import image_size
from data.readers.detections_video import VIDEO_SUFFIXES
from data.readers.digitset import Problem
from data.rle import from_rle, rle
from data.stored import Tick, listed
from data.versions import (
    MANIFEST,
    Content,
    LeftOut,
    Parent,
    StoredLabel,
    StoredPicture,
    Version,
    is_version,
    read_version_file,
    sound_version,
)

_NUMBERED: Final = re.compile(r"(.+)-v(\d+)")
_CHUNK: Final = 200


@dataclass(frozen=True)
class Made:
    """What made a version: the command line, and what the pictures were taken from."""

    command: str = ""
    source: str = ""


@dataclass(frozen=True)
class Written:
    """A version after `write_version`; not `fresh` where the last version already held the same."""

    folder: Path
    version: Version
    fresh: bool


def write_version(
    collection: Collection, target: Path, target_format: str, made: Made | None = None, tick: Tick | None = None
) -> Written:
    """Write a collection as a versioned folder: `target`, or where that is a version already, the next one beside it.

    Pictures that cannot be read, or no longer have the size that their labels were drawn in, are left out and listed
    in the manifest; so are, among folders of classes, pictures without a label. The collection's problems are listed
    there too.

    Args:
        collection: What to write.
        target: The folder of the first version.
        target_format: Name of one of `FORMATS`.
        made: By what.
        tick: Hears how many pictures are copied.

    Returns:
        The folder. Where the last version holds just the same, that one, and nothing is written.

    Raises:
        ArgumentError: There is no such format, or it cannot hold such a collection.
        FileAccessError: `target` is something else than a version; a picture vanished meanwhile; the disk is full or
            may not be written.
        InputError: There is no picture that can be used.
    """
    if target_format not in FORMATS:
        raise ArgumentError("--format", f"there is no format {target_format!r}", expected=" or ".join(FORMATS))
    check_kind(collection, FORMATS[target_format])
    target = Path(os.path.abspath(target))  # noqa: PTH100 - resolving would follow links
    usable, left_out = _usable(collection, target_format)
    folder, before = next_version(target)
    with _staging(folder) as staging:
        files = _write(usable, staging, target_format, tick)
        content = _content(usable, staging, files, target_format, left_out)
        if before is not None and before[1].id == content.digest:
            return Written(*before, fresh=False)
        version = _version(content, before[1] if before else None, made or Made())
        write_text(staging / MANIFEST, version.text())
        _put(staging, folder)
    return Written(folder, version, fresh=True)


def _usable(collection: Collection, target_format: str) -> tuple[Collection, tuple[LeftOut, ...]]:
    """The pictures that can be written, and the others with their reasons."""
    kept, left_out = [], [LeftOut(id=problem.name, why=problem.why) for problem in collection.problems]
    for picture in collection.pictures:
        why = _fault(picture, must_be_labelled=target_format == classes.FORMAT.name)
        if why:
            left_out.append(LeftOut(id=picture.id, why=why))
        else:
            kept.append(picture)
    if not kept:
        first = f"; the first of {len(left_out)}: {left_out[0].id} {left_out[0].why}" if left_out else ""
        raise InputError(collection.name, f"holds no picture that can be written{first}")
    return replace(collection, pictures=tuple(kept)), tuple(left_out)


def _fault(picture: Picture, *, must_be_labelled: bool) -> str:
    """Why a picture cannot be written; "" where it can."""
    if must_be_labelled and not picture.labels:
        return "has no label"
    try:
        if is_frame(picture):
            return "" if picture.path.is_file() else "its video is missing"
        size = image_size(picture.path)
    except ShankhaError as error:
        return error.found
    wanted = "{} x {}".format(*picture.size_wh)
    return (
        "" if size == picture.size_wh else f"is {size[0]} x {size[1]} pixels, where its labels were made for {wanted}"
    )


def next_version(target: Path) -> tuple[Path, tuple[Path, Version] | None]:
    """Where the next version goes, and the last one of the line; None where it is the first.

    A line of versions is named after its first: `reef`, `reef-v2`, `reef-v3`. Any of them may be given.

    Raises:
        FileAccessError: `target` is something else.
    """
    if target.exists() and not is_version(target) and (not target.is_dir() or any(target.iterdir())):
        cure = "choose another folder with --to, or move this one away"
        raise FileAccessError(target, "exists already, and is no dataset folder with a manifest", cure=cure)
    numbered = _NUMBERED.fullmatch(target.name)
    is_later = numbered is not None and is_version(target.with_name(numbered[1]))
    first = target.with_name(numbered[1]) if numbered and is_later else target
    line = {version.version: (path, version) for path in _siblings(first) for version in [read_version_file(path)]}
    if not line:
        return target, None
    last = max(line)
    number = last + 1
    while first.with_name(f"{first.name}-v{number}").exists():
        number += 1
    return first.with_name(f"{first.name}-v{number}"), line[last]


def _siblings(first: Path) -> list[Path]:
    """The versions of a line that are there."""
    near = first.parent.iterdir() if first.parent.is_dir() else iter(())
    own = [path for path in near if path == first or (_numbered_as(path, first.name) and path.is_dir())]
    return sorted(path for path in own if is_version(path))


def _numbered_as(path: Path, name: str) -> bool:
    numbered = _NUMBERED.fullmatch(path.name)
    return numbered is not None and numbered[1] == name


@contextlib.contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A folder beside the one to be, which is gone afterwards unless it took its name."""
    place: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
        place.chmod(0o755)
        yield place
    except OSError as error:
        raise _failure(folder, place, error) from error
    finally:
        if place is not None:
            shutil.rmtree(place, ignore_errors=True)


def _failure(folder: Path, place: Path | None, error: OSError) -> FileAccessError:
    """What to say of an error while the folder was made: of another's file, or of the folder itself."""
    why = error.strerror or str(error)
    other = Path(os.fsdecode(error.filename)) if error.filename is not None else folder
    if place is not None and other != folder and not other.is_relative_to(place):
        cure = "leave the picture out, or bring it back"
        return FileAccessError(other, f"cannot be read ({why}): nothing was written", cure=cure)
    cure = "choose a folder that you may write to, with free space"
    return FileAccessError(folder, f"cannot be written ({why}): nothing was", cure=cure)


def _write(collection: Collection, staging: Path, target_format: str, tick: Tick | None) -> Mapping[str, PurePosixPath]:
    """Copy the pictures, let the format write its labels beside them; where each picture lies, by id."""
    places = FORMATS[target_format].places(collection)
    if any(place.suffix.lower() in VIDEO_SUFFIXES for place in places.values()):
        FORMATS[target_format].write(collection, staging)  # the video itself goes along
        return places
    frames = [picture for picture in collection.pictures if is_frame(picture)]
    pictures = [picture for picture in collection.pictures if not is_frame(picture)]
    check_space(staging, sum(picture.path.stat().st_size for picture in pictures))
    for start in range(0, len(pictures), _CHUNK):
        copy_pictures(pictures[start : start + _CHUNK], places, staging)
        if tick:
            tick(min(start + _CHUNK, len(pictures)), len(collection))
    copy_pictures(frames, places, staging)
    if tick:
        tick(len(collection), len(collection))
    copied = tuple(replace(picture, path=staging / places[picture.id]) for picture in collection.pictures)
    FORMATS[target_format].write(replace(collection, pictures=copied), staging)
    return places


def _content(
    collection: Collection,
    staging: Path,
    places: Mapping[str, PurePosixPath],
    target_format: str,
    left_out: tuple[LeftOut, ...],
) -> Content:
    speakers = {label.by: None for picture in collection.pictures for label in picture.labels}
    number_of = {speaker: number for number, speaker in enumerate(speakers)}
    return Content(
        name=collection.name,
        kind=collection.kind,
        names=collection.names,
        format=target_format,
        speakers=tuple(speakers),
        pictures=tuple(_stored(one, places[one.id].as_posix(), number_of) for one in collection.pictures),
        files=listed(staging, MANIFEST),
        left_out=left_out,
    )


def _stored(picture: Picture, file: str, number_of: Mapping[Provenance, int]) -> StoredPicture:
    return StoredPicture(
        id=picture.id,
        file=file,
        size_wh=picture.size_wh,
        part=picture.part,
        group=picture.group,
        complete=picture.complete,
        tags=picture.tags,
        labels=tuple(_stored_label(label, picture.size_wh, number_of[label.by]) for label in picture.labels),
    )


def _stored_label(label: Label, size_wh: tuple[int, int], by: int) -> StoredLabel:
    # The shortest text that gives the same float32 again.
    xyxy = None if label.xyxy is None else tuple(float(str(edge)) for edge in label.xyxy)
    return StoredLabel(
        name=label.name,
        by=by,
        xyxy=cast("tuple[float, float, float, float] | None", xyxy),
        mask=None if label.mask is None else str(rle(label.mask, size_wh)["counts"]),
        confidence=label.confidence,
        track=label.track,
    )


def _version(content: Content, before: Version | None, made: Made) -> Version:
    return Version(
        version=before.version + 1 if before else 1,
        id=content.digest,
        parent=Parent(version=before.version, id=before.id) if before else None,
        made=now(),
        command=made.command,
        source=made.source,
        content=content,
    )


def _put(staging: Path, folder: Path) -> None:
    """Give the staged folder its name, once all of it is on the disk."""
    os.sync()
    if folder.exists() and any(folder.iterdir()):
        raise FileAccessError(folder, "came into being meanwhile: nothing was written", cure="run it again")
    staging.replace(folder)
    handle = os.open(folder.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_version(folder: Path) -> Collection:
    """The collection that a version was written from, its pictures in the folder.

    Raises:
        FileAccessError: The folder is no version, or cannot be read.
        InputError: It differs from its manifest.
    """
    content = sound_version(folder).content
    problems = tuple(Problem(one.id, one.why) for one in content.left_out)
    pictures = tuple(_read_back(folder, one, content.speakers) for one in content.pictures)
    try:
        return Collection(content.name, content.kind, content.names, pictures, problems)
    except ValueError as error:
        raise InputError(folder / MANIFEST, f"makes no sense ({error})", cure="export the dataset again") from error


def _read_back(folder: Path, stored: StoredPicture, speakers: Sequence[Provenance]) -> Picture:
    labels = tuple(_label(one, stored.size_wh, speakers) for one in stored.labels)
    return Picture(
        stored.id,
        folder / stored.file,
        stored.size_wh,
        labels,
        stored.part,
        stored.group,
        stored.complete,
        stored.tags,
    )


def _label(stored: StoredLabel, size_wh: tuple[int, int], speakers: Sequence[Provenance]) -> Label:
    return Label(
        stored.name,
        speakers[stored.by],
        None if stored.xyxy is None else np.array(stored.xyxy, np.float32),
        None if stored.mask is None else from_rle(stored.mask, size_wh),
        stored.confidence,
        stored.track,
    )


def settled_parts(collection: Collection) -> tuple[Collection, int]:
    """Pictures of no part, among others that have one, go where their group is, else to train; and how many did.

    Where nobody has said of any picture what it is for, all stay so: who trains splits by group.
    """
    if not any(picture.part for picture in collection.pictures):
        return collection, 0
    part_of = {one.group: one.part for one in collection.pictures if one.group and one.part}
    pictures = tuple(
        picture if picture.part else replace(picture, part=part_of.get(picture.group, "train"))
        for picture in collection.pictures
    )
    moved = sum(not picture.part for picture in collection.pictures)
    return replace(collection, pictures=pictures), moved


def torn_groups(collection: Collection) -> tuple[str, ...]:
    """Groups whose pictures are in more than one part: what was learnt of them is judged on them."""
    parts: dict[str, set[str]] = {}
    for picture in collection.pictures:
        if picture.group and picture.part:
            parts.setdefault(picture.group, set()).add(picture.part)
    return tuple(sorted(group for group, own in parts.items() if len(own) > 1))
