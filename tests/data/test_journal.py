"""Journals keep every whole line, and nothing of a broken one."""

from __future__ import annotations

import os

import pytest
from pydantic import BaseModel

from data.errors import FileAccessError, InputError
from data.journal import Journal


class Said(BaseModel):
    word: str


def journal(path) -> Journal[Said]:
    return Journal(path, Said, cure="mend the line")


def test_what_was_added_is_there_for_everybody(tmp_path):
    path = tmp_path / "words.jsonl"
    mine, other = journal(path), journal(path)
    mine.append(Said(word="মাছ"))
    assert other.entries == ()
    other.refresh()
    assert other.entries == mine.entries == (Said(word="মাছ"),)
    assert path.read_text(encoding="utf-8") == '{"word": "মাছ"}\n'


@pytest.mark.parametrize("cut", range(1, 16))
def test_a_line_broken_off_anywhere_is_passed_over_and_then_cut_off(tmp_path, cut):
    path = tmp_path / "words.jsonl"
    journal(path).append(Said(word="one"))
    journal(path).append(Said(word="two"))
    path.write_bytes(path.read_bytes()[:-cut])
    again = journal(path)
    assert again.entries == (Said(word="one"),)
    again.append(Said(word="three"))
    assert [one.word for one in journal(path).entries] == ["one", "three"]


def test_a_damaged_line_is_named(tmp_path):
    path = tmp_path / "words.jsonl"
    path.write_text('{"word": "one"}\n{"words": "two"}\n')
    with pytest.raises(InputError, match=r"words\.jsonl: line 2 is damaged .*Mend the line"):
        journal(path)


def test_a_full_disk_keeps_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "words.jsonl"
    mine = journal(path)
    mine.append(Said(word="one"))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileAccessError, match="No space left"):
        mine.append(Said(word="two"))
    monkeypatch.undo()
    assert mine.entries == journal(path).entries == (Said(word="one"),)
