"""Crops of fish, one folder a species: pictures of one fish each, which species it is, and which fish.

`03_Chromis_chrysura` and `Chromis chrysura` are the same species: a leading number only orders the folders. Files
named as Fish4Knowledge names them, `fish_<trajectory>_<frame>`, or `..._track12_0007`, tell which fish a picture
shows; so does a folder inside the species' folder, and before both the manifest of a versioned folder. Elsewhere every
picture counts as another fish.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Annotated, Final
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from data.errors import ArgumentError, FileAccessError, InputError
from data.images import IMAGE_SUFFIXES
from data.preprocess import Image
from data.readers.classfolders import SPLIT_NAMES, files_below, folders_in
from data.readers.digitset import FileImages, Problem
from data.splits import hold_out_groups
from data.versions import MANIFEST, Version, readable_version

PARTS: Final = ("train", "val", "test")
LEAST_PICTURES: Final = 2
"""A species of fewer pictures cannot be learnt: nothing would be left to see whether it was."""
_NUMBER: Final = re.compile(r"^\d+[_\-. ]+(?=\D)")
_FISH: Final = re.compile(r"^(.*?(?:fish|track|trajectory)[_-]?\d+)[_-]", re.IGNORECASE)
_CURE: Final = "put the pictures of each species into a folder of its name"


class CropSplit(BaseModel):
    """How fish are shared out over the parts train, val and test, whole fish and species by species.

    About `test_share` of every species' fish are the test part, and about `validation_share` of the others the part
    val; of a species with two fish or more at least one is tested, with three or more at least one validated.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: Annotated[int, Field(ge=0)] = 0
    test_share: Annotated[float, Field(gt=0, lt=0.9)] = 0.25
    validation_share: Annotated[float, Field(gt=0, lt=0.9)] = 0.2


@dataclass(frozen=True)
class CropSet:
    """N pictures of single fish.

    Attributes:
        name: What the set is called in tables.
        names: C species.
        labels: (N,) int64, index into `names`.
        groups: (N,) str, the fish that a picture shows; splits never part one.
        files: (N,) str, path of each picture below the set's folder.
        images: Where the pictures are.
        problems: Pictures and species that could not be taken in.
        left_out: Files left out on purpose: no pictures by their names.
    """

    name: str
    names: tuple[str, ...]
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]
    files: NDArray[np.str_]
    images: FileImages
    problems: tuple[Problem, ...] = ()
    left_out: tuple[Problem, ...] = ()

    def __post_init__(self) -> None:
        if len({len(self.labels), len(self.groups), len(self.files), len(self.images.paths)}) != 1:
            raise ValueError(f"{self.name}: labels, groups, files and images differ in length")
        if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < len(self.names):
            raise ValueError(f"{self.name}: labels must be from 0 to {len(self.names) - 1}")

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def joined(cls, parts: Sequence[CropSet]) -> CropSet:
        """All pictures of parts of one folder, in the order of the parts; species are joined by name."""
        names = tuple(sorted({name for part in parts for name in part.names}))
        if len({part.names for part in parts}) == 1:
            names = parts[0].names
        labels = [np.array([names.index(name) for name in part.names], np.int64)[part.labels] for part in parts]
        return cls(
            parts[0].name,
            names,
            np.concatenate(labels),
            np.concatenate([part.groups for part in parts]),
            np.concatenate([part.files for part in parts]),
            FileImages(tuple(path for part in parts for path in part.images.paths)),
            tuple(dict.fromkeys(problem for part in parts for problem in part.problems)),
            tuple(dict.fromkeys(problem for part in parts for problem in part.left_out)),
        )

    def read(self, index: int) -> Image:
        """Decode one picture: (H, W, 3) BGR uint8; raises InputError or FileAccessError."""
        image = self.images.read(index)
        return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.int64] | Sequence[int]) -> CropSet:
        """The chosen pictures, by mask or by index, in that order; species and problems stay as they are."""
        index = np.asarray(chosen)
        index = np.flatnonzero(index) if index.dtype == np.bool_ else index.astype(np.int64)
        return replace(
            self,
            labels=self.labels[index],
            groups=self.groups[index],
            files=self.files[index],
            images=FileImages(tuple(self.images.paths[int(i)] for i in index)),
        )

    def part(self, part: str, split: CropSplit) -> CropSet:
        """The pictures of a part, "train", "val" or "test"; which fish are in it follows from names and seed alone.

        Raises:
            ArgumentError: There is no such part.
        """
        if part not in PARTS:
            raise ArgumentError("--split", f"{part!r} is no part of a set of crops", expected=" or ".join(PARTS))
        rest, test = hold_out_groups(self.labels, self.groups, split.test_share, split.seed)
        if part == "test":
            return self.select(test)
        learnt, held = hold_out_groups(self.labels[rest], self.groups[rest], split.validation_share, split.seed + 1)
        return self.select(rest[learnt if part == "train" else held])

    def of_species(self, names: Sequence[str]) -> CropSet:
        """The pictures of these species, counted in their order; others are not in it."""
        place = np.array([names.index(name) if name in names else -1 for name in self.names], np.int64)
        labels = place[self.labels] if len(self) else self.labels
        return replace(self.select(labels >= 0), names=tuple(names), labels=labels[labels >= 0])


