"""`shankha fish review`: settle the names of fish in the browser."""

from __future__ import annotations

import contextlib
import socket
import webbrowser
from pathlib import Path
from typing import Annotated, Final

import typer
import uvicorn

from apps.fish.decisions import History
from apps.fish.review.queue import Queue, read_queue
from apps.fish.review.server import HOST, review_app
from data.errors import ArgumentError
from data.words import several

_PORT: Final = 8765
_WAITING: Final = 64


def review(
    results: Annotated[
        Path, typer.Argument(metavar="RESULTS", help="Folder that a survey with --species has written.")
    ],
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port on this computer; 0 for any.")] = _PORT,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only tell the address.")] = False,
) -> None:
    """Settle the names of fish in the browser.

    Shows the pictures of each fish, doubtful ones first. A key settles: 1 to 9 a species, u an unknown fish, n not a
    fish, Enter what is proposed; z takes the last decision back. Every decision is added to RESULTS/review.jsonl at
    once. The same survey command, run again, counts by the settled names. Only this computer can reach the page;
    Ctrl-C ends it.

    Example: shankha fish review results/
    """
    history = History(results)
    queue = read_queue(results, history)
    with contextlib.closing(_listening(port)) as listener:
        address = f"http://{HOST}:{listener.getsockname()[1]}/"
        typer.echo(_begun(queue, address))
        if not no_browser:
            webbrowser.open(address)
        server = uvicorn.Server(uvicorn.Config(review_app(queue, history), log_level="warning", lifespan="off"))
        before = len(history.decisions)
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
    typer.echo(_ended(history, len(history.decisions) - before))


def _listening(port: int) -> socket.socket:
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(_WAITING)
    except OSError as error:
        listener.close()
        fault = f"{port} cannot be used ({error.strerror})"
        raise ArgumentError("--port", fault, cure="choose another, or 0 for any that is free") from error
    return listener


def _begun(queue: Queue, address: str) -> str:
    doubtful = sum(bool(one.doubts) for one in queue.fish)
    lines = [f"{len(queue.fish)} fish, {doubtful} of them doubtful. Open {address}; Ctrl-C ends the review."]
    if queue.unseen:
        lines.append(f"{queue.unseen} fish more have no picture and cannot be judged.")
    if queue.lost:
        lines.append(f"About fish that this survey does not see: {several(queue.lost, 'earlier decision')}, kept.")
    return "\n".join(lines)


def _ended(history: History, added: int) -> str:
    if not added:
        return "Nothing was decided."
    standing = sum(len(decisions) for decisions in history.settled().values())
    return (
        f"Added to {history.path}: {several(added, 'decision')}; fish settled in all: {standing}. "
        "Next: run the same survey command again, and the tables count by these names."
    )
