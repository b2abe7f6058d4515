"""Taxonomies: which family, genus and species each name of a species model stands for.

A taxonomy is a YAML file with one entry a name:

    taxa:
      - {key: Zanclus cornutus, family: Zanclidae, genus: Zanclus, species: cornutus, common_name: Moorish idol}
      - {key: Scaridae, family: Scaridae, common_name: parrotfishes}

`key` is the name that the model uses. `genus` and `species` are left out where the name stands for a wider group.
`caab` (Codes for Australian Aquatic Biota, eight digits) and `worms` (AphiaID) are left out where they are not known.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from data.errors import ConfigurationError, InputError, validation_faults
from data.files import read_yaml

KNOWN: Final = Path(__file__).with_name("taxa.yaml")
"""The taxa that come with the suite."""
_CONFIG: Final = ConfigDict(extra="forbid", frozen=True)
_BINOMIAL: Final = re.compile(r"([A-Z][a-z]{2,}) ([a-z][a-z-]{2,})")

Word = Annotated[str, Field(max_length=80, pattern=r"^[^\t\r\n]*$")]


class Taxon(BaseModel):
    """What a name stands for; empty where a rank is not given, None where a code is not known."""

    model_config = _CONFIG

    key: Annotated[Word, Field(min_length=1)]
    family: Word = ""
    genus: Word = ""
    species: Word = ""
    caab: Annotated[str, Field(pattern=r"^\d{8}$")] | None = None
    worms: Annotated[int, Field(gt=0)] | None = None
    common_name: Word | None = None

    @model_validator(mode="after")
    def _a_species_has_a_genus(self) -> Taxon:
        if self.species and not self.genus:
            raise ValueError(f"{self.key}: has a species but no genus")
        return self

    @property
    def scientific_name(self) -> str:
        """Genus and species, else the narrowest rank that is given, else the key."""
        return " ".join(part for part in (self.genus, self.species) if part) or self.family or self.key

    @classmethod
    def of_name(cls, name: str) -> Taxon:
        """What a name alone tells: genus and species where it is two Latin words, else nothing but itself."""
        found = _BINOMIAL.fullmatch(name)
        return cls(key=name, genus=found[1], species=found[2]) if found else cls(key=name)


class Taxonomy(BaseModel):
    """The taxa of a model's names, each key once."""

    model_config = _CONFIG

    taxa: Annotated[tuple[Taxon, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _nothing_twice(self) -> Taxonomy:
        for what, values in (
            ("key", [taxon.key for taxon in self.taxa]),
            ("genus and species", [f"{taxon.genus} {taxon.species}" for taxon in self.taxa if taxon.species]),
            ("caab", [taxon.caab for taxon in self.taxa if taxon.caab]),
            ("worms", [str(taxon.worms) for taxon in self.taxa if taxon.worms]),
        ):
            twice = [value for value, count in Counter(values).items() if count > 1]
            if twice:
                raise ValueError(f"{what} {twice[0]!r} stands twice")
        return self

    @classmethod
    def read(cls, path: Path) -> Taxonomy:
        """Read and check a YAML file.

        Raises:
            FileAccessError: It cannot be read.
            ConfigurationError: It is no taxonomy: unknown keys, duplicates, missing names.
        """
        tree = read_yaml(path, "a taxonomy: the key taxa with a list of key, family, genus, species")
        try:
            return cls.model_validate(tree)
        except ValidationError as error:
            raise ConfigurationError(path, validation_faults(error), cure="mend the taxonomy") from error

    @classmethod
    def of_names(cls, names: Sequence[str]) -> Taxonomy:
        """The taxa of names that the suite knows, and of the others what the names alone tell; see `Taxon.of_name`."""
        known = {taxon.key: taxon for taxon in cls.read(KNOWN).taxa}
        return cls(taxa=tuple(known.get(name) or Taxon.of_name(name) for name in names))

    def of(self, name: str) -> Taxon:
        """The taxon of a name.

        Raises:
            InputError: The taxonomy does not know it.
        """
        for taxon in self.taxa:
            if taxon.key == name:
                return taxon
        raise InputError("taxonomy", f"does not know {name!r}", cure="add it to the taxonomy")

    def check(self, names: Sequence[str], where: Path | str = "taxonomy") -> None:
        """Refuse to go on with a model that names what the taxonomy does not know; it may know more.

        Args:
            names: The model's names.
            where: The taxonomy's file, for the error.

        Raises:
            InputError: A name is missing.
        """
        missing = sorted(set(names) - {taxon.key for taxon in self.taxa})
        if missing:
            lacking = f"{missing[0]!r} is no key of it"
            if len(missing) > 1:
                lacking = f"{missing[0]!r} and {len(missing) - 1} more are no keys of it"
            cure = "add what it lacks, or take the model's own taxonomy"
            raise InputError(where, f"disagrees with the model: {lacking}", cure=cure)

    def only(self, names: Sequence[str]) -> Taxonomy:
        """The taxa of these names, in their order; errors as in `of`."""
        return Taxonomy(taxa=tuple(self.of(name) for name in names))

    def text(self) -> str:
        """The taxonomy as YAML, as `read` takes it; what is not given is left out."""
        tree = {"taxa": [taxon.model_dump(exclude_defaults=True) for taxon in self.taxa]}
        return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=120)
