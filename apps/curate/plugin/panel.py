"""The panel "Shankha": what the dataset is, what is left to do, the label in question, a click for each answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import fiftyone.operators as foo
from fiftyone.operators import types

from apps.curate import fields, views
from apps.curate.database import curate_folder
from apps.curate.plugin import edits
from apps.curate.plugin.asking import PERSON, classes, counted, who
from apps.curate.plugin.edits import Seen, Target
from apps.curate.plugin.labelling import (
    MANY,
    AcceptLabel,
    CorrectLabel,
    MarkIllegible,
    RemoveBox,
    TakeOverBox,
    TakeSuggestions,
    shown,
    told,
)
from apps.curate.plugin.person import person
from apps.curate.plugin.targets import has_boxes, meant, predicted
from data.errors import ShankhaError
from data.words import several

OPERATORS: Final = "@shankha/curate"
TALLIES: Final = (fields.CORRECTED, fields.ACCEPTED, fields.RELABEL, fields.ILLEGIBLE, fields.CHOSEN)
DOUBTFUL: Final = 0.5
"""The doubt from which on a label is more likely wrong than right."""

IN_A_ROW: Final = 5
"""Buttons of classes and views side by side."""

_Clicked = Callable[[Any], Any]


class Shankha(foo.Panel):
    """The panel."""

    @property
    def config(self) -> foo.PanelConfig:
        """What FiftyOne knows of it."""
        return foo.PanelConfig(
            "shankha",
            label="Shankha",
            icon="fact_check",
            surfaces="grid modal",
            help_markdown="Look at labels, put them right, and make the next training set.",
        )

    def on_load(self, ctx: Any) -> None:
        """Carry out what an App that ended meanwhile left undone."""
        _said(ctx, lambda asked: edits.recover(asked.dataset))

    def on_change_dataset(self, ctx: Any) -> None:
        """Show the other dataset."""
        self.on_load(ctx)

    def on_change_view(self, ctx: Any) -> None:
        """Drawing anew is all there is to do."""

    def on_change_current_sample(self, ctx: Any) -> None:
        """Show the picture that is open."""

    def on_change_selected(self, ctx: Any) -> None:
        """Show what is selected."""

    def on_change_selected_labels(self, ctx: Any) -> None:
        """Show what is selected."""

    def ask(self, ctx: Any) -> None:
        """Open the form of an operator; the panel is drawn anew when it is done."""
        ctx.prompt(f"{OPERATORS}/{ctx.params['form']}", on_success=self.answered)

    def answered(self, ctx: Any) -> None:
        """Drawing anew is all there is to do."""

    def accept(self, ctx: Any) -> None:
        """The label is right."""
        _said(ctx, AcceptLabel().execute)

    def take(self, ctx: Any) -> None:
        """The suggestion is right."""
        _said(ctx, TakeSuggestions().execute)

    def correct(self, ctx: Any) -> None:
        """It is the class on the button."""
        _said(ctx, CorrectLabel().execute)

    def illegible(self, ctx: Any) -> None:
        """Nobody can tell."""
        _said(ctx, MarkIllegible().execute)

    def remove(self, ctx: Any) -> None:
        """There is nothing in the box."""
        _said(ctx, RemoveBox().execute)

    def take_over(self, ctx: Any) -> None:
        """What the model found is there."""
        _said(ctx, TakeOverBox().execute)

    def undo(self, ctx: Any) -> None:
        """Take back the last edit."""
        _said(ctx, lambda asked: shown(asked, edits.undo(asked.dataset, who(asked))))

    def open_view(self, ctx: Any) -> None:
        """Open a saved view, or all pictures."""
        name = ctx.params.get("view")
        if name is None:
            ctx.ops.clear_view()
        else:
            ctx.ops.set_view(name=name)

    def keep_name(self, ctx: Any) -> None:
        """Remember who is there."""
        ctx.params[PERSON] = ctx.panel.get_state(f"who.{PERSON}") or " "
        _said(ctx, lambda asked: asked.ops.notify(f"Labels that you change are kept as {who(asked)}'s."))

    def render(self, ctx: Any) -> types.Property:
        """Draw it."""
        panel = types.Object()
        if ctx.dataset is None:
            panel.md("Open a dataset first.", name="nothing")
        else:
            self._about(ctx, panel)
            self._who(panel)
            self._label(ctx, panel)
            self._views(ctx, panel)
            self._work(panel)
        return types.Property(panel, view=types.GridView(gap=1, px=2, py=1, orientation="vertical"))

    def _about(self, ctx: Any, panel: types.Object) -> None:
        dataset = ctx.dataset
        known = dataset.info.get(fields.INFO, {})
        what = "video" if dataset.media_type == "video" else "picture"
        head = f"**{_plain(dataset.name)}**: {several(len(dataset), what)}, {several(len(classes(dataset)), 'class')}"
        kind = f" ({known['kind']})" if "kind" in known else ""
        panel.md(f"{head}{kind}\n\n{_tally(dataset)}", name="about")

    def _who(self, panel: types.Object) -> None:
        if person(curate_folder()) is None:
            row = panel.h_stack("who", gap=1, align_y="center")
            row.str(PERSON, label="Your name", description="asked once, kept with every label that you change")
            row.btn("keep_name", label="Keep", variant="contained", on_click=self.keep_name)

    def _label(self, ctx: Any, panel: types.Object) -> None:
        targets = meant(ctx)
        if not targets:
            panel.md("*Open a picture or select some: here is what they say, and what to do about it.*", name="hint")
        else:
            one = next(edits.look(ctx.dataset, targets[:1]), None)
            panel.md(_one(ctx, one) if len(targets) == 1 and one else f"**{counted(targets)}** selected", name="label")
            self._answers(ctx, panel, targets, one if len(targets) == 1 else None)
        if has_boxes(ctx.dataset):
            self._boxes(ctx, panel, targets)
        last = edits.stands(ctx.dataset)
        if last is not None:
            panel.btn("undo", label=f"Undo: {told(last)}", icon="undo", on_click=self.undo)

    def _answers(self, ctx: Any, panel: types.Object, targets: tuple[Target, ...], one: Seen | None) -> None:
        row = panel.btn_group("answers")
        row.btn("accept", label="Accept", icon="check_circle", variant="contained", on_click=self.accept)
        if _is_doubted(one) if one is not None else _has_suggestions(ctx.dataset):
            take = "Take suggestions" if one is None else f"Take {one.suggested}"
            row.btn("take", label=take, icon="auto_fix_high", variant="contained", on_click=self.take)
        row.btn("illegible", label="Illegible", icon="visibility_off", variant="outlined", on_click=self.illegible)
        row = panel.btn_group("questions")
        _asks(row, self.ask, "correct_label", "Correct ...", "edit")
        _asks(row, self.ask, "send_to_relabel", "Relabel ...", "assignment_return")
        known = classes(ctx.dataset)
        loose = has_boxes(ctx.dataset) and any(not target.box for target in targets)
        if len(known) <= MANY and not loose:
            _rows(panel, "classes", self.correct, "name", known)

    def _boxes(self, ctx: Any, panel: types.Object, targets: tuple[Target, ...]) -> None:
        """What can be done about boxes that are selected."""
        found = predicted(ctx)[1]
        row = panel.btn_group("boxes")
        if any(target.box for target in targets):
            row.btn("remove", label="Remove", icon="delete", variant="outlined", on_click=self.remove)
        if found:
            row.btn("take_over", label="Take over", icon="add_box", variant="contained", on_click=self.take_over)

    def _views(self, ctx: Any, panel: types.Object) -> None:
        panel.btn("all", label="All pictures", variant="outlined", on_click=self.open_view)
        _rows(panel, "views", self.open_view, "view", ctx.dataset.list_saved_views())

    def _work(self, panel: types.Object) -> None:
        row = panel.btn_group("work")
        _asks(row, self.ask, "run_model", "Run a model ...", "smart_toy")
        _asks(row, self.ask, "open_next", "Next to label ...", "queue_play_next")
        row = panel.btn_group("outcome")
        _asks(row, self.ask, "add_to_next_training_set", "To the training set ...", "library_add")
        _asks(row, self.ask, "export_dataset", "Export ...", "ios_share")


def _rows(panel: types.Object, key: str, clicked: _Clicked, parameter: str, values: Sequence[str]) -> None:
    """A button for every value, some in a row; a click on it gives it as the parameter."""
    for start in range(0, len(values), IN_A_ROW):
        row = panel.btn_group(f"{key}_{start}")
        for number, value in enumerate(values[start : start + IN_A_ROW], start):
            row.btn(f"{key}_{number}", label=value, variant="outlined", on_click=clicked, params={parameter: value})


def _asks(row: types.Object, clicked: _Clicked, operator: str, label: str, icon: str) -> None:
    """A button that opens the form of an operator."""
    row.btn(operator, label=label, icon=icon, variant="outlined", on_click=clicked, params={"form": operator})


def _tally(dataset: Any) -> str:
    tags: Mapping[str, int] = dataset.count_values("tags")
    told = [f"**{_doubtful(dataset):,}** to doubt"] if dataset.has_field(fields.DOUBT) else []
    told += [f"**{tags[tag]:,}** {'for the ' if tag == fields.CHOSEN else ''}{tag}" for tag in TALLIES if tag in tags]
    return ", ".join(told) or "Nothing has been said of them yet."


def _has_suggestions(dataset: Any) -> bool:
    inside = f"{fields.TRUTH}.detections." if has_boxes(dataset) else ""
    return dataset.get_field(inside + fields.SUGGESTED) is not None


def _doubtful(dataset: Any) -> int:
    """How many pictures the view of doubtful labels shows."""
    return len(dataset.load_saved_view(views.DOUBTFUL)) if dataset.has_saved_view(views.DOUBTFUL) else 0


def _one(ctx: Any, one: Seen) -> str:
    """What is said of one label, by whom, and what others say."""
    state = one.state
    by = state.by
    source = f" ({by.kind} {_plain(by.name)}{', ' + by.when if by.when else ''})" if by else ""
    said = f"says **{_plain(state.name)}**{source}" if state.name else "has no label yet"
    lines = [f"`{one.item}`", f"{'The box ' if one.is_box else ''}{said}"]
    if _is_doubted(one):
        much = f"doubt {one.doubt:.2f}: " if one.doubt is not None else ""
        lines.append(f"{much.capitalize()}rather **{_plain(str(one.suggested))}**?")
    if one.is_box and getattr(one.box, fields.FAULT, None):
        lines.append(f"A model that is sure of itself says: **{_plain(one.box[fields.FAULT])}**")
    if state.tags:
        lines.append(f"*{_plain(', '.join(state.tags))}*")
    if state.reason:
        lines.append(f"Why to relabel: {_plain(state.reason)}")
    return "\n\n".join(lines)


def _is_doubted(one: Seen) -> bool:
    """Whether another class is worth a look."""
    doubted = one.doubt is None or one.doubt >= DOUBTFUL
    return bool(one.suggested) and one.suggested != one.state.name and doubted


def _plain(text: str) -> str:
    """Text without a meaning in Markdown."""
    return "".join(f"\\{one}" if one in "\\`*_{}[]<>#|" else one for one in text)


def _said(ctx: Any, clicked: _Clicked) -> None:
    """Do what was clicked; what is wrong with it is told in the App."""
    try:
        clicked(ctx)
    except ShankhaError as error:
        ctx.ops.notify(str(error), variant="error")
