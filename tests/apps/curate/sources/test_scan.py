"""The results of a scan in FiftyOne: a sample a cell."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from apps.curate.fields import (
    CROP,
    FIELD,
    FORM,
    GROUP,
    INFO,
    ITEM,
    PAGE,
    POSITION,
    RUNNER_UP,
    RUNNER_UP_CONFIDENCE,
    STATE,
    TRUTH,
)
from apps.curate.reading import collection_of
from apps.curate.sources import scan
from apps.curate.sources.scan import open_scan
from apps.curate.sources.scan_files import pages_of
from apps.digits.reading import SHIPPED_MODEL
from data.errors import ArgumentError, FileAccessError, InputError
from data.images import read_image
from data.labels import in_script
from data.provenance import Provenance
from deploy.runtime.artifact import Artifact
from deploy.runtime.digits import DigitReader
from tests.apps.curate.sources.test_survey_files import content

MODEL = "digits_int8"


def rows_of(results: Path) -> list[dict[str, str]]:
    with (results / "cells.csv").open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def write_rows(results: Path, rows: list[dict[str, str]]) -> None:
    with (results / "cells.csv").open("w", encoding="utf-8-sig", newline="") as stream:
        table = csv.DictWriter(stream, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


@pytest.fixture(scope="module")
def opened(fiftyone_module, scanned_once, tmp_path_factory):
    before = content(scanned_once)
    found = open_scan(scanned_once, "cells", tmp_path_factory.mktemp("media"))
    assert content(scanned_once) == before
    return found


@pytest.fixture
def open_copy(fiftyone_module, scan_folder, tmp_path, request):
    """Opens the copy of the results that a test has spoilt."""
    name = request.node.name

    def opens(tick=None):
        return open_scan(scan_folder, name, tmp_path / "media", tick)

    yield opens
    if fiftyone_module.dataset_exists(name):
        fiftyone_module.delete_dataset(name)


def test_there_is_a_sample_for_every_cell(opened, scanned_once):
    rows = rows_of(scanned_once)
    assert len(opened.cells) == len(rows) > 100
    fields = opened.cells.values([FIELD, POSITION, STATE, PAGE, f"{MODEL}.label", f"{MODEL}.confidence"])
    assert {row["state"] for row in rows} == {"digit", "blank", "struck", "doubtful"}
    for row, field, position, state, page, label, confidence in zip(rows, *fields, strict=True):
        assert (field, position, state, page) == (row["field"], int(row["position"]), row["state"], int(row["page"]))
        expected = "not_a_digit" if state == "struck" else in_script(row["value"], "latin") or None
        assert label == expected
        assert confidence == (float(row["confidence"]) if row["confidence"] else None)
    # The table is in Bengali digits: they are read as what they say.
    assert any(row["value"] in "০১২৩৪৫৬৭৮৯" for row in rows if row["value"])


def test_the_second_answer_and_the_note_are_told(opened, scanned_once):
    told = opened.cells.values([RUNNER_UP, RUNNER_UP_CONFIDENCE, "note"])
    for row, runner_up, confidence, note in zip(rows_of(scanned_once), *told, strict=True):
        assert (runner_up or "") == in_script(row["runner_up"], "latin")
        assert confidence == (float(row["runner_up_confidence"]) if row["runner_up_confidence"] else None)
        assert note == row["note"]


def test_what_was_read_is_to_be_corrected(opened):
    collection = collection_of(opened.cells)
    assert (collection.kind, collection.problems) == ("digits", ())
    by = {label.by for picture in collection.pictures for label in picture.labels}
    assert by == {Provenance(kind="model", name="digits-int8")}
    truth, said = opened.cells.values([f"{TRUTH}.label", f"{MODEL}.label"])
    assert truth == said
    states = opened.cells.values(STATE)
    assert all((label is None) == (state == "blank") for label, state in zip(truth, states, strict=True))
    assert opened.cells.info[INFO]["kind"] == "digits"


def test_a_correction_leaves_what_was_read(opened, fiftyone_module):
    sample = opened.cells.match(fiftyone_module.ViewField(STATE) == "doubtful").first()
    before = sample[MODEL].label
    sample[TRUTH].label = str((int(before) + 1) % 10)
    sample.save()
    assert opened.cells[sample.id][MODEL].label == before
    sample[TRUTH].label = before
    sample.save()


def test_every_form_is_a_group_of_its_own(opened, scanned_once):
    """Two forms lie in one PDF: what one person wrote is not torn apart, what two wrote is not thrown together."""
    groups = Counter(opened.cells.values(GROUP))
    assert opened.cells.values(GROUP) == opened.cells.values(FORM)
    pages = {(row["file"], row["page"]) for row in rows_of(scanned_once)}
    assert len(groups) == len(pages)
    assert sorted(Path(group).name for group in groups) == [
        "batch.pdf#1", "batch.pdf#2", "crossed-out.jpg#1", "photograph.jpg#1", "upside-down.jpg#1",
    ]  # fmt: skip


def test_the_ink_is_what_the_network_read(opened):
    """The shipped model reads from the pictures what the table says that it read on the pages."""
    read = opened.cells.match({STATE: {"$in": ["digit", "doubtful"]}})
    reader = DigitReader(Artifact.open(SHIPPED_MODEL))
    answers = reader.read([read_image(Path(path)) for path in read.values("filepath")], polarity="dark")
    assert [str(value) for value in answers.values] == read.values(f"{MODEL}.label")
    confidences = answers.probabilities[np.arange(len(read)), answers.values]
    # How white the paper around is has a little influence on where ink begins.
    np.testing.assert_allclose(confidences, read.values(f"{MODEL}.confidence"), atol=0.02)


def test_people_see_the_cell_as_it_stands_on_the_page(opened, scanned_once):
    assert opened.cells.app_config.grid_media_field == CROP
    rows = rows_of(scanned_once)
    crops, paths, states = opened.cells.values([CROP, "filepath", STATE])
    for row, crop, path, state in zip(rows[:60], crops, paths, states, strict=False):
        x, y, width, height = map(int, row["crop_box"].split())
        sheet = cv2.imread(str(scanned_once / row["crop"]))
        assert np.array_equal(cv2.imread(crop), sheet[y : y + height, x : x + width])
        assert (path == crop) == (state == "blank")
    assert all(Path(path).is_file() for path in (*crops, *paths))


def test_views_show_what_is_to_be_looked_at(opened):
    states = Counter(opened.cells.values(STATE))
    for view, state in {"doubtful cells": "doubtful", "struck cells": "struck", "blank cells": "blank"}.items():
        assert len(opened.cells.load_saved_view(view)) == states[state]


def test_pages_that_were_not_read_are_told(opened):
    assert [Path(problem.name).name for problem in opened.problems] == ["other-form.jpg, page 1"]
    assert "problems.csv" in opened.problems[0].why


def test_items_are_unique_and_paths_of_their_pages(opened):
    items = opened.cells.values(ITEM)
    assert len(set(items)) == len(items)
    assert all(len(Path(item).parts) == 2 for item in items)


def test_cells_go_in_some_at_a_time(open_copy, monkeypatch):
    monkeypatch.setattr(scan, "BATCH", 40)
    heard: list[int] = []
    found = open_copy(lambda done, _total: heard.append(done))
    assert heard == [*range(40, len(found.cells), 40), len(found.cells)]


def test_the_table_is_read_page_by_page(scan_folder, monkeypatch):
    """The second page is not read before it is asked for: a spoilt end does not show at the beginning."""
    with (scan_folder / "cells.csv").open("ab") as stream:
        stream.write(b"\xff\xfe not UTF-8\r\n" * 100_000)
    problems: list = []
    pages = pages_of(scan_folder, problems)
    assert next(pages).cells
    with pytest.raises(InputError, match="is no table"):
        list(pages)


def test_a_page_without_its_pictures_costs_nothing_else(open_copy, scan_folder):
    rows = rows_of(scan_folder)
    first, last = rows[0]["crop"], rows[-1]["crop"]
    (scan_folder / first).unlink()
    (scan_folder / "ink" / f"{Path(last).stem}.png").write_bytes(b"no picture")
    found = open_copy()
    assert len(found.cells) == sum(row["crop"] not in {first, last} for row in rows)
    why = [problem.why for problem in found.problems if "its cells are left out" in problem.why]
    assert len(why) == 2
    assert all("run the same scan command again" in one for one in why)


SPOILT = {
    "state": ("sure", "is no state of a cell"),
    "value": ("x", "is no digit"),
    "confidence": ("nan", "is no probability"),
    "runner_up_confidence": ("1.5", "is no probability"),
    "position": ("first", "says nonsense"),
    "crop_box": ("1 2 3", "says nonsense"),
}


@pytest.mark.parametrize("column", SPOILT)
def test_a_row_that_says_nonsense_costs_nothing_else(column, open_copy, scan_folder):
    rows = rows_of(scan_folder)
    at = next(at for at, row in enumerate(rows) if row["state"] == "digit")
    rows[at][column] = SPOILT[column][0]
    write_rows(scan_folder, rows)
    found = open_copy()
    assert len(found.cells) == len(rows) - 1
    assert SPOILT[column][1] in found.problems[-1].why
    assert rows[at]["field"] in found.problems[-1].name


@pytest.mark.parametrize("box", ["-1 0 9 9", "0 0 99999 9", "0 0 0 9"])
def test_a_cell_outside_the_picture_costs_nothing_else(box, open_copy, scan_folder):
    rows = rows_of(scan_folder)
    rows[0]["crop_box"] = box
    write_rows(scan_folder, rows)
    found = open_copy()
    assert len(found.cells) == len(rows) - 1
    assert any(f"its place {box} leaves the picture" in problem.why for problem in found.problems)


def test_a_page_that_was_scanned_twice_is_shown_once(open_copy, scan_folder):
    rows = rows_of(scan_folder)
    twice = [row | {"file": "copy.pdf"} for row in rows if row["crop"] == rows[0]["crop"]]
    write_rows(scan_folder, [*rows, *twice])
    found = open_copy()
    assert len(found.cells) == len(rows)
    assert [problem.name for problem in found.problems if "the same page" in problem.why] == ["copy.pdf, page 1"]


def test_pages_of_one_form_are_one_group(scan_folder):
    rows = rows_of(scan_folder)
    pages = sorted({row["crop"] for row in rows})[:4]
    chosen = []
    for number, (crop, form_page) in enumerate(zip(pages, "1212", strict=True), 1):
        chosen += [
            row | {"file": "all.pdf", "page": str(number), "form_page": form_page}
            for row in rows
            if row["crop"] == crop
        ]
    write_rows(scan_folder, chosen)
    assert [page.form for page in pages_of(scan_folder, [])] == ["all.pdf#1", "all.pdf#1", "all.pdf#3", "all.pdf#3"]


def test_a_scan_that_has_just_begun_is_refused(scan_folder, tmp_path, fiftyone_module):
    (scan_folder / "cells.csv").unlink()
    with pytest.raises(InputError, match="the scan is not finished"):
        open_scan(scan_folder, "unfinished", tmp_path)


def test_tables_of_an_earlier_scan_are_told_of(open_copy, scan_folder):
    (scan_folder / "UNFINISHED.txt").write_text("go on", encoding="utf-8")
    assert "a later scan into this folder is not finished" in open_copy().problems[0].why


def test_a_table_of_something_else_is_refused(scan_folder, tmp_path, fiftyone_module):
    (scan_folder / "cells.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(InputError, match="lacks the columns"):
        open_scan(scan_folder, "other", tmp_path)
    assert not fiftyone_module.dataset_exists("other")


def test_no_cell_is_an_error_that_says_why(scan_folder, tmp_path, fiftyone_module):
    shutil.rmtree(scan_folder / "cells")
    with pytest.raises(InputError, match="holds no cell that can be shown"):
        open_scan(scan_folder, "none", tmp_path)
    assert not fiftyone_module.dataset_exists("none")


def test_a_full_disk_leaves_no_half_dataset(scan_folder, tmp_path, fiftyone_module, monkeypatch):
    written = []

    def full(path, _picture):
        written.append(path)
        if len(written) > 100:
            raise FileAccessError(path, "cannot be written (No space left on device)")

    monkeypatch.setattr(scan, "write_png", full)
    monkeypatch.setattr(scan, "BATCH", 20)
    with pytest.raises(FileAccessError, match="No space left"):
        open_scan(scan_folder, "full", tmp_path)
    assert not fiftyone_module.dataset_exists("full")


def test_a_name_that_is_taken_is_refused(opened, scan_folder, tmp_path):
    with pytest.raises(ArgumentError, match="there is a dataset 'cells' already"):
        open_scan(scan_folder, "cells", tmp_path)


def test_without_a_summary_the_model_has_no_name_of_its_own(open_copy, scan_folder):
    (scan_folder / "summary.json").unlink()
    assert open_copy().cells.has_field("digits")
