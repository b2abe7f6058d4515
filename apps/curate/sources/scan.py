"""The results of `shankha digits scan` in FiftyOne: a sample a cell, with what was read in it, to be corrected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from apps.curate.database import connect
from apps.curate.fields import (
    CROP,
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
from apps.curate.sources.writing import refuse_taken, whole_datasets, write_fields
from apps.pictures import write_png
from data.curation.collection import Collection, Label, Picture
from data.errors import InputError, ShankhaError
from data.images import read_image
from data.labels import DIGIT_CLASSES, NOT_A_DIGIT_NAME
from data.preprocess import Image
from data.provenance import Provenance
from data.readers.digitset import Problem

if TYPE_CHECKING:
    import fiftyone as fo

CELL_PICTURES: Final = "cells"
ON_PAGE: Final = "page"
INK: Final = "ink"
"""The folder in the results that holds what the network was shown of each page's cells."""
STATE_VIEWS: Final = {"doubtful cells": "doubtful", "struck cells": "struck", "blank cells": "blank"}
"""Names of the saved views, and the state of the cells in each."""
_TEXTS: Final = (CROP, STATE, FIELD, FORM, RUNNER_UP, NOTE)


@dataclass(frozen=True)
class OpenedScan:
    """The dataset of a scan's cells, and what could not be shown."""

    cells: fo.Dataset
    problems: tuple[Problem, ...]


def open_scan(results: Path, name: str, folder: Path, tick: Tick | None = None) -> OpenedScan:
    """Put the cells of a scan into FiftyOne, each as a picture of its own ink, as the network sees it.

    The App shows each cell as it stands on the page, in the field `CROP`; blank cells have no other picture.
    `TRUTH` holds what was read, by the model, to be corrected: a digit, or "not_a_digit" where a cell is crossed out;
    nothing where it is blank. The field of the model's predictions keeps what was read. A person's corrections in the
    App leave the results as they are. Few pages are in memory at a time.

    Args:
        results: The folder of results.
        name: Of the dataset.
        folder: Where the pictures are kept, of this scan alone.
        tick: Hears how many of how many cells are done; it is not known before how many there are.

    Raises:
        ArgumentError: There is a dataset of that name.
        FileAccessError: The tables cannot be read, or the folder cannot be written.
        InputError: The scan is not finished, or there is not one cell that can be shown.
    """
    refuse_taken(name)
    problems = [*check_finished(results), *failed_pages(results)]
    model = Provenance(kind="model", name=model_of(results))
    cutter = _Cutter(results, folder / CELL_PICTURES, model, problems)
    cells = (cell for page in pages_of(results, problems) for cell in cutter.cut(page))
    first = next(cells, None)
    if first is None:
        why = f" ({problems[0].name}: {problems[0].why})" if problems else ""
        raise InputError(results, f"holds no cell that can be shown{why}", cure="scan the forms again")
    dataset = dataset_of(Collection(name, "digits", DIGIT_CLASSES, ()), name)
    with whole_datasets([dataset]):
        _declare(dataset, prediction_field(model.name))
        done = 0
        for batch in _batches(chain([first], cells)):
            _add(dataset, batch, prediction_field(model.name))
            done += len(batch)
            if tick:
                tick(done, done)
        for view, state in STATE_VIEWS.items():
            dataset.save_view(view, dataset.match(connect().ViewField(STATE) == state))
    return OpenedScan(dataset, tuple(problems))


@dataclass(frozen=True)
class _Cell:
    """A cell as a picture, and what is told of it beside its label."""

    picture: Picture
    fields: dict[str, Any]


