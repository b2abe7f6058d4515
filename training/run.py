"""`shankha train`: a recipe in, a run folder out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

from data.errors import ArgumentError, FileAccessError
from data.store import default_root
from training.loop import Run
from training.recipe import (
    AnyRecipe,
    CountingRecipe,
    DetectionRecipe,
    DigitRecipe,
    SegmentationRecipe,
    SpeciesRecipe,
    load_recipe,
)
from training.task import Evaluation, Task
from training.tasks.counting import CountingTask
from training.tasks.detection import DetectionTask
from training.tasks.digits import DigitTask
from training.tasks.segmentation import SegmentationTask
from training.tasks.species import SpeciesTask

RECIPES = Path(__file__).parent / "recipes"


def data_root() -> Path:
    """The folder of datasets, where `shankha data get` puts them too.

    Raises:
        FileAccessError: There is no such folder.
    """
    root = default_root()
    if not root.is_dir():
        raise FileAccessError(root, "is no folder", cure="set SHANKHA_DATA to the folder that holds the datasets")
    return root


def recipe_at(name: str) -> Path:
    """The recipe of that path, or the shipped recipe of that name.

    Raises:
        FileAccessError: There is neither.
    """
    for path in (Path(name), RECIPES / f"{name}.yaml"):
        if path.is_file():
            return path
    shipped = ", ".join(sorted(path.stem for path in RECIPES.glob("*.yaml")))
    raise FileAccessError(name, "no such recipe", expected=f"a YAML file, or one of {shipped}")


def train(recipe: str, changes: Sequence[str], resume: Path | None, out: Path | None) -> tuple[Path, Evaluation]:
    """Train a recipe, or go on with a run.

    Args:
        recipe: Path of a recipe, or name of a shipped one; its folder's own recipe counts when resuming.
        changes: `key=value` changes to it.
        resume: Run folder to go on with.
        out: Run folder to make; by default `runs/<name>-<time>`.

    Returns:
        The run folder, and how its selected epoch does on validation.
    """
    if resume and (out or changes):
        raise ArgumentError("--resume", "goes on with a run as it was", cure="leave out --out and --set")
    if resume and not (resume / "recipe.yaml").is_file():
        raise FileAccessError(resume, "is no run folder", expected="a folder with recipe.yaml")
    plan = load_recipe(resume / "recipe.yaml" if resume else recipe_at(recipe), changes)
    folder = resume or out or Path("runs") / f"{plan.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    task: Task[Any] = build_task(plan)
    return folder, Run(task, plan, folder).fit()


@overload
def build_task(recipe: DigitRecipe) -> DigitTask: ...


@overload
def build_task(recipe: DetectionRecipe) -> DetectionTask: ...


@overload
def build_task(recipe: SegmentationRecipe) -> SegmentationTask: ...


@overload
def build_task(recipe: CountingRecipe) -> CountingTask: ...


@overload
def build_task(recipe: SpeciesRecipe) -> SpeciesTask: ...


def build_task(recipe: AnyRecipe) -> Task[Any]:
    """The recipe's task over the data folder."""
    if isinstance(recipe, SpeciesRecipe):
        return SpeciesTask(recipe, data_root())
    if isinstance(recipe, SegmentationRecipe):
        return SegmentationTask(recipe, data_root())
    if isinstance(recipe, DigitRecipe):
        return DigitTask(recipe, data_root())
    if isinstance(recipe, CountingRecipe):
        return CountingTask(recipe, data_root())
    return DetectionTask(recipe, data_root())
