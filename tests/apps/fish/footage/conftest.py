"""Videos that the tests of footage share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.apps.fish.videos import ENCODINGS, write_video


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes the video of that name, once."""
    folder = tmp_path_factory.mktemp("videos")
    known = {encoding.name: encoding for encoding in ENCODINGS}

    def make(name: str) -> Path:
        path = folder / name
        return path if path.exists() else write_video(path, known[name])

    return make
