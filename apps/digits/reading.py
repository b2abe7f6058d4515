"""From cut cells to digits, and from digits to what a field says and whether a person must look at it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from apps.digits.cells import CutCell
from data.forms import FieldPlace, FormField, PageLayout
from data.labels import NOT_A_DIGIT
from data.preprocess import Image, Polarity
from data.types import CellReading, CellState, Problem, SourceBox
from deploy.runtime.digits import DigitReadings

SHIPPED_MODEL: Final = Path(__file__).resolve().parents[2] / "models" / "weights" / "digits-int8"

UNSURE: Final = "?"
STRUCK: Final = "x"
BLANK: Final = " "
_LOOK: Final = "look at the page's picture and type the value"


class Reader(Protocol):
    """What reads pictures of digits: `deploy.runtime.digits.DigitReader`."""

    def read(self, images: Sequence[Image], polarity: Polarity = "auto") -> DigitReadings:
        """Read N pictures of one digit each."""


def read_cells(cells: Sequence[CutCell], crops: Sequence[SourceBox], reader: Reader) -> list[CellReading]:
    """Read a page's cells, all digits of it in one batch.

    Args:
        cells: The cut cells.
        crops: Where each is shown in the page's picture of cells.
        reader: Reads the digits.
    """
    inked = [index for index, cell in enumerate(cells) if cell.ink is not None]
    readings = reader.read([ink for cell in cells if (ink := cell.ink) is not None], polarity="dark")
    rank = {index: row for row, index in enumerate(inked)}
    return [
        _read_cell(cell, crop, readings, rank[index]) if index in rank else _blank_cell(cell, crop)
        for index, (cell, crop) in enumerate(zip(cells, crops, strict=True))
    ]


def _blank_cell(cell: CutCell, crop: SourceBox) -> CellReading:
    place = cell.place.cell
    state: CellState = "doubtful" if cell.doubt else "blank"
    return CellReading(field=place.field, position=place.position, state=state, note=cell.doubt, crop=crop)


def _read_cell(cell: CutCell, crop: SourceBox, readings: DigitReadings, row: int) -> CellReading:
    place = cell.place.cell
    value, runner_up = int(readings.values[row]), int(readings.runner_ups[row])
    confidence = _share(readings, row, value)
    runner_up_confidence = _share(readings, row, runner_up)
    note = cell.doubt
    state: CellState
    if note:
        state = "doubtful"
    elif readings.not_a_digit[row]:
        state = "struck"
    elif readings.accepted[row]:
        state = "digit"
    else:
        state = "doubtful"
        note = _alternatives(readings, row)
    return CellReading(
        field=place.field,
        position=place.position,
        state=state,
        value=value,
        confidence=confidence,
        runner_up=runner_up,
        runner_up_confidence=runner_up_confidence,
        note=note,
        crop=crop,
    )


def _alternatives(readings: DigitReadings, row: int) -> str:
    """The two likeliest answers, "no digit" being one that may come second."""
    value, runner_up = int(readings.values[row]), int(readings.runner_ups[row])
    second = max((runner_up, NOT_A_DIGIT), key=lambda answer: float(readings.probabilities[row, answer]))
    name = "no digit" if second == NOT_A_DIGIT else str(second)
    return f"{value} ({_share(readings, row, value):.0%}) or {name} ({_share(readings, row, second):.0%})"


def _share(readings: DigitReadings, row: int, value: int) -> float:
    return round(min(1.0, max(0.0, float(readings.probabilities[row, value]))), 4)


def field_text(cells: Sequence[CellReading]) -> str:
    """What the field says, a character a cell: a sure digit, a space for a blank cell, `?` for a doubtful one and
    `x` for one struck out. A digit never leaves its place; an empty field is the empty text."""
    signs = {"blank": BLANK, "doubtful": UNSURE, "struck": STRUCK}
    text = "".join(signs.get(cell.state) or str(cell.value) for cell in cells)
    return text if text.strip(BLANK) else ""


def judge_page(layout: PageLayout, cells: Sequence[CellReading]) -> tuple[dict[str, str], list[Problem]]:
    """Text of each of the page's fields, and every reason for a person to look at one."""
    values: dict[str, str] = {}
    problems: list[Problem] = []
    for place in layout.places:
        own = _cells_of(place, cells)
        values[place.field.name] = field_text(own)
        problems += _unsure_cells(own) or _broken_rules(place.field, values[place.field.name])
    return values, problems


def _cells_of(place: FieldPlace, cells: Sequence[CellReading]) -> list[CellReading]:
    return sorted((cell for cell in cells if cell.field == place.field.name), key=lambda cell: cell.position)


def _unsure_cells(cells: Sequence[CellReading]) -> list[Problem]:
    """One problem for all cells of a field that cannot be taken as read; none where there is no such cell."""
    reasons = []
    for cell in cells:
        if cell.state == "doubtful":
            reasons.append(f"cell {cell.position + 1}: {cell.note}")
        elif cell.state == "struck":
            reasons.append(f"cell {cell.position + 1} is crossed out or no digit")
    if not reasons:
        return []
    only = {cell.state for cell in cells} & {"doubtful", "struck"}
    kind = "doubtful" if "doubtful" in only else "struck"
    return [Problem(kind=kind, field=cells[0].field, what="; ".join(reasons), cure=_LOOK)]


def _broken_rules(field: FormField, text: str) -> list[Problem]:
    """The first rule of the form that the field's text breaks, if any."""
    digits = text.replace(BLANK, "")
    broken = ""
    if not digits:
        broken = "is empty, but required" if field.required else ""
    elif BLANK in text.strip(BLANK):
        broken = f"has a blank cell between digits: {text.strip(BLANK).replace(BLANK, '_')}"
    elif field.fixed_length and len(digits) != field.cells:
        broken = f"has {len(digits)} digits, all {field.cells} cells or none are to be filled"
    elif field.minimum is not None and int(digits) < field.minimum:
        broken = f"is {digits}, below the least value {field.minimum}"
    elif field.maximum is not None and int(digits) > field.maximum:
        broken = f"is {digits}, above the greatest value {field.maximum}"
    elif field.pattern is not None and re.fullmatch(field.pattern, digits) is None:
        broken = f"is {digits}, which does not fit the form's pattern {field.pattern}"
    if not broken:
        return []
    cure = "compare it with the page; correct the value or ask who filled it"
    return [Problem(kind="rule", field=field.name, what=broken, cure=cure)]
