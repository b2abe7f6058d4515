"""`shankha data`: what datasets there are, getting one, and verifying a folder of one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from data.catalogue import Dataset, dataset_named, load_catalogue
from data.download import Tick
from data.readers import Problem
from data.store import FOLDER_VARIABLE, Obtained, Watch, default_root, obtain
from data.verification import Contents, Verification, verify

SHOWN = 20
"""Lines of one kind of problem on the screen; `--json` gives them all."""

app = typer.Typer(
    name="data",
    help="Datasets: what there is, getting one, verifying a folder.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog="Example: shankha data get cmaterdb",
)


@app.command("list", epilog="Example: shankha data list --json")
def list_datasets(
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole catalogue as JSON.")] = False,
) -> None:
    """List the datasets of the catalogue, and how to come by each; `--json` tells all that is known of them."""
    if as_json:
        typer.echo(json.dumps([dataset.model_dump(mode="json") for dataset in load_catalogue()], ensure_ascii=False))
        return
    table = Table("name", "title", "size", "licence", "access")
    table.columns[0].no_wrap = True
    for dataset in load_catalogue():
        access = "here" if (default_root() / dataset.folder).is_dir() else dataset.access
        table.add_row(dataset.name, dataset.title, _size(dataset.bytes), dataset.licence, access)
    console = Console()
    console.print(table)
    console.print(f"Datasets are kept in {default_root()} (set {FOLDER_VARIABLE} to change that).", soft_wrap=True)


@app.command("get", epilog="Example: shankha data get cmaterdb --to datasets")
def get(
    name: Annotated[str, typer.Argument(help="Name in the catalogue, as `shankha data list` shows it.")],
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            metavar="DIR",
            help="Folder of all datasets; the dataset comes into DIR/digits/NAME or DIR/fish/NAME. "
            f"Without it: the folder in {FOLDER_VARIABLE}, else the user's data folder.",
            show_default=False,
        ),
    ] = None,
    mirror: Annotated[
        Path | None,
        typer.Option("--from", metavar="FOLDER", help="Take the files from this folder instead of the web."),
    ] = None,
) -> None:
    """Get a dataset: fetch it (a broken download is taken up again), check it, unpack it, and put it in its place."""
    dataset = dataset_named(name)
    with _progress() as watch:
        obtained = obtain(dataset, to or default_root(), mirror=mirror, watch=watch)
    _report_obtained(dataset, obtained)


@app.command("verify", epilog="Example: shankha data verify ~/datasets/digits/cmaterdb")
def verify_folder(
    folder: Annotated[Path, typer.Argument(help="Folder of one dataset.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Verify a dataset: every file's hash, and every example's picture. Ends with code 2 if anything is wrong."""
    with _progress(bytes_shown=False) as watch:
        findings = verify(folder, watch)
    if as_json:
        tree = dataclasses.asdict(findings)
        contents = tree.pop("contents")
        typer.echo(json.dumps({**tree, **contents, "sound": findings.sound}, ensure_ascii=False))
    else:
        _report_findings(findings)
    if not findings.sound:
        raise typer.Exit(2)


@contextmanager
def _progress(bytes_shown: bool = True) -> Iterator[Watch]:
    """A progress bar on stderr, a line for each step."""
    amounts = [DownloadColumn(), TransferSpeedColumn()] if bytes_shown else []
    columns = [TextColumn("{task.description}"), BarColumn(), *amounts, TimeRemainingColumn()]
    with Progress(*columns, console=Console(stderr=True)) as progress:

        def watch(step: str) -> Tick:
            task = progress.add_task(step, total=None)
            return lambda done, total: progress.update(task, completed=done, total=total)

        yield watch


def _report_obtained(dataset: Dataset, obtained: Obtained) -> None:
    if not obtained.fresh:
        typer.echo(f"{dataset.name} is there already: {obtained.folder}")
        typer.echo(f"To check it: shankha data verify {obtained.folder}")
        return
    for origin in obtained.manifest.origins[:SHOWN]:
        check = "as the catalogue says" if origin.known else "the catalogue knows none"
        typer.echo(f"{origin.name}: {_size(origin.bytes)}, sha256 {origin.sha256} ({check})")
    typer.echo(f"{dataset.name}: {len(obtained.manifest.files):,} files in {obtained.folder}")
    typer.echo(f"Licence: {dataset.licence}")
    if dataset.note:
        typer.echo(dataset.note)


def _report_findings(findings: Verification) -> None:
    known = f"{findings.files:,} files" if findings.dataset else "no manifest, so no hashes to compare"
    typer.echo(f"{findings.folder}: {findings.dataset or 'filled by hand'}; {known}{_counts(findings.contents)}")
    _list("missing", [Problem(name, "is not there") for name in findings.missing])
    _list("changed", findings.changed)
    _list("extra", [Problem(name, "is not in the manifest") for name in findings.extra])
    _list("unreadable", findings.contents.unreadable)
    _list("left out on purpose", findings.contents.left_out)
    typer.echo(
        "nothing is wrong" if findings.sound else "something is wrong: get the dataset again, or mend it by hand"
    )


def _counts(contents: Contents) -> str:
    if contents.examples is None:
        return ""
    if contents.boxes is None:
        return f", {contents.examples:,} examples"
    sites = f", {len(contents.sites):,} camera sites" if contents.sites else ""
    return f", {contents.examples:,} pictures, {contents.boxes:,} boxes{sites}"


def _list(kind: str, problems: list[Problem] | tuple[Problem, ...]) -> None:
    if problems:
        typer.echo(f"{kind}: {len(problems):,}")
    for problem in problems[:SHOWN]:
        typer.echo(f"  {problem.name}: {problem.why}")
    if len(problems) > SHOWN:
        typer.echo(f"  and {len(problems) - SHOWN:,} more (--json lists them all)")


def _size(count: int | None) -> str:
    if count is None:
        return "unknown"
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} B"
