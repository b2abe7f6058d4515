"""Datasets in FiftyOne made of sources, whole or not at all; made once, later only what is new is added.

A dataset is made under a name that says so, and takes its own when all of its pictures are in. What a process that was
ended in the middle has left is removed by the next one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from apps.curate.database import Note, connect
from apps.curate.fields import INFO, ITEM
from apps.curate.rows import plain_name
from apps.curate.samples import dataset_of
from apps.curate.sources import SourceKind
from apps.curate.sources.scan import open_scan
from apps.curate.sources.survey import FRAMES, SurveyOptions, open_survey
from data.curation.folder import read_version
from data.curation.sets import read_collection
from data.errors import ArgumentError, FileAccessError, InputError
from data.readers.digitset import Problem

if TYPE_CHECKING:
    import fiftyone as fo

Tick = Callable[[int, int], None]
"""Hears how many of how many are done."""
Watch = Callable[[str], Tick]
"""Hears the name of a step that begins, and gives what its progress is told to."""

UNFINISHED: Final = " (unfinished)"
"""What the name of a dataset ends with until all of it is in."""
MEDIA: Final = "media"
SOURCE: Final = "source"
SPLIT: Final = "split"
STATE: Final = "state"
DATASETS: Final = "datasets"
DONE: Final = "done"
"""Keys of what is noted of a dataset under `INFO`: where it is from, that source's state, the names of all datasets
that were made of it, and steps that are done."""


@dataclass(frozen=True)
class Request:
    """What to open: a `source` of its `kind`, as datasets whose names begin with `name`, kept in the folder `home`.

    `split` is one part of it alone. `footage` is the disk that was surveyed, and `copies` tells whether videos that
    browsers do not play are copied as such that they do.
    """

    source: Path
    kind: SourceKind
    name: str
    home: Path
    split: str | None = None
    footage: Path | None = None
    copies: bool = False

    @property
    def origin(self) -> dict[str, Any]:
        """What tells this source from another."""
        return {SOURCE: str(self.source.resolve()), SPLIT: self.split}

    @property
    def media(self) -> Path:
        """Folder for the pictures that the source has packed."""
        return self.home / MEDIA / plain_name(self.name)


@dataclass(frozen=True)
class Made:
    """What became of a source.

    Attributes:
        names: Of its datasets, the one to show first.
        added: Pictures (or videos) that were new.
        gone: Those that are in the dataset and no longer in the source: they stay.
        problems: What could not be taken.
    """

    names: tuple[str, ...]
    added: int
    gone: int
    problems: tuple[Problem, ...]


def find_note(request: Request, known: dict[str, Note]) -> Note | None:
    """What is noted of the dataset that was made of the source, or of the first of several; None where there is none.

    Raises:
        ArgumentError: A dataset of that name is of another source.
    """
    note = known.get(request.name) or known.get(f"{request.name} {FRAMES}")
    if note is None:
        return None
    told = note.info.get(INFO) or {}
    if {key: told.get(key) for key in request.origin} == request.origin:
        return note
    part = f", part {told[SPLIT]!r}" if told.get(SPLIT) else ""
    found = f"there is a dataset {request.name!r} of {told.get(SOURCE) or 'another making'}{part} already"
    raise ArgumentError("--name", found, cure="give this one another name: --name NAME")


def state_of(source: Path) -> str:
    """A hash that changes when a file of the source does: of the names, sizes and times of change of all files."""
    root = source if source.is_dir() else source.parent
    digest = hashlib.blake2b(digest_size=16)
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted(files):
            with contextlib.suppress(OSError):
                found = os.stat(os.path.join(folder, name))  # noqa: PTH116, PTH118 - there may be 100,000 of them
                line = f"{os.path.relpath(folder, root)}/{name}\0{found.st_size}\0{found.st_mtime_ns}\n"
                digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()


def make(request: Request, watch: Watch) -> Made:
    """Put a source into FiftyOne, or add to its datasets what is new in it; nothing that is in them is changed.

    Raises:
        ArgumentError: Another process is opening it.
        ShankhaError: It cannot be read, or the database or the disk fails.
    """
    with _alone(request):
        _remove_unfinished(request)
        state = state_of(request.source)
        try:
            fresh, problems = _MAKERS[request.kind](request, watch)
            names = tuple(dataset.name.replace(UNFINISHED, "", 1) for dataset in fresh)
            noted = {**request.origin, STATE: state, DATASETS: list(names), DONE: []}
            for dataset in fresh:
                dataset.info[INFO] = {**dataset.info.get(INFO, {}), **noted}
                dataset.save()
            counts = [_settle(dataset) for dataset in reversed(fresh)][::-1]  # the first tells that all are there
        except BaseException:
            with contextlib.suppress(Exception):
                _remove_unfinished(request)
            raise
    return Made(names, sum(added for added, _ in counts), sum(gone for _, gone in counts), problems)


@contextlib.contextmanager
def _alone(request: Request) -> Iterator[None]:
    """Make sure that no other process makes the same dataset."""
    lock = request.home / "locks" / f"{plain_name(request.name)}.lock"
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        stream = lock.open("w")
    except OSError as error:
        raise FileAccessError(lock, f"cannot be written ({error.strerror or error})") from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            found, cure = f"{request.name!r} is being opened by another process", "wait for it, or give another name"
            raise ArgumentError("--name", found, cure=cure) from error
        yield


def _remove_unfinished(request: Request) -> None:
    """Remove what was left of it in the middle of its making."""
    fiftyone = connect()
    names = set(fiftyone.list_datasets())
    for name in names:
        if name.startswith(request.name + UNFINISHED):
            fiftyone.delete_dataset(name)
    if names.isdisjoint({request.name, f"{request.name} {FRAMES}"}):
        shutil.rmtree(request.media, ignore_errors=True)


def _settle(fresh: fo.Dataset) -> tuple[int, int]:
    """Give a dataset that is whole its name, or hand what is new in it to the one that has it: how many, and gone."""
    fiftyone = connect()
    name = fresh.name.replace(UNFINISHED, "", 1)
    if not fiftyone.dataset_exists(name):
        fresh.name = name
        return len(fresh), 0
    dataset = fiftyone.load_dataset(name)
    known = set(dataset.values(ITEM))
    ids, items = fresh.values(["id", ITEM])
    new = [one for one, item in zip(ids, items, strict=True) if item not in known]
    if new:
        dataset.add_collection(fresh.select(new))
    told = dict(fresh.info[INFO])
    names = dict.fromkeys([*dataset.info.get(INFO, {}).get("names", []), *told.get("names", [])])
    dataset.info[INFO] = told | ({"names": list(names)} if names else {})
    dataset.save()
    fiftyone.delete_dataset(fresh.name)
    return len(new), len(known.difference(items))


Maker = Callable[[Request, Watch], tuple[list["fo.Dataset"], tuple[Problem, ...]]]


def _from_set(request: Request, watch: Watch) -> tuple[list[fo.Dataset], tuple[Problem, ...]]:
    kind = request.kind
    if kind not in {"digits", "species", "detection", "segmentation"}:
        raise ValueError(kind)
    collection = read_collection(request.source, kind, request.media, request.split, watch("reading"))
    name = request.name + UNFINISHED
    return [dataset_of(collection, name, tick=watch("putting into FiftyOne"))], collection.problems


def _from_folder(request: Request, watch: Watch) -> tuple[list[fo.Dataset], tuple[Problem, ...]]:
    collection = read_version(request.source)
    if request.split is not None:
        chosen = [place for place, picture in enumerate(collection.pictures) if picture.part == request.split]
        if not chosen:
            raise InputError(
                request.source, f"has no pictures of part {request.split!r}", expected="train, val or test"
            )
        collection = collection.select(chosen)
    tick = watch("putting into FiftyOne")
    return [dataset_of(collection, request.name + UNFINISHED, tick=tick)], collection.problems


def _from_survey(request: Request, watch: Watch) -> tuple[list[fo.Dataset], tuple[Problem, ...]]:
    options = SurveyOptions(request.media, request.footage, request.copies)
    opened = open_survey(request.source, request.name + UNFINISHED, options, watch("deployments"))
    return [one for one in (opened.videos, opened.frames) if one is not None], opened.problems


def _from_scan(request: Request, watch: Watch) -> tuple[list[fo.Dataset], tuple[Problem, ...]]:
    opened = open_scan(request.source, request.name + UNFINISHED, request.media, watch("cells"))
    return [opened.cells], opened.problems


_MAKERS: Final[dict[SourceKind, Maker]] = {
    "digits": _from_set,
    "species": _from_set,
    "detection": _from_set,
    "segmentation": _from_set,
    "folder": _from_folder,
    "survey": _from_survey,
    "scan": _from_scan,
}
