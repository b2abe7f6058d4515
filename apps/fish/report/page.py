"""The page: an overview of all deployments, then each with its charts, pictures and notes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from apps.fish.evidence import clock
from apps.fish.report.charts import places_chart
from apps.fish.report.deployment import section
from apps.fish.report.markup import Html, joined, tag
from apps.fish.report.overview import overview, seen_species
from apps.fish.report.plates import PlateSize
from apps.fish.report.stored import ReadDeployment
from apps.fish.report.survey_files import SurveyFiles
from data.words import several

MANY: Final = 50
"""From so many deployments on pictures are thumbnails and every deployment is folded."""
_FEW: Final = 3
_HERE: Final = Path(__file__).parent
_WIDTHS: Final = ((8, 960), (24, 720), (60, 480))
_THUMBNAIL: Final = 240
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
    sizes = picture_width(deployments), PlateSize.of(len(deployments))
    sections = [
        section(one, anchor, shown, sizes, unfolded=len(deployments) <= _FEW)
        for one, anchor in zip(deployments, anchors, strict=True)
    ]
    body = joined(
        _header(files),
        _warnings(files),
        tag(
            "main",
            overview(files, anchors, shown),
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
        tag("title", f"Fish survey: {several(len(deployments), 'deployment')}"),
        tag("link", rel="icon", href="data:,"),
        tag("style", Html((_HERE / "page.css").read_text(encoding="utf-8"))),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, tag('body', body), lang='en')}\n"


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
        (f"{len(deployments)}", "deployment counted" if len(deployments) == 1 else "deployments counted"),
        (clock(seconds).partition(".")[0], "of footage (h:mm:ss)"),
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
        lines.append(f"{several(waiting, 'deployment')} still being copied: not counted.")
    lines += [f"These results cannot be read: {error}" for error in files.faults]
    if len({one.about.model_dump_json(include={"settings", "model", "sampling"}) for one in files.deployments}) > 1:
        lines.append("The deployments were not all counted with the same model and settings: each names its own below.")
    return tag("div", *(tag("p", line) for line in lines), class_="warning", role="note") if lines else None


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
