"""`occurrence.csv`: Darwin Core occurrences, as OBIS and GBIF take them; a row a species, absences too."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import quote

from apps.fish.counts import SpeciesCounts
from apps.fish.footage import DeploymentMetadata
from apps.fish.joining import OCCURRENCE
from apps.fish.results import DeploymentResult
from apps.fish.tables.exchange import campaign_of, comma_table, number
from apps.fish.tables.taxa import taxon
from apps.spreadsheets import harmless

COLUMNS: Final = (
    "occurrenceID",
    "eventID",
    "eventDate",
    "decimalLatitude",
    "decimalLongitude",
    "geodeticDatum",
    "minimumDepthInMeters",
    "maximumDepthInMeters",
    "locality",
    "basisOfRecord",
    "occurrenceStatus",
    "individualCount",
    "scientificName",
    "scientificNameID",
    "kingdom",
    "phylum",
    "verbatimIdentification",
    "identificationRemarks",
    "samplingProtocol",
    "samplingEffort",
    "occurrenceRemarks",
)
PROTOCOL: Final = "underwater video; MaxN: the greatest number of individuals in any one frame that was looked at"
INCOMPLETE: Final = "Not all of the footage could be read: the count is that of the part that was, and may be too low."


def write_occurrence(result: DeploymentResult, folder: Path) -> list[Path]:
    """Write an occurrence for every species, present or absent; none where no sample was looked at.

    Raises:
        FileAccessError: The folder cannot be written, or the disk is full.
    """
    path = folder / OCCURRENCE
    with comma_table(path, COLUMNS) as table:
        for species in result.counts.species:
            if species.max_n is not None:
                table.writerow([*_event(result, species.species), *_counted(result, species, species.max_n)])
    return [path]


def _event(result: DeploymentResult, label: str) -> list[str]:
    """The same identifiers in every survey of the deployment, whatever its settings."""
    about = result.deployment.metadata or DeploymentMetadata(opcode=result.deployment.opcode)
    event = f"shankha:{quote(campaign_of(result), safe='')}:{quote(result.deployment.opcode, safe='')}"
    place = ", ".join(text for text in (about.site, about.location) if text)
    return [
        f"{event}:{quote(label, safe='')}",
        event,
        about.date_time.isoformat() if about.date_time else "",
        number(about.latitude),
        number(about.longitude),
        "" if about.latitude is None else "WGS84",
        number(about.depth_m),
        number(about.depth_m),
        harmless(place),
    ]


def _counted(result: DeploymentResult, species: SpeciesCounts, max_n: int) -> list[object]:
    name = taxon(species.species, result.taxonomy)
    by = f" ({result.model.name})" if result.model else ""
    by += f" and named by one ({result.species.model.name})" if result.species else ""
    remarks = f"counted by a machine{by}, scores from {result.settings.threshold:g}; not checked by a person"
    return [
        "MachineObservation",
        "present" if max_n else "absent",
        max_n,
        name.scientific_name,
        name.scientific_name_id,
        name.kingdom,
        name.phylum,
        harmless(species.species),
        remarks,
        PROTOCOL,
        f"{result.counts.samples} frames",
        "" if result.complete else INCOMPLETE,
    ]
