"""The catalogue of datasets: what there is, under which licence, and how to come by it."""

from __future__ import annotations

import functools
from pathlib import Path, PurePosixPath
from typing import Annotated, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from data.errors import ArgumentError, ConfigurationError

CATALOGUE_FILE: Final = Path(__file__).with_name("catalogue.yaml")

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class RemoteFile(BaseModel):
    """One file of a dataset.

    Attributes:
        name: The file's name, here and in a local mirror.
        address: Where it is fetched from.
        bytes: Its size as stated; None where unknown.
        sha256: Hash of its content; None where unknown. It is never guessed.
        verified: Whether this project has fetched the address and found the size and the hash as stated.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1)]
    address: Annotated[str, Field(pattern=r"^https?://[^\s]+$")]
    bytes: Annotated[int, Field(gt=0)] | None = None
    sha256: Sha256 | None = None
    verified: bool = False

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        if PurePosixPath(name).name != name or "\\" in name or name.startswith("."):
            raise ValueError(f"{name!r} is no plain file name")
        return name

    @model_validator(mode="after")
    def _known(self) -> RemoteFile:
        if self.verified and (self.bytes is None or self.sha256 is None):
            raise ValueError(f"{self.name}: a verified file has a size and a hash")
        return self


class Dataset(BaseModel):
    """One dataset: what it holds, and how to come by it.

    Attributes:
        name: What the user types.
        area: The application it serves; datasets are kept in the folder `area/name`.
        tasks: What it has labels for.
        contents: Examples, classes, size of the pictures.
        bytes: About how much is fetched; None where unknown.
        licence: As its publisher states it, or "not stated".
        access: "free" is fetched by `shankha data get`. The others need a person, see `how`: "account" a sign-in,
            "request" a letter to the publisher or a visit to their page.
        how: What that person does.
        reader: Which reader of this project takes the folder as it comes; None where it must be arranged first.
        note: What a user of the data should know.
        files: What to fetch. None for a dataset that needs a person: then a local mirror's files are all taken.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    area: Literal["digits", "fish"]
    title: Annotated[str, Field(min_length=1)]
    tasks: Annotated[
        tuple[Literal["classification", "detection", "segmentation", "tracking", "counting"], ...], Field(min_length=1)
    ]
    contents: Annotated[str, Field(min_length=1)]
    bytes: Annotated[int, Field(gt=0)] | None = None
    licence: Annotated[str, Field(min_length=1)]
    citation: Annotated[str, Field(min_length=1)]
    homepage: Annotated[str, Field(pattern=r"^https?://[^\s]+$")]
    access: Literal["free", "account", "request"]
    how: str = ""
    reader: Literal["digits", "detections"] | None = None
    note: str = ""
    files: tuple[RemoteFile, ...] = ()

    @property
    def folder(self) -> str:
        """Where it is kept, below the folder of all datasets."""
        return f"{self.area}/{self.name}"

    @model_validator(mode="after")
    def _obtainable(self) -> Dataset:
        if self.access == "free" and not self.files:
            raise ValueError(f"{self.name}: a free dataset lists its files")
        if self.access != "free" and (self.files or not self.how):
            raise ValueError(f"{self.name}: a dataset that needs a person says how, and lists no files")
        if len({file.name for file in self.files}) != len(self.files):
            raise ValueError(f"{self.name}: two files have one name")
        return self


class _Catalogue(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    datasets: Annotated[tuple[Dataset, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _distinct(self) -> _Catalogue:
        names = [dataset.name for dataset in self.datasets]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"listed twice: {', '.join(repeated)}")
        return self


@functools.cache
def load_catalogue(path: Path = CATALOGUE_FILE) -> tuple[Dataset, ...]:
    """Every dataset of the catalogue, in its order.

    Raises:
        ConfigurationError: The file does not describe datasets.
    """
    try:
        return _Catalogue.model_validate(yaml.safe_load(path.read_text(encoding="utf-8"))).datasets
    except (yaml.YAMLError, ValidationError) as error:
        raise ConfigurationError(path, f"is no catalogue of datasets ({error})") from error


def dataset_named(name: str) -> Dataset:
    """The dataset of that name; raises ArgumentError that lists the names."""
    for dataset in load_catalogue():
        if dataset.name == name:
            return dataset
    known = ", ".join(dataset.name for dataset in load_catalogue())
    raise ArgumentError(name, "is no dataset of the catalogue", expected=f"one of {known}")
