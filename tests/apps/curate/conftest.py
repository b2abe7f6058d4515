"""The real FiftyOne with the real MongoDB, in a folder of the test run's own."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from apps.curate import database


@pytest.fixture(scope="session")
def curate_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that curation keeps its things in during this run (of one worker, where there are several)."""
    home = tmp_path_factory.mktemp("curate")
    before = os.environ.get(database.FOLDER_VARIABLE)
    os.environ[database.FOLDER_VARIABLE] = str(home)
    yield home
    database.disconnect()
    shutil.rmtree(home, ignore_errors=True)
    if before is None:
        del os.environ[database.FOLDER_VARIABLE]
    else:
        os.environ[database.FOLDER_VARIABLE] = before


@pytest.fixture(scope="session")
def fiftyone_module(curate_home: Path) -> ModuleType:
    """FiftyOne, connected to a database that ends with the run."""
    if importlib.util.find_spec("fiftyone") is None:  # importing it would settle where its database is
        pytest.skip("the extra curate is not installed")
    return database.connect(curate_home)
