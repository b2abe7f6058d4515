"""Recipes: everything that decides a training run, in one validated tree. Unknown keys are errors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from data.errors import ArgumentError, ConfigurationError, validation_faults
from data.files import read_yaml
from data.preprocess import DigitPreprocessing

Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(ge=0, lt=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Network(_Strict):
    """A network of the zoo and its options; internal regularization (dropout, DropBlock, ...) is among them."""

    name: str
    options: dict[str, Any] = {}


class DigitSource(_Strict):
    """A dataset folder, below the data folder unless absolute; `sources` keeps only these writer sources.

    `repeat` shows its examples so many times an epoch.
    """

    folder: str
    split: str | None = None
    sources: tuple[str, ...] | None = None
    repeat: Annotated[int, Field(ge=1, le=100)] = 1


class DigitData(_Strict):
    """What a digit run learns from.

    `validation_share` of every source's examples is held out to select the epoch, to calibrate, and to set the
    threshold; `validate_on` adds whole sources to that. `not_a_digit` is the share of examples in a batch that are
    made crossed out, smeared or empty. `limit` keeps only so many training examples (for quick tries).
    """

    train: Annotated[tuple[DigitSource, ...], Field(min_length=1)]
    validate_on: tuple[DigitSource, ...] = ()
    validation_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.04
    not_a_digit: Rate = 0.08
    limit: Annotated[int, Field(ge=32)] | None = None


class Augmentation(_Strict):
    """How handwriting is varied; each number is the strength or the probability of one named part. 0 switches it off.

    Angles in degrees; `scale` and `aspect` as standard deviations of the log; the others are probabilities. `clean`
    is the share of digits that are only turned, sheared and stretched: as datasets have them, no pen, paper or camera.
    """

    clean: Share = 0.25
    rotation: Annotated[float, Field(ge=0, le=45)] = 10.0
    shear: Annotated[float, Field(ge=0, le=45)] = 12.0
    scale: Annotated[float, Field(ge=0, le=1)] = 0.15
    aspect: Annotated[float, Field(ge=0, le=1)] = 0.22
    elastic: Share = 0.4
    perspective: Share = 0.2
    stroke_thickness: Share = 0.5
    sharpen: Share = 0.6
    border_remains: Share = 0.12
    neighbour_strokes: Share = 0.08
    specks: Share = 0.1
    smear: Share = 0.04
    uneven_light: Share = 0.3
    blur: Share = 0.25
    noise: Share = 0.3
    jpeg: Share = 0.2
    low_resolution: Share = 0.2


class InputRegularization(_Strict):
    """Acts on the batch: share of examples with a hole (Cutout / random erasing), strength of mixup and CutMix.

    mixup and CutMix draw their mixing weight from Beta(a, a) and are applied to `mixed_share` of the batches, one
    or the other where both are on.
    """

    cutout: Share = 0.0
    cutout_area: tuple[float, float] = (0.02, 0.15)
    mixup: Annotated[float, Field(ge=0)] = 0.0
    cutmix: Annotated[float, Field(ge=0)] = 0.0
    mixed_share: Share = 0.5


class Regularization(_Strict):
    """The input and label families; the internal family is in the network's options and the weight decay.

    `deep_supervision` is the weight of the side heads' loss for networks that have them.
    """

    input: InputRegularization = InputRegularization()
    label_smoothing: Rate = 0.0
    deep_supervision: Annotated[float, Field(ge=0, le=1)] = 0.3


class Optimizer(_Strict):
    """Weight decay is not applied to biases and normalisation weights."""

    name: Literal["adamw", "sgd"] = "adamw"
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.02
    momentum: Rate = 0.9
    clip_norm: Annotated[float, Field(ge=0)] = 5.0


class Schedule(_Strict):
    """Learning rate over the run: linear warm-up then half a cosine, or one cycle (up then down)."""

    name: Literal["cosine", "one_cycle"] = "cosine"
    warmup_epochs: Annotated[float, Field(ge=0)] = 1.0
    final_share: Share = 0.01


class EarlyStopping(_Strict):
    """Stop when the validation score has not risen for `patience` epochs; 0 never stops."""

    patience: Annotated[int, Field(ge=0)] = 0


class Recipe(_Strict):
    """A training run."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    task: Literal["digits"]
    seed: int = 1
    network: Network
    data: DigitData
    preprocessing: DigitPreprocessing = DigitPreprocessing()
    augmentation: Augmentation = Augmentation()
    regularization: Regularization = Regularization()
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    early_stopping: EarlyStopping = EarlyStopping()
    epochs: Annotated[int, Field(ge=1, le=10_000)]
    batch_size: Annotated[int, Field(ge=2, le=65_536)] = 128
    ema_decay: Rate = 0.999
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    workers: Annotated[int, Field(ge=0, le=64)] = 1

    @model_validator(mode="after")
    def _warmup_is_shorter_than_the_run(self) -> Recipe:
        if self.schedule.warmup_epochs >= self.epochs:
            raise ValueError(
                f"schedule.warmup_epochs {self.schedule.warmup_epochs:g} leaves none of {self.epochs} epochs"
            )
        return self


def load_recipe(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply changes of the form `optimizer.learning_rate=0.001` (values are YAML).

    Raises:
        FileAccessError: The file cannot be read.
        ConfigurationError: It is not a valid recipe.
        ArgumentError: A change is not of the form key=value.
    """
    tree = read_yaml(path, "a recipe: keys such as name, task, network, data")
    for change in changes:
        _apply(tree, change)
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise ConfigurationError(path, validation_faults(error), cure="mend the recipe") from error


def _apply(tree: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    if not equals or not key:
        raise ArgumentError(f"--set {change}", "is not of the form key=value", expected="such as epochs=5")
    *parents, last = key.split(".")
    place = tree
    for parent in parents:
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            raise ArgumentError(f"--set {change}", f"{parent!r} holds a value, not keys")
    place[last] = yaml.safe_load(text)


def recipe_text(recipe: Recipe) -> str:
    """The recipe as YAML, every value written out."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
