"""`shankha curate open`: look at data and predictions in FiftyOne's App."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from apps.curate.app import App, started
from apps.curate.brain import look_over
from apps.curate.database import Note, connect, curate_folder, notes, translated
from apps.curate.evaluating import Evaluated, evaluate
from apps.curate.fields import INFO, PART
from apps.curate.making import DATASETS, DONE, STATE, Made, Request, Tick, Watch, find_note, make, state_of
from apps.curate.predicting import embed, field_probabilities, predict, predicted_field
from apps.curate.score_tables import tables
from apps.curate.sources import kind_of
from data.errors import ArgumentError, InputError
from data.files import sha256_of
from deploy.runtime.artifact import Artifact
from deploy.runtime.spec import SPEC_FILE

if TYPE_CHECKING:
    import fiftyone as fo

SHIPPED: Final = "shipped"
"""The word for the model that comes with the suite."""
LOOKED: Final = "looked over"
"""The step, among those that are noted as done, of finding what is worth a look."""
SHOWN: Final = 20
"""Problems that are told on the screen."""
_WEIGHTS: Final = Path(__file__).resolve().parents[2] / "models" / "weights"
_SHIPPED_FOR: Final = {
    "digits": "digits-int8",
    "scan": "digits-int8",
    "species": "species-int8",
    "detection": "fish-int8",
    "survey": "fish-int8",
    "segmentation": "masks-int8",
}


def open_source(  # noqa: PLR0913, PLR0917 - the options of a command
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="A labelled dataset, the results of `shankha fish survey` or `shankha digits scan`, or a dataset "
            "folder that `shankha curate export` has written.",
        ),
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="ARTIFACT",
            help=f"Also show what this model says, side by side with others; {SHIPPED!r} is the one that comes with "
            "the suite. May be given several times.",
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", metavar="NAME", help="One part of the dataset alone: train, val or test.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Of the dataset; without it, that of the folder.")
    ] = None,
    footage: Annotated[
        Path | None, typer.Option("--footage", metavar="DISK", help="Of survey results: the disk that was surveyed.")
    ] = None,
    copies: Annotated[
        bool, typer.Option("--copies", help="Of survey results: copy videos that browsers do not play as such they do.")
    ] = False,
    port: Annotated[
        int | None,
        typer.Option("--port", min=1, max=65535, help="Port on this computer; without it, the first free one."),
    ] = None,
    no_app: Annotated[bool, typer.Option("--no-app", help="Only make the dataset.")] = False,
) -> None:
    """Show data, results and predictions in the App.

    FiftyOne shows them in the browser. The first time a dataset is made of the source, and models are asked about every
    picture. Later it is there at once, with all that people changed in it; what is new in the source is added. Only
    this computer can reach the App; Ctrl-C ends it and everything with it.

    Example: shankha curate open digits/cmaterdb --model shipped
    """
    home = curate_folder()
    kind = kind_of(source)
    called = name or (source.resolve().name if source.is_dir() else source.resolve().stem)
    request = Request(source, kind, called, home, split, footage, copies)
    models = tuple(model_folder(one, kind) for one in model or ())
    with _app(home, port, wanted=not no_app) as app, translated(home):
        with _progress() as watch:
            opened = open_request(request, models, watch)
        _report(opened)
        if app is not None:
            app.wait_until_ready()
            address = app.address_of(opened.names[0])
            typer.echo(f"Open {address} in a browser; Ctrl-C ends the App.")
            with contextlib.suppress(KeyboardInterrupt):
                app.wait()


@dataclass(frozen=True)
class Opened:
    """A source that is open: its datasets and what was done just now."""

    names: tuple[str, ...]
    made: Made | None
    lines: tuple[str, ...]
    evaluated: tuple[Evaluated, ...] = ()


def open_request(request: Request, models: tuple[Path, ...], watch: Watch) -> Opened:
    """Have a source, and what models say of it, in FiftyOne; at once where nothing of it has changed.

    Raises:
        ArgumentError: A dataset of that name is of another source, or is being opened by another process.
        ShankhaError: The source cannot be read, a model does not suit it, or the database or the disk fails.
    """
    known = notes(request.home)
    note = find_note(request, known)
    current = note is not None and _is_current(request, note, known)
    steps = {model: f"model {sha256_of(model / SPEC_FILE)}" for model in models}
    if note is not None and current and {LOOKED, *steps.values()} <= set(note.info[INFO][DONE]):
        there = tuple(note.info[INFO][DATASETS])
        return Opened(there, None, tuple(f"{one}: the source has not changed" for one in there))
    fiftyone = connect(request.home)
    made = None if current else make(request, watch)
    names = made.names if made else tuple(note.info[INFO][DATASETS]) if note else ()
    datasets = [fiftyone.load_dataset(name) for name in names]
    lines = [_described(dataset) for dataset in datasets]
    evaluated: list[Evaluated] = []
    for dataset in datasets:
        if dataset.media_type == "image":
            fields = []
            for model in models:
                line, field = _predicted(dataset, model, watch)
                fields.append(field)
                lines.append(line)
                evaluated += _evaluated(dataset, field)
            lines += _looked_over(dataset, models, fields, watch)
        _note_done(dataset, (LOOKED, *steps.values()))
    return Opened(names, made, tuple(lines), tuple(evaluated))


def _looked_over(dataset: fo.Dataset, models: Sequence[Path], fields: Sequence[str], watch: Watch) -> list[str]:
    """Have found what is worth a look, on what the first model makes of the pictures; a line for each view."""
    embeddings = embed(dataset, models[0], watch("embedding")) if models else None
    chances = field_probabilities(dataset, fields[0]) if fields else None
    looked = look_over(dataset, embeddings, chances, fields[0] if fields else None, watch)
    return [f"{dataset.name}: view {view}" for view in looked.views]


def _is_current(request: Request, note: Note, known: dict[str, Note]) -> bool:
    """Whether all that was made of the source is there, and the source is as it was."""
    told = note.info[INFO]
    return told.get(STATE) == state_of(request.source) and known.keys() >= set(told.get(DATASETS, [note.name]))


def _note_done(dataset: fo.Dataset, steps: Sequence[str]) -> None:
    told = dataset.info[INFO]
    dataset.info[INFO] = {**told, DONE: sorted({*told.get(DONE, []), *steps})}
    dataset.save()


def _predicted(dataset: fo.Dataset, model: Path, watch: Watch) -> tuple[str, str]:
    """Ask a model about the pictures that it was not asked about yet; a line on it, and the field."""
    opened = Artifact.open(model)
    field = predicted_field(dataset, opened)
    waiting = dataset.exists(field, False) if field else dataset
    count = len(waiting)
    if field and not count:
        return f"{dataset.name}: what {opened.spec.name} says is in the field {field}", field
    field = predict(waiting, model, watch(f"asking {opened.spec.name}"))
    return f"{dataset.name}: asked {opened.spec.name} about {count:,} pictures; see the field {field}", field


def _evaluated(dataset: fo.Dataset, field: str) -> Iterator[Evaluated]:
    """How right the model is, where there is anything to compare it with."""
    with contextlib.suppress(InputError):
        yield evaluate(dataset, field)


def _described(dataset: fo.Dataset) -> str:
    what = "pictures" if dataset.media_type == "image" else "videos"
    line = f"{dataset.name}: {len(dataset):,} {what}"
    if dataset.has_field(PART):
        parts = [f"{count:,} {part}" for part, count in Counter(dataset.count_values(PART)).most_common() if part]
        line += f" ({', '.join(parts)})" if parts else ""
    return line


def model_folder(model: str, kind: str) -> Path:
    """The folder of a model; raises ShankhaError where it is no artifact that can be opened."""
    if model == SHIPPED and kind not in _SHIPPED_FOR:
        raise ArgumentError("--model", "for a dataset folder no model is told", cure="name the folder of an artifact")
    folder = _WEIGHTS / _SHIPPED_FOR[kind] if model == SHIPPED else Path(model)
    Artifact.open(folder)
    return folder


@contextlib.contextmanager
def _app(home: Path, port: int | None, *, wanted: bool) -> Iterator[App | None]:
    """The App, starting while the source is opened, where it is wanted."""
    if not wanted:
        yield None
        return
    with started(home, port) as app:
        yield app


@contextlib.contextmanager
def _progress() -> Iterator[Watch]:
    """A progress bar on stderr, a line for each step."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:

        def watch(step: str) -> Tick:
            task = progress.add_task(step, total=None)
            return lambda done, total: progress.update(task, completed=done, total=total)

        yield watch


def _report(opened: Opened) -> None:
    for line in opened.lines:
        typer.echo(line)
    if opened.evaluated:
        Console().print(tables(opened.evaluated))
    if opened.made is None:
        return
    if opened.made.gone:
        typer.echo(f"{opened.made.gone:,} are no longer in the source; they are kept.")
    problems = opened.made.problems
    if problems:
        typer.echo(f"could not be taken: {len(problems):,}")
    for problem in problems[:SHOWN]:
        typer.echo(f"  {problem.name}: {problem.why}")
    if len(problems) > SHOWN:
        typer.echo(f"  and {len(problems) - SHOWN:,} more")
