"""Operators that say something of labels: accept, correct, illegible, relabel, take the suggestion, and undo."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Final

import fiftyone.operators as foo
from fiftyone.operators import types

from apps.curate.database import curate_folder
from apps.curate.plugin import edits, rules
from apps.curate.plugin.asking import SELECT_FIRST, ask_person, classes, counted, form, who
from apps.curate.plugin.edits import Rule, Target
from apps.curate.plugin.history import Edit, What
from apps.curate.plugin.person import LONGEST, person, remember
from apps.curate.plugin.targets import every_box, has_boxes, meant, pictures, predicted

LONGEST_REASON: Final = 200
SELECT_BOXES: Final = "Open a picture and select boxes by clicking them."
NEW_CLASS: Final = "another class"
MANY: Final = 12
"""Classes that are shown at once; more are searched in."""


class _Labelling(foo.Operator):
    """An operator that changes the labels that are meant; `title`, `button` and `icon` are what the App shows."""

    title: ClassVar[str]
    button: ClassVar[str]
    icon: ClassVar[str]
    what: ClassVar[What]

    @property
    def config(self) -> foo.OperatorConfig:
        """What FiftyOne knows of it."""
        name = _snake(type(self).__name__)
        return foo.OperatorConfig(name, label=self.title, icon=self.icon, dynamic=True, view_target=False)

    def resolve_input(self, ctx: Any) -> types.Property:
        """The form."""
        targets = self.targets(ctx)
        asked, answer = form(self.title, self.button, why_not=self.why_not(ctx, targets))
        if not answer.invalid:
            asked.md(f"{self.title}: **{counted(targets)}**", name="of")
            self.ask(ctx, asked)
            ask_person(asked)
        return answer

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Change the labels, and show them changed."""
        targets = self.targets(ctx)
        name = who(ctx)
        edit = edits.make(ctx.dataset, targets, self.what, self.rule(ctx, name), name) if targets else None
        return shown(ctx, edit)

    def targets(self, ctx: Any) -> tuple[Target, ...]:
        """What it acts on."""
        return meant(ctx)

    def why_not(self, ctx: Any, targets: tuple[Target, ...]) -> str:
        """Why it cannot be done; "" where it can."""
        return "" if targets else SELECT_FIRST

    def ask(self, ctx: Any, asked: types.Object) -> None:
        """Ask what the operator must know."""

    @abstractmethod
    def rule(self, ctx: Any, name: str) -> Rule:
        """What becomes of a label."""


class _OfBoxes(_Labelling):
    """An operator that acts on all boxes of the pictures that are meant."""

    def targets(self, ctx: Any) -> tuple[Target, ...]:
        """Pictures stand for the boxes in them."""
        return every_box(ctx, meant(ctx)) if has_boxes(ctx.dataset) else meant(ctx)

    def why_not(self, ctx: Any, targets: tuple[Target, ...]) -> str:
        """Boxes of videos are to be selected one by one."""
        if not targets:
            return SELECT_FIRST
        loose = has_boxes(ctx.dataset) and any(not target.box for target in targets)
        return "Open a video and select boxes in it." if loose else ""


class AcceptLabel(_OfBoxes):
    """What the label says is right."""

    title, button, icon, what = "Accept the label", "Accept", "check_circle", "accept"

    def rule(self, ctx: Any, name: str) -> Rule:
        """The person says so, too."""
        return rules.accept(name)


class CorrectLabel(_Labelling):
    """The label is another class."""

    title, button, icon, what = "Correct the label", "Correct", "edit", "correct"

    def why_not(self, ctx: Any, targets: tuple[Target, ...]) -> str:
        """Of pictures with boxes it must be said which box."""
        if not targets:
            return SELECT_FIRST
        loose = has_boxes(ctx.dataset) and any(not target.box for target in targets)
        return SELECT_BOXES if loose else ""

    def ask(self, ctx: Any, asked: types.Object) -> None:
        """The class: one of those that there are, or another."""
        known = classes(ctx.dataset)
        view: types.Choices = types.RadioGroup() if len(known) <= MANY else types.AutocompleteView()
        for one in (*known, NEW_CLASS):
            view.add_choice(one, label=one)
        asked.enum("name", [*known, NEW_CLASS], label="It is", view=view, required=True)
        if ctx.params.get("name") == NEW_CLASS:
            asked.str("new_name", label="Called", description=f"up to {LONGEST} letters", required=True)

    def rule(self, ctx: Any, name: str) -> Rule:
        """The label is what was chosen."""
        chosen = ctx.params.get("name")
        said = ctx.params.get("new_name") if chosen == NEW_CLASS else chosen
        return rules.correct(_one_line(said, "the class", LONGEST), name)


class TakeSuggestions(_OfBoxes):
    """The labels are what is suggested for them."""

    title, button, icon, what = "Take the suggested class", "Take", "auto_fix_high", "take suggestion"

    def ask(self, ctx: Any, asked: types.Object) -> None:
        """How many labels are to change."""
        seen = list(edits.look(ctx.dataset, self.targets(ctx)))
        changing = sum(bool(one.suggested) and one.suggested != one.state.name for one in seen)
        asked.md(f"{changing:,} of them have another class suggested.", name="changing")

    def rule(self, ctx: Any, name: str) -> Rule:
        """Each label is its own suggestion."""
        return rules.take_suggestion(name)


class MarkIllegible(_Labelling):
    """Nobody can tell what it is."""

    title, button, icon, what = "Mark as illegible", "Mark", "visibility_off", "illegible"

    def rule(self, ctx: Any, name: str) -> Rule:
        """A tag."""
        return rules.illegible


