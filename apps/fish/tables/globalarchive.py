"""GlobalArchive's `_Count.csv` and `_Metadata.csv` of a campaign."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from apps.fish.footage import DeploymentMetadata
from apps.fish.joining import COUNT, METADATA
from apps.fish.parts.naming import UNKNOWN
from apps.fish.results import DeploymentResult
from apps.fish.tables.exchange import campaign_file, campaign_of, comma_table, number
from apps.fish.tables.taxa import FISH, taxon
from apps.spreadsheets import harmless

COUNT_COLUMNS: Final = ("campaignid", "opcode", "family", "genus", "species", "count")
METADATA_COLUMNS: Final = (
    "opcode",
    "latitude_dd",
    "longitude_dd",
    "date_time",
    "site",
    "location",
    "status",
    "depth_m",
    "successful_count",
    "successful_length",
)


def write_count(result: DeploymentResult, folder: Path) -> list[Path]:
    """Write MaxN of every species, zeros too; empty where no sample was looked at.

    A label that is no scientific name, and not just "fish", stands as the species.

    Raises:
        FileAccessError: The folder cannot be written, or the disk is full.
    """
    path = campaign_file(result, folder, COUNT)
    head = [harmless(campaign_of(result)), harmless(result.deployment.opcode)]
    with comma_table(path, COUNT_COLUMNS) as table:
        for species in result.counts.species:
            name = taxon(species.species, result.taxonomy)
            nameless = not (name.family or name.genus) and species.species.casefold() not in {FISH, f"{UNKNOWN} {FISH}"}
            last = harmless(species.species) if nameless else name.species
            table.writerow([*head, name.family, name.genus, last, "" if species.max_n is None else species.max_n])
    return [path]


def write_metadata(result: DeploymentResult, folder: Path) -> list[Path]:
    """Write where and when the camera stood, and whether its count is one: that of incomplete footage is not.

    Raises:
        FileAccessError: The folder cannot be written, or the disk is full.
    """
    path = campaign_file(result, folder, METADATA)
    about = result.deployment.metadata or DeploymentMetadata(opcode=result.deployment.opcode)
    counted = result.complete and result.counts.samples > 0 and about.successful_count is not False
    with comma_table(path, METADATA_COLUMNS) as table:
        table.writerow(
            [
                harmless(result.deployment.opcode),
                number(about.latitude),
                number(about.longitude),
                about.date_time.isoformat() if about.date_time else "",
                *(harmless(text) for text in (about.site, about.location, about.status)),
                number(about.depth_m),
                "Yes" if counted else "No",
                "Yes" if about.successful_length else "No",
            ]
        )
    return [path]
