"""Saved views under names that a person understands; only those that show something are saved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from apps.curate.database import connect
from apps.curate.fields import (
    ACCEPTED,
    BRIGHTNESS,
    CORRECTED,
    DOUBT,
    FAULT,
    HARDNESS,
    ILLEGIBLE,
    INFO,
    LEAK,
    MODELS,
    PART,
    PROBLEM,
    REPRESENTATIVENESS,
    TRUTH,
    UNIQUENESS,
)

if TYPE_CHECKING:
    import fiftyone as fo

DOUBTFUL: Final = "labels to doubt"
DUPLICATES: Final = "near duplicates"
HARD: Final = "hard"
UNUSUAL: Final = "unlike all others"
TYPICAL: Final = "typical"
LOW_LIGHT: Final = "low light"
UNREADABLE: Final = "cannot be read"
FAULTS: Final = {
    "wrong class": "boxes of a doubtful class",
    "badly placed": "badly placed boxes",
    "spurious": "boxes around nothing",
}
MISSED: Final = "missed objects"

SHARE: Final = 0.05
"""Of the pictures are shown in views that sort all of them."""
_DARK: Final = 0.2
_ORDER: Final = ("train", "val", "test")


@dataclass(frozen=True)
class View:
    """A saved view: its `name`, what it shows, and how many pictures that are."""

    name: str
    description: str
    count: int

    def __str__(self) -> str:
        return f"{self.name}: {self.count:,} - {self.description}"


def save_views(dataset: fo.Dataset, repeated: Sequence[str] = ()) -> tuple[View, ...]:
    """Save the views that make sense for what is known of a dataset; views that show nothing any more are deleted.

    Args:
        dataset: With fields written by `apps.curate.brain.look_over`.
        repeated: Ids of pictures that repeat others and of those that they repeat, in the order to show them.
    """
    saved = []
    for name, description, view in _views(dataset, repeated):
        count = view.count() if view is not None else 0
        if dataset.has_saved_view(name):
            dataset.delete_saved_view(name)
        if view is not None and count:
            dataset.save_view(name, view, description=description)
            saved.append(View(name, description, count))
    return tuple(saved)


Named = tuple[str, str, "fo.DatasetView | None"]


def _views(dataset: fo.Dataset, repeated: Sequence[str]) -> list[Named]:
    """Name, description and contents of all views; None where the dataset has not what it needs."""
    fields = connect().ViewField
    few = max(1, round(SHARE * len(dataset)))

    def most(field: str) -> fo.DatasetView | None:
        return dataset.exists(field).sort_by(field, reverse=True).limit(few) if dataset.has_field(field) else None

    def only(field: str, condition: Callable[[], object]) -> fo.DatasetView | None:
        return dataset.match(condition()) if dataset.has_field(field) else None

    settled = dataset.match_tags([ACCEPTED, CORRECTED, ILLEGIBLE], bool=False)
    doubtful = settled.match(fields(DOUBT) > 0).sort_by(DOUBT, reverse=True) if dataset.has_field(DOUBT) else None
    dark = None if _kind(dataset) == "digits" else only(BRIGHTNESS, lambda: fields(BRIGHTNESS) < _DARK)
    return [
        (DOUBTFUL, "the 5 % whose labels are most likely wrong, the worst first", doubtful and doubtful.limit(few)),
        *_box_views(dataset),
        (DUPLICATES, "the same picture twice, or nearly, side by side", dataset.select(repeated, ordered=True)),
        (
            leak_name(dataset),
            "pictures that repeat, or share their group with, one of another part",
            only(LEAK, lambda: fields(LEAK) == True),  # noqa: E712 - an expression for the database
        ),
        (HARD, "the 5 % that the model was least sure of", most(HARDNESS)),
        (UNUSUAL, "the 5 % that look least like any other", most(UNIQUENESS)),
        (TYPICAL, "the 5 % in the middle of pictures like them", most(REPRESENTATIVENESS)),
        (LOW_LIGHT, "dark pictures, the darkest first", dark.sort_by(BRIGHTNESS) if dark is not None else None),
        (UNREADABLE, "pictures whose file is missing or damaged", _existing(dataset, PROBLEM)),
    ]


def leak_name(dataset: fo.Dataset) -> str:
    """ "leaks between train and val": of the parts that there are."""
    there = [part for part in dataset.distinct(PART) if part] if dataset.has_field(PART) else []
    parts = sorted(there, key=lambda part: (_ORDER.index(part) if part in _ORDER else len(_ORDER), part))
    if len(parts) < 2:
        return "leaks between parts"
    return f"leaks between {', '.join(parts[:-1])} and {parts[-1]}"


def _existing(dataset: fo.Dataset, field: str) -> fo.DatasetView | None:
    return dataset.exists(field) if dataset.has_field(field) else None


def _kind(dataset: fo.Dataset) -> str:
    return str((dataset.info.get(INFO) or {}).get("kind", ""))


def _box_views(dataset: fo.Dataset) -> list[Named]:
    """Views of boxes that speak against predictions, and of predictions that no box is there for."""
    fields = connect().ViewField
    views: list[Named] = []
    if dataset.has_field(f"{TRUTH}.detections.{FAULT}"):
        for fault, name in FAULTS.items():
            view = dataset.filter_labels(TRUTH, fields(FAULT) == fault).sort_by(DOUBT, reverse=True)
            views.append((name, f"boxes that a sure model speaks against: {fault}", view))
    for field in dataset.info.get(MODELS) or {}:
        if dataset.has_field(f"{field}.detections.{FAULT}"):
            view = dataset.filter_labels(field, fields(FAULT) == "missed")
            views.append((MISSED, f"what {field} is sure of where no box is", view))
    return views
