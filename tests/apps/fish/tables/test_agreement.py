"""The tables say the same, each in its own format, whatever was seen."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.fish.counts import settle
from apps.fish.results import DeploymentResult
from apps.fish.tables.parquet import read_records
from apps.fish.tables.taxa import taxon
from tests.apps.fish.tables.reading import comma, tab, written
from tests.apps.fish.tables.results import METADATA, NAMES, Fish, deployment_result

CAMPAIGN = METADATA.campaignid


@st.composite
def frames(draw: st.DrawFn) -> tuple[Fish, ...]:
    tracks = draw(st.lists(st.integers(0, 4), max_size=5).map(sorted))
    tracks = [track for at, track in enumerate(tracks) if not track or track not in tracks[:at]]
    score = st.integers(1, 20).map(lambda part: part / 20)
    return tuple(
        Fish(draw(st.integers(0, 2)), track, draw(score), draw(st.integers(0, 18800)) / 10, 40.0 * place)
        for place, track in enumerate(tracks)
    )


@st.composite
def results(draw: st.DrawFn) -> DeploymentResult:
    """Up to three chapters, the period starting anywhere, also after the last sample."""
    chapters = []
    for _ in range(draw(st.integers(1, 3))):
        samples = draw(st.lists(frames(), max_size=5))
        chapters.append((len(samples) * 20.0 + 1, [(20.0 * at, frame) for at, frame in enumerate(samples)]))
    start = draw(st.one_of(st.none(), st.integers(0, 200).map(float)))
    about = METADATA.model_copy(update={"period_start": start})
    files = tuple(f"BR-07/GX0{number}0034.MP4" for number in (1, 2, 3))
    return deployment_result(chapters, metadata=about, files=files, complete=draw(st.booleans()))


@settings(max_examples=60)
@given(results())
def test_every_table_says_the_same(result):
    with tempfile.TemporaryDirectory() as name:
        folder = written(result, Path(name))
        maxn = {row["species"]: row for row in comma(folder / "maxn.csv")}
        assert tuple(maxn) == NAMES
        points_agree(folder, maxn)
        counts_agree(folder, maxn)
        minutes_agree(folder, maxn)
        tracks_agree(folder, maxn)
        coco_and_mot_agree(folder)
        all_tell_what_is_incomplete(folder, complete=result.complete)


def points_agree(folder, maxn):
    points = tab(folder / f"{CAMPAIGN}_Points.txt")
    assert [row["PointIndex"] for row in points] == [str(number) for number in range(len(points))]
    assert all(row["Number"] == "1" for row in points)
    (period,) = tab(folder / f"{CAMPAIGN}_Period.txt")
    for species, row in maxn.items():
        mine = [point for point in points if point["Comment"].startswith(f"{species}, score ")]
        assert len(mine) == int(row["maxn"] or 0)
        for point in mine:
            assert row["maxn_file"].endswith(f"/{point['Filename']}")
            assert point["Frame"] == row["maxn_frame"]
            assert float(point["PeriodTime"]) * 60 == pytest.approx(float(row["maxn_seconds"]), abs=1e-3)
            since = float(point["Time"]) - float(period["TimeStart"])
            assert since == pytest.approx(float(point["PeriodTime"]), abs=2e-5)
            assert (point["Genus"], point["Species"]) == (taxon(species).genus, taxon(species).species)


def counts_agree(folder, maxn):
    counts = [row["count"] for row in comma(folder / f"{CAMPAIGN}_Count.csv")]
    assert counts == [row["maxn"] for row in maxn.values()]
    occurrences = {row["verbatimIdentification"]: row for row in comma(folder / "occurrence.csv")}
    assert {one: row["individualCount"] for one, row in occurrences.items()} == {
        one: row["maxn"] for one, row in maxn.items() if row["maxn"]
    }
    for row in occurrences.values():
        assert row["occurrenceStatus"] == ("absent" if row["individualCount"] == "0" else "present")
    assert len({row["occurrenceID"] for row in occurrences.values()}) == len(occurrences)


def minutes_agree(folder, maxn):
    minutes = comma(folder / "maxn_per_minute.csv")
    for species, row in maxn.items():
        mine = [int(one["maxn"]) for one in minutes if one["species"] == species and one["maxn"]]
        assert (str(max(mine)) if mine else "") == row["maxn"]


def tracks_agree(folder, maxn):
    tracks = comma(folder / "tracks.csv")
    records = read_records(folder).tracked
    sightings = Counter(records.tracks[records.tracks > 0].tolist())
    assert {int(row["track"]): int(row["sightings"]) for row in tracks} == sightings
    confirmed = Counter(row["species"] for row in tracks if row["confirmed"] == "yes")
    assert {species: int(row["tracks"]) for species, row in maxn.items()} == {one: confirmed[one] for one in maxn}
    assert all(float(row["first_seconds"]) <= float(row["last_seconds"]) for row in tracks)
    counts = Counter({row["direction"]: 0 for row in comma(folder / "line_counts.csv")})
    for row in comma(folder / "line_counts.csv"):
        counts[row["direction"]] += int(row["crossings"])
    assert counts.total() == len(comma(folder / "crossings.csv"))


def coco_and_mot_agree(folder):
    records = read_records(folder)
    tracked, seen = records.tracked, records.tracked.observations
    coco = json.loads((folder / "coco.json").read_text(encoding="utf-8"))
    frames = comma(folder / "mot_frames.csv")
    where = [(records.files[chapter], int(frame)) for chapter, frame in zip(seen.samples.chapter, seen.samples.frame,
                                                                          strict=True)]  # fmt: skip
    assert [(one["video"], one["frame"]) for one in coco["images"]] == where
    assert [(row["file"], int(row["frame"])) for row in frames] == where
    boxes = np.array([one["bbox"] for one in coco["annotations"]]).reshape(-1, 4)
    np.testing.assert_allclose(np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]), seen.xyxy, atol=2e-3)
    assert [one["image_id"] - 1 for one in coco["annotations"]] == seen.sample.tolist()
    assert [NAMES[one["category_id"] - 1] for one in coco["annotations"]] == [seen.names[one] for one in seen.labels]
    assert [one["track_id"] for one in coco["annotations"]] == tracked.tracks.tolist()
    rows = [line.split(",") for line in (folder / "mot.txt").read_text().splitlines()]
    assert all(len(row) == 10 for row in rows)
    expected = [
        (one["image_id"], one["track_id"], one["bbox"][0] + 1) for one in coco["annotations"] if one["track_id"]
    ]
    assert [(int(row[0]), int(row[1]), pytest.approx(float(row[2]), abs=0.01)) for row in rows] == sorted(expected)


def all_tell_what_is_incomplete(folder, *, complete):
    for name in ("maxn.csv", "maxn_per_minute.csv", "tracks.csv", "line_counts.csv", "crossings.csv", "mot_frames.csv"):
        assert {row["complete"] for row in comma(folder / name)} <= {"yes" if complete else "no"}
    (metadata,) = comma(folder / f"{CAMPAIGN}_Metadata.csv")
    looked = any(row["maxn"] for row in comma(folder / "maxn.csv"))
    assert metadata["successful_count"] == ("Yes" if complete and looked else "No")
    (period,) = tab(folder / f"{CAMPAIGN}_Period.txt")
    assert period["HasEnd"] == ("1" if complete and looked else "0")
    assert (period["TimeEnd"] == "") == (period["HasEnd"] == "0")
    assert all(("footage incomplete" in row["Comment"]) != complete for row in tab(folder / f"{CAMPAIGN}_Points.txt"))
    assert all((row["occurrenceRemarks"] == "") == complete for row in comma(folder / "occurrence.csv"))
    assert json.loads((folder / "coco.json").read_text(encoding="utf-8"))["info"]["complete"] is complete


def test_a_fish_is_of_the_species_that_its_track_was_settled_on(tmp_path):
    """At the sample of MaxN it was taken for another."""
    mistaken = ((0.0, (Fish(1, 1, 0.9, 100),)), (1.0, (Fish(0, 1, 0.6, 100), Fish(1, 2, 0.9, 300))))
    result = deployment_result([(10.0, mistaken)], metadata=None)
    assert settle(result.records.tracked).observations.labels.tolist() == [1, 1, 1]
    written(result, tmp_path)
    points = tab(tmp_path / "unnamed_Points.txt")
    assert [(row["Genus"], row["Frame"]) for row in points] == [("Girella", "30"), ("Girella", "30")]
    assert [row["count"] for row in comma(tmp_path / "unnamed_Count.csv")] == ["0", "2", "0"]


@pytest.mark.parametrize(
    ("told", "complete", "expected"), [(None, True, "Yes"), (False, True, "No"), (True, False, "No")]
)
def test_a_count_is_successful_only_where_nobody_and_nothing_says_otherwise(tmp_path, told, complete, expected):
    about = METADATA.model_copy(update={"successful_count": told})
    written(deployment_result(metadata=about, complete=complete), tmp_path)
    (row,) = comma(tmp_path / f"{CAMPAIGN}_Metadata.csv")
    assert row["successful_count"] == expected


def test_a_period_without_a_sample_has_no_numbers_rather_than_zeros(tmp_path):
    about = METADATA.model_copy(update={"period_start": 900.0})
    written(deployment_result(metadata=about), tmp_path)
    assert [row["count"] for row in comma(tmp_path / f"{CAMPAIGN}_Count.csv")] == ["", "", ""]
    assert comma(tmp_path / "occurrence.csv") == []
    assert tab(tmp_path / f"{CAMPAIGN}_Points.txt") == []


@pytest.mark.parametrize(
    ("label", "names", "scientific", "number"),
    [
        ("fish", ("", "", ""), "Gnathostomata", "1828"),
        ("shark", ("", "", ""), "Gnathostomata", "1828"),
        ("jellyfish", ("", "", ""), "Animalia", "2"),
        ("Sparidae", ("Sparidae", "", ""), "Sparidae", ""),
        ("Snapper", ("", "", ""), "Animalia", "2"),
        ("Stingray", ("", "", ""), "Gnathostomata", "1828"),
        ("Girella tricuspidata", ("", "Girella", "tricuspidata"), "Girella tricuspidata", ""),
        ("Decapterus spp", ("", "Decapterus", "spp"), "Decapterus", ""),
        ("Carangidae sp.", ("Carangidae", "", "sp"), "Carangidae", ""),
        ("Sparidae Acanthopagrus australis", ("Sparidae", "Acanthopagrus", "australis"), "Acanthopagrus australis", ""),
    ],
)
def test_labels_are_read_as_names(label, names, scientific, number):
    found = taxon(label)
    assert (found.family, found.genus, found.species) == names
    assert found.scientific_name == scientific
    assert found.scientific_name_id == (f"urn:lsid:marinespecies.org:taxname:{number}" if number else "")
