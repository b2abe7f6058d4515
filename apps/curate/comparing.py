"""`shankha curate diff`: what changed between two versions of a dataset, as a table, a page to look at, and JSON."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Annotated, Any, Final

import cv2
import typer
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from apps.curate.sheets import AFTER_BGR, BEFORE_BGR, Drawn, tile
from data.curation.collection import WHOLE_PICTURE, Label, Picture
from data.curation.difference import Change, ChangeKind, Difference, diff
from data.files import write_text

_TITLES: Final[dict[ChangeKind, str]] = {
    "class": "another class",
    "box": "another box",
    "outline": "another outline",
    "added": "label added",
    "removed": "label removed",
    "speaker": "the same, said by another",
}
_SHOWN: Final = 20
_ON_PAGE: Final = 200
"""Pictures of one kind of change on the page; how many more there are is told."""
_QUALITY: Final = 85
_STYLE: Final = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:78rem;padding:0 1rem;color:#1c1c1c;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem;border-bottom:1px solid #ddd;padding-bottom:.3rem}
ul{display:flex;flex-wrap:wrap;gap:1rem;list-style:none;padding:0}li{width:14rem}
img{max-width:100%;display:block;background:#eee;border-radius:3px}
p{margin:.3rem 0}.what{font-weight:600}.id,.by{color:#555;font-size:.82rem;overflow-wrap:anywhere}
.key span{padding:0 .4rem;border:2px solid}.was{border-color:#d22828!important}.is{border-color:#1e963c!important}
"""


