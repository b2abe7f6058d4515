"""Recipes: everything that decides a training run, in one validated tree. Unknown keys are errors.

`task` says which kind of recipe it is: `DigitRecipe` or `DetectionRecipe`; what every kind has is in `Recipe`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import Field, TypeAdapter, ValidationError, model_validator

from data.errors import ArgumentError, ConfigurationError, validation_faults
from data.files import read_yaml
from data.frames import FramePreprocessing, Side
from data.preprocess import DigitPreprocessing
from data.readers.crops import CropSplit
from models.counting_loss import LossName
from training.augmentation.crops_spec import CropAugmentation
from training.augmentation.handwriting_spec import HandwritingAugmentation
from training.augmentation.spec import SceneAugmentation
from training.regularization_spec import DenseRegularization, Regularization
from training.values import Rate, Share, Strict


class Network(Strict):
    """A network of the zoo and its options."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


class DigitSource(Strict):
    """A dataset folder, below the data folder unless absolute; `sources` keeps only these writer sources.

    `repeat` shows its examples so many times an epoch; `limit` keeps only so many, the same in every run. Of a
    versioned folder, where no `split` is asked for, the part train is learnt, and validated on its part val where it
    has one.
    """

    folder: str
    split: str | None = None
    sources: tuple[str, ...] | None = None
    repeat: Annotated[int, Field(ge=1, le=100)] = 1
    limit: Annotated[int, Field(ge=1)] | None = None


class DigitData(Strict):
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


class DetectionSource(Strict):
    """A dataset folder, below the data folder unless absolute.

    `pictures` of it are drawn an epoch, spread over its clips; None takes every picture once. `exhaustive` says whether
    everything of its classes is labelled; None takes what the dataset says. Of a versioned folder, where no `split` is
    asked for, the part train is learnt, and validated on its part val where it has one.
    """

    folder: str
    split: str | None = None
    pictures: Annotated[int, Field(ge=1)] | None = None
    exhaustive: bool | None = None


class DetectionData(Strict):
    """What a detection run learns from.

    Whole sites with about `validation_share` of the boxes are held out to select the epoch, to calibrate, and to set
    the threshold; or whole clips, by `hold_out`, where there is one site only. `validate_on` adds whole datasets to
    that. At most `validation_pictures` of them are looked at after an epoch, spread over the clips.
    """

    train: Annotated[tuple[DetectionSource, ...], Field(min_length=1)]
    validate_on: tuple[DetectionSource, ...] = ()
    validation_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.12
    hold_out: Literal["sites", "clips"] = "sites"
    validation_pictures: Annotated[int, Field(ge=1)] = 300


class SpeciesData(Strict):
    """What a species run learns from: a folder of crops, a folder a species, below the data folder unless absolute.

    Its fish are shared out by `split`: the run learns from the part train and is watched, calibrated and given its
    threshold on the part val; it never looks at the part test. `left_out` species are unknown to it, to see what it
    makes of such. `balance` is how far species are drawn alike: one of n crops is drawn in proportion to
    n^(1 - balance), 0 as often as it is there and 1 as often as every other.
    """

    folder: str
    split: CropSplit = CropSplit()
    left_out: tuple[str, ...] = ()
    balance: Share = 0.5


class SpeciesLoss(Strict):
    """What a species run makes small, on top of cross-entropy.

    `focus` is the exponent of the focal loss, (1 - p)^focus times the cross-entropy (Lin et al., ICCV 2017).
    `adjustment` adds that share of log(species' share of the training crops) to the logits while learning, which
    favours the rare ones afterwards (Menon et al.: Long-tail learning via logit adjustment, ICLR 2021).
    """

    focus: Annotated[float, Field(ge=0, le=5)] = 0.0
    adjustment: Annotated[float, Field(ge=0, le=2)] = 0.0


class Optimizer(Strict):
    """Weight decay is not applied to biases and normalisation weights."""

    name: Literal["adamw", "sgd"] = "adamw"
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.02
    momentum: Rate = 0.9
    clip_norm: Annotated[float, Field(ge=0)] = 5.0


