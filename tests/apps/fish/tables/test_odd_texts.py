"""Opcodes, sites and labels that a spreadsheet would run, or that would break a table's rows."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.fish.tables.exchange import number, unbroken
from apps.spreadsheets import harmless
from tests.apps.fish.tables.reading import comma, tab, written
from tests.apps.fish.tables.results import METADATA, Fish, deployment_result

ODD = [
    "=HYPERLINK(1)",
    "+61 2",
    "-7",
    "@home",
    'say "hi", twice',
    "one\ttwo",
    "\tfirst",
    "line\r\nbreak",
    "সুন্দরবন, ঘাট ২",
    "a'b;c",
]
SPREADSHEETS = ("maxn.csv", "maxn_per_minute.csv", "tracks.csv", "line_counts.csv", "occurrence.csv")


@pytest.mark.parametrize("text", ODD)
def test_odd_texts_are_safe_and_kept(tmp_path, text):
    about = METADATA.model_copy(update={"opcode": text, "site": text, "location": "", "campaignid": ""})
    files = (f"{text}/GX010034.MP4",)
    samples = [(0.0, (Fish(0, 1, 0.9, 900),)), (31.0, (Fish(0, 1, 0.9, 1000), Fish(1, 2, 0.8, 1500)))]
    result = deployment_result([(60.0, samples)], opcode=text, metadata=about, names=("fish", text), files=files)
    written(result, tmp_path)
    for name in (*SPREADSHEETS, "unnamed_Count.csv", "unnamed_Metadata.csv", "mot_frames.csv"):
        rows = comma(tmp_path / name)
        assert rows
        assert not any(cell.startswith(("=", "+", "@", "\t", "\r")) for row in rows for cell in row.values())
        assert all(row.get("opcode", harmless(text)) == harmless(text) for row in rows)
    assert [row["species"] for row in comma(tmp_path / "maxn.csv")] == ["fish", harmless(text)]
    assert comma(tmp_path / "unnamed_Metadata.csv")[0]["site"] == harmless(text)
    points = tab(tmp_path / "unnamed_Points.txt")
    assert len(points) == 2
    assert {row["OpCode"] for row in points} == {unbroken(text)}
    coco = json.loads((tmp_path / "coco.json").read_text(encoding="utf-8"))
    assert coco["info"]["opcode"] == text
    assert [one["name"] for one in coco["categories"]] == ["fish", text]
    (first, second) = comma(tmp_path / "occurrence.csv")
    assert first["eventID"] == second["eventID"]
    assert first["occurrenceID"].startswith("shankha:unnamed:")


@pytest.mark.parametrize("name", ["maxn.csv", "tracks.csv", "mot_frames.csv"])
def test_tables_for_people_open_in_excel_as_utf_8(tmp_path, name):
    written(deployment_result(opcode="ঘাট"), tmp_path)
    assert (tmp_path / name).read_bytes().startswith("\N{ZERO WIDTH NO-BREAK SPACE}".encode())


@given(st.text())
def test_a_cell_without_quotes_stays_one_cell(text):
    cell = unbroken(text)
    assert len(cell.splitlines()) <= 1
    assert not set(cell) & {"\t", '"'}
    assert not cell.startswith(("=", "+", "-", "@"))


@given(st.floats(-180, 180))
def test_numbers_are_kept_without_an_exponent(value):
    assert float(number(value)) == value
    assert "e" not in number(value)
