"""The history of edits: what stands, what is pending, and files that are damaged or refused."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from apps.curate.plugin import register
from apps.curate.plugin.history import Change, Edit, History, State, held
from apps.curate.plugin.person import person
from data.errors import FileAccessError, InputError
from data.provenance import Provenance
from tests.conftest import ROOT

WHEN = "2026-11-22T20:15:03Z"
SOURCE = State(name="3", by=Provenance(kind="source", name="drawn"))
PERSON = State(name="8", by=Provenance(kind="person", name="Asha Rao", when=WHEN), tags=("corrected",))
CHANGE = Change(item="train/3.png", sample="6b03", before=SOURCE, after=PERSON)


def edit(dataset: str = "a", *, undo: bool = False, who: str = "Asha Rao") -> Edit:
    return Edit(when=WHEN, who=who, what="correct", dataset=dataset, changes=(CHANGE,), undo=undo)


def test_a_line_tells_what_from_to_who_and_when(tmp_path):
    with held(tmp_path, "reef") as history:
        history.add(edit())
    (line,) = (tmp_path / "history/reef.jsonl").read_text(encoding="utf-8").splitlines()
    told = json.loads(line)
    assert (told["what"], told["who"], told["when"]) == ("correct", "Asha Rao", WHEN)
    assert (told["changes"][0]["from"]["name"], told["changes"][0]["to"]["name"]) == ("3", "8")
    assert History(tmp_path, "reef").edits == (edit(),)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans()), max_size=12))
def test_the_last_edit_that_nobody_took_back_stands(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("history")
    standing: dict[str, list[str]] = {"a": [], "b": []}
    with held(folder, "reef") as history:
        for number, (dataset, undo) in enumerate(steps):
            last = history.last(dataset)
            assert (last.who if last else None) == (standing[dataset][-1] if standing[dataset] else None)
            if undo and last:
                history.add(edit(dataset, undo=True))
                standing[dataset].pop()
            elif not undo:
                history.add(edit(dataset, who=str(number)))
                standing[dataset].append(str(number))


def test_what_was_not_carried_out_is_pending(tmp_path):
    with held(tmp_path, "reef") as history:
        history.add(edit("a"))
        history.settle()
        history.add(edit("b"))
        history.add(edit("a"))
    assert [one.dataset for one in History(tmp_path, "reef").pending()] == ["b", "a"]
    with held(tmp_path, "reef") as history:
        history.settle()
        assert history.pending() == ()


@pytest.mark.parametrize("content", ["x\n", b"\xff"])
def test_a_damaged_mark_is_named(tmp_path, content):
    with held(tmp_path, "reef") as history:
        history.add(edit())
    mark = tmp_path / "history/reef.done"
    mark.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(FileAccessError, match=r"reef\.done: cannot be read"):
        History(tmp_path, "reef").pending()


def test_a_damaged_line_is_named(tmp_path):
    (tmp_path / "history").mkdir()
    (tmp_path / "history/reef.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match=r"reef\.jsonl: line 1 is damaged"):
        History(tmp_path, "reef")


def test_names_of_datasets_stay_apart_and_inside_the_folder(tmp_path):
    names = ["reef", "reef frames", "reef/frames", "../reef", "রিফ", "reef%20frames"]
    paths = {History(tmp_path, name).path for name in names}
    assert len(paths) == len(names)
    assert {path.parent for path in paths} == {tmp_path / "history"}


def test_only_one_edits_at_a_time(tmp_path):
    order = []

    def other() -> None:
        with held(tmp_path, "reef"):
            order.append("other")

    with held(tmp_path, "reef"):
        thread = threading.Thread(target=other)
        thread.start()
        time.sleep(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "other"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "history").write_text("no folder")
    with pytest.raises(FileAccessError, match="cannot be written"), held(tmp_path, "reef"):
        pass


def test_the_person_is_remembered_where_the_file_is_whole(tmp_path):
    assert person(tmp_path) is None
    (tmp_path / "person.txt").write_bytes(b"\xff")
    with pytest.raises(FileAccessError, match=r"person\.txt: cannot be read"):
        person(tmp_path)


def test_the_plugin_lists_all_that_it_registers(fiftyone_module):
    registered: list[object] = []

    class Plugin:
        def register(self, operator: type) -> None:
            registered.append(operator())

    register(Plugin())
    told = yaml.safe_load(Path(ROOT / "apps/curate/plugin/fiftyone.yml").read_text())
    assert sorted(one.config.name for one in registered) == sorted([*told["operators"], *told["panels"]])
    assert told["name"] == "@shankha/curate"
