"""Reading the results of a survey: the same as the survey itself reads, and nothing in them is touched."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from apps.curate.sources.ledger import read_ledger, unfinished
from apps.curate.sources.review import UNKNOWN, decisions_of, settle
from apps.curate.sources.survey_files import read_surveyed
from apps.fish.counts import settle as settle_tracks
from apps.fish.decisions import NOT_A_FISH, UNKNOWN_FISH, FishKey, History
from apps.fish.ledger import Ledger
from apps.fish.report.stored import read_deployment
from apps.fish.tables.parquet import read_records
from data.errors import FileAccessError, InputError
from data.masks import mask_iou
from data.provenance import Provenance

OPCODE = "INVENTED-01"


def content(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def results(surveyed_once) -> Path:
    return surveyed_once / "results"


@pytest.fixture
def surveyed(results):
    found, problems = read_surveyed(results / OPCODE, read_ledger(results).marks)
    assert problems == ()
    return found


def test_what_was_seen_is_what_the_survey_says(results, surveyed):
    records = read_records(results / OPCODE)
    truth = settle_tracks(records.tracked)
    seen, expected = surveyed.seen, truth.observations
    assert len(seen) == len(expected) > 0
    np.testing.assert_array_equal(seen.chapter, expected.samples.chapter)
    np.testing.assert_array_equal(seen.frame, expected.samples.frame)
    np.testing.assert_array_equal(seen.file_seconds, expected.samples.file_seconds)
    np.testing.assert_array_equal(seen.sample, expected.sample)
    np.testing.assert_array_equal(seen.xyxy, expected.xyxy)
    np.testing.assert_array_equal(seen.scores, expected.scores)
    np.testing.assert_array_equal(seen.tracks, truth.tracks)
    assert [seen.names[label] for label in seen.labels] == [expected.names[label] for label in expected.labels]
    assert [list(seen.of_sample(at)) for at in range(len(seen.frame))] == [
        np.flatnonzero(expected.sample == at).tolist() for at in range(len(seen.frame))
    ]


def test_maxn_is_what_the_survey_counts(results, surveyed):
    counts = read_deployment(results / OPCODE).counts
    samples = read_records(results / OPCODE).tracked.observations.samples
    told = {one.species: one for one in surveyed.maxn}
    assert told.keys() == {one.species for one in counts.species}
    assert any(one.count for one in surveyed.maxn)
    for one in counts.species:
        assert told[one.species].count == one.max_n
        if one.max_n_at is not None:
            place = told[one.species].chapter, told[one.species].frame
            assert place == (samples.chapter[one.max_n_at.sample], samples.frame[one.max_n_at.sample])


def test_outlines_lie_on_their_boxes(surveyed):
    rows = [row for row in range(len(surveyed.seen)) if surveyed.mask(row) is not None]
    assert len(rows) == len(surveyed.outlined) > 0
    # The last one of the file, too, whose line ends otherwise.
    assert max(surveyed.outlined) == int(surveyed.seen.rows[rows[-1]])
    for row in rows:
        mask = surveyed.mask(row)
        left, top, right, bottom = surveyed.seen.xyxy[row]
        middle = (mask.xyxy[:2] + mask.xyxy[2:]) / 2
        assert left - 9 <= middle[0] <= right + 9 and top - 9 <= middle[1] <= bottom + 9  # noqa: PT018
        assert mask_iou(mask, mask) == 1


def test_reading_leaves_no_trace(survey_folder):
    results = survey_folder / "results"
    before = content(results)
    read_surveyed(results / OPCODE, read_ledger(results).marks)
    decisions_of(results)
    assert content(results) == before


def test_a_running_survey_is_told_and_a_killed_one_is_read(results, tmp_path):
    """The survey holds its ledger in a process of its own, which is then killed in mid-work."""
    shutil.copy(results / "ledger.sqlite", tmp_path)
    script = (
        "import sys, time; from pathlib import Path; from apps.fish.ledger import Ledger\n"
        "with Ledger(Path(sys.argv[1])) as ledger:\n"
        "    ledger.keep_deployment('LATER', 'key', {}); print('up', flush=True); time.sleep(120)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE) as survey:
        assert survey.stdout.readline() == b"up\n"
        with pytest.raises(FileAccessError, match="a survey is writing these results"):
            read_ledger(tmp_path)
        survey.kill()
    before = content(tmp_path)
    assert "ledger.sqlite-wal" in before
    assert read_ledger(tmp_path).whole == {OPCODE, "LATER"}
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: path.write_bytes(b"SQLite format 3\0" + bytes(4000)), "is damaged"),
        (lambda path: path.write_bytes(os.urandom(5000)), "is damaged"),
    ],
)
def test_a_damaged_ledger_is_told(spoil, says, tmp_path):
    spoil(tmp_path / "ledger.sqlite")
    with pytest.raises(InputError, match=says):
        read_ledger(tmp_path)


def test_a_ledger_of_another_version_is_told(tmp_path):
    with Ledger(tmp_path):
        pass
    with sqlite3.connect(tmp_path / "ledger.sqlite") as database:
        database.execute("PRAGMA user_version = 9")
    database.close()
    with pytest.raises(InputError, match="version 9; expected version 1"):
        read_ledger(tmp_path)
    assert read_ledger(tmp_path / "nowhere") is None


def test_an_unfinished_survey_is_told(survey_folder):
    results = survey_folder / "results"
    assert unfinished(results) == ()
    (results / "UNFINISHED.txt").write_text("go on", encoding="utf-8")
    assert "not finished" in unfinished(results)[0].why


SPOILT = {
    "deployment.json": (lambda path: path.write_text("{}", encoding="utf-8"), InputError, "is damaged"),
    "samples.parquet": (lambda path: path.write_bytes(b"PAR1"), InputError, "is no table of a survey"),
    "detections.parquet": (Path.unlink, FileAccessError, "cannot be read"),
    "tracks.csv": (
        lambda path: path.write_text("opcode,track,species\n", encoding="utf-8"),
        InputError,
        "lacks track 1",
    ),
    "maxn.csv": (
        lambda path: path.write_text("species,maxn,maxn_file,maxn_frame,maxn_seconds\na,1,b,2,3\n", encoding="utf-8"),
        InputError,
        "is damaged",
    ),
    "evidence.json": (lambda path: path.write_text("[1", encoding="utf-8"), InputError, "is damaged"),
    "species.json": (lambda path: path.write_text("{}", encoding="utf-8"), InputError, "is damaged"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_file_is_named(name, survey_folder):
    spoil, kind, says = SPOILT[name]
    folder = survey_folder / "results" / OPCODE
    spoil(folder / name)
    with pytest.raises(kind, match=says) as told:
        read_surveyed(folder, {})
    assert name in str(told.value)


def test_tables_of_another_deployment_are_refused(survey_folder):
    folder = survey_folder / "results" / OPCODE
    about = json.loads((folder / "deployment.json").read_bytes())
    (folder / "deployment.json").write_text(json.dumps(about | {"opcode": "OTHER"}), encoding="utf-8")
    with pytest.raises(InputError, match="is not of OTHER"):
        read_surveyed(folder, {})


def test_outlines_that_are_none_cost_nothing_else(survey_folder):
    path = survey_folder / "results" / OPCODE / "masks.json"
    whole, _ = read_surveyed(path.parent, {})
    lines = path.read_text(encoding="utf-8").split("\n")
    first = next(at for at, line in enumerate(lines) if '"segmentation"' in line)
    lines[first] = lines[first].replace('"id": ', '"id": 99')
    path.write_text("\n".join(lines), encoding="utf-8")
    found, problems = read_surveyed(path.parent, {})
    assert len(problems) == 1
    assert f"line {first + 1}" in problems[0].name
    assert found.outlined.keys() == whole.outlined.keys() - {min(whole.outlined)}


def fish_of(surveyed, row: int) -> FishKey:
    seen = surveyed.seen
    sample = int(seen.sample[row])
    file = surveyed.about.chapters[int(seen.chapter[sample])].label
    xyxy = tuple(round(float(side), 2) for side in seen.xyxy[row])
    return FishKey(opcode=surveyed.opcode, file=file, frame=int(seen.frame[sample]), xyxy=xyxy)


def test_names_that_people_gave_hold_for_the_track_and_tell_who(survey_folder, surveyed):
    results = survey_folder / "results"
    seen = surveyed.seen
    track = int(np.bincount(seen.tracks[seen.tracks > 0]).argmax())
    rows = np.flatnonzero(seen.tracks == track)
    decision = History(results).add(fish_of(surveyed, int(rows[0])), "Girella tricuspidata")
    decisions, problems = decisions_of(results)
    found = settle(surveyed, decisions)
    assert problems == ()
    assert {found.seen.names[label] for label in found.seen.labels[rows]} == {"Girella tricuspidata"}
    assert {found.by(int(row)) for row in rows} == {Provenance(kind="person", name=decision.who, when=decision.time)}
    others = np.flatnonzero(seen.tracks != track)
    np.testing.assert_array_equal(found.seen.labels[others], seen.labels[others])
    assert {found.by(int(row)).kind for row in others} == {"model"}
    assert found.by(int(others[0])).name == "species-int8"


def test_decisions_are_the_last_that_stand(survey_folder, surveyed):
    results = survey_folder / "results"
    history, fish = History(results), fish_of(surveyed, 0)
    history.add(fish, NOT_A_FISH)
    own = (
        surveyed.seen.tracks == surveyed.seen.tracks[0]
        if surveyed.seen.tracks[0]
        else np.arange(len(surveyed.seen)) == 0
    )
    assert len(settle(surveyed, decisions_of(results)[0]).seen) == len(surveyed.seen) - own.sum()
    history.add(fish, UNKNOWN_FISH)
    unknown = settle(surveyed, decisions_of(results)[0])
    assert unknown.seen.names[unknown.seen.labels[0]] == UNKNOWN
    history.undo()
    history.undo()
    assert decisions_of(results) == ((), ())


def test_decisions_about_what_was_not_seen_change_nothing(survey_folder, surveyed):
    results = survey_folder / "results"
    fish = fish_of(surveyed, 0)
    for strange in (
        fish.model_copy(update={"opcode": "OTHER"}),
        fish.model_copy(update={"file": "elsewhere.mp4"}),
        fish.model_copy(update={"xyxy": (0.0, 0.0, 1.0, 1.0)}),
    ):
        History(results).add(strange, "Girella tricuspidata")
    found = settle(surveyed, decisions_of(results)[0])
    np.testing.assert_array_equal(found.seen.labels, surveyed.seen.labels)


def test_a_damaged_history_is_a_problem(survey_folder):
    (survey_folder / "results" / "review.jsonl").write_text("{}\n", encoding="utf-8")
    decisions, problems = decisions_of(survey_folder / "results")
    assert decisions == ()
    assert "line 1 is damaged" in problems[0].why


def test_what_was_settled_as_no_fish_before_is_gone(surveyed):
    scores = surveyed.seen.scores.copy()
    scores[0] = 0
    spoilt = replace(surveyed, seen=replace(surveyed.seen, scores=scores))
    assert len(settle(spoilt, ()).seen) == len(surveyed.seen) - 1
