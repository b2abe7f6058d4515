"""A folder of crops in, a species model out: training, calibration and export with the shipped recipe."""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from data.taxonomy import Taxonomy
from deploy.detectors import engine_for
from deploy.export import load_run
from deploy.packing import Export, check_replaceable
from deploy.runtime.engines import installed
from deploy.species import deploy_data, export_species
from training.loop import Run
from training.recipe import SpeciesRecipe, load_recipe
from training.run import recipe_at
from training.tasks.species import SpeciesTask

SHIPPED: Final = "species-int8"
"""The shipped model, whose backbone a new one starts from: it knows what a fish looks like."""
RECIPE: Final = "species"
_STEPS: Final = 300
_MOST_EPOCHS: Final = 100


@dataclass(frozen=True)
class Learnt:
    """What came of a folder: the run, and the artifact made of it."""

    run: Path
    export: Export


def learn_species(
    folder: Path, to: Path, run: Path, taxonomy: Path | None = None, changes: Sequence[str] = ()
) -> Learnt:
    """Train the shipped recipe on a folder of crops, and export what came out: int8 where OpenVINO is installed.

    A run that was stopped goes on.

    Args:
        folder: Crops, a folder a species; see `data.readers.crops`.
        to: The artifact's folder.
        run: The run's folder.
        taxonomy: File of family, genus and species of every name; by default what the suite and the names tell.
        changes: `key=value` changes to the recipe.

    Raises:
        ShankhaError: The folder holds too little, the taxonomy lacks a species, or nothing can be written.
    """
    check_replaceable(to)
    taxa = None if taxonomy is None else Taxonomy.read(taxonomy)
    own = (f"data.folder={folder.resolve()}", f"name={_slug(folder)}", f"start_from={SHIPPED}")
    recipe = load_recipe(recipe_at(RECIPE), (*own, *changes))
    if not isinstance(recipe, SpeciesRecipe):
        raise TypeError("the shipped recipe names no fish")
    task = SpeciesTask(recipe, folder)
    if taxa is not None:
        taxa.check(task.names, taxonomy or "taxonomy")
    if not any(change.startswith("epochs=") for change in changes):
        epochs = min(max(recipe.epochs, math.ceil(_STEPS / task.steps)), _MOST_EPOCHS)
        recipe = recipe.model_copy(update={"epochs": epochs})
        task.recipe = recipe
    Run(task, recipe, run).fit()
    int8 = installed("openvino") and installed_quantizer()
    network = load_run(run)[1]
    made = export_species(network, recipe, deploy_data(task, taxa), to, engine_for(None, int8=int8), int8=int8)
    return Learnt(run, made)


def installed_quantizer() -> bool:
    """Whether the package that quantizes for OpenVINO is installed."""
    return importlib.util.find_spec("nncf") is not None


def _slug(folder: Path) -> str:
    """A name for recipe and artifact out of the folder's."""
    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")[:48]
    return name or "species"
