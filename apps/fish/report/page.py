"""The page: an overview of all deployments, then each with its charts, pictures and notes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from apps.fish.evidence import clock
from apps.fish.report.charts import class_of, places_chart
from apps.fish.report.deployment import section
from apps.fish.report.markup import Html, joined, tag
from apps.fish.report.stored import ReadDeployment
from apps.fish.report.survey_files import SurveyFiles

MANY: Final = 50
"""From so many deployments on pictures are thumbnails and every deployment is folded."""
_FEW: Final = 3
_HERE: Final = Path(__file__).parent
_WIDTHS: Final = ((8, 960), (24, 720), (60, 480))
_THUMBNAIL: Final = 240
_COLUMNS: Final = (
    ("Deployment", "text"),
    ("Site", "text"),
    ("Date", "text"),
    ("Depth", "number"),
    ("Footage", "text"),
    ("Samples", "number"),
    ("Species", "text"),
    ("MaxN", "number"),
    ("at", "number"),
    ("MeanCount", "number"),
    ("First arrival", "number"),
    ("Individuals", "number"),
)
_DEFINITIONS: Final = (
    ("Sample", "a frame that was looked at; zeros are data, so samples without fish count too."),
    (
        "Period",
        "the part of a deployment that counts: from “on seabed”, or its first frame, to the end.",
    ),
    ("MaxN", "the greatest number of one species in any one sample of the period, with the first such sample."),
    ("MeanCount", "the mean number of a species over all samples of the period."),
    ("First arrival", "time from the period’s start to the first sample with the species."),
    ("MaxN per minute", "MaxN of each minute of the period; a minute without a sample has no number (×)."),
    (
        "Individuals",
        "an estimate of visits from confirmed tracks, with a 95 % interval; a fish that leaves and returns is counted "
        "again, so it is no number of different fish.",
    ),
    ("Line crossings", "how often confirmed tracks went from clearly one side of a line to clearly the other."),
    ("Score", "the calibrated probability that a detection is right; fish are counted from the threshold on."),
)


def render(files: SurveyFiles) -> str:
    """The whole page; the same files give the same text."""
    deployments = files.deployments
    anchors = [f"d{number}" for number in range(1, len(deployments) + 1)]
    shown = seen_species(deployments)
    width = picture_width(deployments)
    sections = [
        section(one, anchor, shown, width, unfolded=len(deployments) <= _FEW)
        for one, anchor in zip(deployments, anchors, strict=True)
    ]
    body = joined(
        _header(files),
        _warnings(files),
        tag(
            "main",
            _overview(files, anchors, shown),
            _map(deployments, anchors),
            tag("section", tag("h2", "Deployments", id="deployments"), *sections) if sections else None,
            _problems(files),
            _about(deployments),
        ),
        tag("script", Html((_HERE / "page.js").read_text(encoding="utf-8"))),
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"Fish survey: {len(deployments)} deployments"),
        tag("link", rel="icon", href="data:,"),
        tag("style", Html((_HERE / "page.css").read_text(encoding="utf-8"))),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, tag('body', body), lang='en')}\n"


def seen_species(deployments: Sequence[ReadDeployment]) -> list[str]:
    """Species seen in any deployment, in the detector's order; all of them where none was."""
    names = list(dict.fromkeys(species.species for one in deployments for species in one.counts.species))
    seen = {species.species for one in deployments for species in one.counts.species if species.max_n}
    return [name for name in names if name in seen] or names[:1]


def picture_width(deployments: Sequence[ReadDeployment]) -> int:
    """Pixels: fewer, the more pictures there are, so that the page stays small enough to be sent."""
    pictures = sum(1 for one in deployments for shown in one.evidence if shown.marked)
    if len(deployments) > MANY:
        return _THUMBNAIL
    return next((width for most, width in _WIDTHS if pictures <= most), _THUMBNAIL)


