"""Results that the real commands made of the bundled footage and forms: small, and made once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from apps.main import run
from tests.conftest import ROOT

FOOTAGE = ROOT / "apps" / "fish" / "examples" / "demo"
FORMS = ROOT / "apps" / "digits" / "examples"


@pytest.fixture(scope="session")
def surveyed_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the disk, and the results of surveying it, with names and outlines."""
    folder = tmp_path_factory.mktemp("survey")
    shutil.copytree(FOOTAGE, folder / "disk")
    options = ["--every", "2s", "--species", "shipped", "--masks", "shipped", "--workers", "1"]
    assert run(["fish", "survey", str(folder / "disk"), "--out", str(folder / "results"), *options]) == 0
    return folder


@pytest.fixture
def survey_folder(surveyed_once: Path, tmp_path: Path) -> Path:
    """A copy of it to be spoilt; its results are in `results`, its footage in `disk`."""
    return Path(shutil.copytree(surveyed_once, tmp_path / "survey"))


@pytest.fixture(scope="session")
def scanned_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of scanning the bundled pages; one of them is of another form."""
    results = tmp_path_factory.mktemp("scan") / "results"
    command = ["digits", "scan", str(FORMS / "demo"), "--form", str(FORMS / "household.yaml"), "--out", str(results)]
    assert run([*command, "--digits", "bengali"]) == 0
    return results


@pytest.fixture
def scan_folder(scanned_once: Path, tmp_path: Path) -> Path:
    """A copy of them to be spoilt."""
    return Path(shutil.copytree(scanned_once, tmp_path / "scan"))
