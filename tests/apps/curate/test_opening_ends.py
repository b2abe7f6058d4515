"""`shankha curate open` in a process of its own: how it ends, what it leaves, and whom it talks to."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from apps.curate.app import POLICY
from tests.apps.curate.test_opening import digits

pytest.importorskip("pymongo", reason="the extra curate is not installed")

PATIENCE = 120.0
LIST = "from apps.curate.database import notes; print(sorted(notes()))"
STOPPED = """
import sys, time
from apps.curate import samples
add = samples.add_pictures
def half(dataset, collection, **more):
    add(dataset, collection.select(range(len(collection) // 2)), **more)
    print("half", flush=True)
    time.sleep({pause})
    add(dataset, collection.select(range(len(collection) // 2, len(collection))), **more)
samples.add_pictures = half
from apps.main import run
sys.exit(run(["curate", "open", {source!r}, "--no-app"]))
"""
LISTENING = """
import os, sys
log = open(os.environ["ADDRESSES"], "a", buffering=1)
def hear(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        log.write(repr(arguments[1] if event in ("socket.connect", "socket.sendto") else arguments[0]) + "\\n")
sys.addaudithook(hear)
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A folder of curation; nothing that works in it may outlive the test."""
    yield tmp_path / "curate"
    wait_for(lambda: not working_in(tmp_path / "curate"))
    shutil.rmtree(tmp_path, ignore_errors=True)


def surroundings(home: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FIFTYONE_")}
    return {**kept, "SHANKHA_CURATE": str(home), **more}


def working_in(home: Path) -> list[str]:
    """Command lines of processes that have the folder in their words or their surroundings."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get("SHANKHA_CURATE") == str(home):
                found.append(" ".join(process.cmdline()))
    return found


def wait_for(holds: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


def asked(home: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, check=False, env=surroundings(home)
    )


@contextlib.contextmanager
def half_opened(home: Path, source: Path, pause: float = PATIENCE) -> Iterator[subprocess.Popen[str]]:
    """A process that has half of the pictures in the database, and waits."""
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPED.format(source=str(source), pause=pause)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=surroundings(home),
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == "half\n", process.communicate()[1]
        yield process
    finally:
        process.kill()
        process.communicate()


def test_ctrl_c_in_the_middle_leaves_nothing(home: Path, tmp_path: Path) -> None:
    with half_opened(home, digits(tmp_path / "numtadb")) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
    assert working_in(home) == []
    assert asked(home, "-c", LIST).stdout == "[]\n"
    assert not (home / "media/numtadb").exists()


def test_after_a_kill_in_the_middle_the_next_one_makes_it_whole(home: Path, tmp_path: Path) -> None:
    source = digits(tmp_path / "numtadb")
    with half_opened(home, source) as process:
        process.kill()
    wait_for(lambda: not working_in(home))
    assert asked(home, "-c", LIST).stdout == "['numtadb (unfinished)']\n"
    done = asked(home, "-c", _run("open", str(source), "--no-app"))
    assert (done.returncode, done.stdout) == (0, "numtadb: 6 pictures\n")
    assert asked(home, "-c", LIST).stdout == "['numtadb']\n"


def test_a_database_that_dies_in_the_middle_is_told(home: Path, tmp_path: Path) -> None:
    with half_opened(home, digits(tmp_path / "numtadb"), pause=2.0) as process:
        psutil.Process(json.loads((home / "database/state.json").read_text())["process"]).kill()
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 5
    assert "the database failed" in err.splitlines()[-1]
    assert asked(home, "-c", LIST).stdout == "['numtadb (unfinished)']\n"


def test_the_app_serves_this_computer_alone_calls_nobody_and_ends_with_ctrl_c(home: Path, tmp_path: Path) -> None:
    source, addresses = digits(tmp_path / "numtadb"), tmp_path / "addresses"
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(LISTENING)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-c", _run("open", str(source), "--port", str(port))],
        stdout=subprocess.PIPE,
        text=True,
        env=surroundings(home, PYTHONPATH=str(tmp_path / "site"), ADDRESSES=str(addresses)),
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == "numtadb: 6 pictures\n"
        line = process.stdout.readline()
        assert line == f"Open http://127.0.0.1:{port}/datasets/numtadb in a browser; Ctrl-C ends the App.\n"
        with urllib.request.urlopen(line.split()[1]) as answer:  # noqa: S310
            assert b"<!DOCTYPE html>" in answer.read()
            assert answer.headers["content-security-policy"] == POLICY
        listening = [one.laddr.ip for one in psutil.net_connections() if one.laddr and one.laddr.port == port]
        assert set(listening) == {"127.0.0.1"}
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.communicate()
    assert working_in(home) == []
    called = set(addresses.read_text().splitlines())
    assert called
    assert all("127.0.0.1" in one or "localhost" in one for one in called), called


def _run(*arguments: str) -> str:
    return f"import sys; from apps.main import run; sys.exit(run({['curate', *arguments]!r}))"
