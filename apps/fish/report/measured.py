"""What the parts of a survey measured in a deployment: schools counted by points, and lengths."""

from __future__ import annotations

from apps.fish.dense import DenseCounts
from apps.fish.evidence import DENSE, clock
from apps.fish.lengths import CLASS_MM, LengthClass
from apps.fish.report.markup import Html, joined, tag
from apps.fish.report.stored import ReadDeployment, StoredPart


def measured(one: ReadDeployment, href: str) -> Html | None:
    """The sections on dense schools and on lengths, as far as there are any.

    Args:
        one: The deployment.
        href: The address of its folder, from the page.
    """
    parts = one.about.parts
    if parts is None:
        return None
    sections = []
    if parts.dense_counts is not None:
        picture = f"{href}/{DENSE}" if (one.folder / DENSE).is_file() else None
        sections.append(_dense(parts.dense_counts, picture))
    if parts.length_classes:
        sections.append(_lengths(parts.length_classes))
    return joined(*sections) if sections else None


def models(one: ReadDeployment) -> list[tuple[str, str]]:
    """What the settings tell of the models of the parts."""
    parts = one.about.parts
    found = (
        (("Named by", parts.species), ("Outlined by", parts.masks), ("Counted by points by", parts.dense))
        if parts
        else ()
    )
    return [(what, _model(part)) for what, part in found if part is not None]


def _model(part: StoredPart) -> str:
    return f"{part.name} ({part.identity[:12]})"


def _dense(counts: DenseCounts, picture: str | None) -> Html:
    """Both numbers, and which of them counts."""
    title = tag("h3", "All fish together, by boxes and by points")
    if counts.max_n is None:
        return joined(title, tag("p", "No frame of the period was looked at.", class_="quiet"))
    if counts.dense_from is None:
        why = "The counter never errs less than boxes, so boxes count."
    else:
        why = (
            f"{counts.dense} of {counts.samples} samples are too dense for boxes ({counts.dense_from:g} fish or more)."
        )
    at = f" at {clock(counts.at.seconds)}" if counts.at else ""
    said = f"MaxN {counts.max_n}{at}, counted by {counts.used}; by boxes alone {counts.max_n_boxes}. "
    means = f" MeanCount {counts.mean:.2f}; by boxes alone {counts.mean_boxes:.2f}."
    shown = tag("a", "The frame with its points", href=picture) if picture else None
    grave = "warning" if counts.used == "points" else None
    note = "MaxN of each species is by boxes and so too low here. " if counts.used == "points" else ""
    return joined(title, tag("p", said, note, why, means, " " if shown else None, shown, class_=grave))


def _lengths(classes: tuple[LengthClass, ...]) -> Html:
    head = tag("tr", *(tag("th", name, scope="col") for name in ("Species", "Length in mm", "Fish")))
    rows = [
        tag(
            "tr",
            tag("td", one.species),
            tag("td", "not measured" if one.low is None else f"{one.low} to {one.low + CLASS_MM}"),
            tag("td", one.count, class_="n"),
        )
        for one in classes
    ]
    caption = tag("caption", "Fish of each MaxN, by the scale of the metadata, which holds at one distance only")
    table = tag("table", caption, tag("thead", head), tag("tbody", *rows))
    return joined(tag("h3", "Lengths"), tag("div", table, class_="scroll"))
