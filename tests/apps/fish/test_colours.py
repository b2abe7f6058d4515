"""Colours of species: no two alike where seven do, the usual ones where possible, and alike wherever they show."""

from __future__ import annotations

import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.fish.colours import PALETTE, colours_of
from apps.fish.counts import CountSettings, DeploymentCounts, Period, count
from apps.fish.drawing import bgr_of
from apps.fish.records import Observations, Samples, TrackedObservations
from apps.fish.report import page
from apps.fish.report.page import render
from apps.fish.report.stored import read_deployment
from apps.fish.report.survey_files import SurveyFiles
from apps.fish.results import DeploymentResult
from apps.fish.sights import Sights
from tests.apps.fish.blobs import write_clip
from tests.apps.fish.results import published, result_of

NAMES = tuple(f"species {number}" for number in range(24))


def seen(scores: dict[int, float]) -> tuple[TrackedObservations, DeploymentCounts]:
    """One sample with one fish of each of those labels."""
    boxes = np.array([[20 * at, 0, 20 * at + 10, 10] for at in range(len(scores))], np.float32).reshape(-1, 4)
    observations = Observations(
        Samples.of_chapter(0, 0.0, [0], [0.0]),
        np.zeros(len(scores), np.int64),
        boxes,
        np.array(list(scores.values()), np.float32),
        np.array(list(scores), np.int64),
        NAMES,
    )
    tracked = TrackedObservations.untracked(observations)
    return tracked, count(tracked, Period(), CountSettings(threshold=0.5), (960, 540))


@given(st.sets(st.integers(0, 23), max_size=24))
def test_no_two_of_the_first_seven_are_alike(labels):
    colours = colours_of(*seen(dict.fromkeys(sorted(labels), 0.9)))
    assert len(colours) == len(NAMES)
    for start in range(0, len(labels), 7):
        group = sorted(labels)[start : start + 7]
        assert len({colours[label] for label in group}) == len(group)
    free = [label for label in labels if sum(label % 7 == other % 7 for other in labels) == 1]
    if len(labels) <= 7:
        assert all(colours[label] == label % 7 for label in free)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ({}, {0: 0, 1: 1, 6: 6}),
        ({3: 0.9, 10: 0.9}, {3: 3, 10: 6}),
        ({2: 0.9, 9: 0.9, 16: 0.9, 0: 0.9}, {0: 0, 2: 2, 9: 5, 16: 6}),
        # What was counted chooses before what was only glimpsed, and the surer glimpse before the other.
        ({3: 0.45, 10: 0.9}, {10: 3, 3: 6}),
        ({3: 0.3, 10: 0.4, 17: 0.9}, {17: 3, 10: 5, 3: 6}),
    ],
)
def test_who_chooses_first(scores, expected):
    colours = colours_of(*seen(scores))
    assert {label: colours[label] for label in expected} == expected


def _two_species(result: DeploymentResult) -> DeploymentResult:
    """Every other track is of the eighth species."""
    tracks = result.records.tracked.tracks
    seen = replace(result.records.tracked.observations, names=NAMES, labels=np.where(tracks % 2, 0, 7))
    tracked = TrackedObservations(seen, tracks)
    counts = count(tracked, Period(), result.settings, result.chapters[0].size_wh)
    return replace(result, records=replace(result.records, tracked=tracked), counts=counts)


def test_pictures_and_charts_have_the_same_colours(tmp_path):
    """A species whose usual colour another one has, too."""
    several = _two_species(result_of("OP1", [write_clip(tmp_path / "GX010007.MP4", 120, (3,))]))
    published(tmp_path / "out", [several])
    one = read_deployment(tmp_path / "out" / "OP1")
    marks = Sights(several, 0, (0, 4)).at(0.0)
    assert {(mark.species, mark.colour) for mark in marks} == {(0, 0), (7, 6)}
    assert (one.colours[0], one.colours[7]) == (0, 6)
    text = render(SurveyFiles((one,), unfinished=False))
    for label, colour in ((0, 0), (7, 6)):
        assert f'<i class="swatch c{colour}" aria-hidden="true"></i>{NAMES[label]}' in text
        assert re.search(rf'<rect [^>]*class="bar c{colour}"><title>track \d+, {NAMES[label]}:', text)
    picture = cv2.imread(str(tmp_path / "out" / "OP1" / one.evidence[1].marked))
    for colour in (0, 6):
        assert (np.abs(picture.astype(int) - bgr_of(colour)).max(axis=2) < 40).sum() > 100


def test_every_colour_is_in_the_page():
    style = (page._HERE / "page.css").read_text()
    for colour in range(len(PALETTE)):
        assert f".c{colour} {{ --s: var(--s{colour}); }}" in style
        assert style.count(f"--s{colour}: #") == 2


def test_colours_can_be_told_apart_by_colour_blind_people():
    """Brightness, too, differs between the first four, whatever the hue looks like."""
    lab = [cv2.cvtColor(np.array([[bgr_of(one)]], np.uint8), cv2.COLOR_BGR2LAB)[0, 0].astype(int) for one in range(7)]
    assert len(set(PALETTE)) == 7
    for one in range(7):
        for other in range(one):
            # Red-green blindness takes away most of the second axis.
            light, _, blue = lab[one] - lab[other]
            assert abs(light) + abs(blue) > 14
