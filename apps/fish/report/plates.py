"""Plates of a deployment's species: pictures of its fish, the surest first, doubtful ones marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from apps.fish.decisions import NOT_A_FISH
from apps.fish.doubts import doubts
from apps.fish.drawing import sized
from apps.fish.report.markup import Html, joined, jpeg_uri, tag
from apps.fish.report.stored import ReadDeployment
from apps.fish.tables.species import StoredCrop, StoredFish, StoredSpecies, read_species
from data.errors import FileAccessError, InputError
from data.taxonomy import Taxon

_MANY: Final = ((3, 12, 128), (12, 6, 112), (50, 3, 96))
"""Up to so many deployments: pictures a plate, and pixels of their longer side."""
_FEWEST: Final = (1, 80)
_MOST_PLATES: Final = 20
_QUALITY: Final = 74


@dataclass(frozen=True)
class PlateSize:
    """Pictures of a plate, and pixels of their longer side."""

    pictures: int
    side: int

    @classmethod
    def of(cls, deployments: int) -> PlateSize:
        """Fewer and smaller ones, the more deployments a page shows, so that it stays small enough to be sent."""
        found = ((pictures, side) for most, pictures, side in _MANY if deployments <= most)
        return cls(*next(found, _FEWEST))


def plates(one: ReadDeployment, size: PlateSize) -> Html | None:
    """The section on the species of a deployment, commonest first; None where its fish were not named."""
    if one.about.parts is None or one.about.parts.species is None:
        return None
    title = tag("h3", "Species plates")
    try:
        species = read_species(one.folder)
    except (InputError, FileAccessError) as error:
        return joined(title, tag("p", f"There are none: {error}", class_="warning"))
    if species is None:
        missing = f"There are none: species.json of {one.about.opcode} is missing. Survey the deployment again."
        return joined(title, tag("p", missing, class_="warning"))
    by_label: dict[str, list[StoredFish]] = {}
    for fish in species.fish:
        by_label.setdefault(fish.label, []).append(fish)
    refused = len(by_label.pop(NOT_A_FISH, ()))
    order = sorted(by_label, key=lambda label: (-len(by_label[label]), label))
    shown = [_plate(one, species, label, by_label[label], size) for label in order[:_MOST_PLATES]]
    return joined(title, _summary(species, refused), *shown, _others(order[_MOST_PLATES:]))


def _summary(species: StoredSpecies, refused: int) -> Html:
    doubtful = sum(bool(doubts(fish)) for fish in species.fish)
    settled = sum(fish.proposed is not None for fish in species.fish)
    said = [f"{len(species.fish)} fish were looked at; {doubtful} names are doubtful (dashed)."]
    if settled:
        said.append(f"{settled} were settled by a person.")
    if refused:
        said.append(f"{refused} of them are no fish, and count nowhere.")
    if doubtful:
        said.append("shankha fish review settles them.")
    return tag("p", " ".join(said), class_="quiet")


def _others(labels: Sequence[str]) -> Html | None:
    return tag("p", f"Further, with fewer fish each: {', '.join(labels)}.", class_="quiet") if labels else None


def _plate(
    one: ReadDeployment, species: StoredSpecies, label: str, fish: Sequence[StoredFish], size: PlateSize
) -> Html:
    taxon = next((taxon for taxon in species.taxa if taxon.key == label), None)
    pictured = [found for found in fish if found.crops]
    shown = _chosen(pictured, size.pictures)
    doubtful = sum(bool(doubts(found)) for found in fish)
    counts = f"{len(fish)} fish" + (f", {doubtful} doubtful" if doubtful else "")
    if len(shown) < len(fish):
        counts += f"; {len(shown)} shown"
    figures = [_figure(one, found, size.side) for found in shown]
    title = tag("h4", _names(label, taxon), " ", tag("small", counts))
    return tag("div", title, tag("div", *figures, class_="plate") if figures else None, class_="species-plate")


def _names(label: str, taxon: Taxon | None) -> Html:
    """Family, genus and species as they are written, and what people call it."""
    if taxon is None or not (taxon.family or taxon.genus):
        return joined(label)
    name = tag("i", f"{taxon.genus} {taxon.species}".strip()) if taxon.genus else None
    common = f" ({taxon.common_name})" if taxon.common_name else None
    return joined(taxon.family, " " if taxon.family and name else None, name, common)


def _chosen(fish: Sequence[StoredFish], most: int) -> list[StoredFish]:
    """The surest first; where not all have room, the last third of the places is for the least sure."""
    order = sorted(fish, key=lambda one: (-one.confidence, one.crops[0].seconds, one.crops[0].picture))
    if len(order) <= most:
        return order
    least = most // 3
    return [*order[: most - least], *order[len(order) - least :]]


def _figure(one: ReadDeployment, fish: StoredFish, side: int) -> Html:
    why = doubts(fish)
    said = "settled by a person" if fish.proposed is not None else f"{100 * fish.confidence:.0f} %"
    crop = _best(fish)
    whole = f"{fish.label}, {said}" + (f" ({', '.join(why)})" if why else "")
    caption = tag("figcaption", said, *([" ", tag("b", "?", title=", ".join(why))] if why else []))
    packed = _small(one, crop, side)
    if packed is None:
        return tag("figure", tag("span", "picture missing", class_="quiet"), caption)
    content, width, height = packed
    image = tag(
        "img", src=jpeg_uri(content), width=width, height=height, alt=f"{whole}, {crop.seconds:.1f} s", decoding="async"
    )
    return tag("figure", image, caption, class_="doubtful" if why else None, title=whole)


def _best(fish: StoredFish) -> StoredCrop:
    """The picture that says most surely what the fish is named."""
    return max(fish.crops, key=lambda crop: (crop.name == fish.name, crop.confidence))


def _small(one: ReadDeployment, crop: StoredCrop, side: int) -> tuple[bytes, int, int] | None:
    """A smaller copy as JPEG, its width and height; None where it is gone or damaged."""
    try:
        content = (one.folder / crop.picture).read_bytes()
    except OSError:
        return None
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    if picture is None:
        return None
    height, width = picture.shape[:2]
    small = sized(np.asarray(picture, np.uint8), max(1, min(width, round(width * side / max(height, width)))))
    _, packed = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return packed.tobytes(), small.shape[1], small.shape[0]
