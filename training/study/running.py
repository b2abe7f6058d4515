"""Runs the trials of a study, one after the other; what is finished is not run again."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.progress import Progress

from data.errors import ConfigurationError, InputError, ShankhaError
from data.files import write_text
from training.loop import Run, progress_bar
from training.recipe import load_recipe
from training.run import build_task
from training.study.plan import Study, Trial
from training.task import Task


@dataclass(frozen=True)
class Result:
    """What came of a trial: the metrics of its selected epoch, or the `problem` that ended it."""

    method: str
    seed: int
    metrics: dict[str, float]
    selected_epoch: int = 0
    seconds: float = 0.0
    problem: str = ""


def run_study(study: Study, folder: Path) -> list[Result]:
    """Run what is not finished, in the order of the trials: all methods with the first seed come first.

    Each trial has its run folder, `<folder>/<method>/seed-<n>`; its `result.json` is written whole when it is finished.
    A trial that fails is told in its result and tried again next time; the others go on.

    Raises:
        InputError: The folder holds a study of other recipes.
        ConfigurationError: The runs have no metric of the study's name.
    """
    results = []
    with progress_bar() as bar:
        whole = bar.add_task(f"study {study.spec.name}", total=len(study.trials), note="")
        for trial in study.trials:
            place = folder / trial.method / f"seed-{trial.recipe.seed}"
            result = _finished(trial, place)
            if result is None:
                result = _tried(trial, place, bar)
                bar.console.print(f"{trial.method}, seed {trial.recipe.seed}: {_told(result, study.spec.metric)}")
            if not result.problem and study.spec.metric not in result.metrics:
                known = ", ".join(result.metrics)
                raise ConfigurationError(
                    "metric", f"the runs have no {study.spec.metric!r}", expected=f"one of {known}"
                )
            results.append(result)
            bar.update(whole, advance=1)
    return results


def _check_metric(result: Result, metric: str) -> None:
    if not result.problem and metric not in result.metrics:
        known = ", ".join(result.metrics)
        raise ConfigurationError("metric", f"the runs have no {metric!r}", expected=f"one of {known}")


def _finished(trial: Trial, place: Path) -> Result | None:
    """The stored result of a trial; None where there is none yet."""
    if (place / "recipe.yaml").is_file() and load_recipe(place / "recipe.yaml") != trial.recipe:
        raise InputError(place, "holds a run of another recipe", cure="choose another --out folder for another study")
    stored = place / "result.json"
    if not stored.is_file():
        return None
    try:
        return Result(**json.loads(stored.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            stored, f"is no result of a trial ({error})", cure="remove it; the trial is run anew"
        ) from error


def _tried(trial: Trial, place: Path, bar: Progress) -> Result:
    started = time.perf_counter()
    try:
        task: Task[Any] = build_task(trial.recipe)
        run: Run[Any] = Run(task, trial.recipe, place)
        evaluation = run.fit(bar)
    except ShankhaError as error:
        return Result(trial.method, trial.recipe.seed, {}, problem=str(error))
    metrics = {"score": evaluation.score, **evaluation.metrics}
    seconds = round(time.perf_counter() - started, 1)
    result = Result(trial.method, trial.recipe.seed, metrics, run.progress.best_epoch, seconds)
    write_text(place / "result.json", json.dumps(asdict(result), indent=1) + "\n")
    return result


def _told(result: Result, metric: str) -> str:
    return result.problem or f"{metric} {result.metrics.get(metric, float('nan')):.4f}, {result.seconds:.0f} s"
