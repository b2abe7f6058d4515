"""What becomes of a label when a person accepts, corrects or marks it: each is a rule for `edits.make`."""

from __future__ import annotations

from collections.abc import Iterable

from apps.curate.fields import ACCEPTED, CHOSEN, CORRECTED, ILLEGIBLE, RELABEL
from apps.curate.plugin.edits import Rule, Seen
from apps.curate.plugin.history import State
from data.provenance import Provenance, now


def accept(who: str) -> Rule:
    """The label is right: the person says so, too. Nothing becomes of a picture without a label."""

    def rule(seen: Seen) -> State | None:
        return None if seen.state.name is None else _named(seen, seen.state.name, who, ACCEPTED)

    return rule


def correct(name: str, who: str) -> Rule:
    """The label is this class."""

    def rule(seen: Seen) -> State:
        return _named(seen, name, who, CORRECTED if seen.state.name != name else ACCEPTED)

    return rule


def take_suggestion(who: str) -> Rule:
    """The label is what is suggested; nothing becomes of one without a suggestion, or with the same."""

    def rule(seen: Seen) -> State | None:
        name = seen.suggested
        return None if not name or name == seen.state.name else _named(seen, name, who, CORRECTED)

    return rule


def remove(seen: Seen) -> State | None:
    """There is nothing in the box: it goes. Nothing becomes of pictures as a whole."""
    if not seen.is_box:
        return None
    around = _with(seen.state.picture_tags, (CORRECTED,), ())
    return State(name=None, by=None, picture_tags=around, reason=seen.state.reason)


def illegible(seen: Seen) -> State:
    """Nobody can tell what it is: it is left out of what is learnt."""
    return _tagged(seen, add=(ILLEGIBLE,), drop=(ACCEPTED, CORRECTED, RELABEL))


def relabel(reason: str) -> Rule:
    """Somebody shall label it anew."""

    def rule(seen: Seen) -> State:
        state = _tagged(seen, add=(RELABEL,), drop=(ACCEPTED,))
        around = _with(state.picture_tags, (RELABEL,), ()) if seen.is_box else ()
        return state.model_copy(update={"picture_tags": around, "reason": reason})

    return rule


def choose(seen: Seen) -> State:
    """The picture goes into the next training set."""
    return _tagged(seen, add=(CHOSEN,))


def _named(seen: Seen, name: str, who: str, tag: str) -> State:
    by = Provenance(kind="person", name=who, when=now())
    drop = [one for one in (ACCEPTED, CORRECTED, RELABEL, ILLEGIBLE) if one != tag]
    if tag == ACCEPTED and CORRECTED in seen.state.tags:
        drop.remove(CORRECTED)  # accepting one's own correction takes nothing back
    state = _tagged(seen, add=(tag,), drop=drop)
    around = _with(state.picture_tags, (tag,), ()) if seen.is_box and tag == CORRECTED else state.picture_tags
    reason = state.reason if seen.is_box else ""
    return state.model_copy(
        update={"name": name, "by": by, "confidence": None, "reason": reason, "picture_tags": around}
    )


def _tagged(seen: Seen, *, add: Iterable[str], drop: Iterable[str] = ()) -> State:
    return seen.state.model_copy(update={"tags": _with(seen.state.tags, add, drop)})


def _with(tags: tuple[str, ...], add: Iterable[str], drop: Iterable[str]) -> tuple[str, ...]:
    kept = [tag for tag in tags if tag not in set(drop)]
    return (*kept, *(tag for tag in add if tag not in kept))
