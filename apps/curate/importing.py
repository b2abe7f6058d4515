"""`shankha curate import`: labels of a person's tool come back into a dataset."""

from __future__ import annotations

import getpass
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from apps.curate.database import connect, curate_folder, notes, translated
from apps.curate.fields import RELABEL
from apps.curate.plugin.person import person
from apps.curate.putting import Change, put
from apps.curate.reading import collection_of
from data.curation.collection import WHOLE_PICTURE, Collection, Picture, Provenance, now
from data.curation.exchange import FORMATS, Format, Library, format_of
from data.curation.exchange.unpacking import unpacked
from data.curation.matching import match
from data.curation.merging import merge
from data.errors import ArgumentError, FileAccessError, InputError
from data.labels import DIGIT_CLASSES
from data.readers.digitset import Problem

if TYPE_CHECKING:
    import fiftyone as fo

SHOWN: Final = 20
"""Problems that are told on the screen."""


def import_labels(
    source: Annotated[
        Path,
        typer.Argument(metavar="SOURCE", help="What the tool wrote: a file, a folder, or an archive of one."),
    ],
    target_format: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="NAME", help=f"{', '.join(FORMATS)}. Only needed where the file does not say it itself."
        ),
    ] = None,
    into: Annotated[
        str | None,
        typer.Option("--into", metavar="DATASET", help="Name of the dataset; not needed where there is one."),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="PERSON", help="Who worked with the tool; not needed where the file tells."),
    ] = None,
) -> None:
    """Take labels that a person made or put right in another tool into a dataset.

    Pictures are found by their content, their id or their name. What is as it was stays as it was; what is not gets the
    person's name and the time. Labels that the person deleted are deleted. All that changes is on record first, in the
    folder of curation. What cannot be taken in is listed.

    Example: shankha curate import cvat-export.zip --into reef --by "A. Akter"
    """
    home = curate_folder()
    if not source.exists():
        raise FileAccessError(source, "is not there", cure="check the path")
    name = _dataset_name(into, home)
    with translated(home):
        done = import_into(connect(home).load_dataset(name), source, target_format, _speaker(by, home))
    _report(name, source, done)


@dataclass(frozen=True)
class Imported:
    """What an import did: pictures that were found, how often what was done to labels, what could not be taken in."""

    pictures: int
    counts: Counter[str]
    problems: tuple[Problem, ...]
    record: Path | None


def import_into(dataset: fo.Dataset, source: Path, target_format: str | None, by: Provenance) -> Imported:
    """Take labels of a file, folder or archive into a dataset.

    Args:
        dataset: Of pictures.
        source: What a tool wrote.
        target_format: Name of one of `FORMATS`; None takes what the source says of itself.
        by: Who worked with the tool, where the file does not tell.

    Raises:
        ArgumentError: There is no such format, the source does not say of which it is, or it labels another kind of
            thing than the dataset.
        InputError: The source is damaged, or none of its pictures is in the dataset.
        FileAccessError: The source cannot be read, or the record not be written; then nothing is changed.
    """
    known = collection_of(dataset)
    library = Library(known.pictures)
    with unpacked(source) as place:
        said = _format(place, source, target_format).read(place, library)
        _check_kind(said, known, source)
        matched = match(said, library)
        if not matched.pairs:
            first = (*said.problems, *matched.problems)[0]
            found = f"labels no picture of {dataset.name}; the first: {first.name} {first.why}"
            raise InputError(source, found, cure="name the right dataset with --into")
    changes, problems = _changes(matched.pairs, known, by)
    record = put(dataset, changes, known.kind, str(source), by) if changes else None
    counts = sum((change.merged.counts for change in changes), Counter[str]())
    return Imported(len(matched.pairs), counts, (*said.problems, *matched.problems, *problems), record)


def _format(place: Path, source: Path, name: str | None) -> Format:
    if name is not None and name not in FORMATS:
        raise ArgumentError("--format", f"there is no format {name!r}", expected=f"one of: {', '.join(FORMATS)}")
    told = FORMATS[name] if name is not None else format_of(place)
    if told is None:
        expected = f"one of: {', '.join(FORMATS)}"
        raise ArgumentError("--format", f"{source} does not say of which format it is", expected=expected)
    return told


def _check_kind(said: Collection, known: Collection, source: Path) -> None:
    labelled = any(picture.labels for picture in said.pictures)
    if labelled and (said.kind in WHOLE_PICTURE) != (known.kind in WHOLE_PICTURE):
        found = f"{source} labels {_THINGS[said.kind in WHOLE_PICTURE]}"
        raise ArgumentError("--into", found, expected=f"labels of {_THINGS[known.kind in WHOLE_PICTURE]}")


_THINGS: Final = {True: "pictures as a whole", False: "things within pictures"}


def _changes(
    pairs: Sequence[tuple[Picture, Picture]], known: Collection, by: Provenance
) -> tuple[list[Change], list[Problem]]:
    """The pictures whose labels change, and notes of what was not taken, or taken though it is new."""
    changes: list[Change] = []
    problems: list[Problem] = []
    for picture, before in pairs:
        labels = picture.labels
        if known.kind == "digits":
            strange = [label.name for label in labels if label.name not in DIGIT_CLASSES]
            problems += [
                Problem(before.id, f"is called {name!r}, which is no digit: left as it was") for name in strange
            ]
            labels = () if strange else labels
        if known.kind in WHOLE_PICTURE and not labels:
            continue
        merged = merge(before.labels, labels, by, whole=picture.complete)
        if not picture.complete:
            why = "has labels that could not be read: those that were known and are not among the others stay"
            problems.append(Problem(before.id, why))
        if merged.counts or RELABEL in before.tags:
            changes.append(Change(before, merged))
    new = {placed.label.name for change in changes for placed in change.merged.labels} - set(known.names)
    problems += [Problem(name, "is a class that the dataset did not have") for name in sorted(new)]
    return changes, problems


def _dataset_name(into: str | None, home: Path) -> str:
    names = sorted(notes(home))
    if into in names:
        return into
    if into is None and len(names) == 1:
        return names[0]
    listed = ", ".join(names) or "no dataset, open one first with `shankha curate open`"
    found = f"there is no dataset {into!r}" if into is not None else f"is missing, and there are {len(names)} datasets"
    raise ArgumentError("--into", found, expected=f"one of: {listed}")


def _speaker(by: str | None, home: Path) -> Provenance:
    name = " ".join((by or person(home) or getpass.getuser()).split())
    if not name or not name.isprintable():
        raise ArgumentError("--by", f"{by!r} is no name")
    return Provenance(kind="person", name=name, when=now())


def _report(name: str, source: Path, done: Imported) -> None:
    for problem in done.problems[:SHOWN]:
        typer.echo(f"{problem.name}: {problem.why}", err=True)
    if len(done.problems) > SHOWN:
        typer.echo(f"and {len(done.problems) - SHOWN} more", err=True)
    told = ", ".join(f"{done.counts[fate]} {fate}" for fate in ("renamed", "moved", "added", "removed"))
    typer.echo(f"{name}: {done.pictures} pictures of {source} found; labels: {told}; {len(done.problems)} problems.")
    if done.record:
        typer.echo(f"What was there before is on record in {done.record}.")
