"""Forms of operators: the question who is there, what the operator acts on, and refusals that say what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from fiftyone.operators import types

from apps.curate.database import curate_folder
from apps.curate.fields import INFO, TRUTH
from apps.curate.plugin.edits import Target
from apps.curate.plugin.person import LONGEST, person, remember
from apps.curate.plugin.targets import FRAMES, has_boxes
from data.errors import ArgumentError

PERSON: Final = "person"
"""The field of a form for the name of who is there."""
SELECT_FIRST: Final = "Select pictures, or boxes in an open picture, first."


def form(title: str, button: str, *, why_not: str = "") -> tuple[types.Object, types.Property]:
    """An empty form; with `why_not` it says so and cannot be sent."""
    asked = types.Object()
    answer = types.Property(asked, view=types.PromptView(label=title, submit_button_label=button))
    if why_not:
        asked.view("why_not", types.Warning(label=why_not))
        answer.invalid, answer.error_message = True, why_not
    return asked, answer


def ask_person(asked: types.Object) -> None:
    """Ask for the name where nobody has given one yet."""
    if person(curate_folder()) is None:
        asked.str(
            PERSON,
            label="Your name",
            description=f"kept with every label that you change; asked once (up to {LONGEST} letters)",
            required=True,
        )


def who(ctx: Any) -> str:
    """The person who is there: the name just given, else the one remembered.

    Raises:
        ArgumentError: Nobody has given a name.
        InputError: What was given is none.
        FileAccessError: The name cannot be read or kept.
    """
    if ctx.params.get(PERSON):
        return remember(curate_folder(), ctx.params[PERSON])
    known = person(curate_folder())
    if known is None:
        raise ArgumentError("your name", "is not known yet", cure="give it in the panel, or run `Say who you are`")
    return known


def classes(dataset: Any) -> list[str]:
    """The classes that labels may have: those the dataset was opened with, then those that people added."""
    told = list(dataset.info.get(INFO, {}).get("names") or dataset.default_classes or ())
    return [*told, *sorted(said for said in _said(dataset) if said and said not in told)]


def _said(dataset: Any) -> list[str]:
    inside = f"{TRUTH}.detections.label" if has_boxes(dataset) else f"{TRUTH}.label"
    path = FRAMES + inside if dataset.media_type == "video" else inside
    return dataset.distinct(path) if dataset.get_field(path) is not None else []


def counted(targets: Sequence[Target]) -> str:
    """What a selection is: "3 pictures", "1 box"."""
    kinds = Counter("box" if target.box else "picture" for target in targets)
    several = {"box": "boxes", "picture": "pictures"}
    return " and ".join(f"{count:,} {kind if count == 1 else several[kind]}" for kind, count in kinds.items())
