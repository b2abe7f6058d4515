from __future__ import annotations

import errno
import hashlib
import stat
from pathlib import Path

import pytest

from data.errors import FileAccessError
from data.files import sha256_of, whole_file, write_bytes, write_text


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "table.csv"
    with whole_file(target) as temporary:
        temporary.write_text("half")
        assert temporary.suffix == ".csv"
        assert not target.exists()
        temporary.write_text("whole")
    assert target.read_text() == "whole"
    assert names(target.parent) == {"table.csv"}
    assert stat.S_IMODE(target.stat().st_mode) == 0o644


def test_a_failure_keeps_what_was_there_before(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    write_text(target, "শঙ্খ")

    def fail() -> None:
        with whole_file(target) as temporary:
            temporary.write_text("half")
            raise KeyError("midway")

    with pytest.raises(KeyError):
        fail()
    assert target.read_text(encoding="utf-8") == "শঙ্খ"
    assert names(tmp_path) == {"table.csv"}


def test_bytes_and_their_hash(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    write_bytes(tmp_path / "a.bin", content)
    assert sha256_of(tmp_path / "a.bin") == hashlib.sha256(content).hexdigest()


def test_a_folder_in_the_way_is_an_access_error(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(FileAccessError, match="cannot be written") as caught:
        write_text(tmp_path / "taken", "x")
    assert caught.value.exit_code == 5
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileAccessError):
        write_text(tmp_path / "file" / "below.txt", "x")
    assert names(tmp_path) == {"taken", "file"}


def test_a_full_disk_is_an_access_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="No space left"), whole_file(tmp_path / "a.bin"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert names(tmp_path) == set()


def test_another_files_trouble_is_not_blamed_on_the_target(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="source"), whole_file(tmp_path / "copy.txt") as temporary:
        temporary.write_text((tmp_path / "source.txt").read_text())
    assert names(tmp_path) == set()