def _header(files: SurveyFiles) -> Html:
    deployments = files.deployments
    seconds = sum(
        chapter.account.duration for one in deployments for chapter in one.about.chapters if chapter.account is not None
    )
    incomplete = sum(not one.about.complete for one in deployments)
    facts = [
        (f"{len(deployments)}", "deployments counted"),
        (clock(seconds).partition(".")[0], "hours of footage"),
        (f"{sum(one.counts.samples for one in deployments):,}", "frames looked at"),
        (f"{incomplete}", "incomplete"),
    ]
    cards = [
        tag(
            "div",
            tag("strong", number),
            tag("span", name),
            class_="fact lost" if name == "incomplete" and incomplete else "fact",
        )
        for number, name in facts
    ]
    return tag("header", tag("h1", "Fish survey"), tag("div", *cards, class_="facts"))


def _warnings(files: SurveyFiles) -> Html | None:
    lines = []
    if files.unfinished:
        lines.append(
            "This survey is not finished. Only deployments that were counted to their end are listed; what is not "
            "listed has not been looked at. Run the same survey command again: it goes on where it stopped."
        )
    lost = [one.about.opcode for one in files.deployments if not one.about.complete]
    if lost:
        named = ", ".join(lost[:12]) + (f" and {len(lost) - 12} more" if len(lost) > 12 else "")
        lines.append(f"Incomplete: {named}. Footage is missing or could not be read; their numbers may be too low.")
    if files.lost:
        lines.append(f"Not counted at all: {', '.join(files.lost)}.")
    waiting = files.summary.get("deployments", {}).get("waiting", 0)
    if waiting:
        lines.append(f"{waiting} deployments were still being copied and are not counted.")
    lines += [f"These results cannot be read: {error}" for error in files.faults]
    if len({one.about.model_dump_json(include={"settings", "model", "sampling"}) for one in files.deployments}) > 1:
        lines.append("The deployments were not all counted with the same model and settings: each names its own below.")
    return tag("div", *(tag("p", line) for line in lines), class_="warning", role="note") if lines else None


def _overview(files: SurveyFiles, anchors: Sequence[str], shown: Sequence[str]) -> Html:
    rows = [row for one, anchor in zip(files.deployments, anchors, strict=True) for row in _rows(one, anchor, shown)]
    rows += [_lost_row(opcode, why) for opcode, why in files.lost.items()]
    head = [
        tag(
            "th",
            tag("button", name, type="button", data_kind=kind),
            scope="col",
            class_="n" if kind == "number" else None,
        )
        for name, kind in _COLUMNS
    ]
    never = [
        name
        for name in dict.fromkeys(species.species for one in files.deployments for species in one.counts.species)
        if name not in shown
    ]
    return tag(
        "section",
        tag("h2", "Overview", id="overview"),
        _controls(shown) if len(files.deployments) > 1 else None,
        tag(
            "div",
            tag("table", tag("thead", tag("tr", *head)), tag("tbody", *rows), id="overview-table"),
            class_="scroll",
            tabindex="0",
            role="region",
            aria_label="Overview of all deployments",
        ),
        tag("p", f"Never seen in this survey (MaxN 0 everywhere): {', '.join(never)}.", class_="quiet")
        if never
        else None,
        tag("p", "Times are h:mm:ss after the period’s start.", class_="quiet"),
    )


def _controls(shown: Sequence[str]) -> Html:
    species = [tag("option", "All species", value="")] + [tag("option", name, value=name) for name in shown]
    states = [("", "All deployments"), ("complete", "Complete"), ("incomplete", "Incomplete"), ("lost", "Not counted")]
    return tag(
        "form",
        tag("label", "Search ", tag("input", type="search", id="search", placeholder="opcode, site, date …")),
        tag("label", "Footage ", tag("select", *(tag("option", name, value=key) for key, name in states), id="state")),
        tag("label", "Species ", tag("select", *species, id="species")) if len(shown) > 1 else None,
        tag("output", id="shown"),
        id="controls",
        hidden=True,
        role="search",
    )