def species_name(folder: str) -> str:
    """The species that a folder is named after: without a leading number, blanks for underscores.

    What cannot stand in the name of a folder may be written as in an address: "a%2Fb" is "a/b".
    """
    return unquote(" ".join(_NUMBER.sub("", folder).replace("_", " ").split()))


def tells_fish(name: str) -> bool:
    """Whether the name of a picture tells which fish it shows, as Fish4Knowledge's do."""
    return bool(_FISH.match(PurePath(name).stem))


def fish_of(path: Path, species: Path) -> str:
    """Which fish a picture of a species' folder shows, as a name that no other fish of the set has."""
    inside = path.relative_to(species).parent.as_posix()
    found = _FISH.match(path.stem)
    own = found[1] if found else path.stem if inside == "." else ""
    return "/".join((species.name, inside, own))


def read_crops(folder: Path, split: str | None = None, plan: CropSplit | None = None) -> CropSet:
    """Pictures of single fish, sorted into a folder a species.

    Args:
        folder: Holds the species' folders, or folders train, val and test that hold them.
        split: "train", "val" or "test". A folder without such parts is shared out as `plan` says. None means the test
            part where there is a folder for it, else everything.
        plan: How to share out.

    Raises:
        FileAccessError: There is no such folder, or it cannot be read.
        ArgumentError: The folder has no such part.
        InputError: There is no picture, or two folders are of one species.
    """
    if not folder.is_dir():
        raise FileAccessError(folder, "is no folder", cure="check the path")
    return _crops(folder, split, plan or CropSplit(), _version(folder))


def _version(folder: Path) -> Version | None:
    return readable_version(folder, ("species",), ("classes",))


def _crops(folder: Path, split: str | None, plan: CropSplit, version: Version | None) -> CropSet:
    parts = own_parts(folder)
    if not parts:
        crops = _grouped(_read(folder), folder, version)
        return crops if split is None else crops.part(split, plan)
    if split is not None and split not in parts:
        known = ", ".join(sorted(parts))
        raise ArgumentError("--split", f"{folder} has no split {split!r}", expected=f"one of: {known}")
    if split is None and "test" not in parts:
        raise ArgumentError("--split", "is missing", expected=f"one of: {', '.join(sorted(parts))}")
    crops = _grouped(_read(parts[split or "test"]), folder, version)
    return replace(crops, name=folder.resolve().name)


