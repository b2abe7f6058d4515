"""The demo on the shipped model: it reads what is bundled and says what became of it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from apps import main as shell
from apps.demo import EXAMPLES, FOOTAGE, FORM, TRUTH, verdicts
from data.forms import lay_out, load_form

TRUTH_HEAD = "page,field,position,value\n"
CELLS_HEAD = "file,page,field,position,value,state\n"


def rows(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo")
    assert shell.run(["demo", "--out", str(out)]) == 0
    return out / "digits" / "results"


def test_every_page_has_its_row_and_only_the_stray_one_is_not_read(results: Path) -> None:
    pages = {(Path(row["file"]).name, row["page"]): row["status"] for row in rows(results / "forms.csv")}
    assert len(pages) == 6
    assert [page for page, status in pages.items() if status == "failed"] == [("other-form.jpg", "1")]


def test_next_to_nothing_is_wrong_and_little_is_left_to_a_person(results: Path) -> None:
    count = dict.fromkeys(("right", "wrong", "shown"), 0)
    for verdict in verdicts(EXAMPLES / "demo" / TRUTH, results / "cells.csv"):
        count[verdict] += 1
    assert sum(count.values()) == 265
    assert count["wrong"] <= 1
    assert count["shown"] <= 26


def test_what_a_person_must_see_is_listed(results: Path) -> None:
    listed = {(Path(row["file"]).name, row["field"], row["kind"]) for row in rows(results / "problems.csv")}
    assert ("other-form.jpg", "", "other_form") in listed
    assert ("crossed-out.jpg", "children", "struck") in listed
    assert ("crossed-out.jpg", "members", "rule") in listed


def test_the_demo_says_what_came_out_and_what_to_open(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shell.run(["demo", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    for name in ("problems.csv", "forms.csv", "pages", "of 265 cells"):
        assert name in said
    (command,) = [line.split() for line in said.splitlines() if line.lstrip().startswith("shankha digits scan")]
    assert shell.run(command[1:]) == 0  # the command it shows can be run as it stands


def test_a_folder_that_cannot_be_written_ends_with_5(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    assert shell.run(["demo", "--out", str(blocked)]) == 5
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_the_truth_covers_every_cell_of_every_bundled_page_of_the_form() -> None:
    (layout,) = lay_out(load_form(EXAMPLES / FORM))
    cells = {(cell.field, str(cell.position)) for cell in layout.cells}
    truth: dict[str, set[tuple[str, str]]] = {}
    for row in rows(EXAMPLES / "demo" / TRUTH):
        truth.setdefault(row["page"], set()).add((row["field"], row["position"]))
    assert len(truth) == 5
    assert all(found == cells for found in truth.values())
    assert all((EXAMPLES / "demo" / page.partition("#")[0]).is_file() for page in truth)


def test_what_is_bundled_stays_small() -> None:
    assert sum(file.stat().st_size for file in (EXAMPLES / "demo").iterdir()) < 1_500_000


@pytest.mark.parametrize(
    ("value", "said", "verdict"),
    [
        ("7", "7,digit", "right"),
        ("7", "1,digit", "wrong"),
        ("7", ",blank", "wrong"),
        ("7", "7,doubtful", "shown"),
        ("7", ",struck", "shown"),
        ("", ",blank", "right"),
        ("", "1,digit", "wrong"),
        ("not_a_digit", "8,digit", "wrong"),
        ("not_a_digit", ",blank", "wrong"),
        ("not_a_digit", ",struck", "shown"),
        ("7", None, "shown"),
    ],
)
def test_a_cell_s_verdict(value: str, said: str | None, verdict: str, tmp_path: Path) -> None:
    truth, cells = tmp_path / "truth.csv", tmp_path / "cells.csv"
    truth.write_text(f"{TRUTH_HEAD}a.pdf#2,age,0,{value}\n", encoding="utf-8")
    other_page = "scans/a.pdf,1,age,1,3,digit\n"
    line = "" if said is None else f"scans/a.pdf,2,age,1,{said}\n"
    cells.write_text(CELLS_HEAD + other_page + line, encoding="utf-8-sig")
    assert list(verdicts(truth, cells)) == [verdict]


def test_the_bundled_footage_is_surveyed_and_its_maxn_found(results: Path) -> None:
    survey = results.parents[1] / "fish" / "results"
    (row,) = rows(survey / "maxn.csv")
    (truth,) = [one for one in rows(FOOTAGE / TRUTH) if one["species"] == "fish"]
    assert abs(int(row["maxn"]) - int(truth["maxn"])) <= 1
    assert row["complete"] == "yes"
    assert (survey / "report.html").is_file()
    assert not rows(survey / "problems.csv")
