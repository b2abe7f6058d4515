"""Verifying a dataset's folder: against its manifest, against the catalogue, and by reading every example."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from data.catalogue import Dataset, load_catalogue
from data.download import Tick
from data.errors import ArgumentError, FileAccessError, InputError, ShankhaError
from data.files import sha256_of
from data.readers import DigitSet, Problem, read_digits
from data.store import MANIFEST, Manifest, Watch, files_below, read_manifest, unwatched

_SPLITS = ("train", "val", "test")
_Read = tuple[int | None, tuple[Problem, ...], tuple[Problem, ...]]
"""Examples decoded over every split of a folder, those that cannot be used, and those left out on purpose."""
_NOT_READ: _Read = (None, (), ())


@dataclass(frozen=True)
class Verification:
    """What is wrong with a dataset's folder.

    Attributes:
        folder: What was verified.
        dataset: Its name in the catalogue; None where the folder has no manifest.
        files: How many files were compared with the manifest; 0 where there is none.
        examples: How many examples were decoded; None where there is no reader for the dataset.
        missing: Files of the manifest that are not there.
        changed: Files whose content is not the manifest's, or whose origin is not the catalogue's.
        extra: Files that the manifest does not know.
        unreadable: Examples that cannot be used.
        left_out: Sound examples that the reader leaves out on purpose, such as copies.
    """

    folder: str
    dataset: str | None
    files: int
    examples: int | None
    missing: tuple[str, ...]
    changed: tuple[Problem, ...]
    extra: tuple[str, ...]
    unreadable: tuple[Problem, ...]
    left_out: tuple[Problem, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.missing or self.changed or self.extra or self.unreadable)


def verify(folder: Path, watch: Watch = unwatched) -> Verification:
    """Compare the folder with its manifest and the catalogue, and read every example where there is a reader.

    A folder without a manifest, filled by hand, is only read.

    Raises:
        FileAccessError: There is no such folder, or it cannot be read.
        InputError: The manifest is damaged; or there is none, and no reader knows the folder.
    """
    if not folder.is_dir():
        cure = "check the path, or get the dataset with `shankha data get`"
        raise FileAccessError(folder, "is no folder", cure=cure)
    if not (folder / MANIFEST).is_file():
        examples, unreadable, left_out = _read_unlisted(folder, watch)
        return Verification(str(folder), None, 0, examples, (), (), (), unreadable, left_out)
    manifest = read_manifest(folder)
    missing, changed, extra = _compare(folder, manifest, watch)
    entry = next((dataset for dataset in load_catalogue() if dataset.name == manifest.dataset), None)
    if entry:
        changed += tuple(_foreign_origins(manifest, entry))
    examples, unreadable, left_out = _read_known(folder, watch) if entry and entry.reader else _NOT_READ
    return Verification(
        str(folder), manifest.dataset, len(manifest.files), examples, missing, changed, extra, unreadable, left_out
    )


def _compare(
    folder: Path, manifest: Manifest, watch: Watch
) -> tuple[tuple[str, ...], tuple[Problem, ...], tuple[str, ...]]:
    """Missing, changed and extra files."""
    missing, changed, done = [], [], 0
    tick, total = watch("hashing"), sum(file.bytes for file in manifest.files)
    for file in manifest.files:
        path = folder / file.path
        if not path.is_file():
            missing.append(file.path)
        elif path.stat().st_size != file.bytes:
            changed.append(Problem(file.path, f"has {path.stat().st_size:,} bytes, not {file.bytes:,}"))
        elif sha256_of(path) != file.sha256:
            changed.append(Problem(file.path, "has another content"))
        done += file.bytes
        tick(done, total)
    known = {file.path for file in manifest.files}
    there = [path.relative_to(folder).as_posix() for path in files_below(folder)]
    return tuple(missing), tuple(changed), tuple(path for path in there if path not in known)


def _foreign_origins(manifest: Manifest, entry: Dataset) -> Iterator[Problem]:
    hashes = {file.name: file.sha256 for file in entry.files if file.sha256}
    for origin in manifest.origins:
        if hashes.get(origin.name, origin.sha256) != origin.sha256:
            yield Problem(origin.name, f"came with the hash {origin.sha256}, not the catalogue's {hashes[origin.name]}")


def _read_known(folder: Path, watch: Watch) -> _Read:
    """As `_read_all`; a dataset that its reader does not take is a problem too."""
    try:
        return _read_all(folder, watch)
    except ShankhaError as error:
        return None, (Problem.of(error),), ()


def _read_unlisted(folder: Path, watch: Watch) -> _Read:
    """As `_read_all`, for a folder without a manifest: there is nothing else to go by."""
    try:
        return _read_all(folder, watch)
    except InputError as error:
        found = f"holds no {MANIFEST}, and is no folder of digits either ({Path(error.where).name}: {error.found})"
        raise InputError(folder, found, cure="give the folder of one dataset") from error


def _read_all(folder: Path, watch: Watch) -> _Read:
    examples = 0
    unreadable: list[Problem] = []
    left_out: list[Problem] = []
    for digits in _splits(folder):
        unreadable += digits.check(_of_total(watch("reading"), len(digits)))
        examples += len(digits)
        left_out += digits.left_out
    return examples, tuple(unreadable), tuple(left_out)


def _of_total(tick: Tick, total: int) -> Callable[[int], None]:
    return lambda done: tick(done, total)


def _splits(folder: Path) -> list[DigitSet]:
    """The folder's splits; the whole of it where it has none."""
    found = []
    for split in _SPLITS:
        try:
            found.append(read_digits(folder, split))
        except ArgumentError:
            continue
    return found or [read_digits(folder)]
