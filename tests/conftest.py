"""Fixtures that every floor's tests share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says more about the machine than about the code.
settings.register_profile("shankha", deadline=None)
settings.load_profile("shankha")

# Started in the background of a script, a process ignores Ctrl-C, and so would the commands that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]


def data_folder() -> Path | None:
    """The folder of real data: SHANKHA_DATA, else ../shared/data beside the project; None where there is none."""
    folder = Path(os.environ.get("SHANKHA_DATA", ROOT.parent / "shared" / "data"))
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def shankha_data() -> Path:
    folder = data_folder()
    if folder is None:
        pytest.skip("no real data: set SHANKHA_DATA to a folder that holds digits/cmaterdb and digits/numtadb")
    return folder


@pytest.fixture(autouse=True)
def plain_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in a developer's own environment changes what the command line shows."""
    for name in ("SHANKHA_TRACEBACK", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "120")
