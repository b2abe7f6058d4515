"""The table of a study: on the terminal, as Markdown, as JSON, and as a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from matplotlib.figure import Figure
from rich.table import Table

from data.errors import InputError
from data.files import whole_file, write_text
from training.study.methods import BASELINE
from training.study.plan import Study
from training.study.running import Result
from training.study.statistics import Comparison, compared, holm

LEVEL: Final = 0.05
COLUMNS: Final = ("method", "family", "mean", "deviation", "difference", "95 % interval", "p", "p (Holm)", "p (exact)")
_BETTER, _WORSE, _EVEN = "#1b6ca8", "#c8553d", "#888888"


@dataclass(frozen=True)
class Row:
    """A method's line: `values` by seed, the comparison and its corrected p; or the problem that ended its runs."""

    method: str
    family: str
    source: str
    changes: dict[str, object]
    values: dict[int, float]
    comparison: Comparison | None
    p_holm: float | None
    problem: str = ""


def study_rows(study: Study, results: Sequence[Result]) -> list[Row]:
    """A row a method, the baseline first, then the best first.

    Raises:
        InputError: The baseline has no result, so that nothing can be compared.
    """
    metric, higher = study.spec.metric, study.spec.better == "higher"
    values = {
        name: {r.seed: r.metrics[metric] for r in results if r.method == name and not r.problem}
        for name in study.methods
    }
    problems = {result.method: result.problem for result in results if result.problem}
    if BASELINE in problems:
        raise InputError(study.spec.name, f"the baseline failed: {problems[BASELINE]}", cure="mend the recipe")
    whole = [name for name in study.methods if name not in problems]
    found = {name: compared(list(values[name].values()), list(values[BASELINE].values())) for name in whole}
    tested = [name for name in whole if name != BASELINE]
    corrected = dict(zip(tested, holm([found[name].p for name in tested]), strict=True))
    rows = [
        Row(
            method=name,
            family="" if name == BASELINE else method.family,
            source=method.source,
            changes=dict(method.changes),
            values=values[name],
            comparison=found.get(name),
            p_holm=corrected.get(name),
            problem=problems.get(name, ""),
        )
        for name, method in study.methods.items()
    ]
    return sorted(rows, key=lambda row: _rank(row, higher))


def _rank(row: Row, higher: bool) -> tuple[int, float]:
    if row.comparison is None:
        return 2, 0.0
    return (0 if row.method == BASELINE else 1), row.comparison.mean * (-1 if higher else 1)


def cells(row: Row) -> tuple[str, ...]:
    """A row as text, one text a column."""
    seen = row.comparison
    if seen is None:
        return (row.method, row.family, f"failed: {row.problem}", *("",) * 6)
    own = (row.method, row.family, f"{seen.mean:.4f}", f"{seen.deviation:.4f}")
    if row.p_holm is None:
        return (*own, *("",) * 5)
    interval = f"{seen.low:+.4f} to {seen.high:+.4f}"
    return (*own, f"{seen.difference:+.4f}", interval, f"{seen.p:.3f}", f"{row.p_holm:.3f}", f"{seen.p_exact:.3f}")


def _found(rows: Sequence[Row], higher: bool) -> list[str]:
    """Methods whose corrected p is below the level and whose difference has that sign."""
    return [
        row.method
        for row in rows
        if row.comparison is not None
        and row.p_holm is not None
        and row.p_holm < LEVEL
        and (row.comparison.difference > 0) == higher
    ]


def summary(study: Study, rows: Sequence[Row]) -> str:
    """One paragraph: what was run, what was tested and what came out."""
    spec = study.spec
    tested = [row for row in rows if row.p_holm is not None]
    higher = spec.better == "higher"
    better, worse = _found(rows, higher), _found(rows, not higher)
    recipe = study.trials[0].recipe
    return (
        f"`{spec.metric}` on validation ({spec.better} is better), recipe `{spec.recipe}`, {recipe.epochs} epochs, "
        f"{len(spec.seeds)} seeds. Paired t-test over seeds against `{BASELINE}`, Holm's correction for {len(tested)} "
        f"methods; the exact sign-change test beside it cannot go below {2 / 2 ** len(spec.seeds):.3f} here. "
        f"Better at {LEVEL:g}: {', '.join(better) or 'none'}. Worse: {', '.join(worse) or 'none'}."
    )


def markdown(study: Study, rows: Sequence[Row]) -> str:
    """The summary and the table."""
    lines = [f"| {' | '.join(line)} |" for line in (COLUMNS, ["---"] * len(COLUMNS), *map(cells, rows))]
    return f"{summary(study, rows)}\n\n" + "\n".join(lines) + "\n"


def table(study: Study, rows: Sequence[Row]) -> Table:
    """The table for a terminal."""
    made = Table(*COLUMNS, title=f"{study.spec.name}: {study.spec.metric}")
    for row in rows:
        made.add_row(*cells(row))
    return made


def study_json(study: Study, rows: Sequence[Row], results: Sequence[Result]) -> str:
    """Everything, for programs."""
    tree = {
        "study": study.spec.model_dump(mode="json"),
        "summary": summary(study, rows),
        "rows": [asdict(row) for row in rows],
        "results": [asdict(result) for result in results],
    }
    return json.dumps(tree, indent=1, ensure_ascii=False) + "\n"


def write_report(study: Study, results: Sequence[Result], folder: Path) -> list[Row]:
    """Write `study.md`, `study.json` and `study.png` into the folder."""
    rows = study_rows(study, results)
    write_text(folder / "study.md", f"# {study.spec.name}\n\n{markdown(study, rows)}")
    write_text(folder / "study.json", study_json(study, rows, results))
    plot_study(study, rows, folder / "study.png")
    return rows


def plot_study(study: Study, rows: Sequence[Row], path: Path) -> None:
    """Difference of each method to the baseline: its interval, its mean, and a dot for every seed."""
    shown = [(row, row.comparison) for row in rows if row.comparison is not None and row.method != BASELINE][::-1]
    baseline = next(row for row in rows if row.method == BASELINE)
    figure = Figure(figsize=(8, 0.3 * len(shown) + 1.4), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color="#333333", linewidth=1)
    for height, (row, seen) in enumerate(shown):
        colour = _colour(seen, study.spec.better == "higher")
        dots = [value - baseline.values[seed] for seed, value in row.values.items()]
        axes.plot([seen.low, seen.high], [height, height], color=colour, linewidth=1.6, alpha=0.6)
        axes.plot(dots, [height] * len(dots), ".", color=colour, alpha=0.6)
        axes.plot(seen.difference, height, "D", color=colour, markersize=6)
    axes.set_yticks(range(len(shown)), [row.method for row, _ in shown], fontsize=9)
    axes.set_xlabel(f"{study.spec.metric} less that of no regularization; line: 95 % interval, dots: seeds", fontsize=9)
    axes.set_title(f"{study.spec.name}: {len(study.spec.seeds)} seeds, {study.spec.better} is better", fontsize=10)
    axes.grid(axis="x", alpha=0.25)
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def _colour(seen: Comparison, higher: bool) -> str:
    if seen.low <= 0 <= seen.high:
        return _EVEN
    return _BETTER if (seen.difference > 0) == higher else _WORSE
