"""The table of all deployments: a row for each species of each, and what they can be searched and filtered by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from apps.fish.counts import SpeciesCounts
from apps.fish.evidence import clock
from apps.fish.report.charts import class_of
from apps.fish.report.deployment import individuals_text
from apps.fish.report.markup import Html, tag
from apps.fish.report.stored import ReadDeployment
from apps.fish.report.survey_files import SurveyFiles


@dataclass(frozen=True)
class _Column:
    """`minor`: a narrow screen does without it."""

    title: str
    kind: Literal["text", "number"] = "text"
    minor: bool = False

    @property
    def class_(self) -> str | None:
        names = (("n", self.kind == "number"), ("minor", self.minor), ("whole", self.title in {"Date", "Species"}))
        return " ".join(name for name, holds in names if holds) or None


_COLUMNS: Final = (
    _Column("Deployment"),
    _Column("Site", minor=True),
    _Column("Date", minor=True),
    _Column("Depth", "number", minor=True),
    _Column("Footage"),
    _Column("Samples", "number", minor=True),
    _Column("Species"),
    _Column("MaxN", "number"),
    _Column("at", "number", minor=True),
    _Column("MeanCount", "number"),
    _Column("First arrival", "number", minor=True),
    _Column("Individuals", "number", minor=True),
)
_PLACE: Final = (1, 2, 3)
"""Columns that are left out where no deployment has them."""


@dataclass(frozen=True)
class _Cell:
    """What a cell shows; `value` is what a column of numbers is sorted by."""

    shown: object = ""
    value: float | None = None


def seen_species(deployments: Sequence[ReadDeployment]) -> list[str]:
    """Species seen in any deployment, in the detector's order; the first of all where none was."""
    names = _names(deployments)
    seen = {species.species for one in deployments for species in one.counts.species if species.max_n}
    return [name for name in names if name in seen] or names[:1]


def overview(files: SurveyFiles, anchors: Sequence[str], shown: Sequence[str]) -> Html:
    """The table and its controls.

    Args:
        files: The survey.
        anchors: Where in the page each of its deployments is.
        shown: The species that have rows, also where they were not seen.
    """
    kept = [
        at for at in range(len(_COLUMNS)) if at not in _PLACE or any(_place(one)[at - 1] for one in files.deployments)
    ]
    rows = [
        row for one, anchor in zip(files.deployments, anchors, strict=True) for row in _rows(one, anchor, shown, kept)
    ]
    rows += [_lost_row(opcode, why, kept) for opcode, why in files.lost.items()]
    columns = [_COLUMNS[at] for at in kept]
    head = [
        tag("th", tag("button", one.title, type="button", data_kind=one.kind), scope="col", class_=one.class_)
        for one in columns
    ]
    never = [name for name in _names(files.deployments) if name not in shown]
    none = tag("p", f"Never seen (MaxN 0 everywhere): {', '.join(never)}.", class_="quiet") if never else None
    table = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *rows), id="overview-table")
    return tag(
        "section",
        tag("h2", "Overview", id="overview"),
        _controls(shown) if len(files.deployments) > 1 else None,
        tag("div", table, class_="scroll", tabindex="0", role="region", aria_label="Overview of all deployments"),
        none,
        tag("p", "Times are h:mm:ss after the period’s start.", class_="quiet"),
    )


def _names(deployments: Sequence[ReadDeployment]) -> list[str]:
    return list(dict.fromkeys(species.species for one in deployments for species in one.counts.species))


def _controls(shown: Sequence[str]) -> Html:
    species = [tag("option", "All species", value="")] + [tag("option", name, value=name) for name in shown]
    states = [("", "All deployments"), ("complete", "Complete"), ("incomplete", "Incomplete"), ("lost", "Not counted")]
    return tag(
        "form",
        tag("label", "Search ", tag("input", type="search", id="search", placeholder="opcode, site, date …")),
        tag("label", "Footage ", tag("select", *(tag("option", name, value=key) for key, name in states), id="state")),
        tag("label", "Species ", tag("select", *species, id="species")) if len(shown) > 1 else None,
        tag("label", tag("input", type="checkbox", id="seen"), " only where seen", class_="check"),
        tag("output", id="shown"),
        id="controls",
        hidden=True,
        role="search",
    )


def _place(one: ReadDeployment) -> tuple[str, str, str]:
    """Site, date and depth, as far as they are known."""
    place = one.about.metadata
    if place is None:
        return "", "", ""
    site = " · ".join(part for part in (place.site, place.location) if part)
    date = place.date_time.date().isoformat() if place.date_time else ""
    return site, date, "" if place.depth_m is None else f"{place.depth_m:g} m"


def _rows(one: ReadDeployment, anchor: str, shown: Sequence[str], kept: Sequence[int]) -> Iterator[Html]:
    about, place = one.about, one.about.metadata
    state = "complete" if about.complete else "incomplete"
    words = [about.opcode, *_place(one), *((place.status, place.campaignid) if place else ())]
    for label, species in enumerate(one.counts.species):
        if species.species not in shown:
            continue
        cells = [
            _Cell(tag("a", about.opcode, href=f"#{anchor}", class_="clip", title=about.opcode)),
            *_about_cells(one, state),
            *_count_cells(species, class_of(one, label)),
        ]
        marks = (("lost", not about.complete), ("zero", not species.max_n))
        yield tag(
            "tr",
            *(_drawn(cells[at], at) for at in kept),
            data_text=" ".join(words).casefold(),
            data_state=state,
            data_species=species.species,
            data_anchor=anchor,
            data_seen=bool(species.max_n),
            class_=" ".join(name for name, holds in marks if holds) or None,
        )


def _about_cells(one: ReadDeployment, state: str) -> list[_Cell]:
    site, date, depth = _place(one)
    return [
        _Cell(tag("span", site, class_="clip", title=site) if site else ""),
        _Cell(date),
        _Cell(depth, one.about.metadata.depth_m if one.about.metadata else None),
        _Cell(tag("span", state, class_=f"state {state}")),
        _Cell(f"{one.counts.samples:,}", one.counts.samples),
    ]


def _count_cells(species: SpeciesCounts, colour: str) -> list[_Cell]:
    most, first, people = species.max_n_at, species.first_arrival, species.individuals
    swatch = tag("i", class_=f"swatch {colour}", aria_hidden="true")
    return [
        _Cell(tag("span", swatch, species.species)),
        _Cell("none" if species.max_n is None else tag("b", species.max_n), species.max_n),
        _Cell(clock(most.seconds), most.seconds) if most else _Cell(),
        _Cell("none" if species.mean_count is None else f"{species.mean_count:.2f}", species.mean_count),
        _Cell(clock(first.seconds), first.seconds) if first else _Cell(),
        _Cell(individuals_text(people), people.estimate),
    ]


def _drawn(cell: _Cell, at: int) -> Html:
    if at == 0:
        return tag("th", cell.shown, scope="row")
    value = None if cell.value is None else f"{cell.value:.6g}"
    return tag("td", cell.shown, class_=_COLUMNS[at].class_, data_value=value)


def _lost_row(opcode: str, why: str, kept: Sequence[int]) -> Html:
    """A deployment of which nothing could be counted."""
    cells = [tag("th", opcode, scope="row"), *(tag("td", class_="minor") for at in kept if at in _PLACE)]
    cells.append(tag("td", tag("span", "not counted", class_="state lost")))
    cells.append(tag("td", why, colspan=len(kept) - len(cells)))
    return tag("tr", *cells, data_text=f"{opcode} {why}".casefold(), data_state="lost", data_species="", class_="lost")
