"""Pictures as DIVE takes them: one video, or a list of pictures in the order of their names; labels by frame."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import av

from data.curation.collection import Collection, Label, Picture
from data.curation.exchange.gathering import TRACK_ID, Draft, Finder, Gathered, attributes_of
from data.curation.exchange.places import (
    IMAGES,
    copy_pictures,
    copy_whole,
    distinct,
    flat_name,
    frame_number,
    is_frame,
)
from data.errors import InputError, ShankhaError
from data.files import natural_key
from data.images import IMAGE_SUFFIXES
from data.readers.classfolders import entries_of
from data.readers.detections_video import VIDEO_SUFFIXES
from data.readers.digitset import Problem

PICTURE: Final = "picture"
"""Attribute of a label that names its picture, where a format tells pictures by number alone."""
CONFIDENCE: Final = "confidence"
_TIME: Final = re.compile(r"\d+:\d\d:\d\d(\.\d*)?")


@dataclass(frozen=True)
class Seen:
    """One label at one frame; `number` is that of its track, or one of its own where it has none."""

    number: int
    frame: int
    picture: Picture
    label: Label


@dataclass(frozen=True)
class Media:
    """What a collection's labels refer to.

    Attributes:
        video: The video of which all pictures are frames; None where they are a list of pictures.
        places: Where each picture, or that video, lies below the folder, by id.
        frames: The frame of each picture, by id.
    """

    video: Path | None
    places: Mapping[str, PurePosixPath]
    frames: Mapping[str, int]

    @property
    def rate(self) -> float:
        """Frames of the video in a second; 0 where they are a list, or it does not tell."""
        if self.video is None:
            return 0.0
        try:
            with av.open(str(self.video)) as container:
                return float(container.streams.video[0].average_rate or 0)
        except (av.error.FFmpegError, OSError, IndexError) as error:
            raise InputError(self.video, f"cannot be opened ({error})", cure="copy it again") from error


def media_of(collection: Collection) -> Media:
    """How a collection is put before DIVE, which knows pictures by their names alone."""
    pictures = collection.pictures
    videos = {picture.path for picture in pictures}
    if pictures and len(videos) == 1 and all(is_frame(picture) for picture in pictures):
        video = videos.pop()
        place = PurePosixPath(video.name)
        return Media(video, {one.id: place for one in pictures}, {one.id: frame_number(one) for one in pictures})
    places = flat_places(collection)
    order = sorted(places, key=lambda one: natural_key(places[one].name))
    return Media(None, places, {one: frame for frame, one in enumerate(order)})


def places_of(collection: Collection) -> dict[str, PurePosixPath]:
    """Where each picture, or the video of all, lies below the folder, by id."""
    return dict(media_of(collection).places)


def flat_places(collection: Collection) -> dict[str, PurePosixPath]:
    """Where each picture lies below the folder where they are a list, by id; no two are called alike."""
    names = distinct({one.id: PurePosixPath(flat_name(one)) for one in collection.pictures})
    return {one: IMAGES / name for one, name in names.items()}


def copy_media(collection: Collection, media: Media, folder: Path) -> None:
    """Copy the video, or the pictures, to their places."""
    if media.video is None:
        copy_pictures(collection.pictures, media.places, folder)
    else:
        copy_whole(media.video, folder / media.video.name)


def seen_in(collection: Collection, media: Media) -> tuple[Seen, ...]:
    """Every label in the order of frames and numbers.

    Tracks of two recordings never share a number, nor do labels of two classes: a track has one class in DIVE.
    """
    pictures = sorted(collection.pictures, key=lambda one: media.frames[one.id])
    tracks = {(one.group, label.track, label.name): 0 for one in pictures for label in one.labels if label.track}
    used: set[int] = set()
    free = max((track for _, track, _ in tracks), default=0) + 1
    for key in tracks:
        number = key[1]
        if number in used:
            number, free = free, free + 1
        tracks[key] = number
        used.add(number)
    found = []
    for picture in pictures:
        here: set[int] = set()  # no track is twice in one picture
        for label in picture.labels:
            number = tracks.get((picture.group, label.track, label.name), 0)
            if not number or number in here:
                number, free = free, free + 1
            here.add(number)
            found.append(Seen(number, media.frames[picture.id], picture, label))
    return tuple(sorted(found, key=lambda one: (one.frame, one.number)))


def said_of(label: Label) -> dict[str, str]:
    """The attributes of a label that carry its provenance, its track and its confidence.

    A label without a confidence has 1 where DIVE wants one: the attribute tells the two apart.
    """
    said = attributes_of(label) | ({TRACK_ID: str(label.track)} if label.track else {})
    return said | ({CONFIDENCE: f"{label.confidence:.6f}"} if label.confidence is not None else {})


def track_of(attributes: Mapping[str, object], number: int, moving: bool) -> int:
    """The track of a label: as its attribute tells, else the number of a track of several frames, from 1."""
    told = str(attributes.get(TRACK_ID, "")).removesuffix(".0")
    if told.isdecimal() and len(told) < 10:
        return int(told)
    return number if moving else 0


class Frames:
    """Pictures found by frame or by name, with their drafts, for one file of labels.

    Args:
        path: The file, or a folder with one; of a folder every picture is taken, labelled or not.
        file: The file.
        finder: Where pictures are looked for.
        gathered: Takes the problems, and the pictures at the end.
    """

    def __init__(self, path: Path, file: Path, finder: Finder, gathered: Gathered) -> None:
        self.file, self.finder, self.gathered = file, finder, gathered
        self.drafts: dict[str, Draft] = {}
        self._by_name: dict[str, Draft | None] = {}
        self._order = _pictures_in(file.parent / IMAGES) or _pictures_in(file.parent)
        self._videos = [one.name for one in entries_of(file.parent) if one.suffix.lower() in VIDEO_SUFFIXES]
        if path.is_dir():
            for name in self._order:
                self.draft(name, file.name)

    def name_of(self, frame: int, told: str) -> str:
        """What the picture of a frame is called, told its name or the time in its video.

        Raises:
            InputError: A frame is told by its number, and there is no list of pictures nor one video.
        """
        suffix = PurePosixPath(told).suffix.lower()
        if suffix in IMAGE_SUFFIXES:
            return told
        if suffix in VIDEO_SUFFIXES:
            return f"{told}#{frame}"
        if told and not _TIME.fullmatch(told):
            return next((name for name in self._order if PurePosixPath(name).stem == told), told)
        if not _TIME.fullmatch(told) and self._order:
            if frame >= len(self._order):
                raise InputError(self.file, f"labels frame {frame} of {len(self._order)} pictures")
            return self._order[frame]
        known = self.finder.library.videos() if self.finder.library else ()
        videos = (
            self._videos or [video for video in known if PurePosixPath(video).name == self.file.stem] or list(known)
        )
        if len(videos) != 1:
            cure = "put the pictures into a folder images/ beside it, or the video"
            raise InputError(self.file, f"tells frames by number, and there are {len(videos)} videos", cure=cure)
        return f"{videos[0]}#{frame}"

    def at(self, frame: int, told: str, where: str) -> Draft | None:
        """The picture of a frame; None, and listed, where there is none."""
        try:
            return self.draft(self.name_of(frame, told), where)
        except InputError as error:
            self.gathered.problems.append(Problem(where, error.found))
            return None

    def draft(self, name: str, where: str) -> Draft | None:
        """The picture of that name; None, and listed once, where it is not there."""
        if name not in self._by_name:
            self._by_name[name] = None
            try:
                picture = self.finder.picture(name)
                self._by_name[name] = self.drafts.setdefault(picture.id, Draft(picture, self.gathered.problems))
            except ShankhaError as error:
                self.gathered.problems.append(Problem(where, f"{name} {error.found}"))
        return self._by_name[name]

    def collection(self, names: Iterable[str] = ()) -> Collection:
        """Everything that was read."""
        for draft in self.drafts.values():
            self.gathered.add(draft.finished())
        return self.gathered.collection(tuple(names))


def _pictures_in(folder: Path) -> list[str]:
    """Names of the pictures of a folder, as DIVE orders them."""
    entries = entries_of(folder) if folder.is_dir() else []
    return sorted((one.name for one in entries if one.suffix.lower() in IMAGE_SUFFIXES), key=natural_key)
