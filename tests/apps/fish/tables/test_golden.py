"""The bytes of every table, for one deployment that a person can count in their head."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from apps.fish.results import DeploymentResult, Writer
from apps.fish.survey import WRITERS
from apps.fish.tables.coco import write_masks
from apps.fish.tables.darwincore import write_occurrence
from apps.fish.tables.dense import write_dense
from apps.fish.tables.eventmeasure import write_period, write_points
from apps.fish.tables.globalarchive import write_count, write_metadata
from apps.fish.tables.lengths import write_lengths
from apps.fish.tables.species import write_species
from tests.apps.fish.tables.results import deployment_result, result_with_parts
from tests.conftest import ROOT

GOLDEN = Path(__file__).parents[1] / "golden"
OWN: tuple[Writer, ...] = tuple(one for one in WRITERS if one.__module__.startswith("apps.fish.tables."))
CASES: dict[str, tuple[DeploymentResult, tuple[Writer, ...]]] = {
    "complete": (deployment_result(), OWN),
    "incomplete": (
        deployment_result(complete=False, metadata=None, lines=()),
        (write_points, write_period, write_metadata, write_occurrence),
    ),
    "parts": (
        result_with_parts(),
        (write_species, write_lengths, write_masks, write_dense, write_points, write_count, write_occurrence),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_tables_are_these_bytes(tmp_path, case):
    result, writers = CASES[case]
    for writer in writers:
        told = writer(result, tmp_path)
        assert all(path.is_relative_to(tmp_path) and path.is_file() for path in told)
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    expected = {path.name: path.read_bytes() for path in (GOLDEN / case).iterdir()}
    assert written.keys() == expected.keys()
    for name, content in expected.items():
        assert written[name].decode() == content.decode(), name
        assert written[name] == content, name


def test_writing_again_changes_nothing(tmp_path):
    result = deployment_result()
    first = {path: path.read_bytes() for writer in OWN for path in writer(result, tmp_path)}
    assert first == {path: path.read_bytes() for writer in OWN for path in writer(result, tmp_path)}


def test_without_a_line_nothing_says_that_none_was_crossed(tmp_path):
    for writer in OWN:
        writer(deployment_result(lines=()), tmp_path)
    assert not {"line_counts.csv", "crossings.csv"} & {path.name for path in tmp_path.iterdir()}


def test_the_documents_show_these_tables():
    """Every row of the examples is one of a golden table; rows of BR-08 stand for a second deployment."""
    text = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
    golden = {
        line.rstrip(",]}")
        for case in ("complete", "parts")
        for path in (GOLDEN / case).iterdir()
        for line in path.read_text(encoding="utf-8-sig").splitlines()
    }
    shown = [line for block in re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
             for line in block.splitlines() if not line.startswith("BR-08")]  # fmt: skip
    assert len(shown) > 30
    assert [line for line in shown if line.rstrip(",]}") not in golden] == []
    names = {path.name.replace("2026-02_Palm-Beach_BRUVs", "CAMPAIGN") for path in (GOLDEN / "complete").iterdir()}
    assert [name for name in names if f"`{name}`" not in text] == []