@dataclass(frozen=True)
class _Cutter:
    """Cuts pages into cells; what cannot be cut becomes a problem."""

    results: Path
    folder: Path
    model: Provenance
    problems: list[Problem]

    def cut(self, page: ScannedPage) -> list[_Cell]:
        """The cells of a page, each written as a picture on the page and one of its ink.

        Raises:
            FileAccessError: The folder cannot be written, or the disk is full.
        """
        where = f"{page.file}, page {page.page}"
        ink_name = f"{INK}/{PurePosixPath(page.crops).stem}.png"
        try:
            sheet, ink = read_image(self.results / page.crops), read_image(self.results / ink_name)
        except ShankhaError as error:
            why = f"{error.where} {error.found}; run the same scan command again"
            self.problems.append(Problem(where, f"its cells are left out: {why}"))
            return []
        found = []
        for cell in page.cells:
            on_page, own_ink = _crop(sheet, cell.box), _crop(ink, cell.box)
            if on_page is None or own_ink is None:
                why = f"its place {' '.join(map(str, cell.box))} leaves the picture of its page's cells"
                self.problems.append(Problem(f"{where}, {cell.field} {cell.position}", why))
                continue
            found.append(self._written(page, cell, on_page, own_ink))
        return found

    def _written(self, page: ScannedPage, cell: ScannedCell, on_page: Image, own_ink: Image) -> _Cell:
        item = f"{PurePosixPath(page.crops).stem}/{cell.field}-{cell.position:02d}.png"
        crop = self.folder / ON_PAGE / item
        path = crop if cell.state == "blank" else self.folder / INK / item
        write_png(crop, on_page)
        if path != crop:
            write_png(path, own_ink)
        label = _label(cell, self.model)
        picture = Picture(item, path, cell.box[2:], (label,) if label else (), group=page.form)
        return _Cell(picture, _fields(page, cell, crop))


def _crop(sheet: Image, box: tuple[int, int, int, int]) -> Image | None:
    """The part of a picture; None where the box leaves it."""
    x, y, width, height = box
    inside = x >= 0 and y >= 0 and width > 0 and height > 0
    if not inside or y + height > sheet.shape[0] or x + width > sheet.shape[1]:
        return None
    return sheet[y : y + height, x : x + width]


def _fields(page: ScannedPage, cell: ScannedCell, crop: Path) -> dict[str, Any]:
    fields: dict[str, Any] = {
        CROP: str(crop.absolute()),
        STATE: cell.state,
        FIELD: cell.field,
        FORM: page.form,
        PAGE: page.page,
        POSITION: cell.position,
        NOTE: cell.note,
    }
    if cell.runner_up is not None:
        fields |= {RUNNER_UP: str(cell.runner_up), RUNNER_UP_CONFIDENCE: cell.runner_up_confidence}
    return fields


def _label(cell: ScannedCell, model: Provenance) -> Label | None:
    """What was read: nothing where a cell is blank, or only a small mark."""
    if cell.state == "struck":
        return Label(NOT_A_DIGIT_NAME, model)
    if cell.value is None:
        return None
    return Label(str(cell.value), model, confidence=cell.confidence)


def _batches(cells: Iterator[_Cell]) -> Iterator[list[_Cell]]:
    while batch := list(islice(cells, BATCH)):
        yield batch


def _add(dataset: fo.Dataset, cells: Sequence[_Cell], field: str) -> None:
    add_pictures(dataset, Collection(dataset.name, "digits", DIGIT_CLASSES, tuple(cell.picture for cell in cells)))
    documents = {}
    for cell in cells:
        said = labels_document(cell.picture.labels, "digits", cell.picture.size_wh)
        documents[cell.picture.id] = cell.fields | ({field: said} if said else {})
    write_fields(dataset, documents)


def _declare(dataset: fo.Dataset, field: str) -> None:
    fiftyone = connect()
    add_label_field(dataset, "digits", field)
    for key in _TEXTS:
        dataset.add_sample_field(key, fiftyone.StringField)
    for key in (PAGE, POSITION):
        dataset.add_sample_field(key, fiftyone.IntField)
    dataset.add_sample_field(RUNNER_UP_CONFIDENCE, fiftyone.FloatField)
    dataset.app_config.media_fields = ["filepath", CROP]
    dataset.app_config.grid_media_field = dataset.app_config.modal_media_field = CROP
    dataset.save()
