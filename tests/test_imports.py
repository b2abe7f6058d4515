"""Who imports whom: what the apps load, and that the linter of imports sees a trespass."""

from __future__ import annotations

import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import apps
import deploy.runtime
from tests.conftest import ROOT

OUTSIDE = {"torch", "torchvision", "ultralytics", "fiftyone", "albumentations", "matplotlib", "ray", "onnx"}
UPSTAIRS = {"models", "training"}
PLUGIN = "apps.curate.plugin"
FLOORS = ("apps", "data", "deploy", "models", "training")


def modules_of(package: object) -> list[str]:
    """The package and every module below it, but for those that FiftyOne loads into itself."""
    path, name = package.__path__, package.__name__
    below = (found.name for found in pkgutil.walk_packages(path, f"{name}."))
    return [name, *(module for module in below if not module.startswith(PLUGIN))]


def loaded_after(imports: list[str]) -> set[str]:
    """Top-level packages in a fresh interpreter after these imports."""
    lines = [*(f"import {name}" for name in imports), "import sys", "print(*sys.modules)"]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_the_walk_finds_the_modules() -> None:
    assert {"apps", "apps.main", "apps.digits.printing"} <= set(modules_of(apps))
    assert {"deploy.runtime", "deploy.runtime.digits"} <= set(modules_of(deploy.runtime))


@pytest.mark.parametrize("package", [apps, deploy.runtime], ids=lambda package: package.__name__)
def test_every_module_loads_without_torch_and_its_like(package: object) -> None:
    assert loaded_after(modules_of(package)).isdisjoint(OUTSIDE | UPSTAIRS)


def test_the_check_would_see_a_heavy_package() -> None:
    assert "models" in loaded_after(["apps", "models"])


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    linter = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([linter, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of the five packages' code, to break."""
    for floor in FLOORS:
        only_code = shutil.ignore_patterns("__pycache__", "weights", "fonts", "examples")
        shutil.copytree(ROOT / floor, tmp_path / floor, ignore=only_code)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_import_keeps_the_contracts(house: Path) -> None:
    done = lint(house)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("module", "trespass", "contract"),
    [
        ("data/labels.py", "import torch", "The data floor imports no other floor, and no torch"),
        ("data/labels.py", "import models", "Each floor imports only what lies below it"),
        ("deploy/runtime/spec.py", "import models", "The runtime imports nothing but the data floor"),
        ("apps/digits/printing.py", "import training", "The apps import the data floor and the runtime, never torch"),
        ("models/__init__.py", "import deploy.runtime", "Networks and training know nothing of what runs them"),
    ],
)
def test_a_trespass_is_caught(module: str, trespass: str, contract: str, house: Path) -> None:
    broken = house / module
    broken.write_text(f"{broken.read_text(encoding='utf-8')}\n{trespass}\n", encoding="utf-8")
    done = lint(house)
    assert done.returncode == 1
    assert f"{contract} BROKEN" in done.stdout