def compare_versions(
    before: Annotated[Path, typer.Argument(metavar="A", help="Folder of the earlier version.")],
    after: Annotated[Path, typer.Argument(metavar="B", help="Folder of the later version.")],
    page: Annotated[
        Path | None,
        typer.Option("--page", metavar="FILE", help="Also write a page (HTML) with the pictures that changed."),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write every change here.")
    ] = None,
) -> None:
    """Say what changed between two versions of a dataset, and who changed it.

    Pictures added, removed, or moved to another part; labels added, removed, of another class, or with another box.

    Example: shankha curate diff sets/digits sets/digits-v2 --page changes.html
    """
    found = diff(before, after)
    Console().print(tables(found))
    if page is not None:
        write_text(page, page_of(found))
        typer.echo(f"to look at: {page}")
    if json_file is not None:
        write_text(json_file, json.dumps(difference_json(found), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def tables(found: Difference) -> Group | Text:
    """What changed, for a terminal: how many of each, and who changed what into what."""
    if not found:
        return Text("nothing has changed")
    overview = Table("", "", show_header=False, title=Text(_heading(found)), title_justify="left")
    for what, count in _counts(found):
        if count:
            overview.add_row(what, f"{count:,}")
    for what, names in (("new classes", found.new_names), ("classes that are gone", found.lost_names)):
        if names:
            overview.add_row(what, ", ".join(names))
    changed = Table("change", "from, to", "by", "labels", title=Text("labels"), title_justify="left")
    grouped = Counter((change.kind, change.told(), _speaker(change)) for change in found.changes)
    for (kind, told, by), count in sorted(grouped.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]:
        changed.add_row(_TITLES[kind], told, by, f"{count:,}")
    if len(grouped) > _SHOWN:
        changed.add_row("and more", f"{len(grouped) - _SHOWN:,} kinds (--json lists all)", "", "")
    return Group(overview, changed) if found.changes else Group(overview)


def _heading(found: Difference) -> str:
    before, after = found.before, found.after
    return (
        f"{before.content.name}: version {before.version} ({len(before.content.pictures):,} pictures) to "
        f"version {after.version} ({len(after.content.pictures):,} pictures)"
    )


def _counts(found: Difference) -> list[tuple[str, int]]:
    """What there may be of changes, and how many there are."""
    return [
        ("pictures added", len(found.added)),
        ("pictures removed", len(found.removed)),
        ("pictures moved to another part", len(found.moved)),
        ("pictures moved to another group", len(found.regrouped)),
        ("pictures of another content", len(found.repainted)),
        *((f"labels: {title}", len(found.of(kind))) for kind, title in _TITLES.items()),
    ]


def _speaker(change: Change) -> str:
    return f"{change.by.name} ({change.by.kind})" if change.by else ""


def difference_json(found: Difference) -> dict[str, Any]:
    """Every change; the keys are those of `Difference`."""
    return {
        "before": _version_json(found, first=True),
        "after": _version_json(found, first=False),
        "new_names": list(found.new_names),
        "lost_names": list(found.lost_names),
        "added": [picture.id for picture in found.added],
        "removed": [picture.id for picture in found.removed],
        "moved": [vars(one) for one in found.moved],
        "regrouped": [vars(one) for one in found.regrouped],
        "repainted": list(found.repainted),
        "changes": [
            {"id": one.id, "kind": one.kind, "before": _label_json(one.before), "after": _label_json(one.after)}
            for one in found.changes
        ],
    }


def _version_json(found: Difference, *, first: bool) -> dict[str, Any]:
    version = found.before if first else found.after
    told = {"name": version.content.name, "version": version.version, "id": version.id, "made": version.made}
    return {**told, "pictures": len(version.content.pictures)}


def _label_json(label: Label | None) -> dict[str, Any] | None:
    if label is None:
        return None
    told: dict[str, Any] = {"name": label.name, "by": label.by.model_dump()}
    return told | ({} if label.xyxy is None else {"xyxy": [float(str(edge)) for edge in label.xyxy]})


def page_of(found: Difference) -> str:
    """One page of HTML that holds its pictures: what changed, each with its boxes before and after."""
    title = escape(_heading(found))
    counts = "".join(f"<li>{escape(what)}: {count:,}</li>" for what, count in _counts(found) if count)
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>",
        f"<ul>{counts}</ul>" if counts else "<p>Nothing has changed.</p>",
    ]
    if found.after.content.kind not in WHOLE_PICTURE:
        parts.append('<p class="key">Boxes: <span class="was">before</span> <span class="is">now</span></p>')
    parts += [section for kind in _TITLES if kind != "speaker" for section in _changed(found, kind)]
    parts += _pictures("pictures added", found.added, AFTER_BGR)
    parts += _pictures("pictures removed", found.removed, BEFORE_BGR)
    moved = {one.id: f"{one.before} to {one.after}" for one in found.moved}
    parts += _section("moved to another part", [(found.pictures[name], (), told, "") for name, told in moved.items()])
    return "\n".join([*parts, "</body></html>\n"])


_Item = tuple[Picture, Sequence[Drawn], str, str]
"""A picture, what is drawn on it, what changed, and by whom."""


def _changed(found: Difference, kind: ChangeKind) -> Iterator[str]:
    items: list[_Item] = []
    for change in found.of(kind):
        sides = ((change.before, BEFORE_BGR), (change.after, AFTER_BGR))
        drawn = tuple(Drawn(label, colour) for label, colour in sides if label is not None)
        items.append((found.pictures[change.id], drawn, change.told(), _speaker(change)))
    yield from _section(_TITLES[kind], items)


def _pictures(title: str, pictures: Sequence[Picture], colour: tuple[int, int, int]) -> list[str]:
    return _section(
        title,
        [(one, tuple(Drawn(label, colour) for label in one.labels), _names(one), one.part) for one in pictures],
    )


def _names(picture: Picture) -> str:
    counts = Counter(label.name for label in picture.labels)
    return ", ".join(name if count == 1 else f"{count} {name}" for name, count in counts.items()) or "no label"


def _section(title: str, items: Sequence[_Item]) -> list[str]:
    if not items:
        return []
    lines = [f"<h2>{escape(title)}: {len(items):,}</h2><ul>"]
    for picture, drawn, told, by in items[:_ON_PAGE]:
        image = base64.b64encode(_jpeg(picture, drawn)).decode()
        name = escape(picture.id)
        lines.append(
            f'<li><img alt="{name}" src="data:image/jpeg;base64,{image}"><p class="what">{escape(told)}</p>'
            f'<p class="by">{escape(by)}</p><p class="id">{name}</p></li>'
        )
    lines.append("</ul>")
    if len(items) > _ON_PAGE:
        lines.append(f"<p>and {len(items) - _ON_PAGE:,} more</p>")
    return lines


def _jpeg(picture: Picture, drawn: Sequence[Drawn]) -> bytes:
    _, packed = cv2.imencode(".jpg", tile(picture, drawn), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return packed.tobytes()
