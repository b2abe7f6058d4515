"""`shankha train`: help without torch; the training floor is loaded when the command runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from data.errors import ArgumentError


def train(
    recipe: Annotated[
        str,
        typer.Argument(metavar="RECIPE", help="A YAML file, or the name of a shipped recipe.", show_default=False),
    ] = "",
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a value of the recipe."),
    ] = None,
    resume: Annotated[Path | None, typer.Option(metavar="RUN", help="Go on with this run where it stopped.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Run folder to make; runs/NAME-TIME without it.")
    ] = None,
) -> None:
    """Train a network as a recipe says.

    The datasets are read from the folder that SHANKHA_DATA names.

    Example: shankha train digits --set seed=7 --out runs/digits-7
    """
    if bool(recipe) == bool(resume):
        raise ArgumentError("shankha train", "needs a recipe to start, or --resume RUN to go on, not both")
    from training.run import train as train_recipe

    folder, evaluation = train_recipe(recipe, changes or [], resume, out)
    figures = ", ".join(f"{name} {value:.4g}" for name, value in evaluation.metrics.items())
    typer.echo(f"{folder}: {figures}")
