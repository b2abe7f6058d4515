"""A folder a class: PART/CLASS/picture for digits and for species.

Pictures of several sources of digits lie in PART/SOURCE/CLASS; a fish that the names of its pictures do not tell has a
folder inside its species'. Pictures of no part lie in a folder "unsorted" beside the parts, or at the top where there
are no parts at all. A picture without a label has no place in such folders and is not written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from data.curation.collection import Collection, Label, Part, Picture, Provenance
from data.curation.exchange.format import Format, Library, check_kind
from data.curation.exchange.gathering import Gathered, digit_name, with_identity
from data.curation.exchange.places import class_folder, copy_pictures, distinct, inner_path
from data.errors import FileAccessError, ShankhaError
from data.images import image_size
from data.labels import DIGIT_CLASSES, digit_of
from data.readers.classfolders import folders_in, read_class_folders, split_folders
from data.readers.crops import own_parts, read_crops, species_name, tells_fish
from data.readers.detections_yolo import UNSORTED
from data.readers.digitset import FileImages, ImageStore, Problem

_PARTS: Final[Mapping[str, Part]] = {"train": "train", "val": "val", "test": "test"}


def read(path: Path, library: Library | None = None) -> Collection:
    """The pictures of a folder of classes with all its parts; see `Reader`.

    They are digits where every class is named after one, else species.
    """
    if not path.is_dir():
        raise FileAccessError(path, "is no folder", expected="a folder with a folder for each class")
    gathered = Gathered(path)
    by = Provenance(kind="source", name=path.resolve().name or "classes")
    if _of_digits(path):
        _read_digits(gathered, by, library)
        return gathered.collection(DIGIT_CLASSES, "digits")
    names = _read_species(gathered, by, library)
    return gathered.collection(names, "species")


def _of_digits(path: Path) -> bool:
    """Whether most folders are named after digits, here or in the folders of parts and sources."""
    children = folders_in(path)
    digits = [child for child in children if digit_of(child.name) is not None]
    if digits:
        return 2 * len(digits) > len(children)
    return bool(children) and all(_of_digits(child) for child in children)


def _read_digits(gathered: Gathered, by: Provenance, library: Library | None) -> None:
    root = gathered.where
    splits = split_folders(root)
    reads: list[tuple[Path, str | None, Part]] = [(root, split, _PARTS[split]) for split in splits]
    if splits and (root / UNSORTED).is_dir():
        reads.append((root / UNSORTED, None, ""))
    for folder, split, part in reads or [(root, None, "")]:
        digits = read_class_folders(folder, split)
        gathered.problems += digits.problems
        groups = ["" if group in {root.resolve().name, UNSORTED} else group for group in digits.groups.tolist()]
        names = [DIGIT_CLASSES[label] for label in digits.labels]
        _take(gathered, _files(digits.images), zip(names, groups, strict=True), _Told(by, part, library))


def _read_species(gathered: Gathered, by: Provenance, library: Library | None) -> tuple[str, ...]:
    root = gathered.where
    parts = own_parts(root)
    folders: list[tuple[Path, Part]] = [(folder, _PARTS[part]) for part, folder in parts.items()]
    if parts and (root / UNSORTED).is_dir():
        folders.append((root / UNSORTED, ""))
    names: list[str] = []
    for folder, part in folders or [(root, "")]:
        crops = read_crops(folder)
        names += [name for name in crops.names if name not in names]
        gathered.problems += crops.problems
        labels = [crops.names[label] for label in crops.labels]
        _take(gathered, _files(crops.images), zip(labels, crops.groups.tolist(), strict=True), _Told(by, part, library))
    return tuple(names)


@dataclass(frozen=True)
class _Told:
    by: Provenance
    part: Part
    library: Library | None


def _files(images: ImageStore) -> Sequence[Path]:
    assert isinstance(images, FileImages)  # noqa: S101 - pictures in folders are files
    return images.paths


def _take(gathered: Gathered, paths: Sequence[Path], said: Iterable[tuple[str, str]], told: _Told) -> None:
    """Take pictures with the class and the group of each."""
    for path, (name, group) in zip(paths, said, strict=True):
        where = path.relative_to(gathered.where).as_posix()
        try:
            size = image_size(path)
        except ShankhaError as error:
            gathered.problems.append(Problem.of(error, where))
            continue
        picture = Picture(where, path, size, (Label(name, told.by),), told.part, group)
        gathered.add(with_identity(picture, None, told.library))


def write(collection: Collection, folder: Path) -> None:
    """Copy every labelled picture into the folder of its class; see `Format.write`."""
    check_kind(collection, FORMAT)
    places = places_of(collection)
    copy_pictures([picture for picture in collection.pictures if picture.labels], places, folder)


def places_of(collection: Collection) -> dict[str, PurePosixPath]:
    """Where `write` puts each labelled picture below the folder, by id."""
    labelled = [picture for picture in collection.pictures if picture.labels]
    groups = Counter(picture.group for picture in labelled if picture.group)
    parted = any(picture.part for picture in labelled)
    found = {}
    for one in labelled:
        part = (one.part or UNSORTED,) if parted else ()
        name = _file_name(one, collection.names)
        place = _digit_place if collection.kind == "digits" else _species_place
        found[one.id] = PurePosixPath(*part, *place(one, groups, name), name)
    return distinct(found)


def _digit_place(picture: Picture, groups: Counter[str], _name: str) -> tuple[str, ...]:
    source = (class_folder(picture.group),) if picture.group and len(groups) > 1 else ()
    return *source, digit_name(picture.labels[0].name)


def _species_place(picture: Picture, groups: Counter[str], name: str) -> tuple[str, ...]:
    """A fish of several pictures has a folder of its own, unless their names tell which it is."""
    told = tells_fish(name) or groups[picture.group] < 2 or not picture.group
    return (class_folder(picture.labels[0].name), *(() if told else (_fish_folder(picture.group),)))


def _fish_folder(group: str) -> str:
    """A fish's folder: its group without the species that a reader of such folders puts in front."""
    parts = [part for part in group.split("/") if part not in {"", "."}]
    return class_folder(" ".join(parts[1:] or parts))


def _file_name(picture: Picture, names: Sequence[str]) -> str:
    """Its path in one name, without folders of a class, a source or a fish: these it gets anew."""
    inner = inner_path(picture)
    known = {_fish_folder(picture.group), class_folder(picture.group)} if picture.group else set()
    folders = [one for one in inner.parts[:-1] if not (_is_class(one, names) or one in known)]
    return "_".join([*folders, inner.name])


def _is_class(folder: str, names: Sequence[str]) -> bool:
    return digit_of(folder) is not None or species_name(folder) in names


def speaks(path: Path) -> bool:
    """Never: folders of pictures may be anything."""
    return False


FORMAT: Final = Format("classes", frozenset({"digits", "species"}), read, write, places_of, speaks)
