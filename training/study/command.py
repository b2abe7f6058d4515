"""`shankha study`: a study in, a table out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from training.study.plan import load_study
from training.study.report import study_json, table, write_report
from training.study.running import run_study


def study(
    plan: Annotated[Path, typer.Argument(metavar="STUDY", help="A YAML file: recipe, seeds, methods.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of its runs and tables; runs/study-NAME without it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """Compare regularization: one recipe with each in turn.

    Every method gets the same seeds, data and epochs. A study that was stopped goes on where it stood. study.md,
    study.json and study.png are written when all runs are done.

    Example: shankha study benchmarks/study-digits.yaml --out runs/study-digits
    """
    asked = load_study(plan)
    folder = out or Path("runs") / f"study-{asked.spec.name}"
    results = run_study(asked, folder)
    rows = write_report(asked, results, folder)
    if as_json:
        typer.echo(study_json(asked, rows, results), nl=False)
    else:
        Console().print(table(asked, rows))
        Console().print(f"{folder / 'study.md'}, study.json and study.png hold it all.", soft_wrap=True)