def _rows(one: ReadDeployment, anchor: str, shown: Sequence[str]) -> list[Html]:
    about, place = one.about, one.about.metadata
    state = "complete" if about.complete else "incomplete"
    date = place.date_time.isoformat(" ", "minutes") if place and place.date_time else ""
    depth = place.depth_m if place else None
    site = " · ".join(part for part in ((place.site, place.location) if place else ()) if part)
    rows = []
    for species in one.counts.species:
        if species.species not in shown:
            continue
        most, first, people = species.max_n_at, species.first_arrival, species.individuals
        label = [item.species for item in one.counts.species].index(species.species)
        cells = [
            tag("th", tag("a", about.opcode, href=f"#{anchor}"), scope="row"),
            tag("td", site),
            tag("td", date, class_="date"),
            _number(depth, "" if depth is None else f"{depth:g} m"),
            tag("td", tag("span", state, class_=f"state {state}")),
            _number(one.counts.samples, f"{one.counts.samples:,}"),
            tag("td", tag("i", class_=f"swatch {class_of(label)}", aria_hidden="true"), species.species),
            _number(species.max_n, "none" if species.max_n is None else str(species.max_n), class_="n max"),
            _number(most.seconds if most else None, "" if most is None else clock(most.seconds)),
            _number(species.mean_count, "none" if species.mean_count is None else f"{species.mean_count:.2f}"),
            _number(first.seconds if first else None, "" if first is None else clock(first.seconds)),
            _number(people.estimate, f"{people.estimate:.1f} ({people.low:.1f} to {people.high:.1f})"),
        ]
        text = " ".join([about.opcode, site, date, place.status if place else "", place.campaignid if place else ""])
        rows.append(
            tag(
                "tr",
                *cells,
                data_text=text.casefold(),
                data_state=state,
                data_species=species.species,
                data_anchor=anchor,
                class_=None if about.complete else "lost",
            )
        )
    return rows


def _number(value: float | None, text: str, class_: str = "n") -> Html:
    return tag("td", text, class_=class_, data_value=None if value is None else f"{value:.6g}")


def _lost_row(opcode: str, why: str) -> Html:
    cells = [tag("th", opcode, scope="row"), *(tag("td") for _ in range(3))]
    cells.append(tag("td", tag("span", "not counted", class_="state lost")))
    cells.append(tag("td", why, colspan=len(_COLUMNS) - 5))
    return tag("tr", *cells, data_text=f"{opcode} {why}".casefold(), data_state="lost", data_species="", class_="lost")


def _map(deployments: Sequence[ReadDeployment], anchors: Sequence[str]) -> Html | None:
    places = []
    for one, anchor in zip(deployments, anchors, strict=True):
        place = one.about.metadata
        if place and place.latitude is not None and place.longitude is not None:
            places.append((anchor, one.about.opcode, place.latitude, place.longitude, one.about.complete))
    if len({place[2:4] for place in places}) < 2:
        return None
    return tag("section", tag("h2", "Where the cameras stood", id="map"), places_chart(places))


def _problems(files: SurveyFiles) -> Html | None:
    """What the survey says of footage and metadata; what belongs to a deployment above is told there."""
    read = {one.about.opcode for one in files.deployments}
    rows = [row for row in files.problems if row["deployment"] not in read]
    if not rows:
        return None
    items = [
        tag(
            "li",
            f"{row['file']}{', line ' + row['line'] if row['line'] else ''}: {row['problem']}. {row['what_to_do']}",
        )
        for row in rows
    ]
    return tag("section", tag("h2", "Problems beyond these deployments", id="problems"), tag("ul", *items))


def _about(deployments: Sequence[ReadDeployment]) -> Html:
    terms = [item for name, text in _DEFINITIONS for item in (tag("dt", name), tag("dd", text))]
    versions = sorted({one.about.software for one in deployments})
    made = f"Made by Shankha {', '.join(versions)} from the files beside this page; it asks nothing of the network."
    return tag(
        "section",
        tag("h2", "What the numbers mean", id="definitions"),
        tag("dl", *terms),
        tag("p", made if versions else "There are no results yet.", class_="quiet"),
    )
