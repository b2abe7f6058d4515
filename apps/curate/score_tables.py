"""The scores of fields of predictions, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from apps.curate.evaluating import Evaluated
from apps.curate.scoring import BoxScores, WholeScores
from apps.detection_scores import percent
from data.metrics import Accuracy

_SHOWN_CONFUSIONS: Final = 3


def tables(evaluated: Sequence[Evaluated]) -> Group:
    """The scores of models side by side, then each one's own."""
    whole = [(one, one.scores) for one in evaluated if isinstance(one.scores, WholeScores)]
    boxes = [(one, one.scores) for one in evaluated if isinstance(one.scores, BoxScores)]
    parts: list[Table] = []
    if whole:
        parts.append(_whole_overview(whole))
        parts += [table for one, scores in whole for table in _whole_tables(one.field, scores)]
    if boxes:
        parts.append(_box_overview(boxes))
        parts += [table for one, scores in boxes for table in _box_tables(one.field, scores)]
    return Group(*parts)


def _whole_overview(evaluated: Sequence[tuple[Evaluated, WholeScores]]) -> Table:
    table = _numbers("predictions", "pictures", "right", "right, forced to choose", "mean recall", "calibration error")
    for one, scores in evaluated:
        forced = "-" if scores.forced is None else _interval(scores.forced)
        row = _interval(scores.accuracy), forced, f"{scores.macro:.2%}", f"{scores.ece:.4f}"
        table.add_row(Text(one.field), f"{one.pictures:,}", *row)
    return table


def _whole_tables(field: str, scores: WholeScores) -> list[Table]:
    classes = _numbers(f"{field}: class", "pictures", "recall", "precision", last="taken for")
    for label, name in enumerate(scores.names):
        row = scores.confusion[label]
        others = [other for other in np.argsort(-row, kind="stable") if other != label and row[other]]
        shown = ", ".join(f"{scores.names[other]}: {row[other]}" for other in others[:_SHOWN_CONFUSIONS])
        shares = _share(scores.classes.recall[label]), _share(scores.classes.precision[label])
        classes.add_row(Text(name), f"{int(row.sum()):,}", *shares, Text(shown))
    found = [classes]
    for title, groups in ((f"{field}: part", scores.parts), (f"{field}: worst groups", scores.groups)):
        if groups:
            table = _numbers(title, "pictures", "right")
            for name, one in groups.items():
                table.add_row(Text(name), f"{one.total:,}", _interval(one))
            found.append(table)
    return found


def _box_overview(evaluated: Sequence[tuple[Evaluated, BoxScores]]) -> Table:
    columns = "pictures", "objects", "mAP50", "mAP50-95", "recall at 100", "from", "precision", "recall", "F1"
    table = _numbers("predictions", *columns, "calibration error")
    for one, boxes in evaluated:
        for scores in (boxes, one.outlines):
            if scores is not None:
                whole, point = scores.scores.overall, scores.point
                counted = ["-"] * 4
                if point is not None:
                    shares = percent(point.precision), percent(point.recall), percent(point.f1)
                    counted = [f"{point.threshold:.2f}", *shares]
                means = percent(whole.map50), percent(whole.map50_95), percent(whole.recall)
                name = f"{one.field}, masks" if scores.masks else one.field
                row = f"{one.pictures:,}", f"{whole.boxes:,}", *means, *counted, f"{scores.ece:.4f}"
                table.add_row(Text(name), *row)
    return table


def _box_tables(field: str, scores: BoxScores) -> list[Table]:
    sizes = {f"{name} objects": one for name, one in scores.scores.sizes.items()}
    parts = {f"part {name}": one.overall for name, one in scores.parts.items()}
    sites = {f"group {name or 'unknown'}": one for name, one in scores.scores.sites.items()}
    table = _numbers(f"{field}: of", "objects", "mAP50", "mAP50-95", "recall at 100")
    for name, one in (sizes | parts | sites).items():
        table.add_row(Text(name), f"{one.boxes:,}", percent(one.map50), percent(one.map50_95), percent(one.recall))
    if scores.partly:
        table.caption = f"{scores.partly:,} pictures are partly labelled: precision in them is a lower bound"
    if len(scores.classes) < 2:
        return [table]
    classes = _numbers(f"{field}: class", "AP50")
    for name, value in scores.classes.items():
        classes.add_row(Text(name), percent(value))
    return [table, classes]


def _numbers(first: str, *columns: str, last: str = "") -> Table:
    table = Table(first)
    for column in columns:
        table.add_column(column, justify="right")
    if last:
        table.add_column(last)
    return table


def _interval(one: Accuracy) -> str:
    return f"{one.share:.2%} ({one.low:.1%} to {one.high:.1%})" if one.total else "none"


def _share(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.2%}"
