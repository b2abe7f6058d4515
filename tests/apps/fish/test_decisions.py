"""The history of a review: nothing of it is ever lost, and the last decision of a fish counts."""

from __future__ import annotations

import errno
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.fish.decisions import NOT_A_FISH, OPEN, UNKNOWN_FISH, FishKey, History, answers_of
from apps.fish.naming import HISTORY, folder_name
from data.errors import FileAccessError, InputError
from tests.apps.fish.tables.results import FILES, deployment_result


def fish(number: int, opcode: str = "OP1") -> FishKey:
    return FishKey(opcode=opcode, file="OP1/GX010001.MP4", frame=number, xyxy=(1.5, 2.25, 30.01, 40.0))


ANSWERS = st.sampled_from(["Pagrus auratus", "Girella tricuspidata", UNKNOWN_FISH, NOT_A_FISH])
STEPS = st.lists(st.one_of(st.tuples(st.integers(0, 3), ANSWERS), st.just("undo"), st.just("restart")), max_size=12)


@settings(max_examples=30, deadline=None)
@given(STEPS)
def test_the_last_decision_that_stands_counts_whatever_was_taken_back(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("history")
    history, standing, lines = History(folder), [], []
    for step in steps:
        if step == "restart":
            history = History(folder)
        elif step == "undo":
            undone = history.undo()
            assert (undone is None) == (not standing)
            standing = standing[:-1]
        else:
            history.add(fish(step[0]), step[1])
            standing.append(step)
        now = (folder / HISTORY).read_bytes().splitlines() if (folder / HISTORY).exists() else []
        assert now[: len(lines)] == lines  # only ever added to
        lines = now
    expected = dict(standing)
    for history_now in (history, History(folder)):
        assert {number: history_now.answer(fish(number)) for number in range(4)} == {
            number: expected.get(number, OPEN) for number in range(4)
        }
        settled = history_now.settled().get("OP1", ())
        assert {one.fish.frame: one.after for one in settled} == expected


def test_a_line_tells_when_who_what_and_from_what_to_what(tmp_path, monkeypatch):
    monkeypatch.setenv("LOGNAME", "asha")
    history = History(tmp_path)
    history.add(fish(7), "Pagrus auratus")
    history.add(fish(7), UNKNOWN_FISH)
    lines = [json.loads(line) for line in (tmp_path / HISTORY).read_text().splitlines()]
    assert [(line["who"], line["from"], line["to"], line["undo"]) for line in lines] == [
        ("asha", "open", "Pagrus auratus", False),
        ("asha", "Pagrus auratus", "unknown", False),
    ]
    assert lines[0]["fish"] == fish(7).model_dump(mode="json")
    assert lines[0]["time"].endswith("Z")


@pytest.mark.parametrize("cut", [1, 20, 150])
def test_a_line_that_was_broken_off_is_passed_over_and_the_rest_stays(tmp_path, cut):
    history = History(tmp_path)
    for number in range(3):
        history.add(fish(number), UNKNOWN_FISH)
    whole = (tmp_path / HISTORY).read_bytes()
    (tmp_path / HISTORY).write_bytes(whole[:-cut])
    again = History(tmp_path)
    assert [one.fish.frame for one in again.decisions] == [0, 1]
    again.add(fish(9), NOT_A_FISH)
    assert [one.fish.frame for one in History(tmp_path).decisions] == [0, 1, 9]


def test_two_reviewers_see_each_other(tmp_path):
    one, other = History(tmp_path), History(tmp_path)
    one.add(fish(1), "Pagrus auratus")
    assert other.add(fish(1), UNKNOWN_FISH).before == "Pagrus auratus"
    assert one.undo().after == "Pagrus auratus"
    assert len(History(tmp_path).decisions) == 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: line[:40] + line[60:],
        lambda line: line.replace(b'"to"', b'"unto"'),
        lambda line: line.replace(b"unknown", b" "),
        lambda line: line.replace(b"1.5", b"NaN"),
        lambda line: b"\xff" + line,
        lambda line: b"",
    ],
)
def test_damage_is_told_with_its_line(tmp_path, damage):
    history = History(tmp_path)
    for number in range(3):
        history.add(fish(number), UNKNOWN_FISH)
    lines = (tmp_path / HISTORY).read_bytes().split(b"\n")
    lines[1] = damage(lines[1])
    (tmp_path / HISTORY).write_bytes(b"\n".join(lines))
    with pytest.raises(InputError, match=r"review\.jsonl: line 2 is damaged .*Mend the line"):
        History(tmp_path)


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    history = History(tmp_path)
    history.add(fish(1), UNKNOWN_FISH)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileAccessError, match="No space left"):
        history.add(fish(1), NOT_A_FISH)
    assert History(tmp_path).answer(fish(1)) == UNKNOWN_FISH


def test_a_history_of_other_deployments_is_refused(tmp_path):
    history = History(tmp_path)
    history.refuse_another_survey(["OP2"])
    history.add(fish(1), UNKNOWN_FISH)
    history.refuse_another_survey(["OP1", "OP2"])
    with pytest.raises(InputError, match=r"history of another survey \(of OP1\)"):
        history.refuse_another_survey(["OP2"])


def test_decisions_find_the_detection_that_was_shown(tmp_path):
    seen = deployment_result().records.tracked.observations
    history = History(tmp_path)
    for row in range(len(seen)):
        sample = int(seen.sample[row])
        box = tuple(round(float(side), 2) for side in seen.xyxy[row])
        chapter, frame = int(seen.samples.chapter[sample]), int(seen.samples.frame[sample])
        key = FishKey(opcode="BR-07", file=FILES[chapter], frame=frame, xyxy=box)
        history.add(key, f"Species {row}")
        history.add(key.model_copy(update={"frame": frame + 1}), NOT_A_FISH)
        history.add(key.model_copy(update={"file": "elsewhere.MP4"}), NOT_A_FISH)
        history.add(key.model_copy(update={"xyxy": (*box[:3], box[3] + 5)}), NOT_A_FISH)
    found = answers_of(seen, FILES, history.settled()["BR-07"])
    assert found == {row: f"Species {row}" for row in range(len(seen))}


def test_the_name_of_the_history_is_no_name_of_a_deployments_folder():
    assert folder_name(HISTORY) != HISTORY
