from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from data.errors import ArgumentError, ConfigurationError, FileAccessError
from models import zoo
from training.recipe import load_recipe, recipe_text
from training.run import RECIPES, recipe_at

SHIPPED = sorted(RECIPES.glob("*.yaml"))
MINIMAL = """
name: tiny
task: digits
network: {name: vgg5}
data: {train: [{folder: somewhere}]}
epochs: 3
"""


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_recipe_is_valid_and_its_network_exists(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    zoo.build(recipe.network.name, **recipe.network.options)
    assert recipe_at(path.stem) == path


def test_a_recipe_written_out_reads_back_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(MINIMAL)
    recipe = load_recipe(tmp_path / "a.yaml", ["optimizer.learning_rate=0.5", "network.options={dropout: 0.2}"])
    assert recipe.optimizer.learning_rate == 0.5
    assert recipe.network.options == {"dropout": 0.2}
    (tmp_path / "b.yaml").write_text(recipe_text(recipe))
    assert load_recipe(tmp_path / "b.yaml") == recipe


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("epoch=3", "epoch: unknown key"),
        ("augmentation.rotate=3", "augmentation.rotate: unknown key"),
        ("augmentation.rotation=300", "augmentation.rotation"),
        ("regularization.input.mixup=-1", "regularization.input.mixup"),
        ("epochs=0", "epochs"),
        ("schedule.warmup_epochs=3", "leaves none of 3 epochs"),
    ],
)
def test_faults_are_named(tmp_path: Path, change: str, expected: str) -> None:
    (tmp_path / "a.yaml").write_text(MINIMAL)
    with pytest.raises(ConfigurationError, match=r"a\.yaml") as caught:
        load_recipe(tmp_path / "a.yaml", [change])
    assert expected in str(caught.value)


@pytest.mark.parametrize("change", ["epochs", "=3", "name.first=4"])
def test_changes_must_be_key_and_value(tmp_path: Path, change: str) -> None:
    (tmp_path / "a.yaml").write_text(MINIMAL)
    with pytest.raises(ArgumentError):
        load_recipe(tmp_path / "a.yaml", [change])


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", yaml.safe_dump({"name": "x"}), "\x00"])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigurationError):
        load_recipe(tmp_path / "a.yaml")


def test_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError):
        load_recipe(tmp_path / "none.yaml")
    with pytest.raises(FileAccessError, match="digits"):
        recipe_at("nowhere")
