"""What a label means to taxonomists: a detector's word, or the key of a species model's taxonomy."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from apps.fish.parts.naming import UNKNOWN
from data.taxonomy import Taxonomy

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
    that it surely is; `scientific_name_id` is its LSID there, empty for names that were not looked up. `code` is that
    of the Codes for Australian Aquatic Biota (CAAB)."""

    family: str
    genus: str
    species: str
    scientific_name: str
    scientific_name_id: str
    kingdom: str = "Animalia"
    phylum: str = ""
    code: str = ""


def taxon(label: str, taxonomy: Taxonomy | None = None) -> Taxon:
    """Read a label: as the taxonomy has it, or where there is none or it names no family or genus, by its words.

    "Sparidae Acanthopagrus australis", "Girella tricuspidata", "Decapterus spp" and "Sparidae" are names.
    "fish" is none: what detectors learn under it are bony fishes, sharks and rays, together Gnathostomata (AphiaID
    1828, accepted; "Pisces", 11676, is not). Of any other word only that it stands for an animal is sure. "unknown"
    before a label changes nothing.
    """
    known = next((one for one in taxonomy.taxa if one.key == label), None) if taxonomy else None
    if known is not None and (known.family or known.genus):
        number = f"{_WORMS}{known.worms}" if known.worms else ""
        return Taxon(known.family, known.genus, known.species, known.scientific_name, number, code=known.caab or "")
    label = label.removeprefix(f"{UNKNOWN} ")
    match = _SPECIES.fullmatch(label) or _FAMILY.fullmatch(label)
    if match:
        family, genus, species = (part or "" for part in match.groups())
        named = genus and species not in _NO_SPECIES
        return Taxon(family, genus, species, f"{genus} {species}" if named else genus or family, "")
    if label.casefold() in _JAWED:
        return Taxon("", "", "", "Gnathostomata", f"{_WORMS}1828", phylum="Chordata")
    return Taxon("", "", "", "Animalia", f"{_WORMS}2")
