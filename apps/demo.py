"""`shankha demo`: the main jobs on bundled input, checked against what is known to be in it."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from apps.digits.reading import SHIPPED_MODEL as DIGIT_MODEL
from apps.digits.results import CELLS, FORMS, PROBLEMS
from apps.digits.scan import scan
from apps.digits.store import OVERLAYS
from apps.fish.joining import MAXN
from apps.fish.naming import REPORT
from apps.fish.survey import survey
from data.files import write_bytes

EXAMPLES: Final = Path(__file__).parent / "digits/examples"
FOOTAGE: Final = Path(__file__).parent / "fish/examples/demo"
FORM: Final = "household.yaml"
TRUTH: Final = "truth.csv"

Verdict = Literal["right", "wrong", "shown"]
"""A cell that was settled rightly, one settled wrongly, and one left to a person."""


def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the results.")] = Path("demo-results"),
) -> None:
    """Do the main jobs on bundled input and say what to look at.

    Example: shankha demo --out demo-results
    """
    for job in JOBS:
        job(out)


def read_forms(out: Path) -> None:
    """Scan copies of the bundled pages into `out/digits`, and say how many cells were read right."""
    form, scans, results = (out / "digits" / name for name in (FORM, "scans", "results"))
    write_bytes(form, (EXAMPLES / FORM).read_bytes())
    for page in sorted((EXAMPLES / "demo").iterdir()):
        if page.name != TRUTH:
            write_bytes(scans / page.name, page.read_bytes())
    typer.echo(f"Reading handwritten forms:\n  shankha digits scan {scans} --form {form} --out {results}\n")
    scan([scans], form, results, DIGIT_MODEL, "latin", as_json=False)
    count = Counter(verdicts(EXAMPLES / "demo" / TRUTH, results / CELLS))
    typer.echo(
        f"\nChecked against what was written: of {count.total()} cells {count['right']} were settled rightly, "
        f"{count['wrong']} wrongly, and {count['shown']} are left to a person. Open\n"
        f"  {results / PROBLEMS}  what a person must see, and why\n"
        f"  {results / FORMS}  the table, a row a page\n"
        f"  {results / OVERLAYS}  each page with what was read on it"
    )


def survey_footage(out: Path) -> None:
    """Survey a copy of the bundled deployment into `out/fish`, and say whether its MaxN was found."""
    disk, results = out / "fish" / "disk", out / "fish" / "results"
    for file in sorted(path for path in FOOTAGE.rglob("*") if path.is_file() and path.name != TRUTH):
        write_bytes(disk / file.relative_to(FOOTAGE), file.read_bytes())
    typer.echo(f"\nSurveying underwater footage (made up, so that the truth is known):\n  {_shown(disk, results)}\n")
    survey(disk, results, workers=1)
    found = {row["opcode"]: row["maxn"] for row in _rows(results / MAXN)}
    for row in _rows(FOOTAGE / TRUTH):
        if row["species"] == "fish":
            said = found[row["opcode"]]
            typer.echo(f"\nChecked against the truth: MaxN of {row['opcode']} is {row['maxn']}; found was {said}.")
    typer.echo(f"Open\n  {results / REPORT}  everything, with the evidence\n  {results / MAXN}  the table")


def _shown(disk: Path, results: Path) -> str:
    return f"shankha fish survey {disk} --out {results} --workers 1"


JOBS: Final[tuple[Callable[[Path], None], ...]] = (read_forms, survey_footage)


def verdicts(truth: Path, cells: Path) -> Iterator[Verdict]:
    """Compare every cell of the truth with what a scan said; a cell of a page that was not read is left to a person."""
    read = {_place(row, row["file"].rpartition("/")[2], int(row["position"]) - 1): row for row in _rows(cells)}
    for row in _rows(truth):
        file, _, page = row["page"].partition("#")
        said = read.get(_place({**row, "page": page}, file, int(row["position"])))
        yield _verdict(row["value"], said)


def _place(row: dict[str, str], file: str, position: int) -> tuple[str, str, str, int]:
    return file, row["page"], row["field"], position


def _verdict(value: str, said: dict[str, str] | None) -> Verdict:
    if said is None or said["state"] in {"doubtful", "struck"}:
        return "shown"
    return "right" if said["value"] == value else "wrong"


def _rows(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))
