"""How long it takes, and how much memory, to open 50,000 digits in FiftyOne, and to open them again.

Alone: nice -n 5 python -m benchmarks.curate_opening
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import psutil

from benchmarks.sections import ROOT, Section
from data.readers import read_digits
from data.readers.npz import read_cmaterdb

PICTURES = 50_000
SIDE = 28
CORES = 2
LOOK_EVERY = 0.5
PATIENCE = 3600.0
DATA = Path(os.environ.get("SHANKHA_DATA", ROOT.parent / "shared" / "data"))


@dataclass
class Cost:
    """What a command and all that it started took: seconds, seconds of a core, and megabytes at the most.

    Memory is the sum over all processes, the database among them, with what they share counted once (PSS).
    """

    seconds: float = 0.0
    busy: float = 0.0
    megabytes: float = 0.0
    load: float = 0.0
    _busy_of: dict[int, float] = field(default_factory=dict)

    def look(self, home: Path) -> None:
        """Take a look at all processes that work in the folder of curation."""
        memory = 0
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("SHANKHA_CURATE") != str(home):
                    continue
                times = process.cpu_times()
                self._busy_of[process.pid] = times.user + times.system
                memory += process.memory_full_info().pss
        self.megabytes = max(self.megabytes, memory / 1e6)
        self.busy = sum(self._busy_of.values())

    def row(self, name: str) -> tuple[str, ...]:
        return name, f"{self.seconds:.1f}", f"{self.busy:.1f}", f"{self.megabytes:,.0f}", f"{self.load:.1f}"


@contextlib.contextmanager
def watched(home: Path) -> Iterator[Cost]:
    """The cost of what works in the folder during the block."""
    cost, over = Cost(), threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_EVERY):
            cost.look(home)

    watcher = threading.Thread(target=watch)
    started = time.perf_counter()
    watcher.start()
    try:
        yield cost
    finally:
        cost.seconds = time.perf_counter() - started
        over.set()
        watcher.join()
        cost.load = os.getloadavg()[0]


def digits(folder: Path) -> Path:
    """CMATERdb and NumtaDB as one source of `PICTURES` pictures, light ink on black."""
    numtadb = read_digits(DATA / "digits/numtadb")
    cmaterdb = [read_cmaterdb(DATA / "digits/cmaterdb", part, copies=True) for part in ("train", "test")]
    pixels = [numtadb.read(index) for index in range(len(numtadb))]
    for part in cmaterdb:
        grey = (255 - part.read(index).max(axis=2) for index in range(len(part)))
        pixels += [cv2.resize(one, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for one in grey]
    labels = np.concatenate([numtadb.labels, *(part.labels for part in cmaterdb)])
    source = np.concatenate(
        [np.char.replace(numtadb.sources, "numtadb-", ""), *(["m"] * len(part) for part in cmaterdb)]
    )
    folder.mkdir()
    np.savez(folder / "digits.npz", x=np.stack(pixels)[:PICTURES], y=labels[:PICTURES], source=source[:PICTURES])
    return folder


def command(source: Path, *more: str) -> list[str]:
    """`shankha curate open`, on two cores."""
    cores = sorted(os.sched_getaffinity(0))[:CORES]
    # Started in the background of a script, a process would ignore the interrupt that ends it.
    ready = f"import os, signal; os.sched_setaffinity(0, {cores}); signal.signal(2, signal.default_int_handler)"
    run = f"{ready}; from apps.main import main; main()"
    return [sys.executable, "-c", run, "curate", "open", str(source), "--model", "shipped", *more]


def open_first(source: Path, home: Path) -> Cost:
    """Open a source for the first time: pictures, predictions, embeddings, evaluation, all in the database."""
    with watched(home) as cost:
        subprocess.run(command(source, "--no-app"), check=True, stdout=subprocess.DEVNULL, env=surroundings(home))
    return cost


def open_again(source: Path, home: Path) -> Cost:
    """Open it again, until the App answers for the dataset."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with watched(home) as cost:
        process = subprocess.Popen(
            command(source, "--port", str(port)), stdout=subprocess.PIPE, text=True, env=surroundings(home)
        )
        assert process.stdout
        address = next(line.split()[1] for line in process.stdout if line.startswith("Open "))
        with urllib.request.urlopen(address, timeout=PATIENCE) as answer:  # noqa: S310
            answer.read()
        cost.look(home)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    return cost


def surroundings(home: Path) -> dict[str, str]:
    return {**os.environ, "SHANKHA_CURATE": str(home), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def opening(_runs: Path) -> Section:
    """Time and memory of opening, and of opening again."""
    with tempfile.TemporaryDirectory() as temporary:
        source, home = digits(Path(temporary) / "digits"), Path(temporary) / "curate"
        rows = [
            open_first(source, home).row("opened first, with predictions and embeddings"),
            open_again(source, home).row("opened again, until the App answers"),
        ]
    return Section.of(
        f"Opening {PICTURES:,} digits",
        f"`shankha curate open FOLDER --model shipped` on {CORES} cores: CMATERdb and NumtaDB in one archive. Memory "
        "is that of all processes together, the database included. The load is the average over the last minute: "
        f"above {CORES} others were at work, and the seconds are longer than on an idle machine.",
        ("", "seconds", "seconds of a core", "MB", "load"),
        rows,
    )


if __name__ == "__main__":
    sys.stdout.write(opening(Path()).markdown())
