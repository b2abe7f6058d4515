"""What a study compares: a YAML file that names a recipe, seeds and methods. Unknown keys and names are errors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import Field, ValidationError

from data.errors import ConfigurationError, validation_faults
from data.files import read_yaml
from training.recipe import AnyRecipe, load_recipe
from training.run import recipe_at
from training.study.methods import BASELINE, METHODS, Changes, Method, baseline_changes, methods_of
from training.values import Strict

_BUDGET: Final = frozenset({"name", "task", "seed", "epochs", "batch_size", "data", "early_stopping"})


class StudySpec(Strict):
    """A study's file.

    `recipe` is a shipped recipe's name or a file beside the study's; `changes` (key -> value) are made to it for all
    runs alike. `metric` is a validation metric of its task, or `score`; `better` says which way it should go.
    `methods` are names of `training.study.methods`, or `all` that the task can have; `own` adds others, as changes to
    the baseline, which has no regularization.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    recipe: str
    changes: dict[str, Any] = Field(default_factory=dict)
    metric: str = "score"
    better: Literal["higher", "lower"] = "higher"
    seeds: Annotated[tuple[int, ...], Field(min_length=2)]
    methods: Literal["all"] | tuple[str, ...] = "all"
    own: dict[str, dict[str, Any]] = Field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """One run of a study."""

    method: str
    recipe: AnyRecipe


@dataclass(frozen=True)
class Study:
    """A study that was read: `methods` by name, the baseline first, and its trials, seed by seed."""

    spec: StudySpec
    methods: dict[str, Method]
    trials: tuple[Trial, ...]


def load_study(path: Path) -> Study:
    """Read a study and make the recipe of every run.

    Raises:
        FileAccessError: A file cannot be read, or no such recipe.
        ConfigurationError: The study or what it makes of the recipe is not valid.
    """
    tree = read_yaml(path, "a study: keys name, recipe, seeds, methods")
    try:
        spec = StudySpec.model_validate(tree)
    except ValidationError as error:
        raise ConfigurationError(path, validation_faults(error), cure="mend the study") from error
    if len(set(spec.seeds)) < len(spec.seeds):
        raise ConfigurationError(path, "seeds: a seed comes twice", expected="different seeds")
    beside = path.parent / spec.recipe
    source = beside if beside.is_file() else recipe_at(spec.recipe)
    task = load_recipe(source).task
    methods = _methods(spec, task, path)
    trials = tuple(
        Trial(name, _recipe(source, spec, task, (name, method), seed))
        for seed in spec.seeds
        for name, method in methods.items()
    )
    return Study(spec, methods, trials)


def _methods(spec: StudySpec, task: str, path: Path) -> dict[str, Method]:
    """The study's methods by name, the baseline first."""
    possible = methods_of(task)
    for number, name in enumerate(() if spec.methods == "all" else spec.methods):
        if name in spec.methods[:number]:
            raise ConfigurationError(path, f"methods: {name!r} comes twice")
        if name not in possible:
            found = f"methods: {name!r} is nothing for {task}" if name in METHODS else f"methods: no method {name!r}"
            raise ConfigurationError(path, found, expected=f"some of {', '.join(possible)}")
    for name, changes in spec.own.items():
        if name == BASELINE or name in METHODS:
            raise ConfigurationError(path, f"own: {name!r} is the name of a method", cure="choose another name")
        touched = sorted(key for key in changes if key.split(".")[0] in _BUDGET)
        if touched:
            raise ConfigurationError(path, f"own.{name}: changes {touched[0]!r}", expected="the same budget for all")
    chosen = possible if spec.methods == "all" else spec.methods
    baseline = {BASELINE: Method("own", "no regularization")}
    own = {name: Method("own", "", changes) for name, changes in spec.own.items()}
    return baseline | {name: METHODS[name] for name in chosen} | own


def _recipe(source: Path, spec: StudySpec, task: str, named: tuple[str, Method], seed: int) -> AnyRecipe:
    name, method = named
    changes: Changes = {**baseline_changes(task), **spec.changes, **method.changes, "seed": seed, "name": name}
    try:
        return load_recipe(source, [f"{key}={yaml.safe_dump(value).strip()}" for key, value in changes.items()])
    except ConfigurationError as error:
        raise ConfigurationError(error.where, f"with method {name!r}: {error.found}", cure="mend the study") from error
