"""Runs MongoDB for as long as anybody uses it: `python keeper.py HOME MONGOD ARGUMENTS...`, started by `database`.

Everybody who uses the database holds a shared lock on `USERS`. The kernel takes it from a process that ends, however
it ends; when nobody is left the keeper gets the lock alone, stops the database and ends too. While it lives, the
keeper holds `KEEPER` and the file `STATE` tells where the database listens.

Only the standard library is imported, so that it starts in milliseconds and takes little memory.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

USERS = "users.lock"
KEEPER = "keeper.lock"
STATE = "state.json"
LOG = "mongod.log"

_PATIENCE = 60.0
"""Seconds that the database may take to stop before it is ended by force."""
_DIE_WITH_PARENT = 1


def main(home: Path, command: list[str]) -> int:
    """Run the database; returns its exit code where it ended by itself, else 0."""
    with (home / KEEPER).open("w") as keeper, (home / USERS).open("w") as users:
        fcntl.flock(keeper, fcntl.LOCK_EX)
        with (home / LOG).open("wb") as log:
            database = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_end_with_the_keeper,  # noqa: PLW1509 - there is but one thread yet
            )
        port = _port(home / LOG, database)
        if port is None:
            return database.wait()
        state = home / STATE
        threading.Thread(target=_end_with_the_database, args=(database, state), daemon=True).start()
        _write(state, {"port": port, "process": database.pid})
        fcntl.flock(users, fcntl.LOCK_EX)
        state.unlink(missing_ok=True)
        _stop(database)
    return 0


def _end_with_the_keeper() -> None:
    """In the new process: have the database stopped where the keeper is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGTERM)


def _port(log: Path, database: subprocess.Popen[bytes]) -> int | None:
    """The port that the database listens on, as soon as it does; None where it ended instead."""
    while database.poll() is None:
        for line in log.read_bytes().splitlines():
            if b'"Waiting for connections"' in line:
                with contextlib.suppress(ValueError):  # a line that is not written to its end yet
                    return int(json.loads(line)["attr"]["port"])
        time.sleep(0.05)
    return None


def _end_with_the_database(database: subprocess.Popen[bytes], state: Path) -> None:
    code = database.wait()
    state.unlink(missing_ok=True)
    os._exit(code if code > 0 else 1)


def _write(state: Path, content: dict[str, int]) -> None:
    temporary = state.with_suffix(".new")
    temporary.write_text(json.dumps(content), encoding="utf-8")
    temporary.replace(state)


def _stop(database: subprocess.Popen[bytes]) -> None:
    database.terminate()
    try:
        database.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        database.kill()
        database.wait()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
