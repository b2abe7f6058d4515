"""Verifying a dataset's folder: against its manifest, against the catalogue, and by reading every example."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from data.catalogue import Dataset, load_catalogue
from data.download import Tick
from data.errors import ArgumentError, FileAccessError, InputError, ShankhaError
from data.images import read_image
from data.provenance import WHOLE_PICTURE
from data.readers import DetectionSet, DigitSet, Problem, read_detections, read_digits
from data.store import MANIFEST, Manifest, Watch, read_manifest, unwatched
from data.stored import compare
from data.versions import differences, is_version, read_version_file

_SPLITS = ("train", "val", "test")
_READERS: Final[Mapping[str, Callable[[Path, str | None], DigitSet | DetectionSet]]] = MappingProxyType(
    {"digits": read_digits, "detections": read_detections}
)
"""The readers by the name that the catalogue gives them."""


@dataclass(frozen=True)
class Contents:
    """What a reader found in every split of a folder; nothing by default.

    Attributes:
        examples: How many examples were decoded; None where there is no reader for the dataset.
        boxes: How many boxes they hold; None where they are no pictures with boxes.
        sites: The camera sites that are known by name.
        unreadable: Examples and labels that cannot be used.
        left_out: Sound examples that the reader leaves out on purpose, such as copies.
    """

    examples: int | None = None
    boxes: int | None = None
    sites: tuple[str, ...] = ()
    unreadable: tuple[Problem, ...] = ()
    left_out: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Verification:
    """What is wrong with a dataset's folder.

    Attributes:
        folder: What was verified.
        dataset: Its name in the catalogue; None where the folder has no manifest.
        files: How many files were compared with the manifest; 0 where there is none.
        contents: What a reader found in it.
        missing: Files of the manifest that are not there.
        changed: Files whose content is not the manifest's, or whose origin is not the catalogue's.
        extra: Files that the manifest does not know.
    """

    folder: str
    dataset: str | None
    files: int
    contents: Contents
    missing: tuple[str, ...] = ()
    changed: tuple[Problem, ...] = ()
    extra: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.missing or self.changed or self.extra or self.contents.unreadable)


def verify(folder: Path, watch: Watch = unwatched) -> Verification:
    """Compare the folder with its manifest and the catalogue, and read every example where there is a reader.

    A folder without a manifest, filled by hand, is only read. Of a version that `shankha curate export` wrote, every
    file is compared with what was written.

    Raises:
        FileAccessError: There is no such folder, or it cannot be read.
        InputError: The manifest is damaged; or there is none, and no reader knows the folder.
    """
    if not folder.is_dir():
        cure = "check the path, or get the dataset with `shankha data get`"
        raise FileAccessError(folder, "is no folder", cure=cure)
    if is_version(folder):
        return _verify_version(folder, watch)
    if not (folder / MANIFEST).is_file():
        return Verification(str(folder), None, 0, _read_unlisted(folder, watch))
    manifest = read_manifest(folder)
    found = compare(folder, manifest.files, MANIFEST, watch("hashing"))
    changed = tuple(Problem(*one) for one in found.changed)
    entry = next((dataset for dataset in load_catalogue() if dataset.name == manifest.dataset), None)
    if entry:
        changed += tuple(_foreign_origins(manifest, entry))
    contents = _read_known(folder, entry.reader, watch) if entry and entry.reader else Contents()
    return Verification(
        str(folder), manifest.dataset, len(manifest.files), contents, found.missing, changed, found.extra
    )


def _verify_version(folder: Path, watch: Watch) -> Verification:
    """Compare a versioned folder with its manifest, and decode every picture of it that is there."""
    version = read_version_file(folder)
    found = differences(folder, version, watch("hashing"))
    tick, unreadable = watch("reading"), []
    pictures = [picture for picture in version.content.pictures if picture.file not in found.missing]
    for number, picture in enumerate(pictures, 1):
        try:
            read_image(folder / picture.file)
        except ShankhaError as error:
            unreadable.append(Problem.of(error, picture.file))
        tick(number, len(pictures))
    boxed = version.content.kind not in WHOLE_PICTURE
    contents = Contents(
        examples=len(pictures),
        boxes=sum(len(picture.labels) for picture in pictures) if boxed else None,
        sites=tuple(sorted({picture.group for picture in pictures if picture.group})) if boxed else (),
        unreadable=tuple(unreadable),
        left_out=tuple(Problem(one.id, one.why) for one in version.content.left_out),
    )
    changed = tuple(Problem(*one) for one in found.changed)
    title = f"{version.content.name} ({version.content.kind}, version {version.version})"
    return Verification(str(folder), title, len(version.content.files), contents, found.missing, changed, found.extra)


def _foreign_origins(manifest: Manifest, entry: Dataset) -> Iterator[Problem]:
    hashes = {file.name: file.sha256 for file in entry.files if file.sha256}
    for origin in manifest.origins:
        if hashes.get(origin.name, origin.sha256) != origin.sha256:
            yield Problem(origin.name, f"came with the hash {origin.sha256}, not the catalogue's {hashes[origin.name]}")


def _read_known(folder: Path, reader: str, watch: Watch) -> Contents:
    """As `_read_all`; a dataset that its reader does not take is a problem too."""
    try:
        return _read_all(folder, reader, watch)
    except ShankhaError as error:
        return Contents(unreadable=(Problem.of(error),))


def _read_unlisted(folder: Path, watch: Watch) -> Contents:
    """As `_read_all`, for a folder without a manifest: the first reader that knows it takes it."""
    refused = []
    for reader in _READERS:
        try:
            return _read_all(folder, reader, watch)
        except InputError as error:
            refused.append(f"of {reader} ({Path(error.where).name}: {error.found})")
    found = f"holds no {MANIFEST}, and is no folder {' or '.join(refused)} either"
    raise InputError(folder, found, cure="give the folder of one dataset")


def _read_all(folder: Path, reader: str, watch: Watch) -> Contents:
    splits = _splits(folder, reader)
    unreadable = [one.check(_of_total(watch("reading"), len(one))) for one in splits]
    boxed = [one for one in splits if isinstance(one, DetectionSet)]
    return Contents(
        examples=sum(len(one) for one in splits),
        boxes=sum(one.boxes for one in boxed) if boxed else None,
        sites=tuple(sorted({str(site) for one in boxed for site in one.sites if site})),
        unreadable=tuple(problem for problems in unreadable for problem in problems),
        left_out=tuple(problem for one in splits for problem in one.left_out),
    )


def _of_total(tick: Tick, total: int) -> Callable[[int], None]:
    return lambda done: tick(done, total)


def _splits(folder: Path, reader: str) -> list[DigitSet | DetectionSet]:
    """The folder's splits; the whole of it where it has none."""
    read = _READERS[reader]
    found = []
    for split in _SPLITS:
        try:
            found.append(read(folder, split))
        except ArgumentError:
            continue
    return found or [read(folder, None)]
