"""`shankha curate export`: what is held to be right in FiftyOne as a versioned dataset folder that recipes read."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from apps.curate.database import connect, curate_folder, translated
from apps.curate.fields import ILLEGIBLE, RELABEL
from apps.curate.reading import SOMEONE, collection_of
from data.curation.collection import WHOLE_PICTURE, Collection, Label, Picture
from data.curation.exchange import FORMATS
from data.curation.folder import Made, Written, settled_parts, torn_groups, write_version
from data.errors import ArgumentError
from data.labels import NOT_A_DIGIT_NAME
from data.stored import Tick
from data.versions import MANIFEST

if TYPE_CHECKING:
    import fiftyone as fo

_DEFAULT: Final = {True: "classes", False: "yolo"}
"""The format of labels of whole pictures, and of those within pictures."""
_SPEAKERS: Final = {"source": "by the source", "model": "by models", "person": "by people"}
_SHOWN: Final = 10


@dataclass(frozen=True)
class Exported:
    """A version that was written (or was there already), and what a person should know of how it came to be."""

    written: Written
    notes: tuple[str, ...]


def export_dataset(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Its name in the App.")],
    to: Annotated[
        Path,
        typer.Option(
            "--to", metavar="DIR", help="Folder to write. Where it is a version already, the next is written beside it."
        ),
    ],
    target_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="|".join(FORMATS),
            help="Without it: classes for digits and species, yolo for boxes and outlines. Training and evaluation "
            "read classes, yolo and coco.",
        ),
    ] = None,
    view: Annotated[
        str | None, typer.Option("--view", metavar="NAME", help="Only the pictures of this saved view.")
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="TAG", help="Only pictures with this tag. May be given several times."),
    ] = None,
) -> None:
    """Write a dataset as a versioned folder, with a manifest of who said what.

    Pictures tagged "illegible" become the class not_a_digit among digits and are left out among fish; those tagged
    "relabel" are left out until they are labelled again. Pictures of no part, among others that have one, go where
    their group is, else to train.

    Example: shankha curate export cmaterdb --to sets/digits --format classes
    """
    command = " ".join(["shankha", *sys.argv[1:]])
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar, translated(curate_folder()):
        task = bar.add_task("copying", total=None)
        samples = chosen_samples(dataset, view, tag or ())
        exported = export(
            samples, to, target_format, command, lambda done, total: bar.update(task, completed=done, total=total)
        )
    for line in exported.notes:
        typer.echo(line)


def chosen_samples(dataset: str, view: str | None, tags: list[str] | tuple[str, ...]) -> fo.Dataset | fo.DatasetView:
    """A dataset's samples: those of a saved view where one is named, and of these the ones with one of the tags.

    Raises:
        ArgumentError: There is no such dataset, view or tag.
    """
    fiftyone = connect()
    if not fiftyone.dataset_exists(dataset):
        known = ", ".join(fiftyone.list_datasets()) or "none yet"
        cure = "make one with shankha curate open"
        raise ArgumentError("DATASET", f"there is no dataset {dataset!r}", expected=f"one of: {known}", cure=cure)
    samples: fo.Dataset | fo.DatasetView = fiftyone.load_dataset(dataset)
    if view is not None:
        if not samples.has_saved_view(view):
            known = ", ".join(samples.list_saved_views()) or "none"
            raise ArgumentError("--view", f"{dataset} has no saved view {view!r}", expected=f"one of: {known}")
        samples = samples.load_saved_view(view)
    there = set(samples.distinct("tags"))
    strange = [tag for tag in tags if tag not in there]
    if strange:
        known = ", ".join(sorted(there)) or "none"
        raise ArgumentError("--tag", f"no picture has the tag {strange[0]!r}", expected=f"one of: {known}")
    return samples.match_tags(list(tags)) if tags else samples


def export(
    samples: fo.Dataset | fo.DatasetView,
    to: Path,
    target_format: str | None = None,
    command: str = "",
    tick: Tick | None = None,
) -> Exported:
    """Write what is held to be right of samples as a version.

    Args:
        samples: Pictures.
        to: See `data.curation.folder.write_version`.
        target_format: Name of one of `FORMATS`; None takes the usual one for the kind of labels.
        command: What the manifest says made it.
        tick: Hears how many pictures are copied.

    Raises:
        ShankhaError: As `collection_of` and `write_version`.
    """
    collection, notes = prepared(collection_of(samples))
    target_format = target_format or _DEFAULT[collection.kind in WHOLE_PICTURE]
    made = Made(command, f"dataset {samples._root_dataset.name!r} in FiftyOne")
    written = write_version(collection, to, target_format, made, tick)
    return Exported(written, (*_told(written), *notes))


def prepared(collection: Collection) -> tuple[Collection, list[str]]:
    """The collection as it may be learnt from, and what was done to it: illegible pictures, parts, groups."""
    notes = []
    kept = [picture for picture in collection.pictures if RELABEL not in picture.tags]
    if len(kept) < len(collection):
        notes.append(f"{len(collection) - len(kept):,} pictures are left out: they wait to be labelled again")
    marked = sum(ILLEGIBLE in picture.tags for picture in kept)
    if collection.kind == "digits":
        kept = [_illegible(picture) for picture in kept]
        what = f"are of the class {NOT_A_DIGIT_NAME}"
    else:
        kept = [picture for picture in kept if ILLEGIBLE not in picture.tags]
        what = "are left out"
    if marked:
        notes.append(f"{marked:,} illegible pictures {what}")
    settled, moved = settled_parts(replace(collection, pictures=tuple(kept)))
    if moved:
        notes.append(f"{moved:,} pictures of no part were put where their group is, else into train")
    torn = torn_groups(settled)
    if torn:
        shown = ", ".join(torn[:_SHOWN])
        notes.append(f"{len(torn):,} groups are in more than one part ({shown}): scores on them will be too good")
    return settled, notes


def _illegible(picture: Picture) -> Picture:
    """The picture with the label of what is no digit, where somebody has marked it so."""
    if ILLEGIBLE not in picture.tags or any(label.name == NOT_A_DIGIT_NAME for label in picture.labels):
        return picture
    return replace(picture, labels=(Label(NOT_A_DIGIT_NAME, SOMEONE),))


def _told(written: Written) -> list[str]:
    """What was written, for the screen."""
    version, content = written.version, written.version.content
    if not written.fresh:
        return [f"nothing has changed since version {version.version}: {written.folder}"]
    parts = Counter(picture.part for picture in content.pictures)
    shares = ", ".join(f"{parts[part]:,} {part}" for part in ("train", "val", "test", "") if parts[part] and part)
    lines = [
        f"{written.folder}: version {version.version}, {len(content.pictures):,} pictures"
        + (f" ({shares})" if shares else "")
        + f", {content.format}"
    ]
    said = Counter(content.speakers[label.by].kind for picture in content.pictures for label in picture.labels)
    lines.append(
        "labels: " + (", ".join(f"{count:,} {_SPEAKERS[kind]}" for kind, count in said.most_common()) or "none")
    )
    reasons = Counter(one.why for one in content.left_out)
    for why, count in reasons.most_common(_SHOWN):
        first = next(one.id for one in content.left_out if one.why == why)
        lines.append(f"left out: {first}{f' and {count - 1:,} more' if count > 1 else ''}: {why}")
    if len(reasons) > _SHOWN:
        lines.append(f"left out for other reasons: see left_out in {written.folder / MANIFEST}")
    return lines
