"""FiftyOne's App: its server runs in a process of its own, on this machine alone, and ends with whoever started it.

FiftyOne's `launch_app` listens to the whole network where it finds itself in a container, and holds a session that the
command line has no use for: the App in the browser asks the server for all that it shows.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from apps.curate.database import FOLDER_VARIABLE, NOT_AT_ONCE, connect
from apps.curate.deferring import deferred
from apps.processes import interrupts_held
from data.errors import ArgumentError, FileAccessError, ShankhaError

ADDRESS: Final = "127.0.0.1"
FIRST_PORT: Final = 5151
"""FiftyOne's own."""
LOG: Final = "app.log"

POLICY: Final = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:"
"""What the pages of the App may load, as browsers are told: what the server itself gives."""

Message = dict[str, Any]
Sender = Callable[[Message], Awaitable[None]]
Answerer = Callable[[Message, Callable[[], Awaitable[Message]], Sender], Awaitable[None]]

_TRIED: Final = 50
_START_SECONDS: Final = 180.0
_STOP_SECONDS: Final = 10.0


class App:
    """The server of the App, starting or running at `port`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process, self.port, self.log = process, port, log

    def address_of(self, dataset: str) -> str:
        """Where a browser finds a dataset, by its name: the App knows no slugs of datasets."""
        return f"http://{ADDRESS}:{self.port}/datasets/{quote(dataset)}"

    def wait_until_ready(self) -> None:
        """Return as soon as it answers; raises ShankhaError where it ends, or takes too long."""
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise ShankhaError(self.log.parent, f"the App ended{_last_line(self.log)}", cure=f"read {self.log}")
            with contextlib.suppress(OSError), socket.create_connection((ADDRESS, self.port), timeout=1):
                return
            time.sleep(0.05)
        raise ShankhaError(self.log.parent, f"the App did not start in {_START_SECONDS:.0f} s", cure=f"read {self.log}")

    def wait(self) -> None:
        """Wait until it ends, which it does not by itself; raises ShankhaError then."""
        self.process.wait()
        raise ShankhaError(self.log.parent, f"the App ended{_last_line(self.log)}", cure=f"read {self.log}")


@contextlib.contextmanager
def started(folder: Path, port: int | None = None) -> Iterator[App]:
    """Start the App for the database of a folder, and end it with the block. It takes seconds: see `wait_until_ready`.

    Args:
        folder: As `database.connect` takes it.
        port: Where it listens; None takes the first free one from `FIRST_PORT` on.

    Raises:
        ArgumentError: The port is taken.
        FileAccessError: The folder cannot be written.
    """
    chosen = free_port(port)
    log = folder / LOG
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = log.open("wb")
    except OSError as error:
        cure = f"choose a folder that you may write to, in {FOLDER_VARIABLE}"
        raise FileAccessError(log, f"cannot be written ({error.strerror or error})", cure=cure) from error
    with stream, interrupts_held():
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", __name__, str(chosen)],
            stdin=subprocess.PIPE,
            stdout=stream,
            stderr=stream,
            env={**os.environ, FOLDER_VARIABLE: str(folder)},
            start_new_session=True,
        )
    try:
        yield App(process, chosen, log)
    finally:
        _stop(process)


def free_port(port: int | None) -> int:
    """The port asked for, or the first free one; raises ArgumentError where it, or all that are tried, are taken."""
    tried = range(FIRST_PORT, FIRST_PORT + _TRIED) if port is None else [port]
    for one in tried:
        if _is_free(one):
            return one
    what = f"{port} is taken" if port is not None else f"{tried[0]} to {tried[-1]} are taken"
    raise ArgumentError("--port", what, cure="choose another one, or end the program that listens there")


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((ADDRESS, port))
        except OSError:
            return False
    return True


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.stdin:
        process.stdin.close()  # which ends it, as the end of this process would
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last_line(log: Path) -> str:
    with contextlib.suppress(OSError):
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f" ({lines[-1]})" if lines else ""
    return ""


def _serve(port: int) -> None:
    """In the process of the server: serve until whoever started it ends or closes its end of the pipe."""
    os.environ["FIFTYONE_SERVER"] = "1"  # FiftyOne's server keeps no datasets in memory
    threading.Thread(target=_end_with_the_pipe, daemon=True).start()
    connect()
    with deferred(NOT_AT_ONCE):
        from fiftyone.server.app import app
        from fiftyone.server.main import start_server

    app.add_middleware(_AsksNobodyElse)
    start_server(port=port, address=ADDRESS)


class _AsksNobodyElse:
    """Has browsers refuse whatever the App's pages ask of anybody else, such as fonts and the counting of visitors."""

    def __init__(self, app: Answerer) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Sender) -> None:
        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                policy = (b"content-security-policy", POLICY.encode())
                message = {**message, "headers": [*message.get("headers", ()), policy]}
            await send(message)

        await self.app(scope, receive, answer)


def _end_with_the_pipe() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(0)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