class SendToRelabel(_Labelling):
    """Somebody shall label it anew."""

    title, button, icon, what = "Send to relabel", "Send", "assignment_return", "relabel"

    def ask(self, ctx: Any, asked: types.Object) -> None:
        """Why."""
        asked.str("reason", label="Why", description=f"for whoever labels it, up to {LONGEST_REASON} letters")

    def rule(self, ctx: Any, name: str) -> Rule:
        """A tag and the reason."""
        given = ctx.params.get("reason")
        return rules.relabel(_one_line(given, "the reason", LONGEST_REASON) if given else "")


class AddToNextTrainingSet(_Labelling):
    """The pictures go into the next training set."""

    title, button, icon, what = "Add to the next training set", "Add", "library_add", "next training set"

    def targets(self, ctx: Any) -> tuple[Target, ...]:
        """Pictures, whatever is selected in them."""
        return tuple(Target(one) for one in pictures(ctx))

    def rule(self, ctx: Any, name: str) -> Rule:
        """A tag."""
        return rules.choose


class RemoveBox(_Labelling):
    """There is nothing in the box."""

    title, button, icon, what = "Remove the box", "Remove", "delete", "remove"

    def why_not(self, ctx: Any, targets: tuple[Target, ...]) -> str:
        """It must be said which box."""
        return "" if targets and all(target.box for target in targets) else SELECT_BOXES

    def rule(self, ctx: Any, name: str) -> Rule:
        """It goes."""
        return rules.remove


class TakeOverBox(_Labelling):
    """A box that a model predicts is right, and missing."""

    title, button, icon, what = "Take over what the model found", "Take over", "add_box", "draw"

    def targets(self, ctx: Any) -> tuple[Target, ...]:
        """The predicted boxes that are selected."""
        return predicted(ctx)[1]

    def why_not(self, ctx: Any, targets: tuple[Target, ...]) -> str:
        """It must be said which box."""
        return "" if targets else "Open a picture and click the boxes of the model that are missing in the truth."

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Draw them, and show them."""
        field, targets = predicted(ctx)
        return shown(ctx, edits.draw(ctx.dataset, field, targets, who(ctx)) if targets else None)


class UndoEdit(foo.Operator):
    """Take back the last edit."""

    @property
    def config(self) -> foo.OperatorConfig:
        """What FiftyOne knows of it."""
        return foo.OperatorConfig("undo_edit", label="Undo the last edit", icon="undo", dynamic=True, view_target=False)

    def resolve_input(self, ctx: Any) -> types.Property:
        """Say which edit it is."""
        last = edits.stands(ctx.dataset)
        asked, answer = form("Undo the last edit", "Undo", why_not="" if last else "There is nothing to take back.")
        if last:
            asked.md(f"Takes back: **{told(last)}** ({last.who}, {last.when})", name="of")
            ask_person(asked)
        return answer

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Take it back, and show that."""
        return shown(ctx, edits.undo(ctx.dataset, who(ctx)))


class NamePerson(foo.Operator):
    """Say who sits before the App."""

    @property
    def config(self) -> foo.OperatorConfig:
        """What FiftyOne knows of it."""
        return foo.OperatorConfig("name_person", label="Say who you are", icon="badge", view_target=False)

    def resolve_input(self, ctx: Any) -> types.Property:
        """The form."""
        asked, answer = form("Say who you are", "Keep")
        known = person(curate_folder())
        asked.str("name", label="Your name", description="kept with every label that you change", default=known)
        return answer

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Remember the name."""
        name = remember(curate_folder(), ctx.params.get("name") or "")
        ctx.ops.notify(f"Labels that you change are kept as {name}'s.", variant="success")
        return {"name": name}


LABELLING: Final = (
    AcceptLabel,
    CorrectLabel,
    TakeSuggestions,
    MarkIllegible,
    SendToRelabel,
    AddToNextTrainingSet,
    RemoveBox,
    TakeOverBox,
    UndoEdit,
    NamePerson,
)


_DID: Final[dict[What, str]] = {
    "accept": "accepted {}",
    "correct": "corrected {}",
    "illegible": "marked {} as illegible",
    "relabel": "sent {} to relabel",
    "take suggestion": "took the suggestion for {}",
    "next training set": "added {} to the next training set",
    "draw": "took over {} from the model",
    "remove": "removed {}",
}


def told(edit: Edit) -> str:
    """What an edit did, in a few words."""
    names = {change.after.name for change in edit.changes}
    to = f" to {next(iter(names))}" if edit.what == "correct" and len(names) == 1 and not edit.undo else ""
    what = counted([Target(one.sample, one.box, one.frame) for one in edit.changes])
    return f"{'taken back: ' if edit.undo else ''}{_DID[edit.what].format(what)}{to}"


def shown(ctx: Any, edit: Edit | None) -> dict[str, Any]:
    """Show what was done: a line in the App, and the pictures as they are now."""
    if edit is None:
        ctx.ops.notify("Nothing was to be changed.", variant="info")
        return {"changed": 0}
    if getattr(ctx.view, "_is_generated", False):
        ctx.view.reload()  # it shows copies
    done = told(edit)
    ctx.ops.notify(f"{done[:1].upper()}{done[1:]}.", variant="success")
    ctx.ops.reload_samples()
    return {"changed": len(edit.changes)}


def _one_line(said: Any, where: str, longest: int) -> str:
    from data.errors import InputError

    text = " ".join(str(said or "").split())
    if not text or len(text) > longest or not text.isprintable():
        raise InputError(where, f"{said!r} cannot be taken", expected=f"1 to {longest} letters on one line")
    return text


def _snake(name: str) -> str:
    return "".join(f"_{one.lower()}" if one.isupper() else one for one in name).lstrip("_")