class Schedule(Strict):
    """Learning rate over the run: linear warm-up then half a cosine, or one cycle (up then down)."""

    name: Literal["cosine", "one_cycle"] = "cosine"
    warmup_epochs: Annotated[float, Field(ge=0)] = 1.0
    final_share: Share = 0.01


class EarlyStopping(Strict):
    """Stop when the validation score has not risen for `patience` epochs; 0 never stops."""

    patience: Annotated[int, Field(ge=0)] = 0


class Recipe(Strict):
    """What every training run has; see the kinds of recipe below.

    `start_from` is a file of weights to begin with, below the data folder unless absolute: a run's
    `weights.safetensors`, or for the detector yolox-nano its COCO weights as published (.onnx). `imagenet` means the
    published weights of crop-efficientnet-lite0, the name of an artifact that ships its float model: `fish-int8` begins
    with what the shipped detector learnt.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    task: str
    seed: int = 1
    network: Network
    start_from: str | None = None
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    early_stopping: EarlyStopping = EarlyStopping()
    regularization: DenseRegularization = DenseRegularization()
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


class DigitRecipe(Recipe):
    """Ten digits and "not a digit"."""

    task: Literal["digits"]
    data: DigitData
    preprocessing: DigitPreprocessing = DigitPreprocessing()
    augmentation: HandwritingAugmentation = HandwritingAugmentation()
    regularization: Regularization = Regularization()


class SceneRecipe(Recipe):
    """Learns from frames of footage, in scenes made of them.

    `scene_wh` is the size of training scenes in pixels. A network without fixed input size may learn from windows
    smaller than the frames that it will see (`preprocessing.size_wh`): it costs less, and `augmentation.scale` brings
    the fish to the sizes of both. `plain_epochs` last epochs see no mosaic, mixup or pasted fish, as real footage has
    none.
    """

    data: DetectionData
    preprocessing: FramePreprocessing = FramePreprocessing()
    scene_wh: tuple[Side, Side] = (416, 256)
    augmentation: SceneAugmentation = SceneAugmentation()
    plain_epochs: Annotated[int, Field(ge=0)] = 2


class DetectionRecipe(SceneRecipe):
    """Boxes around fish."""

    task: Literal["detection"]


class CountingRecipe(SceneRecipe):
    """How many fish, learnt from points: the middles of the boxes, or a person's clicks.

    `loss` is how the network's density is compared with the points, see `models.counting_loss`.
    """

    task: Literal["counting"]
    loss: LossName = "process"


class SegmentationRecipe(SceneRecipe):
    """Boxes and outlines of objects, under the names that the data gives them.

    `names` are the classes to learn, by default all of the data's. A picture that is exhaustively labelled teaches that
    everything else in it is none of these.
    """

    task: Literal["segmentation"]
    names: tuple[str, ...] | None = None


class SpeciesRecipe(Recipe):
    """Names for fish in crops.

    `crop_margin` is how much of what is around a fish its crops show, as a share of the longer side of its box: what
    the pictures of the data have, and what is cut out of footage for the model.
    """

    task: Literal["species"]
    data: SpeciesData
    preprocessing: FramePreprocessing = FramePreprocessing(size_wh=(96, 96))
    crop_margin: Annotated[float, Field(ge=0, le=2)] = 0.35
    augmentation: CropAugmentation = CropAugmentation()
    regularization: Regularization = Regularization()
    loss: SpeciesLoss = SpeciesLoss()


AnyRecipe = DigitRecipe | DetectionRecipe | SegmentationRecipe | CountingRecipe | SpeciesRecipe
_KINDS: Final[TypeAdapter[AnyRecipe]] = TypeAdapter(Annotated[AnyRecipe, Field(discriminator="task")])


def load_recipe(path: Path, changes: Sequence[str] = ()) -> AnyRecipe:
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
        return _KINDS.validate_python(tree)
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
