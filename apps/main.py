"""The one command, `shankha`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, cast

import typer
from typer.core import TyperGroup

from apps.faults import report
from apps.lazy import LazyCommand, group

INTERRUPTED = 130

_app = typer.Typer(
    name="shankha",
    epilog="Example: shankha digits scan scans/ --form household.yaml --out results",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"shankha {version('shankha')}")
        raise typer.Exit


@_app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Read handwritten Bengali digits off paper forms and count fish in footage, on models that need no PyTorch."""


def command_tree() -> TyperGroup:
    """Every command under its name. Nothing but this list is loaded until a command is called."""
    root = cast("TyperGroup", typer.main.get_command(_app))
    for command in (
        LazyCommand("demo", "apps.demo:demo", "Do the main jobs on bundled input and say what to look at."),
        group(
            "digits",
            "Paper forms: print them blank, read them filled.",
            (
                LazyCommand("new-form", "apps.digits.printing:new_form", "Print a blank form."),
                LazyCommand("scan", "apps.digits.scan:scan", "Read filled forms into tables."),
            ),
            example="shankha digits scan scans/ --form household.yaml --out results",
        ),
        group(
            "fish",
            "Underwater footage: find, follow and count fish.",
            (
                LazyCommand("survey", "apps.fish.survey:survey", "Count the fish of every deployment on a disk."),
                LazyCommand("report", "apps.fish.report.writing:report", "Write the page of a survey anew."),
                LazyCommand("review", "apps.fish.review.command:review", "Settle the names of fish in the browser."),
                LazyCommand("species", "apps.species:species", "Learn your own species from crops of them."),
            ),
            example="shankha fish survey /media/disk --out results --metadata deployments.csv",
        ),
        group(
            "curate",
            "Look at data and predictions, put labels right, make the next training set.",
            (
                LazyCommand(
                    "open", "apps.curate.opening:open_source", "Show data, results and predictions in the App."
                ),
                LazyCommand("next", "apps.curate.choosing:label_next", "Choose the pictures to label next."),
                LazyCommand(
                    "import",
                    "apps.curate.importing:import_labels",
                    "Take labels that a person made or put right in another tool into a dataset.",
                ),
                LazyCommand(
                    "export",
                    "apps.curate.exporting:export_dataset",
                    "Write a dataset as a versioned folder, with a manifest of who said what.",
                ),
                LazyCommand(
                    "diff",
                    "apps.curate.comparing:compare_versions",
                    "Say what changed between two versions of a dataset, and who changed it.",
                ),
            ),
            example="shankha curate open digits/cmaterdb --model shipped",
        ),
        LazyCommand("data", "apps.datasets:app", "Datasets: what there is, getting one, verifying a folder."),
        LazyCommand("evaluate", "apps.evaluate:evaluate", "Score an artifact on labelled data."),
        LazyCommand("train", "apps.train:train", "Train a network as a recipe says."),
        LazyCommand(
            "study",
            "training.study.command:study",
            "Compare regularization: one recipe with each in turn.",
        ),
        LazyCommand("export", "deploy.export:export", "Make an artifact of a training run."),
        LazyCommand("bench", "deploy.bench:bench", "Measure artifacts side by side."),
    ):
        root.add_command(command)
    return root


def run(arguments: Sequence[str]) -> int:
    """Run one command line; every failure becomes one line on stderr.

    Returns:
        The exit code: 0 done, 1 bad arguments, 2 bad input, 3 missing dependency, 5 file access,
        9 bad configuration, 15 other, 130 interrupted.
    """
    try:
        outcome = command_tree().main(args=list(arguments), prog_name="shankha", standalone_mode=False)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        return report(error)
    # An exit code comes back as the outcome where a command ended with typer.Exit.
    return outcome if isinstance(outcome, int) else 0


def main() -> None:
    """Entry point of the `shankha` script."""
    sys.exit(run(sys.argv[1:]))