def _grouped(crops: CropSet, root: Path, version: Version | None) -> CropSet:
    """The crops of a version with the fish that its manifest tells, where it tells one."""
    if version is None:
        return crops
    files = [path.relative_to(root).as_posix() for path in crops.images.paths]
    told = [version.by_file[file].group or str(own) for file, own in zip(files, crops.groups, strict=True)]
    return replace(crops, groups=np.array(told, np.str_))


def read_parts(folder: Path, plan: CropSplit) -> dict[str, CropSet]:
    """The parts train, val and test of a folder of crops, to learn from.

    A folder whose own parts lack one for validation gives it from its part train; one may lack the part test.

    Raises:
        ArgumentError: It has parts of its own, but none called train.
        ShankhaError: As `read_crops`.
    """
    own = own_parts(folder) if folder.is_dir() else {}
    if not own:
        crops = read_crops(folder)
        return {part: crops.part(part, plan) for part in PARTS}
    version = _version(folder)
    parts = {part: _crops(folder, part, plan, version) for part in PARTS if part in own or part == "train"}
    if "val" not in parts:
        crops = parts["train"]
        kept, held = hold_out_groups(crops.labels, crops.groups, plan.validation_share, plan.seed + 1)
        parts |= {"train": crops.select(kept), "val": crops.select(held)}
    return {part: parts[part] for part in PARTS if part in parts}


def own_parts(folder: Path) -> dict[str, Path]:
    """The folder of each part that a folder of crops has by its folders, "train", "val" or "test"."""
    return {SPLIT_NAMES[child.name.lower()]: child for child in folders_in(folder) if _is_part(child)}


def _is_part(folder: Path) -> bool:
    return folder.name.lower() in SPLIT_NAMES and bool(folders_in(folder))


def _read(folder: Path) -> CropSet:
    species = folders_in(folder)
    names = tuple(species_name(child.name) for child in species)
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(folder, f"holds two folders of {twice[0]!r}", cure="put their pictures into one")
    paths: list[Path] = []
    labels: list[int] = []
    problems: list[Problem] = []
    left_out = [
        Problem(path.name, "lies in no folder of a species")
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name != MANIFEST
    ]
    for label, child in enumerate(species):
        files = list(files_below(child))
        pictures = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
        others = [path.relative_to(folder).as_posix() for path in files if path.suffix.lower() not in IMAGE_SUFFIXES]
        left_out += [Problem(name, "is no picture by its name") for name in others]
        if not pictures:
            problems.append(Problem(child.name, "holds no picture: this species is left out"))
        paths += pictures
        labels += [label] * len(pictures)
    if not paths:
        raise InputError(folder, "holds no pictures in folders of species", cure=_CURE)
    return CropSet(
        folder.resolve().name,
        names,
        np.array(labels, np.int64),
        np.array([fish_of(path, species[label]) for path, label in zip(paths, labels, strict=True)], np.str_),
        np.array([path.relative_to(folder).as_posix() for path in paths], np.str_),
        FileImages(tuple(paths)),
        tuple(problems),
        tuple(left_out),
    )


def teachable(crops: CropSet, readable: NDArray[np.bool_]) -> tuple[tuple[str, ...], tuple[Problem, ...]]:
    """The species that have enough readable pictures to be learnt, and a problem for each of the others.

    Species without any picture were told of by the reader.

    Args:
        crops: All pictures of a folder.
        readable: (N,) whether each could be decoded.
    """
    counts = np.bincount(crops.labels[readable], minlength=len(crops.names))
    listed = np.bincount(crops.labels, minlength=len(crops.names))
    kept = tuple(name for name, count in zip(crops.names, counts, strict=True) if count >= LEAST_PICTURES)
    problems = tuple(
        Problem(name, f"has {count} of the {LEAST_PICTURES} readable pictures that are needed: it is left out")
        for name, count, files in zip(crops.names, counts, listed, strict=True)
        if files and count < LEAST_PICTURES
    )
    return kept, problems
