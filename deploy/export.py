"""`shankha export`: a training run in, an artifact out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, get_args

import typer
from rich.console import Console
from torch import nn

from data.errors import ArgumentError, FileAccessError, InputError
from deploy import counters, detectors, digits, segmenters, species
from deploy.packing import Export, check_replaceable
from deploy.parity import write_parity
from deploy.runtime.spec import SPECS, EngineName
from models import zoo
from training.checkpoint import load_weights
from training.recipe import AnyRecipe, CountingRecipe, DigitRecipe, SegmentationRecipe, SpeciesRecipe, load_recipe
from training.run import build_task

PARITY_FILE: Final = "parity.json"


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a training run.")],
    to: Annotated[Path, typer.Option("--to", metavar="ARTIFACT", help="Artifact folder to write.")],
    int8: Annotated[bool, typer.Option("--int8", help="Quantize to 8 bits.")] = False,
    engine: Annotated[
        str | None, typer.Option("--engine", metavar="NAME", help="What shall run it; by default what runs it fastest.")
    ] = None,
) -> None:
    """Make an artifact of a training run; the datasets of its recipe must lie in SHANKHA_DATA.

    Example: shankha export runs/digits-20261101-1200 --to digits-int8 --int8
    """
    made = export_run(run, to, int8=int8, engine=engine)
    console = Console()
    if made.parity is not None:
        console.print(made.parity.table())
    for note in made.notes:
        console.print(f"{to}: {note}", soft_wrap=True)


def export_run(run: Path, to: Path, *, int8: bool, engine: str | None = None) -> Export:
    """Export a training run; its parity report goes into the run's folder.

    Args:
        run: Folder with `recipe.yaml` and `weights.safetensors`.
        to: The artifact's folder; an artifact there is replaced.
        int8: Whether to quantize.
        engine: What runs the artifact; by default the task's own first choice.

    Raises:
        ArgumentError: No such engine, or none for this task and precision.
        MissingDependencyError: The engine is not installed.
        FileAccessError: A folder or file is missing or cannot be written.
        InputError: The target holds something else, or the weights are not the recipe's.
    """
    known = get_args(EngineName)
    if engine is not None and engine not in known:
        raise ArgumentError("--engine", f"{engine!r} is unknown", expected=" or ".join(known))
    check_replaceable(to)
    recipe, network = load_run(run)
    engines = SPECS[recipe.task].engines
    if engine is not None and engine not in engines:
        raise ArgumentError("--engine", f"{engine!r} is not for {recipe.task}", expected=" or ".join(engines))
    made = _export(network, recipe, to, int8=int8, engine=engine)
    if made.parity is not None:
        write_parity(made.parity, run / PARITY_FILE)
    return made


def _export(
    network: nn.Module,
    recipe: AnyRecipe,
    to: Path,
    *,
    int8: bool,
    engine: str | None,
) -> Export:
    """Each task's own way."""
    if isinstance(recipe, DigitRecipe):
        return digits.export_digits(network, recipe, digits.deploy_data(build_task(recipe)), to, int8=int8)
    chosen = detectors.engine_for(engine, int8=int8)
    if isinstance(recipe, SpeciesRecipe):
        return species.export_species(network, recipe, species.deploy_data(build_task(recipe)), to, chosen, int8=int8)
    if isinstance(recipe, CountingRecipe):
        return counters.export_counter(network, recipe, counters.deploy_data(build_task(recipe)), to, chosen, int8=int8)
    if isinstance(recipe, SegmentationRecipe):
        data = detectors.deploy_data(build_task(recipe))
        return detectors.export_detector(network, recipe, data, to, chosen, int8=int8, finder=segmenters.MASKS)
    return detectors.export_detector(network, recipe, detectors.deploy_data(build_task(recipe)), to, chosen, int8=int8)


def load_run(run: Path) -> tuple[AnyRecipe, nn.Module]:
    """Recipe and trained network of a run folder."""
    if not run.is_dir():
        raise FileAccessError(run, "no such folder", expected="the folder of a training run")
    missing = [name for name in ("recipe.yaml", "weights.safetensors") if not (run / name).is_file()]
    if missing:
        cure = "let `shankha train` finish an epoch first"
        raise InputError(run, f"holds no {missing[0]}", expected="the folder of a training run", cure=cure)
    recipe = load_recipe(run / "recipe.yaml")
    options = dict(recipe.network.options)
    if isinstance(recipe, SpeciesRecipe):
        options["classes"] = species.species_count(run / "weights.safetensors")
    network = zoo.build(recipe.network.name, **options)
    return recipe, load_weights(network, run / "weights.safetensors").eval()
