"""`shankha curate next`: which pictures to label next, ranked, as a saved view and on a sheet."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from apps.curate.database import connect, curate_folder, translated
from apps.curate.exporting import chosen_samples
from apps.curate.fields import (
    ACCEPTED,
    BY_KIND,
    COMPLETE,
    CORRECTED,
    DUPLICATE_OF,
    GROUP,
    ILLEGIBLE,
    INFO,
    NEXT,
    RELABEL,
    SITE,
    TRUTH,
)
from apps.curate.opening import SHIPPED, model_folder
from apps.curate.predicting import embed, field_probabilities, predict, predicted_field
from apps.curate.reading import collection_of
from apps.curate.sheets import AFTER_BGR, Drawn, sheet, tile
from apps.pictures import write_jpeg
from data.curation.collection import WHOLE_PICTURE, Kind
from data.curation.selection import choose, margin_uncertainty
from data.errors import ArgumentError
from data.stored import Tick
from deploy.runtime.artifact import Artifact

if TYPE_CHECKING:
    import fiftyone as fo

Floats = NDArray[np.float32]
LABEL_NEXT: Final = "label next"
"""Name of the saved view of the chosen pictures, in their order."""
_EMPTY_FRAME: Final = 0.05
"""Uncertainty of a picture in which a detector finds nothing: what it overlooks is not seen in its confidences."""
_ON_SHEET: Final = 60


@dataclass(frozen=True)
class Next:
    """What was chosen: ids of samples in order, what the model says of each, from how many `candidates` of how many
    `groups`, and the `field` of the model's predictions."""

    ids: tuple[str, ...]
    captions: tuple[str, ...]
    candidates: int
    groups: int
    field: str


def label_next(
    count: Annotated[int, typer.Argument(metavar="N", min=1, help="How many pictures to choose.")],
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Its name in the App.")],
    model: Annotated[
        str, typer.Option("--model", metavar="ARTIFACT", help="The model that is to learn from them.")
    ] = SHIPPED,
    view: Annotated[
        str | None, typer.Option("--view", metavar="NAME", help="Only choose among the pictures of this saved view.")
    ] = None,
    sheet_file: Annotated[
        Path | None, typer.Option("--sheet", metavar="FILE", help="Also write a sheet (JPEG) of the first of them.")
    ] = None,
) -> None:
    """Choose the pictures to label next.

    They are those that the model is unsure of, unlike each other and unlike what is labelled, with no site, fish or
    other group crowding out the rest and no two nearly alike. They get a rank in the field "next" and are the saved
    view "label next".

    Example: shankha curate next 100 reef --model runs/reef-int8 --sheet next.jpg
    """
    with translated(curate_folder()):
        samples = chosen_samples(dataset, view, ())
        found = choose_samples(samples, count, model)
        if sheet_file is not None:
            write_sheet(samples, found, sheet_file)
    typer.echo(
        f"{dataset}: {len(found.ids):,} of {found.candidates:,} pictures without a label, from {found.groups:,} groups"
    )
    if len(found.ids) < count:
        typer.echo("there are no more that are unlike each other")
    typer.echo(f"They are the saved view {LABEL_NEXT!r}, in order; what the model says is in the field {found.field}.")
    if sheet_file is not None:
        typer.echo(f"to look at: {sheet_file}")


def choose_samples(samples: fo.Dataset | fo.DatasetView, count: int, model: str = SHIPPED) -> Next:
    """Choose samples to label; rank them in the field `NEXT` and save them as the view `LABEL_NEXT`.

    Args:
        samples: Pictures, labelled ones among them: what is like those is not chosen.
        count: How many.
        model: Folder of an artifact, or "shipped".

    Raises:
        ArgumentError: Every picture has a label already, or cannot be read.
        ShankhaError: As `predict` and `embed`.
    """
    dataset = samples._root_dataset
    kind: Kind = (dataset.info.get(INFO) or {}).get("kind", "detection")
    artifact = model_folder(model, kind)
    field = _asked(samples, artifact)
    with _progress("looking at pictures") as tick:
        embeddings = embed(samples, artifact, tick)
    readable = np.isfinite(embeddings).all(axis=1)
    candidates = waiting(samples, kind) & readable
    if not candidates.any():
        cure = "add pictures, or tag others in the App to have them labelled again"
        raise ArgumentError("DATASET", f"{dataset.name}: no readable picture is without a label", cure=cure)
    unsure, says = uncertainty(samples, field, kind)
    groups = _groups(samples)
    chosen = choose(embeddings[readable], unsure[readable], groups[readable], count, candidates[readable])
    places = np.flatnonzero(readable)[chosen.indices]
    ids = samples.values("id")
    _rank(samples, [ids[place] for place in places])
    captions = tuple(f"{rank}: {says[place]}" for rank, place in enumerate(places, 1))
    return Next(
        tuple(ids[place] for place in places),
        captions,
        int(np.count_nonzero(candidates)),
        len(set(groups[places].tolist())),
        field,
    )


