"""`shankha fish report`: the page anew from a folder of results; the survey writes it at its end, too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from apps.fish.naming import REPORT
from apps.fish.report.page import render
from apps.fish.report.survey_files import SurveyFiles, is_unfinished, read_survey, written_folders
from data.errors import InputError
from data.files import write_text
from data.words import several


def report(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="Folder that a survey has written.")],
) -> None:
    """Write the page of a survey anew.

    RESULTS/report.html opens offline and shows all numbers and the evidence for them. It is made of the files in
    RESULTS; footage is not needed. Of a survey that was interrupted it shows what is done.
    The exit code is 2 where results cannot be read.

    Example: shankha fish report results/
    """
    files = write_report(results, written_folders(results), unfinished=is_unfinished(results))
    for error in files.faults:
        typer.echo(str(error), err=True)
    shown = several(len(files.deployments), "deployment")
    typer.echo(f"{results / REPORT} shows {shown}{', of a survey that is not finished' if files.unfinished else ''}.")
    if files.faults:
        raise typer.Exit(InputError.exit_code)


def write_report(results: Path, folders: Sequence[Path], *, unfinished: bool) -> SurveyFiles:
    """Write the page about those deployments; what cannot be read is told on it.

    Raises:
        FileAccessError: The folder cannot be written, or the disk is full.
    """
    files = read_survey(results, folders, unfinished=unfinished)
    write_text(results / REPORT, render(files))
    return files
