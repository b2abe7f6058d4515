"""One deployment of a report: numbers, evidence, charts, notes and settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

import cv2
import numpy as np

from apps.fish.drawing import sized
from apps.fish.evidence import Evidence, clock
from apps.fish.individuals import Individuals
from apps.fish.records import TrackedObservations
from apps.fish.report.charts import class_of, counts_chart, minutes_chart, tracks_chart
from apps.fish.report.markup import Html, joined, jpeg_uri, tag
from apps.fish.report.measured import measured, models
from apps.fish.report.plates import PlateSize, plates
from apps.fish.report.quality import AtThresholds, at_thresholds, notes
from apps.fish.report.stored import ReadDeployment

_MOST_PICTURES: Final = 6
"""Species whose picture is in the page; the pictures of the others are linked."""
_QUALITY: Final = 74


def section(
    one: ReadDeployment, anchor: str, shown: Sequence[str], sizes: tuple[int, PlateSize], *, unfolded: bool
) -> Html:
    """The part of the page about one deployment.

    Args:
        one: The deployment.
        anchor: Its id in the page.
        shown: Species to be listed, whether they were seen here or not.
        sizes: Pixels across its pictures, and the size of its plates.
        unfolded: Whether it is open at first.
    """
    about, (width, plate) = one.about, sizes
    settled = one.settled()
    seen = [label for label, species in enumerate(one.counts.species) if species.max_n]
    headline = ", ".join(f"{one.counts.species[label].species} {one.counts.species[label].max_n}" for label in seen)
    state = "complete" if about.complete else "incomplete"
    summary = tag(
        "summary",
        tag("span", about.opcode, class_="opcode"),
        tag("span", state, class_=f"state {state}"),
        tag("span", f"MaxN: {headline}" if headline else "no fish seen", class_="headline"),
    )
    listed = [label for label, species in enumerate(one.counts.species) if species.species in shown]
    body = tag(
        "div",
        _place(one),
        _warning(one),
        _numbers(one, listed),
        _pictures(one, width),
        plates(one, plate),
        measured(one, quote(one.folder.name)),
        _charts(one, settled, seen),
        _crossings(one),
        _notes(one, settled),
        _settings(one),
        class_="body",
    )
    return tag("details", summary, body, id=anchor, open=unfolded, class_="deployment")


def individuals_text(people: Individuals) -> Html:
    """The estimate, and its interval in smaller type."""
    return joined(f"{people.estimate:.1f} ", tag("small", f"({people.low:.1f} to {people.high:.1f})"))


def _place(one: ReadDeployment) -> Html | None:
    place = one.about.metadata
    if place is None:
        return tag("p", "No metadata: site, time and depth are not known.", class_="quiet")
    facts = [
        ("Campaign", place.campaignid),
        ("Site", place.site),
        ("Location", place.location),
        ("Status", place.status),
        ("Date", place.date_time.isoformat(" ", "minutes") if place.date_time else ""),
        ("Depth", "" if place.depth_m is None else f"{place.depth_m:g} m"),
        ("Position", "" if place.latitude is None else f"{place.latitude:.5f}, {place.longitude:.5f}"),
        ("On seabed", "" if place.period_start is None else clock(place.period_start)),
    ]
    said = [tag("div", tag("dt", name), tag("dd", text)) for name, text in facts if text]
    return tag("dl", *said, class_="place-facts") if said else None


def _warning(one: ReadDeployment) -> Html | None:
    if one.about.complete:
        return None
    text = "Incomplete: footage of this deployment is missing or could not be read, so its numbers may be too low."
    return tag("p", text, class_="warning")


def _numbers(one: ReadDeployment, listed: Sequence[int]) -> Html:
    names = ("Species", "MaxN", "at", "MeanCount", "First arrival", "Tracks", "Individuals (95 %)")
    head = [tag("th", name, scope="col", class_="n" if at else None) for at, name in enumerate(names)]
    rows = []
    for label in listed:
        species = one.counts.species[label]
        people, most, first = species.individuals, species.max_n_at, species.first_arrival
        texts = [
            "none" if species.max_n is None else str(species.max_n),
            clock(most.seconds) if most else "",
            "none" if species.mean_count is None else f"{species.mean_count:.2f}",
            clock(first.seconds) if first else "",
            f"{people.tracks}",
            individuals_text(people),
        ]
        swatch = tag("i", class_=f"swatch {class_of(one, label)}", aria_hidden="true")
        rows.append(
            tag("tr", tag("th", swatch, species.species, scope="row"), *(tag("td", t, class_="n") for t in texts))
        )
    return tag("div", tag("table", tag("thead", tag("tr", *head)), tag("tbody", *rows)), class_="scroll")


def _pictures(one: ReadDeployment, width: int) -> Html | None:
    figures: list[Html] = []
    more: list[Html] = []
    for shown in one.evidence:
        if not shown.marked:
            continue
        if len(figures) < _MOST_PICTURES:
            figures.append(_figure(one, shown, width))
        else:
            more.append(joined(" ", tag("a", shown.species, href=_path(one, shown.marked))))
    if not figures:
        return None
    rest = tag("p", "Pictures of", *more) if more else None
    wide = "figures" if width > 300 else "figures small"
    return joined(tag("h3", "Frames of MaxN"), tag("div", *figures, class_=wide), rest)


def _figure(one: ReadDeployment, shown: Evidence, width: int) -> Html:
    species = next(species for species in one.counts.species if species.species == shown.species)
    at = clock(species.max_n_at.seconds) if species.max_n_at else ""
    said = f"MaxN {species.max_n} of {shown.species} at {at}"
    links = [tag("a", "full picture", href=_path(one, shown.marked))]
    if shown.frame:
        links += [Html(" · "), tag("a", "without marks", href=_path(one, shown.frame))]
    if shown.clip:
        links += [Html(" · "), tag("a", "clip", href=_path(one, shown.clip))]
    picture = _scaled(one, shown.marked, width)
    if picture is None:
        return tag("figure", tag("figcaption", f"{said}: the picture {shown.marked} is missing."))
    image = tag(
        "img",
        src=jpeg_uri(picture[0]),
        width=picture[1],
        height=picture[2],
        alt=f"Frame of {one.about.opcode} with {said}; a box, track number and score at each fish",
        decoding="async",
    )
    opened = tag("a", image, href=_path(one, shown.clip or shown.marked))
    return tag("figure", opened, tag("figcaption", f"{said} — ", *links))


def _scaled(one: ReadDeployment, name: str, width: int) -> tuple[bytes, int, int] | None:
    """A smaller copy of a picture as JPEG, its width and height; None where it is gone or damaged."""
    try:
        content = (one.folder / name).read_bytes()
    except OSError:
        return None
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    if picture is None:
        return None
    small = sized(np.asarray(picture, np.uint8), min(width, picture.shape[1]))
    _, packed = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return packed.tobytes(), small.shape[1], small.shape[0]


def _path(one: ReadDeployment, name: str) -> str:
    return quote(f"{one.folder.name}/{name}")


def _charts(one: ReadDeployment, settled: TrackedObservations, seen: Sequence[int]) -> Html | None:
    if not seen:
        return None
    keys = [_key(one, label) for label in seen]
    timeline, drawn, total = tracks_chart(one, settled)
    few = f"{drawn} of {total} confirmed tracks, the longest." if drawn < total else f"{total} confirmed tracks."
    bars = [
        joined(tag("p", _key(one, label), class_="key"), tag("div", minutes_chart(one, label), class_="plot"))
        for label in seen
    ]
    return joined(
        tag("h3", "Counts over time"),
        tag("p", *keys, class_="key"),
        tag("div", counts_chart(one, settled, seen), class_="plot"),
        tag("output", class_="reading", aria_live="polite"),
        tag("h3", "Tracks"),
        tag("p", few, class_="quiet"),
        tag("div", timeline, class_="plot"),
        tag("h3", "MaxN of each minute"),
        *bars,
    )


def _key(one: ReadDeployment, label: int) -> Html:
    name = one.counts.species[label].species
    return tag("span", tag("i", class_=f"swatch {class_of(one, label)}", aria_hidden="true"), name)


def _crossings(one: ReadDeployment) -> Html | None:
    if not one.about.settings.lines:
        return None
    head = tag("tr", *(tag("th", name, scope="col") for name in ("Line", "Species", "Direction", "Crossings")))
    seen = {species.species for species in one.counts.species if species.max_n}
    rows = [
        tag(
            "tr",
            *(tag("td", cell) for cell in (str(line.line), line.species, line.direction)),
            tag("td", line.count, class_="n"),
        )
        for line in one.counts.line_counts
        if line.species in seen
    ]
    table = tag("div", tag("table", tag("thead", head), tag("tbody", *rows)), class_="scroll")
    return joined(tag("h3", "Line crossings"), table if rows else tag("p", "No fish was seen, so none crossed a line."))


def _notes(one: ReadDeployment, settled: TrackedObservations) -> Html:
    items = [tag("li", note.text, class_="grave" if note.grave else None) for note in notes(one, settled)]
    tables = [_threshold_table(found) for found in [at_thresholds(one, settled)] if found]
    return joined(tag("h3", "Quality of the data"), tag("ul", *items, class_="notes"), *tables)


def _threshold_table(found: Sequence[AtThresholds]) -> Html:
    scores = [score for score, _ in found[0].max_n]
    head = [tag("th", f"from {score:.2f}", scope="col", class_="n") for score in scores]
    rows = [
        tag("tr", tag("th", one.species, scope="row"), *(tag("td", number, class_="n") for _, number in one.max_n))
        for one in found
    ]
    caption = tag("caption", "MaxN if fish were counted from another score; the middle one is in use")
    head_row = tag("tr", tag("th", "Species", scope="col"), *head)
    return tag("div", tag("table", caption, tag("thead", head_row), tag("tbody", *rows)), class_="scroll")


def _settings(one: ReadDeployment) -> Html:
    about, settings = one.about, one.about.settings
    fragmentation = settings.fragmentation
    facts = [
        ("Model", f"{about.model.name} ({about.model.identity[:12]})" if about.model else "not known"),
        *models(one),
        ("Samples", _sampling(about.sampling)),
        ("Counted from score", f"{settings.threshold:g}"),
        ("Track confirmed after", f"{settings.confirmed_after} sightings"),
        ("Individuals for each track", f"{fragmentation.ratio:g} (spread {fragmentation.spread:g})"),
        ("Lines", "; ".join(str(line) for line in settings.lines) or "none"),
        ("Files", ", ".join(f"{chapter.label} ({_size(chapter.size_wh)})" for chapter in about.chapters)),
        ("Software", f"Shankha {about.software}"),
    ]
    said = [joined(tag("dt", name), tag("dd", text)) for name, text in facts]
    return joined(tag("h3", "Settings"), tag("dl", *said, class_="settings"))


def _sampling(text: str) -> str:
    if text.isdecimal():
        return f"every {text} frames" if text != "1" else "every frame"
    return f"every {text[:-1]} s" if text.endswith("s") and text[:1].isdigit() else text or "not known"


def _size(size_wh: tuple[int, int]) -> str:
    return f"{size_wh[0]} × {size_wh[1]}"
