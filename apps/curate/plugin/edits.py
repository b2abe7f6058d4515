"""Edits of labels: each on record before it is carried out, carried out whole, and taken back at will."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from bson import json_util
from pydantic import ValidationError

from apps.curate import fields
from apps.curate.database import connect, curate_folder
from apps.curate.plugin.history import Change, Edit, History, State, What, held
from data.errors import ShankhaError
from data.provenance import Provenance, now

if TYPE_CHECKING:
    import fiftyone as fo


@dataclass(frozen=True)
class Target:
    """A label that a person means: of a sample as a whole, or of a box in it, in a frame (from 1) of a video."""

    sample: str
    box: str = ""
    frame: int = 0


@dataclass(frozen=True)
class Seen:
    """A label as it stands: where it is, what is said there, what it should rather be, and how much it is doubted.

    `suggested` and `doubt` are None where nothing is known. A box that is not there (any more) says nothing; `box` is
    FiftyOne's own of one that is.
    """

    target: Target
    item: str
    state: State
    suggested: str | None
    doubt: float | None
    box: Any = field(default=None, compare=False, repr=False)

    @property
    def is_box(self) -> bool:
        """Whether it speaks of a box."""
        return bool(self.target.box)


Rule = Callable[[Seen], State | None]
"""What becomes of a label; None leaves it as it is."""


def look(dataset: fo.Dataset, targets: Sequence[Target]) -> Iterator[Seen]:
    """The labels that are meant, as they stand; those of samples that are not there any more are left out."""
    wanted = _by_sample(targets)
    if not wanted:
        return
    for sample in dataset.select(list(wanted), ordered=True):
        for target in wanted[sample.id]:
            yield _seen(sample, target)


def make(dataset: fo.Dataset, targets: Sequence[Target], what: What, rule: Rule, who: str) -> Edit | None:
    """Change labels by a rule.

    Args:
        dataset: The dataset.
        targets: The labels that are meant.
        what: What is done.
        rule: What becomes of each.
        who: The person.

    Returns:
        What is on record now; None where nothing was to be changed.

    Raises:
        FileAccessError: The history cannot be read or written; nothing is changed then.
        InputError: A line of the history is damaged; nothing is changed then.
    """
    with held(curate_folder(), dataset.name) as history:
        _recover(dataset, history)
        changes = tuple(_changes(look(dataset, targets), rule))
        return _record(dataset, history, what, changes, who) if changes else None


def draw(dataset: fo.Dataset, predicted: str, targets: Sequence[Target], who: str) -> Edit | None:
    """Take boxes of a prediction over, as they are, with what they say: the person says so, too.

    Args:
        dataset: The dataset.
        predicted: The field of the prediction.
        targets: Boxes in that field.
        who: The person. The rest is as in `make`.
    """
    by = Provenance(kind="person", name=who, when=now())
    with held(curate_folder(), dataset.name) as history:
        _recover(dataset, history)
        changes = []
        for sample in dataset.select(list(wanted := _by_sample(targets)), ordered=True):
            item, around = _field(sample, fields.ITEM) or sample.filepath, tuple(sample.tags)
            for target in wanted[sample.id]:
                box = next((one for one in _boxes(sample, target, predicted) if one.id == target.box), None)
                if box is None:
                    continue
                copy = box.copy()
                before = State(name=None, by=None, picture_tags=around)
                corrected = _retagged(around, (), (fields.CORRECTED,))
                after = State(name=box.label, by=by, tags=(fields.CORRECTED,), picture_tags=tuple(corrected))
                changes.append(_change(Target(target.sample, copy.id, target.frame), item, before, after, copy))
        return _record(dataset, history, "draw", tuple(changes), who) if changes else None


def undo(dataset: fo.Dataset, who: str) -> Edit | None:
    """Take back the last edit that stands, where nobody has changed its labels since.

    Returns:
        What is on record now; None where there is no edit to take back. Errors as in `make`.
    """
    with held(curate_folder(), dataset.name) as history:
        _recover(dataset, history)
        last = history.last(_id(dataset))
        if last is None:
            return None
        return _record(dataset, history, last.what, _backwards(dataset, last), who, undo=True)


def recover(dataset: fo.Dataset) -> int:
    """Carry out what is on record and was not carried out to its end; gives the number of such edits.

    Raises:
        FileAccessError: The history cannot be read.
        InputError: A line of the history is damaged.
    """
    with held(curate_folder(), dataset.name) as history:
        return _recover(dataset, history)


def edits_of(dataset: fo.Dataset) -> tuple[Edit, ...]:
    """All edits of a dataset, the oldest first. Errors as in `recover`."""
    history = History(curate_folder(), dataset.name)
    return tuple(edit for edit in history.edits if edit.dataset == _id(dataset))


def stands(dataset: fo.Dataset) -> Edit | None:
    """The edit that `undo` would take back. Errors as in `recover`."""
    return History(curate_folder(), dataset.name).last(_id(dataset))


def _recover(dataset: fo.Dataset, history: History) -> int:
    pending = history.pending()
    ours = [edit for edit in pending if edit.dataset == _id(dataset)]
    for edit in ours:
        _carry_out(dataset, edit.changes)
    if pending:
        history.settle()
    return len(ours)


def _record(
    dataset: fo.Dataset, history: History, what: What, changes: tuple[Change, ...], who: str, *, undo: bool = False
) -> Edit:
    edit = Edit(when=now(), who=who, what=what, dataset=_id(dataset), changes=changes, undo=undo)
    history.add(edit)
    try:
        _carry_out(dataset, changes)
    except Exception as error:
        cure = "nothing is lost: it is in the history, and is carried out when the dataset is opened again"
        raise ShankhaError(dataset.name, f"the database did not take the edit ({error})", cure=cure) from error
    history.settle()
    return edit


def _changes(seen: Iterable[Seen], rule: Rule) -> Iterator[Change]:
    for one in seen:
        after = rule(one) if one.box is not None or not one.is_box else None
        if after is not None and after != one.state:
            yield _change(one.target, one.item, one.state, after, one.box if after.name is None else None)


def _change(target: Target, item: str, before: State, after: State, box: Any = None) -> Change:
    """A change; with the box that is to be drawn, or taken away and perhaps drawn again."""
    return Change(
        item=item,
        sample=target.sample,
        box=target.box,
        frame=target.frame,
        drawn="" if box is None else json_util.dumps(box.to_dict()),
        before=before,
        after=after,
    )


def _backwards(dataset: fo.Dataset, edit: Edit) -> tuple[Change, ...]:
    """The changes that take back those of an edit that still hold."""
    done = {Target(one.sample, one.box, one.frame): one for one in edit.changes}
    found = []
    for seen in look(dataset, list(done)):
        change = done[seen.target]
        if (seen.state.name, seen.state.by) == (change.after.name, change.after.by):
            found.append(change.model_copy(update={"before": change.after, "after": change.before}))
    return tuple(found)


def _carry_out(dataset: fo.Dataset, changes: Sequence[Change]) -> None:
    """Make the labels say what they shall; doing it twice does no more."""
    if any(change.after.reason for change in changes) and not dataset.has_sample_field(fields.REASON):
        dataset.add_sample_field(fields.REASON, connect().StringField)
    wanted: dict[str, list[Change]] = {}
    for change in changes:
        wanted.setdefault(change.sample, []).append(change)
    for sample in dataset.select(list(wanted)).iter_samples(autosave=True):
        for change in wanted[sample.id]:
            _apply(sample, change)


def _apply(sample: fo.Sample, change: Change) -> None:
    before, after = change.before, change.after
    if before.reason != after.reason:
        sample[fields.REASON] = after.reason or None
    if not change.box:
        sample.tags = _retagged(sample.tags, before.tags, after.tags)
        if (before.name, before.by) != (after.name, after.by):
            sample[fields.TRUTH] = _said(_field(sample, fields.TRUTH), after)
        return
    sample.tags = _retagged(sample.tags, before.picture_tags, after.picture_tags)
    box = _box(sample, target := Target(change.sample, change.box, change.frame))
    if after.name is None:
        _boxes(sample, target)[:] = [one for one in _boxes(sample, target) if one.id != change.box]
        return
    if box is None:
        if not change.drawn:
            return
        box = connect().Detection.from_dict(json_util.loads(change.drawn))
        box.tags = []
        _boxes(sample, target).append(box)
    box.tags = _retagged(box.tags, before.tags, after.tags)
    _said(box, after)


def _said(label: Any, state: State) -> Any:
    """The label, or a new one where there is none, as the state says; None where it says nothing."""
    if state.name is None:
        return None
    label = connect().Classification() if label is None else label
    label.label, label.confidence = state.name, state.confidence
    by = state.by
    for name, value in zip(_BY, (by.kind, by.name, by.when) if by else (None, None, None), strict=True):
        label[name] = value
    return label


_BY: Final = (fields.BY_KIND, fields.BY_NAME, fields.BY_WHEN)


def _seen(sample: fo.Sample, target: Target) -> Seen:
    item, reason = _field(sample, fields.ITEM) or sample.filepath, _field(sample, fields.REASON) or ""
    around = tuple(sample.tags)
    if target.box:
        label = _box(sample, target)
        tags = () if label is None else tuple(label.tags)
    else:
        label, tags, around = _field(sample, fields.TRUTH), around, ()
    state = State(
        name=getattr(label, "label", None),
        by=_by(label),
        confidence=_confidence(label),
        tags=tags,
        picture_tags=around,
        reason=reason,
    )
    if target.box:
        suggested, doubt = getattr(label, fields.SUGGESTED, None), getattr(label, fields.DOUBT, None)
        return Seen(target, item, state, suggested, doubt, label)
    return Seen(target, item, state, _field(sample, fields.SUGGESTED), _field(sample, fields.DOUBT))


def _by(label: Any) -> Provenance | None:
    kind, name, when = (getattr(label, key, None) for key in _BY)
    with contextlib.suppress(ValidationError):
        return Provenance.model_validate({"kind": kind, "name": name, "when": when or ""})
    return None


def _confidence(label: Any) -> float | None:
    confidence = getattr(label, "confidence", None)
    return confidence if confidence is not None and math.isfinite(confidence) else None


def _box(sample: fo.Sample, target: Target) -> Any:
    """The box that is meant; None where it is not there."""
    return next((box for box in _boxes(sample, target) if box.id == target.box), None)


def _boxes(sample: fo.Sample, target: Target, name: str = fields.TRUTH) -> Any:
    """The boxes of the picture, or of the frame, that can be added to; none of a frame that is not there."""
    if target.frame and target.frame not in sample.frames:
        return []
    holder = sample.frames[target.frame] if target.frame else sample
    held = _field(holder, name)
    if held is None:
        held = holder[name] = connect().Detections()
    return held.detections


def _field(holder: Any, name: str) -> Any:
    return holder[name] if holder.has_field(name) else None


def _retagged(tags: Iterable[str], before: Iterable[str], after: Iterable[str]) -> list[str]:
    """Tags with what an edit adds and without what it takes away; others that came meanwhile stay."""
    kept = [tag for tag in tags if tag in set(after) or tag not in set(before)]
    return kept + [tag for tag in after if tag not in kept]


def _by_sample(targets: Iterable[Target]) -> dict[str, list[Target]]:
    wanted: dict[str, list[Target]] = {}
    for target in dict.fromkeys(targets):
        wanted.setdefault(target.sample, []).append(target)
    return wanted


def _id(dataset: fo.Dataset) -> str:
    return str(dataset._doc.id)
