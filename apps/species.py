"""`shankha fish species`: a folder of crops becomes a species model."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from apps.species_scores import evaluate_species, report_tables
from data.errors import ArgumentError, InputError, MissingDependencyError
from deploy.runtime.artifact import Artifact


def species(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Crops of fish, a folder a species.")],
    out: Annotated[Path, typer.Option("--out", metavar="MODEL", help="Folder of the model to make.")],
    taxonomy: Annotated[
        Path | None,
        typer.Option(
            "--taxonomy", metavar="YAML", help="Family, genus and species of every name; see docs/species.md."
        ),
    ] = None,
    run: Annotated[
        Path | None, typer.Option("--run", metavar="DIR", help="Folder of the training run; MODEL-run without it.")
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a value of the recipe.")
    ] = None,
) -> None:
    """Learn your own species from crops of them: train, calibrate, export, and say how well fish never seen are named.

    A quarter of every species' fish are kept for the last. `shankha fish survey --species MODEL` takes the model.

    Example: shankha fish species crops/ --out my-species --taxonomy my-taxa.yaml
    """
    if run is not None and run.resolve() == out.resolve():
        raise ArgumentError("--run", "is the folder of --out", cure="choose another folder for the run")
    try:
        learn = import_module("deploy.own_species").learn_species
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            error.name or "torch", "is not installed", cure="run uv sync --extra train"
        ) from error
    made = learn(folder, out, run or out.with_name(f"{out.name}-run"), taxonomy, changes or [])
    console = Console()
    for note in made.export.notes:
        console.print(f"{out}: {note}", soft_wrap=True)
    try:
        console.print(report_tables(evaluate_species(Artifact.open(out), folder, "test")))
    except (ArgumentError, InputError) as error:
        console.print(f"no test on fish never seen: {error}", soft_wrap=True)
