"""What a detector's label means to taxonomists."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

FISH: Final = "fish"
"""The label of a detector that tells no species apart."""

_WORMS: Final = "urn:lsid:marinespecies.org:taxname:"
_SPECIES: Final = re.compile(r"(?:([A-Z][a-z]+idae) )?(?![A-Z][a-z]+idae\b)([A-Z][a-z]+) ([a-z][a-z-]+)\.?")
_FAMILY: Final = re.compile(r"([A-Z][a-z]+idae)()(?: (spp?)\.?)?")
_NO_SPECIES: Final = frozenset({"sp", "spp"})
_JAWED: Final = frozenset({FISH, "shark", "ray", "stingray", "luderick", "bream"})


@dataclass(frozen=True)
class Taxon:
    """A label's names, empty where it has none, and the lowest taxon of the World Register of Marine Species (WoRMS)
    that it surely is; `scientific_name_id` is its LSID there, empty for names that were not looked up."""

    family: str
    genus: str
    species: str
    scientific_name: str
    scientific_name_id: str
    kingdom: str = "Animalia"
    phylum: str = ""


def taxon(label: str) -> Taxon:
    """Read a label.

    "Sparidae Acanthopagrus australis", "Girella tricuspidata", "Decapterus spp" and "Sparidae" are names.
    "fish" is none: what detectors learn under it are bony fishes, sharks and rays, together Gnathostomata (AphiaID
    1828, accepted; "Pisces", 11676, is not). Of any other word only that it stands for an animal is sure.
    """
    match = _SPECIES.fullmatch(label) or _FAMILY.fullmatch(label)
    if match:
        family, genus, species = (part or "" for part in match.groups())
        named = genus and species not in _NO_SPECIES
        return Taxon(family, genus, species, f"{genus} {species}" if named else genus or family, "")
    if label.casefold() in _JAWED:
        return Taxon("", "", "", "Gnathostomata", f"{_WORMS}1828", phylum="Chordata")
    return Taxon("", "", "", "Animalia", f"{_WORMS}2")
