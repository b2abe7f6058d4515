"""Versioned dataset folders: what the manifest of one says, and whether the folder still is what it says.

`data.curation.folder` writes them; the readers of labelled data look here what a picture is for, what it belongs
to, and whether its file is the one that was written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from data.errors import ArgumentError, FileAccessError, InputError, validation_faults
from data.provenance import Kind, Part, Provenance
from data.stored import Differences, Sha256, StoredFile, Tick, compare

MANIFEST: Final = "manifest.json"
_AGAIN: Final = "put the files back, or export the dataset again"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StoredLabel(_Strict):
    """A `data.curation.collection.Label`: `by` counts into the manifest's speakers, `mask` is COCO's run lengths."""

    name: str
    by: Annotated[int, Field(ge=0)]
    xyxy: tuple[float, float, float, float] | None = None
    mask: str | None = None
    confidence: Annotated[float, Field(ge=0, le=1)] | None = None
    track: Annotated[int, Field(ge=0)] = 0


class StoredPicture(_Strict):
    """A `data.curation.collection.Picture`: `file` is its path in the folder."""

    id: str
    file: str
    size_wh: tuple[int, int]
    part: Part = ""
    group: str = ""
    complete: bool = True
    tags: tuple[str, ...] = ()
    labels: tuple[StoredLabel, ...] = ()


class Parent(_Strict):
    """The version that a version was made after."""

    version: Annotated[int, Field(ge=1)]
    id: Sha256


class LeftOut(_Strict):
    """A picture that was asked for and is not in the version, and why."""

    id: str
    why: str


class Content(_Strict):
    """What a version holds, whoever made it and whenever.

    Attributes:
        name: What the collection is called.
        kind: What its labels speak of.
        names: The classes, in the order in which a network counts them.
        format: The exchange format that the labels lie in.
        speakers: Everyone who said something; labels count into them.
        pictures: All of them, in the order of the collection.
        files: Every file but the manifest.
        left_out: What could not be taken in.
    """

    name: str
    kind: Kind
    names: tuple[str, ...]
    format: str
    speakers: tuple[Provenance, ...]
    pictures: tuple[StoredPicture, ...]
    files: tuple[StoredFile, ...]
    left_out: tuple[LeftOut, ...] = ()

    @model_validator(mode="after")
    def _holds_together(self) -> Content:
        known = {file.path for file in self.files}
        if len(known) != len(self.files) or len({one.id for one in self.pictures}) != len(self.pictures):
            raise ValueError("a file or a picture is listed twice")
        for picture in self.pictures:
            if picture.file not in known:
                raise ValueError(f"the file of {picture.id} is not listed")
            if any(label.by >= len(self.speakers) or label.name not in self.names for label in picture.labels):
                raise ValueError(f"a label of {picture.id} is of no speaker, or of no class")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of all of it: equal content gives equal ones."""
        return hashlib.sha256("\n".join(_lines(self.model_dump(mode="json"))).encode()).hexdigest()


class Version(_Strict):
    """What `manifest.json` says.

    Attributes:
        version: Counts from 1 along a line of versions.
        id: The digest of the content.
        parent: The version before; None for the first.
        made: When, in UTC.
        command: The command line that made it.
        source: What it was made from.
        content: What it holds.
    """

    format_version: Literal[1] = 1
    version: Annotated[int, Field(ge=1)]
    id: Sha256
    parent: Parent | None = None
    made: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    command: str = ""
    source: str = ""
    content: Content

    @cached_property
    def by_file(self) -> Mapping[str, StoredPicture]:
        """The pictures by their path in the folder."""
        return {picture.file: picture for picture in self.content.pictures}

    @property
    def parts(self) -> frozenset[Part]:
        """What its pictures are for; "" where that is not said of some."""
        return frozenset(picture.part for picture in self.content.pictures)

    def text(self) -> str:
        """The manifest, an item a line, so that two of them can be compared line by line too."""
        return "\n".join(_lines(self.model_dump(mode="json"))) + "\n"


