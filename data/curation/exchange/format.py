"""What a format of labels is, and the pictures that its labels may speak of."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

from data.curation.collection import Collection, Kind, Picture
from data.curation.exchange.places import FRAME
from data.errors import ArgumentError, FileAccessError, InputError
from data.files import sha256_of
from data.readers.detections_video import VIDEO_SUFFIXES

_PASSING: Final = frozenset(
    {"images", "labels", "data", "train", "training", "val", "valid", "validation", "test", "testing", "unsorted"}
)
"""Folders that a format puts pictures into: they tell no picture from another."""


@dataclass(frozen=True)
class Library:
    """Pictures that are known already, to be found by what a file of labels calls them.

    Labels often come back from a tool without the pictures that they speak of.
    """

    pictures: Sequence[Picture]
    _by_name: dict[str, list[int]] = field(init=False, repr=False, default_factory=dict)
    _by_size: dict[int, list[int]] = field(init=False, repr=False, default_factory=dict)
    _by_id: dict[str, int] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        for number, picture in enumerate(self.pictures):
            self._by_id[picture.id] = number
            for names in _names_of(picture):
                same = self._by_name.setdefault(names[-1].casefold(), [])
                if number not in same:
                    same.append(number)

    def with_id(self, name: str) -> Picture | None:
        """The picture of that id."""
        number = self._by_id.get(name)
        return None if number is None else self.pictures[number]

    def find(self, name: str) -> tuple[Picture, ...]:
        """The pictures that a name may mean: that of this id, else all whose path ends as the name, or it as theirs.

        Folders that formats put pictures into ("images", "train") count for nothing; a frame of a video is known by the
        name of the video and its number, however both are written. More than one means that the name does not tell
        which; none that it is unknown.
        """
        if name in self._by_id:
            return (self.pictures[self._by_id[name]],)
        meant = _spellings(name)
        near = dict.fromkeys(number for one in meant for number in self._by_name.get(one[-1].casefold(), []))
        own = {number: _names_of(self.pictures[number]) for number in near}
        found = [number for number in near if any(_agree(one, other) for one in meant for other in own[number])]
        exact = [number for number in found if not set(meant).isdisjoint(own[number])]
        return tuple(self.pictures[number] for number in (exact if len(exact) == 1 else found))

    def videos(self) -> tuple[str, ...]:
        """The videos of which frames are known, without an ending."""
        frames = [one for picture in self.pictures for one in _spellings(picture.id) if one[-1].startswith("#")]
        return tuple(dict.fromkeys("/".join(one[:-1]) for one in frames))

    def one(self, name: str) -> Picture | None:
        """The one picture that a name means; None where it is unknown.

        Raises:
            InputError: It may mean more than one.
        """
        found = self.find(name)
        if len(found) > 1:
            raise InputError(name, f"may be {found[0].id} or {found[1].id}", cure="give the folder with the name")
        return found[0] if found else None

    def same(self, path: Path) -> tuple[Picture, ...]:
        """The pictures whose file has the same content.

        Raises:
            FileAccessError: The file cannot be read.
        """
        if not self._by_size:
            for number, picture in enumerate(self.pictures):
                if picture.path.is_file() and not FRAME.search(picture.id):
                    self._by_size.setdefault(picture.path.stat().st_size, []).append(number)
        try:
            near = self._by_size.get(path.stat().st_size, [])
            told = sha256_of(path) if near else ""
            return tuple(self.pictures[number] for number in near if sha256_of(self.pictures[number].path) == told)
        except OSError as error:
            raise FileAccessError(path, f"cannot be read ({error.strerror or error})") from error


class Reader(Protocol):
    """Reads labels."""

    def __call__(self, path: Path, library: Library | None = None) -> Collection:
        """The pictures that a file, or a folder, labels.

        Args:
            path: The file or folder.
            library: Where pictures are looked for that do not lie beside the labels; those found keep their id.
                With it, `complete` tells of a picture whether each of its labels could be read.

        Returns:
            Pictures that are there; labels of others, and what else cannot be taken in, are problems.

        Raises:
            InputError: It is no such file, is damaged, or labels no picture that can be used.
            FileAccessError: It cannot be read.
        """
        ...


@dataclass(frozen=True)
class Format:
    """A format that labels are exchanged in.

    Attributes:
        name: What the command line calls it.
        kinds: What it can hold.
        read: Its reader.
        write: Writes a collection into a folder, which may exist: labels, and the pictures where the tool takes them
            from the folder. Raises FileAccessError where a picture cannot be read or a file cannot be written.
        places: Where `write` puts each picture below the folder, by id; a picture that lies there already stays.
        speaks: Whether a file or folder says of itself that it is of this format.
    """

    name: str
    kinds: frozenset[Kind]
    read: Reader
    write: Callable[[Collection, Path], None]
    places: Callable[[Collection], dict[str, PurePosixPath]]
    speaks: Callable[[Path], bool]


def _names_of(picture: Picture) -> tuple[tuple[str, ...], ...]:
    """The telling parts of its id, of its path, and of the names that formats give it."""
    names = [picture.id, "_".join(_telling(picture.id))]
    names += [] if FRAME.search(picture.id) else [picture.path.as_posix()]
    return tuple(dict.fromkeys(one for name in names for one in _spellings(name)))


def _spellings(name: str) -> tuple[tuple[str, ...], ...]:
    """The telling parts of a name; that of a frame ends with its video and "#" and its number."""
    parts = _telling(name)
    frame = FRAME.search(name)
    if frame and parts:
        stem = PurePosixPath(parts[-1][: -len(frame[0])]).stem
        return ((*parts[:-1], stem, f"#{int(frame[1])}"),)
    last = PurePosixPath(parts[-1]) if parts else PurePosixPath()
    if len(parts) > 1 and last.stem.isdecimal():
        video = PurePosixPath(parts[-2])
        stem = video.stem if video.suffix.lower() in VIDEO_SUFFIXES else video.name
        return parts, (*parts[:-2], stem, f"#{int(last.stem)}")
    return (parts,) if parts else ()


def _telling(name: str) -> tuple[str, ...]:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return tuple(part for part in parts[:-1] if part not in {"/", ".."} and part.lower() not in _PASSING) + parts[-1:]


def _agree(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    length = min(len(one), len(other))
    return one[-length:] == other[-length:]


def check_kind(collection: Collection, target: Format) -> None:
    """Refuse to write what a format cannot hold; raises ArgumentError."""
    if collection.kind not in target.kinds:
        found = f"{target.name} cannot hold {collection.kind}"
        raise ArgumentError("--format", found, expected=f"a format for {collection.kind}")


def head_of(path: Path) -> bytes:
    """The first 64 KiB of a file, by which it may say what it is; raises FileAccessError."""
    try:
        with path.open("rb") as stream:
            return stream.read(1 << 16)
    except OSError as error:
        raise FileAccessError(path, f"cannot be read ({error.strerror or error})") from error


@dataclass(frozen=True)
class Spoken:
    """How a file says that it is of a format.

    Attributes:
        own: What we call the file in a folder.
        suffix: How its name ends.
        sign: Found near its beginning.
        never: Not found there.
    """

    own: str
    suffix: str
    sign: re.Pattern[bytes]
    never: re.Pattern[bytes] | None = None

    def __call__(self, path: Path) -> bool:
        """Whether it is such a file, or a folder with one."""
        return bool(self._files(path)) if path.is_dir() else self._is_one(path)

    def file(self, path: Path) -> Path:
        """The file, or the one in a folder; raises InputError where there is not one."""
        if not path.is_dir():
            return path
        files = self._files(path)
        if len(files) != 1:
            cure = "name the file itself"
            raise InputError(path, f"holds {len(files)} files of this format", expected=self.own, cure=cure)
        return files[0]

    def _files(self, folder: Path) -> list[Path]:
        if (folder / self.own).is_file():
            return [folder / self.own]
        return [one for one in sorted(folder.glob(f"*{self.suffix}")) if self._is_one(one)]

    def _is_one(self, path: Path) -> bool:
        if path.suffix.lower() != self.suffix or not path.is_file():
            return False
        head = head_of(path)
        return bool(self.sign.search(head)) and not (self.never and self.never.search(head))