@contextlib.contextmanager
def _progress(step: str) -> Iterator[Tick]:
    """A bar on stderr for one step."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(step, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _asked(samples: fo.Dataset | fo.DatasetView, artifact: Path) -> str:
    """The field of what the model says; it is asked about the pictures that it was not asked about yet."""
    opened = Artifact.open(artifact)
    field = predicted_field(samples._root_dataset, opened)
    silent = samples.exists(field, False) if field else samples
    if field and not len(silent):
        return field
    with _progress(f"asking {opened.spec.name}") as tick:
        return predict(silent, artifact, tick)


def waiting(samples: fo.Dataset | fo.DatasetView, kind: Kind) -> NDArray[np.bool_]:
    """(N,) which samples nobody but a model has labelled, and nobody has put aside.

    Put aside are pictures tagged as illegible or to be labelled again, and those that repeat another one. A picture
    within which things are labelled, and that has no label, is labelled where everything in it is: as empty.
    """
    inside = TRUTH if kind in WHOLE_PICTURE else f"{TRUTH}.detections"
    schema = samples.get_field_schema(flat=True)
    speakers = samples.values(f"{inside}.{BY_KIND}") if f"{inside}.{BY_KIND}" in schema else [None] * len(samples)
    names = samples.values(f"{inside}.label") if f"{inside}.label" in schema else [None] * len(samples)
    wholes = samples.values(COMPLETE) if COMPLETE in schema else [True] * len(samples)
    repeats = samples.values(DUPLICATE_OF) if DUPLICATE_OF in schema else [None] * len(samples)
    tags = samples.values("tags")
    found = []
    for name, by, whole, repeat, own in zip(names, speakers, wholes, repeats, tags, strict=True):
        if kind in WHOLE_PICTURE:
            done = name is not None and by != "model"
        else:
            done = any(one != "model" for one in by or ["model"] * len(name or ())) or (not name and whole is not False)
        aside = repeat is not None or {ILLEGIBLE, RELABEL} & set(own)
        found.append(not (done or aside or {ACCEPTED, CORRECTED} & set(own)))
    return np.array(found, np.bool_)


def uncertainty(samples: fo.Dataset | fo.DatasetView, field: str, kind: Kind) -> tuple[Floats, tuple[str, ...]]:
    """How unsure the model is of each sample, (N,) 0 to 1, and what it says of each in words.

    Of a whole picture it is one less the lead of the likeliest class over the second. Of a picture with boxes it is how
    many of them are expected to be wrongly kept or dropped at a confidence of one half, for each thing that is expected
    to be there and one more: crowded pictures teach more, and take as much longer to label.
    """
    labels = samples.values(f"{field}.label" if kind in WHOLE_PICTURE else f"{field}.detections.confidence")
    if kind in WHOLE_PICTURE:
        told = field_probabilities(samples, field)
        confidences = np.array([value or 0.0 for value in samples.values(f"{field}.confidence")], np.float32)
        unsure = 1 - confidences
        if told is not None:
            known = np.isfinite(told[0]).all(axis=1)
            unsure[known] = margin_uncertainty(told[0][known])
        return unsure, tuple(
            f"{label or 'nothing'} {sure:.2f}" for label, sure in zip(labels, confidences, strict=True)
        )
    found, says = [], []
    for own in labels:
        sure = np.array([value for value in own or () if value is not None], np.float32)
        wrong = float(np.minimum(sure, 1 - sure).sum())
        found.append(max(_EMPTY_FRAME, wrong / (1 + float(sure.sum()))))
        says.append(f"{len(sure)} found, unsure {found[-1]:.2f}")
    return np.array(found, np.float32), tuple(says)


def _groups(samples: fo.Dataset | fo.DatasetView) -> NDArray[np.str_]:
    """(N,) the group of each sample, else its site; "" where neither is known."""
    schema = samples.get_field_schema()
    columns = [samples.values(key) for key in (GROUP, SITE) if key in schema]
    return np.array([next(filter(None, row), "") for row in zip(*columns, strict=True)] or [""] * len(samples), np.str_)


def _rank(samples: fo.Dataset | fo.DatasetView, ids: Sequence[str]) -> None:
    """Write the ranks in place of former ones, and save the view."""
    dataset = samples._root_dataset
    if dataset.has_field(NEXT):
        dataset.clear_sample_field(NEXT)
    else:
        dataset.add_sample_field(NEXT, connect().IntField)
    dataset.set_values(NEXT, {one: rank for rank, one in enumerate(ids, 1)}, key_field="id")
    dataset.save_view(LABEL_NEXT, dataset.exists(NEXT).sort_by(NEXT), overwrite=True)


def write_sheet(samples: fo.Dataset | fo.DatasetView, found: Next, path: Path) -> None:
    """Write the first of the chosen pictures, with what the model finds in them, as one picture."""
    shown = samples.select(list(found.ids[:_ON_SHEET]), ordered=True)
    pictures = collection_of(shown, found.field).pictures
    tiles = [tile(picture, [Drawn(label, AFTER_BGR) for label in picture.labels]) for picture in pictures]
    write_jpeg(path, sheet(tiles, found.captions[: len(tiles)]))
