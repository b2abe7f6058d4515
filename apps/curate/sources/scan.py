"""The results of `shankha digits scan` in FiftyOne: a sample a cell, with what was read in it, to be corrected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import cv2

from apps.curate.database import connect
from apps.curate.fields import (
    FIELD,
    FORM,
    NOTE,
    PAGE,
    POSITION,
    RUNNER_UP,
    RUNNER_UP_CONFIDENCE,
    STATE,
    prediction_field,
)
from apps.curate.samples import BATCH, Tick, add_label_field, add_pictures, dataset_of, labels_document
from apps.curate.sources.scan_files import ScannedCell, ScannedPage, check_finished, failed_pages, model_of, pages_of
from apps.curate.sources.writing import write_fields
from data.curation.collection import Collection, Label, Picture
from data.errors import InputError, ShankhaError
from data.files import write_bytes
from data.images import read_image
from data.labels import DIGIT_CLASSES, NOT_A_DIGIT_NAME
from data.preprocess import Image
from data.provenance import Provenance
from data.readers.digitset import Problem

if TYPE_CHECKING:
    import fiftyone as fo

CELL_PICTURES: Final = "cells"
STATE_VIEWS: Final = {"doubtful cells": "doubtful", "struck cells": "struck", "blank cells": "blank"}
"""Names of the saved views, and the state of the cells in each."""
_TEXTS: Final = (STATE, FIELD, FORM, RUNNER_UP, NOTE)


@dataclass(frozen=True)
class OpenedScan:
    """The dataset of a scan's cells, and what could not be shown."""

    cells: fo.Dataset
    problems: tuple[Problem, ...]


def open_scan(results: Path, name: str, folder: Path, tick: Tick | None = None) -> OpenedScan:
    """Put the cells of a scan into FiftyOne, each as a picture of its own.

    `TRUTH` holds what was read, by the model, to be corrected: a digit, or "not_a_digit" where a cell is crossed out;
    nothing where it is blank. The field of the model's predictions keeps what was read. A person's corrections in the
    App leave the results as they are. Few pages are in memory at a time.

    Args:
        results: The folder of results.
        name: Of the dataset.
        folder: Where the pictures are kept: the folder of curation.
        tick: Hears how many of how many cells are done; it is not known before how many there are.

    Raises:
        ArgumentError: There is a dataset of that name.
        FileAccessError: The tables cannot be read, or the folder cannot be written.
        InputError: The scan is not finished, or there is not one cell that can be shown.
    """
    problems = [*check_finished(results), *failed_pages(results)]
    model = Provenance(kind="model", name=model_of(results))
    dataset: fo.Dataset | None = None
    batch: list[_Cell] = []
    done = 0
    for page in pages_of(results, problems):
        batch += _cut(results, page, folder / CELL_PICTURES / name, model, problems)
        if len(batch) >= BATCH:
            dataset = _add(dataset, name, batch, model)
            done += len(batch)
            batch = []
            if tick:
                tick(done, done)
    if batch or dataset is None:
        if not batch:
            first = f" ({problems[0].name}: {problems[0].why})" if problems else ""
            raise InputError(results, f"holds no cell that can be shown{first}", cure="scan the forms again")
        dataset = _add(dataset, name, batch, model)
        if tick:
            tick(done + len(batch), done + len(batch))
    for view, state in STATE_VIEWS.items():
        dataset.save_view(view, dataset.match(connect().ViewField(STATE) == state))
    return OpenedScan(dataset, tuple(problems))


@dataclass(frozen=True)
class _Cell:
    """A cell as a picture, and what is told of it beside its label."""

    picture: Picture
    predicted: Label | None
    fields: dict[str, Any]


def _cut(results: Path, page: ScannedPage, folder: Path, model: Provenance, problems: list[Problem]) -> list[_Cell]:
    """The cells of a page, each written as a picture; those that cannot be cut become problems."""
    where = f"{page.file}, page {page.page}"
    try:
        sheet = read_image(results / page.crops)
    except ShankhaError as error:
        problems.append(Problem(where, f"the picture of its cells {page.crops} {error.found}"))
        return []
    found = []
    for cell in page.cells:
        crop = _crop(sheet, cell.box)
        if crop is None:
            height, width = sheet.shape[:2]
            box = " ".join(map(str, cell.box))
            why = f"its place {box} leaves the picture of {width} x {height} pixels"
            problems.append(Problem(f"{where}, {cell.field} {cell.position}", why))
            continue
        item = f"{PurePosixPath(page.crops).stem}/{cell.field}-{cell.position:02d}.png"
        _, packed = cv2.imencode(".png", crop)
        write_bytes(folder / item, packed.tobytes())
        found.append(_described(page, cell, item, folder / item, crop, model))
    return found


def _crop(sheet: Image, box: tuple[int, int, int, int]) -> Image | None:
    """The part of a picture; None where the box leaves it."""
    x, y, width, height = box
    inside = x >= 0 and y >= 0 and width > 0 and height > 0
    if not inside or y + height > sheet.shape[0] or x + width > sheet.shape[1]:
        return None
    return sheet[y : y + height, x : x + width]


def _described(page: ScannedPage, cell: ScannedCell, item: str, path: Path, crop: Image, model: Provenance) -> _Cell:
    label = _label(cell, model)
    fields: dict[str, Any] = {
        STATE: cell.state,
        FIELD: cell.field,
        FORM: page.form,
        PAGE: page.page,
        POSITION: cell.position,
        NOTE: cell.note,
    }
    if cell.runner_up is not None:
        fields |= {RUNNER_UP: str(cell.runner_up), RUNNER_UP_CONFIDENCE: cell.runner_up_confidence}
    size_wh = crop.shape[1], crop.shape[0]
    picture = Picture(item, path, size_wh, (label,) if label else (), group=page.form)
    return _Cell(picture, label, fields)


def _label(cell: ScannedCell, model: Provenance) -> Label | None:
    """What was read: nothing where a cell is blank, or only a small mark."""
    if cell.state == "struck":
        return Label(NOT_A_DIGIT_NAME, model)
    if cell.value is None:
        return None
    return Label(str(cell.value), model, confidence=cell.confidence)


def _add(dataset: fo.Dataset | None, name: str, cells: Sequence[_Cell], model: Provenance) -> fo.Dataset:
    """Add cells to the dataset, which is made with the first."""
    collection = Collection(name, "digits", DIGIT_CLASSES, tuple(cell.picture for cell in cells))
    field = prediction_field(model.name)
    if dataset is None:
        dataset = dataset_of(collection.select([]), name)
        _declare(dataset, field)
    add_pictures(dataset, collection)
    said = (labels_document([cell.predicted] if cell.predicted else [], "digits", (1, 1)) for cell in cells)
    documents = {
        cell.picture.id: cell.fields | ({field: one} if one else {}) for cell, one in zip(cells, said, strict=True)
    }
    write_fields(dataset, documents)
    return dataset


def _declare(dataset: fo.Dataset, field: str) -> None:
    fiftyone = connect()
    add_label_field(dataset, "digits", field)
    for key in _TEXTS:
        dataset.add_sample_field(key, fiftyone.StringField)
    for key in (PAGE, POSITION):
        dataset.add_sample_field(key, fiftyone.IntField)
    dataset.add_sample_field(RUNNER_UP_CONFIDENCE, fiftyone.FloatField)
