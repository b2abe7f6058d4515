"""The real MongoDB: one for each folder, shared, and never left running."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from apps.curate import database, keeper
from apps.curate.deferring import deferred
from data.errors import FileAccessError, MissingDependencyError, ShankhaError

PATIENCE = 60.0
HOLD = "from apps.curate.database import notes; notes(); print('ready', flush=True); input()"
ONCE = "from apps.curate.database import notes; print(sorted(notes()))"

pymongo_errors = pytest.importorskip("pymongo.errors", reason="the extra curate is not installed")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A folder of curation; no database of it may outlive the test."""
    yield tmp_path / "curate"
    wait_for(lambda: not databases_of(tmp_path / "curate"))
    shutil.rmtree(tmp_path, ignore_errors=True)  # 300 MB


def databases_of(home: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if "--dbpath" in words and words[words.index("--dbpath") + 1] == str(home / database.DATABASE):
                found.append(process)
    return [one for one in found if "mongod" in one.name()]


def wait_for(holds: object) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.05)


def surroundings(home: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FIFTYONE_")}
    return {**kept, database.FOLDER_VARIABLE: str(home), **more}


@contextlib.contextmanager
def user_of(home: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that uses the database until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=surroundings(home),
        start_new_session=True,
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        if process.poll() is None:
            process.communicate("\n")


def asked(home: Path, code: str = ONCE, **more: str) -> subprocess.CompletedProcess[str]:
    """What a process says that uses the database once."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=surroundings(home, **more)
    )


def start_by_hand(home: Path) -> subprocess.Popen[bytes]:
    """A MongoDB on the folder that is none of ours."""
    folder = home / database.DATABASE
    folder.mkdir(parents=True, exist_ok=True)
    command = [str(database._mongod()), "--dbpath", str(folder), "--port", "0", "--nounixsocket"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout
    for line in process.stdout:
        if b"Waiting for connections" in line:
            break
    return process


def test_processes_share_the_database_of_a_folder_and_the_last_one_stops_it(home: Path) -> None:
    with user_of(home) as first:
        process = json.loads((home / "database" / keeper.STATE).read_text())["process"]
        with user_of(home):
            first.communicate("\n")
            assert asked(home).stdout == "[]\n"
            assert [one.pid for one in databases_of(home)] == [process]
    wait_for(lambda: not databases_of(home))
    assert not (home / "database" / keeper.STATE).exists()


def test_folders_have_databases_of_their_own(home: Path) -> None:
    with user_of(home / "a"), user_of(home / "b"):
        assert len(databases_of(home / "a")) == len(databases_of(home / "b")) == 1


def test_nothing_runs_after_a_process_ends(home: Path) -> None:
    assert asked(home).returncode == 0
    assert not databases_of(home)


def test_nothing_runs_after_a_process_is_killed(home: Path) -> None:
    with user_of(home) as process:
        process.kill()
    wait_for(lambda: not databases_of(home))
    assert asked(home).stdout == "[]\n"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems leave the database to the next start")
def test_the_database_goes_with_its_keeper(home: Path) -> None:
    with user_of(home):
        (running,) = databases_of(home)
        running.parent().kill()
        wait_for(lambda: not databases_of(home))
        assert asked(home).stdout == "[]\n"  # the state that was left behind misleads nobody


def test_a_database_that_somebody_else_runs_is_told_with_its_process(home: Path) -> None:
    process = start_by_hand(home)
    try:
        done = asked(home)
        assert done.returncode
        told = done.stderr.splitlines()[-1]
        assert f"another MongoDB uses this database (process {process.pid})" in told
        assert database.URI_VARIABLE in told
    finally:
        process.terminate()
        process.communicate()
    assert asked(home).stdout == "[]\n"


def test_a_database_of_another_version_is_told(home: Path) -> None:
    # As MongoDB 7 leaves it. The database guards the document against every plainer way of writing it.
    write_version = (
        "from apps.curate.database import notes, _client; notes()\n"
        "with _client() as client:\n"
        "    client.admin.other.insert_one({'_id': 'featureCompatibilityVersion', 'version': '7.0'})\n"
        "    names = {'renameCollection': 'admin.other', 'to': 'admin.system.version', 'dropTarget': True}\n"
        "    client.admin.command('applyOps', [{'op': 'c', 'ns': 'admin.$cmd', 'o': names}])"
    )
    done = asked(home, write_version)
    assert done.returncode == 0, done.stderr
    done = asked(home)
    assert "written by another version of MongoDB" in done.stderr.splitlines()[-1]


def test_damaged_files_are_told_with_what_the_database_said(home: Path) -> None:
    assert asked(home).returncode == 0
    (home / "database" / "WiredTiger.turtle").write_text("nonsense")
    told = asked(home).stderr.splitlines()[-1]
    assert "its database ended with code" in told
    assert "turtle file read error" in told
    assert str(home / "database" / keeper.LOG) in told


def test_a_database_of_the_user_is_used_and_none_started(home: Path) -> None:
    with user_of(home / "theirs"):
        port = json.loads((home / "theirs/database" / keeper.STATE).read_text())["port"]
        done = asked(home / "ours", FIFTYONE_DATABASE_URI=f"mongodb://127.0.0.1:{port}")
        assert done.stdout == "[]\n"
        assert not (home / "ours").exists()


def test_an_address_where_nothing_answers_is_told_without_its_password(home: Path) -> None:
    done = asked(home, FIFTYONE_DATABASE_URI="mongodb://me:secret@127.0.0.1:9")
    told = done.stderr.splitlines()[-1]
    assert "FIFTYONE_DATABASE_URI: no database answers at mongodb://...@127.0.0.1:9" in told
    assert "secret" not in done.stderr


def test_without_the_extra_it_says_how_to_install_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for ask in (database.notes, database._mongod):
        with pytest.raises(MissingDependencyError, match="uv sync --extra curate"):
            ask(home) if ask is database.notes else ask()


@pytest.mark.parametrize("there", [False, True])
def test_a_mongodb_that_is_missing_or_not_executable_is_told(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = ModuleSpec("fiftyone", None)
    spec.submodule_search_locations = [str(tmp_path)]
    if there:
        (tmp_path / "db/bin").mkdir(parents=True)
        (tmp_path / "db/bin/mongod").touch()
        monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(MissingDependencyError, match="chmod" if there else "FIFTYONE_DATABASE_URI"):
        database._mongod()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileAccessError, match="SHANKHA_CURATE"), database._started(tmp_path / "file"):
        pass


@pytest.mark.parametrize(("there", "least"), [(False, database.LEAST_FREE), (True, database.LEAST_LEFT)])
def test_a_full_disk_is_told_before_anything_is_started(
    there: bool, least: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "free")
    (tmp_path / "database").mkdir()
    if there:
        (tmp_path / "database/storage.bson").touch()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(least - 1))
    says = f"{(least >> 20) - 1} MB free; expected at least {least >> 20} MB"
    with pytest.raises(FileAccessError, match=says), database._started(tmp_path):
        pass
    assert not databases_of(tmp_path)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (lambda: pymongo_errors.BulkWriteError({"writeErrors": [{"errmsg": "no space", "op": {"a": 1}}]}), "no space"),
        (lambda: pymongo_errors.OperationFailure("x", 14031, {"errmsg": "disk space is low"}), "disk space is low"),
        (lambda: pymongo_errors.ServerSelectionTimeoutError("refused, Timeout: 5s, Topology"), r"\(refused\)"),
    ],
)
def test_what_the_database_said_is_told_without_documents(
    error: Callable[[], Exception], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "disconnect", lambda: None)
    with pytest.raises(FileAccessError, match=says) as told, database.translated(tmp_path):
        raise error()
    assert "'op'" not in str(told.value)


def test_errors_of_the_database_become_ours_and_others_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "disconnect", lambda: None)  # the other tests go on
    with pytest.raises(FileAccessError, match="the database failed"), database.translated(tmp_path):
        raise pymongo_errors.AutoReconnect("connection closed")
    with pytest.raises(KeyError), database.translated(tmp_path):
        raise KeyError("x")
    with pytest.raises(ShankhaError, match="b"), database.translated(tmp_path):
        raise ShankhaError("a", "b")


def test_fiftyone_keeps_all_that_it_keeps_in_the_folder(fiftyone_module: ModuleType, curate_home: Path) -> None:
    config = fiftyone_module.config
    assert config.do_not_track
    assert config.database_uri.startswith("mongodb://127.0.0.1:")
    for place in (config.database_dir, config.default_dataset_dir, config.model_zoo_dir, config.dataset_zoo_dir):
        assert Path(place).is_relative_to(curate_home)
    assert database.connect() is fiftyone_module


def test_a_process_keeps_to_one_folder(fiftyone_module: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot in"):
        database.connect(tmp_path)


def test_what_fiftyone_defers_is_there_when_it_is_used(fiftyone_module: ModuleType) -> None:
    plotting = importlib.import_module("fiftyone.core.plots.utils")
    assert plotting.skm.confusion_matrix is importlib.import_module("sklearn.metrics").confusion_matrix


def test_a_deferred_module_is_imported_once_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "heavy").mkdir()
    (tmp_path / "heavy/__init__.py").write_text("answer = 41")
    (tmp_path / "heavy/part.py").write_text("answer = 42")
    monkeypatch.syspath_prepend(str(tmp_path))
    with deferred(["heavy", "heavy.part"]):
        heavy, part = importlib.import_module("heavy"), importlib.import_module("heavy.part")
        with pytest.raises(AttributeError, match="deferred"):
            _ = part.answer
    assert "heavy" not in sys.modules
    assert (part.answer, heavy.answer) == (42, 41)
    assert sys.modules.pop("heavy.part").__file__ == str(tmp_path / "heavy/part.py")
    del sys.modules["heavy"]


def test_an_interrupt_in_the_terminal_does_not_reach_the_database(home: Path) -> None:
    with user_of(home) as first, user_of(home):
        running = databases_of(home)
        os.killpg(first.pid, signal.SIGINT)
        assert first.wait() != 0
        assert asked(home).stdout == "[]\n"
        assert databases_of(home) == running
