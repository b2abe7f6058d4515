from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.curation.collection import Label, Provenance
from data.curation.merging import merge
from data.masks import Mask

SOURCE = Provenance(kind="source", name="reef")
TOOL = Provenance(kind="source", name="tasks")
ASHA = Provenance(kind="person", name="Asha", when="2026-11-22T20:15:03Z")
BEN = Provenance(kind="person", name="Ben", when="2026-11-21T10:00:00Z")


def box(name: str, *sides: float, by: Provenance = SOURCE, sure: float | None = 0.5, track: int = 3) -> Label:
    return Label(name, by, np.array(sides, np.float32), None, sure, track)


KNOWN = (box("fish", 0, 0, 10, 10), box("shark", 30, 30, 60, 50))


def test_what_is_as_it_was_stays_with_who_said_it() -> None:
    said = [box("shark", 30.4, 29.6, 60, 50, by=TOOL), box("fish", 0, 0, 10, 10, by=TOOL)]
    merged = merge(KNOWN, said, ASHA)
    assert [placed.label for placed in merged.labels] == [KNOWN[1], KNOWN[0]]
    assert not merged.counts
    assert merged.removed == ()


def test_every_change_gets_the_persons_name() -> None:
    said = [
        box("ray", 0, 0, 10, 10, by=TOOL),
        box("shark", 33, 30, 60, 50, by=SOURCE),
        box("eel", 70, 0, 80, 9, by=TOOL),
    ]
    merged = merge(KNOWN, said, ASHA)
    assert [placed.fate for placed in merged.labels] == ["renamed", "moved", "added"]
    assert [placed.label.by for placed in merged.labels] == [ASHA] * 3
    assert [placed.label.confidence for placed in merged.labels[:2]] == [None, None]
    assert [placed.label.track for placed in merged.labels[:2]] == [3, 3]
    assert dict(merged.counts) == {"renamed": 1, "moved": 1, "added": 1}


def test_the_file_knows_better_than_the_command_line_who_it_was() -> None:
    merged = merge(KNOWN, [box("ray", 0, 0, 10, 10, by=BEN)], ASHA)
    assert merged.labels[0].label.by == BEN
    known = (replace(KNOWN[0], by=BEN),)  # the attributes of a tool still tell who spoke before
    assert merge(known, [box("ray", 0, 0, 10, 10, by=BEN)], ASHA).labels[0].label.by == ASHA


def test_what_is_gone_is_gone_unless_something_could_not_be_read() -> None:
    merged = merge(KNOWN, [KNOWN[0]], ASHA)
    assert (merged.removed, dict(merged.counts)) == ((1,), {"removed": 1})
    merged = merge(KNOWN, [KNOWN[0]], ASHA, whole=False)
    assert [placed.label for placed in merged.labels] == list(KNOWN)
    assert merged.removed == ()


def test_a_box_of_an_outline_leaves_the_outline() -> None:
    mask = Mask(0, 0, np.tril(np.ones((10, 10), np.bool_)))
    known = Label("fish", SOURCE, mask.xyxy, mask)
    assert merge([known], [box("fish", 0, 0, 10, 10, by=TOOL)], ASHA).labels[0].label == known
    corners = Mask(0, 0, np.ones((10, 10), np.bool_))
    drawn = merge([KNOWN[0]], [Label("fish", TOOL, corners.xyxy, corners)], ASHA)
    assert drawn.labels[0].fate == "kept"
    assert merge([KNOWN[0]], [Label("fish", TOOL, mask.xyxy, mask)], ASHA).labels[0].fate == "moved"


@pytest.mark.parametrize(("said", "fate"), [("7", "kept"), ("1", "renamed")])
def test_whole_pictures_have_one_name(said: str, fate: str) -> None:
    merged = merge([Label("7", SOURCE)], [Label(said, TOOL)], ASHA)
    assert [(placed.label.name, placed.fate) for placed in merged.labels] == [(said, fate)]


SIDES = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(1, 20), st.integers(1, 20))
Drawn = list[tuple[str, tuple[int, ...]]]
LABELS = st.lists(st.tuples(st.sampled_from(["a", "b"]), SIDES), max_size=5)


@given(known=LABELS, said=LABELS)
def test_every_label_is_accounted_for(
    known: list[tuple[str, tuple[int, ...]]], said: list[tuple[str, tuple[int, ...]]]
) -> None:
    before = [box(name, x, y, x + w, y + h) for name, (x, y, w, h) in known]
    after = [box(name, x, y, x + w, y + h, by=TOOL) for name, (x, y, w, h) in said]
    merged = merge(before, after, ASHA)
    assert [placed.label.name for placed in merged.labels] == [label.name for label in after]
    used = [placed.was for placed in merged.labels if placed.was is not None]
    assert len(set(used)) == len(used)
    assert sorted([*used, *merged.removed]) == list(range(len(before)))
    assert all(placed.label.by == (SOURCE if placed.fate == "kept" else ASHA) for placed in merged.labels)
