"""The methods that a study can compare: what each changes in a recipe, for which tasks, and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

BASELINE: Final = "none"
Family = Literal["input", "internal", "label", "own"]
Changes = Mapping[str, Any]
"""Key of a recipe, parents before a dot, -> value."""

CLASSIFIERS: Final = frozenset({"digits", "species"})
SCENES: Final = frozenset({"detection", "segmentation", "counting"})
_ALL: Final = CLASSIFIERS | SCENES


@dataclass(frozen=True)
class Method:
    """A method in the strength that a study tries it with.

    `changes` are made to the baseline, `tasks` say whose recipes have the keys, `source` is the paper.
    """

    family: Family
    source: str
    changes: Changes = field(default_factory=dict)
    tasks: frozenset[str] = _ALL


def baseline_changes(task: str) -> Changes:
    """What switches all regularization of a recipe off; its augmentation stays, but for pasted fish."""
    changes: dict[str, Any] = {"regularization": {}, "optimizer.weight_decay": 0.0}
    return changes | ({"augmentation.copy_paste": 0.0} if task in SCENES else {})


def _input(source: str, tasks: frozenset[str] = _ALL, **changes: Any) -> Method:
    return Method("input", source, {f"regularization.input.{key}": value for key, value in changes.items()}, tasks)


def _internal(source: str, tasks: frozenset[str] = _ALL, **changes: Any) -> Method:
    return Method(
        "internal", source, {f"regularization.internal.{key}": value for key, value in changes.items()}, tasks
    )


def _label(source: str, **changes: Any) -> Method:
    changed = {f"regularization.label.{key}": value for key, value in changes.items()}
    return Method("label", source, changed, CLASSIFIERS)


METHODS: Final[Mapping[str, Method]] = MappingProxyType(
    {
        "cutout": _input("DeVries and Taylor 2017", cutout=0.5),
        "random-erasing": _input("Zhong et al. 2020", random_erasing=0.5),
        "mixup": _input("Zhang et al. 2018", CLASSIFIERS, mixup=0.4),
        "cutmix": _input("Yun et al. 2019", CLASSIFIERS, cutmix=1.0),
        "augmix": _input("Hendrycks et al. 2020", policy="augmix"),
        "randaugment": _input("Cubuk et al. 2020", policy="randaugment"),
        "trivialaugment": _input("Müller and Hutter 2021", policy="trivialaugment"),
        "copy-paste": Method("input", "Ghiasi et al. 2021", {"augmentation.copy_paste": 0.3}, SCENES),
        "dropout": _internal("Srivastava et al. 2014", dropout=0.2),
        "spatial-dropout": _internal("Tompson et al. 2015", spatial_dropout=0.1),
        "drop-block": _internal("Ghiasi et al. 2018", drop_block=0.1),
        "max-dropout": _internal("Santos et al. 2020", max_dropout=0.1),
        "stochastic-depth": _internal("Huang et al. 2016", stochastic_depth=0.2),
        "shake-shake": _internal("Gastaldi 2017", shake_shake=True),
        "manifold-mixup": _internal("Verma et al. 2019", CLASSIFIERS, manifold_mixup=1.0),
        "deep-supervision": _internal("Lee et al. 2015", CLASSIFIERS, deep_supervision=0.3),
        "weight-decay": Method("internal", "Loshchilov and Hutter 2019", {"optimizer.weight_decay": 0.05}),
        "label-smoothing": _label("Szegedy et al. 2016", smoothing=0.1),
        "two-stage-smoothing": _label("Xu et al. 2020", smoothing=0.1, smoothed_share=0.5),
        "self-distillation": _label("Kim et al. 2021", distillation=0.5),
    }
)


def methods_of(task: str) -> tuple[str, ...]:
    """Names of the methods that a task's recipes can have."""
    return tuple(name for name, method in METHODS.items() if task in method.tasks)