def _lines(tree: Mapping[str, Any]) -> Iterator[str]:
    """JSON with a line for each key, and for each item of a list of objects; values that say nothing are left out."""
    yield "{"
    keys = list(tree)
    for key in keys:
        end = "" if key == keys[-1] else ","
        value = tree[key]
        if isinstance(value, dict):
            inner = list(_lines(value))
            yield f"{json.dumps(key)}: {{"
            yield from inner[1:-1]
            yield f"}}{end}"
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield f"{json.dumps(key)}: ["
            yield from (f"{_short(item)}{',' if number < len(value) else ''}" for number, item in enumerate(value, 1))
            yield f"]{end}"
        else:
            yield f"{json.dumps(key)}: {_json(value)}{end}"
    yield "}"


def _short(item: Any) -> str:
    return _json(_told(item))


def _told(item: Any) -> Any:
    """Without keys whose value is that of a field that nothing was said of."""
    if isinstance(item, list):
        return [_told(one) for one in item]
    if not isinstance(item, dict):
        return item
    silent: dict[str, Any] = {"xyxy": None, "mask": None, "confidence": None, "track": 0, "part": "", "group": ""}
    silent |= {"complete": True, "tags": [], "labels": [], "when": ""}
    return {key: _told(value) for key, value in item.items() if key not in silent or value != silent[key]}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def is_version(folder: Path) -> bool:
    """Whether the folder has a manifest."""
    return (folder / MANIFEST).is_file()


def read_version_file(folder: Path) -> Version:
    """The folder's manifest.

    Raises:
        FileAccessError: There is none, or it cannot be read.
        InputError: It is damaged, or of a later format.
    """
    path = folder / MANIFEST
    try:
        version = Version.model_validate_json(path.read_bytes())
    except ValidationError as error:
        expected = "what `shankha curate export` writes"
        found = f"is no manifest of a dataset ({validation_faults(error)})"
        raise InputError(path, found, expected=expected, cure="export the dataset again") from error
    except OSError as error:
        cure = "give a folder that `shankha curate export` wrote"
        raise FileAccessError(path, f"cannot be read ({error.strerror or error})", cure=cure) from error
    if version.content.digest != version.id:
        raise InputError(path, "was changed after it was written: its id is another", cure=_AGAIN)
    return version


def differences(folder: Path, version: Version, tick: Tick | None = None) -> Differences:
    """Files that are missing, changed, or not in the manifest."""
    return compare(folder, version.content.files, MANIFEST, tick)


def sound_version(folder: Path, tick: Tick | None = None) -> Version:
    """The folder's manifest, once every file was found to be what it says.

    Raises:
        InputError: A file is missing, changed, or not in the manifest; or the manifest itself is damaged.
        FileAccessError: The folder cannot be read.
    """
    version = read_version_file(folder)
    found = differences(folder, version, tick)
    if found:
        cure = f"see `shankha data verify {folder}`; {_AGAIN}"
        raise InputError(folder, f"differs from its manifest: {found.first}", cure=cure)
    return version


def readable_version(folder: Path, kinds: tuple[Kind, ...], formats: tuple[str, ...]) -> Version | None:
    """The sound version that a reader is about to read; None where the folder is no version.

    Args:
        folder: What the reader was given.
        kinds: What it can read.
        formats: In which formats.

    Raises:
        InputError: As `sound_version`; or the version is of another kind or format.
    """
    if not is_version(folder):
        return None
    version = sound_version(folder)
    if version.content.kind not in kinds:
        raise InputError(folder, f"is a dataset of {version.content.kind}", expected=" or ".join(kinds))
    if version.content.format not in formats:
        cure = f"export it with --format {formats[0]}"
        found = f"is in the format {version.content.format}, which models are not trained or judged from"
        raise InputError(folder, found, expected=" or ".join(formats), cure=cure)
    return version


def learning_split(folder: Path, split: str | None) -> str | None:
    """The split to learn from: that asked for; of a version with parts "train", where none is asked for.

    Raises:
        InputError: The manifest is damaged.
        ArgumentError: No split is asked for, and the version has parts but no part "train".
    """
    if split is not None or not is_version(folder):
        return split
    parts = read_version_file(folder).parts - {""}
    if parts and "train" not in parts:
        raise ArgumentError(str(folder), "has no part to learn from", expected="a part train")
    return "train" if parts else None


def validation_split(folder: Path, split: str | None) -> str | None:
    """The split to validate on: "val" of a version that has one, where no split is asked for; else None."""
    if split is not None or not is_version(folder):
        return None
    return "val" if "val" in read_version_file(folder).parts else None
