"""The studies of regularization that docs/regularization.md shows, run and kept.

    SHANKHA_DATA=... uv run --all-extras python -m benchmarks.study digits

Trains what is missing under --runs, `study-<name>` there (see `shankha study`); a study that was stopped goes on. Each
replaces its part of `benchmarks/study.json`, its picture in docs/pictures, and the end of docs/regularization.md.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from benchmarks.sections import ROOT, Measure, Section, run
from data.files import write_text
from training.study.plan import load_study
from training.study.report import COLUMNS, cells, summary, write_report
from training.study.running import run_study

KEPT = ROOT / "benchmarks" / "study.json"
DOCUMENT = ROOT / "docs" / "regularization.md"
MARK = "\n## What the studies found\n"


def study(runs: Path, name: str) -> Section:
    asked = load_study(ROOT / "benchmarks" / f"study-{name}.yaml")
    folder = runs / f"study-{name}"
    rows = write_report(asked, run_study(asked, folder), folder)
    shutil.copyfile(folder / "study.png", ROOT / "docs" / "pictures" / f"study-{name}.png")
    note = f"{summary(asked, rows)}\n\n![differences](pictures/study-{name}.png)"
    return Section.of(f"Study: {name}", note, COLUMNS, [cells(row) for row in rows])


def publish(kept: Mapping[str, Section]) -> None:
    """Write the tables at the end of the document."""
    head = DOCUMENT.read_text(encoding="utf-8").partition(MARK)[0]
    tables = "\n".join(section.markdown() for section in kept.values())
    write_text(DOCUMENT, f"{head.rstrip()}\n{MARK}\n{tables}")


SECTIONS: dict[str, Measure] = {
    path.stem.removeprefix("study-"): partial(study, name=path.stem.removeprefix("study-"))
    for path in sorted((ROOT / "benchmarks").glob("study-*.yaml"))
}


if __name__ == "__main__":
    run(__doc__, SECTIONS, KEPT, publish)
