"""What regularizes a run, as part of a recipe: the three families of Santos and Papa, input, internal and label.

Santos and Papa: Avoiding overfitting: a survey on regularization methods for convolutional neural networks, 2022.
Every part is off at its default. `docs/regularization.md` says which paper each comes from and which task has it; a
task whose recipe lacks a key has no use for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from training.values import Rate, Share, Strict

PolicyName = Literal["augmix", "randaugment", "trivialaugment"]
Amount = Annotated[float, Field(ge=0)]


class PictureRegularization(Strict):
    """Acts on pictures, whatever is to be found in them.

    `cutout` and `random_erasing` are shares of examples that get one hole, plain or of noise, of `cutout_area` (least
    and largest share of the picture). `policy` varies every picture by one of three published rules; where boxes,
    outlines or points belong to the picture, only by those of its operations that move nothing.
    """

    cutout: Share = 0.0
    random_erasing: Share = 0.0
    cutout_area: tuple[float, float] = (0.02, 0.15)
    policy: PolicyName | None = None


class InputRegularization(PictureRegularization):
    """For classifiers also mixtures of examples and of their labels.

    mixup and CutMix draw their mixing weight from Beta(a, a) and are applied to `mixed_share` of the batches, one
    or the other where both are on.
    """

    mixup: Amount = 0.0
    cutmix: Amount = 0.0
    mixed_share: Share = 0.5


class InternalRegularization(Strict):
    """Acts inside the network while it learns, at places that `models.places` finds; its weights and graph stay.

    `dropout` acts on what the answering layers take, `spatial_dropout` (whole channels) and `max_dropout` (what is
    near a map's maximum) on every feature map, `drop_block` (squares of `drop_block_size` pixels) on the last two,
    `stochastic_depth` on residual branches, the last with the full rate, and `shake_shake` on their halves.
    """

    dropout: Rate = 0.0
    spatial_dropout: Rate = 0.0
    drop_block: Rate = 0.0
    drop_block_size: Annotated[int, Field(ge=1, le=63)] = 3
    max_dropout: Rate = 0.0
    stochastic_depth: Rate = 0.0
    shake_shake: bool = False

    @model_validator(mode="after")
    def _blocks_have_a_middle(self) -> InternalRegularization:
        if self.drop_block_size % 2 == 0:
            raise ValueError(f"drop_block_size {self.drop_block_size} has no middle pixel; take an odd number")
        return self


class ClassifierInternal(InternalRegularization):
    """For classifiers also what needs their labels.

    `manifold_mixup` is a of Beta(a, a): the examples are mixed at a map drawn anew for every batch. `deep_supervision`
    is the weight of side heads on all maps but the last; they learn along and are left behind.
    """

    manifold_mixup: Amount = 0.0
    deep_supervision: Share = 0.0

    @model_validator(mode="after")
    def _side_heads_see_whole_examples(self) -> ClassifierInternal:
        if self.manifold_mixup and self.deep_supervision:
            raise ValueError("manifold_mixup and deep_supervision do not go together: side heads before the mixing err")
        return self


class LabelRegularization(Strict):
    """Acts on a classifier's labels.

    `smoothing` moves that share of each label evenly over all classes, in the first `smoothed_share` of the run: less
    than 1 is the two-stage smoothing of TSLA, smoothed labels first, then hard ones. `distillation` is the share that
    the answer of the moving average of the weights takes in the labels at the run's end, growing from none.
    """

    smoothing: Rate = 0.0
    smoothed_share: Share = 1.0
    distillation: Share = 0.0


class DenseRegularization(Strict):
    """What every task can have: regularization of pictures and of the network."""

    input: PictureRegularization = PictureRegularization()
    internal: InternalRegularization = InternalRegularization()

    @model_validator(mode="before")
    @classmethod
    def _takes_recipes_of_version_one(cls, tree: Any) -> Any:
        """Recipes in run folders of version 0.1 have some keys elsewhere; they can still be exported."""
        return _moved(tree) if isinstance(tree, Mapping) else tree


class Regularization(DenseRegularization):
    """What classifiers can have: all three families."""

    input: InputRegularization = InputRegularization()
    internal: ClassifierInternal = ClassifierInternal()
    label: LabelRegularization = LabelRegularization()


_MOVED = {
    "cutout": ("input", "cutout"),
    "cutout_area": ("input", "cutout_area"),
    "label_smoothing": ("label", "smoothing"),
}


def _moved(old: Mapping[str, Any]) -> dict[str, Any]:
    tree = dict(old)
    if "label_smoothing" in tree:
        # Its weight was written into every recipe of that version, but no network that it acted on was shipped.
        tree.pop("deep_supervision", None)
    for key, (part, name) in _MOVED.items():
        if key in tree:
            value = tree.pop(key)
            tree[part] = {name: value, **tree.get(part, {})}
    return tree
