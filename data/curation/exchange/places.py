"""Where the pictures of a collection lie in a folder that a tool reads, and how they get there."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

import cv2

from data.curation.collection import Picture
from data.errors import FileAccessError, InputError
from data.files import whole_file, write_bytes
from data.images import IMAGE_SUFFIXES
from data.readers.classfolders import SPLIT_NAMES
from data.readers.detections_video import VIDEO_SUFFIXES, VideoFrames
from data.readers.detections_yolo import UNSORTED

FRAME: Final = re.compile(r"#(\d+)$")
"""The end of the id of a frame of a video, or of a picture in an archive, which is counted from 0."""
IMAGES: Final = "images"
_LONGEST: Final = 200
"""Bytes of a file's name, so that an ending and a number still fit."""
_UNSAFE: Final = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\]')


def is_frame(picture: Picture) -> bool:
    """Whether it is a frame of a video: its path is the video, and its id ends with the number of the frame."""
    return bool(FRAME.search(picture.id)) and picture.path.suffix.lower() in VIDEO_SUFFIXES


def frame_number(picture: Picture) -> int:
    """The number of the frame, or of the picture in its archive, counted from 0."""
    found = FRAME.search(picture.id)
    if not found:
        raise ValueError(f"{picture.id} is no frame of a video")
    return int(found[1])


def shown_path(picture: Picture) -> str:
    """Its id as a file: "clip.mp4#7" is "clip/000007.png", and an ending is added where there is none."""
    found = FRAME.search(picture.id)
    archive = PurePosixPath(picture.id[: found.start()]) if found else PurePosixPath()
    name = (archive.parent / archive.stem / f"{int(found[1]):06d}").as_posix() if found else picture.id
    suffix = picture.path.suffix.lower()
    suffix = suffix if suffix in IMAGE_SUFFIXES else ".png"
    return name if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES else f"{name}{suffix}"


def inner_path(picture: Picture) -> PurePosixPath:
    """Its path below a folder of pictures: its id without the folders "images" and the folder of its part.

    Raises:
        InputError: The id leads out of the folder.
    """
    path = PurePosixPath(shown_path(picture).replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise InputError(picture.id, "is no path within a folder", cure="give the picture another id")
    folders = [part for part in path.parts[:-1] if part not in {IMAGES, "labels"}]
    if folders and (SPLIT_NAMES.get(folders[0].lower()) == picture.part or folders[0] == UNSORTED):
        folders = folders[1:]
    return PurePosixPath(*map(_plain, folders), _plain(path.name))


def flat_name(picture: Picture) -> str:
    """Its inner path in one name, for tools that know pictures by name alone: "a/x.jpg" is "a_x.jpg"."""
    return "_".join(inner_path(picture).parts)


def _plain(name: str) -> str:
    """A name that every operating system takes."""
    plain = _UNSAFE.sub("_", name)
    stem, dot, suffix = plain.rpartition(".") if "." in plain[1:] else (plain, "", "")
    return stem.encode()[:_LONGEST].decode(errors="ignore") + dot + suffix


def distinct(paths: Mapping[str, PurePosixPath]) -> dict[str, PurePosixPath]:
    """Paths, by id, of which no two are alike but for their ending, or for small and capital letters.

    Labels of a picture often lie in a file of its name with another ending. Of those that are alike, all but the first
    get a number ("x-2.jpg").
    """
    taken: set[str] = set()
    found = {}
    for name, path in paths.items():
        number, chosen = 1, path
        while chosen.with_suffix("").as_posix().casefold() in taken:
            number += 1
            chosen = path.with_stem(f"{path.stem}-{number}")
        taken.add(chosen.with_suffix("").as_posix().casefold())
        found[name] = chosen
    return found


def copy_pictures(pictures: Iterable[Picture], places: Mapping[str, PurePosixPath], folder: Path) -> None:
    """Copy each picture to its place below the folder, by id; frames of videos become PNG files.

    Raises:
        FileAccessError: A picture cannot be read, or a file not be written.
        InputError: A video ends before a frame.
    """
    videos: dict[Path, list[Picture]] = {}
    for picture in pictures:
        if is_frame(picture):
            videos.setdefault(picture.path, []).append(picture)
        else:
            copy_whole(picture.path, folder / places[picture.id])
    for path, frames in videos.items():
        frames.sort(key=frame_number)
        store = VideoFrames(path, tuple(frame_number(one) for one in frames))
        for index, one in enumerate(frames):
            write_bytes(folder / places[one.id], cv2.imencode(".png", store.read(index))[1].tobytes())


def copy_whole(source: Path, target: Path) -> None:
    """Copy a file, whole or not at all; one that lies there already, as itself, stays.

    Raises:
        FileAccessError: It cannot be read, or written.
    """
    try:
        source.open("rb").close()
        if target.exists() and target.samefile(source):
            return
    except OSError as error:
        cure = "leave the picture out, or bring it back"
        raise FileAccessError(source, f"cannot be read ({error.strerror or error})", cure=cure) from error
    with whole_file(target) as temporary:
        shutil.copyfile(source, temporary)


def class_folder(name: str) -> str:
    """The folder of a class, from which `data.readers.crops.species_name` tells the class again.

    Blanks become underscores ("Genus species" -> "Genus_species"); what no operating system, or no reader, takes as it
    is becomes "%" and two hexadecimal digits for each byte: "a/b" -> "a%2Fb", "3 spot" -> "%33_spot". Letters of every
    script stay.

    Raises:
        InputError: The name is empty, or too long for a folder.
    """
    text = re.sub(r'[\x00-\x1f\x7f<>:"/|?*\\%_]', _escaped, name)
    text = re.sub(r"(?<=\s)\s|^\s|\s$|[^\S ]", _escaped, text)
    text = re.sub(r"\.$", _escaped, text)
    if re.match(r"[\d.]", text) or text.lower() in _RESERVED or text.lower() in SPLIT_NAMES:
        text = _escaped_text(text[0]) + text[1:]
    if not text or len(text.encode()) > 255:
        raise InputError(name[:40] or '""', "cannot name a folder", expected="1 to 255 bytes", cure="rename the class")
    return text.replace(" ", "_")


_RESERVED: Final = frozenset(
    {"con", "prn", "aux", "nul", "__macosx", "thumbs.db", "desktop.ini", UNSORTED, IMAGES}
    | {f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10)}
)


def _escaped(found: re.Match[str]) -> str:
    return _escaped_text(found[0])


def _escaped_text(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())
