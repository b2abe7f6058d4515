from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from data.errors import ArgumentError, ConfigurationError, FileAccessError
from models import zoo
from training.recipe import load_recipe, recipe_text
from training.regularization_spec import Regularization
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
    # How many species there are is in the data.
    classes = {"classes": 3} if recipe.task == "species" else {}
    zoo.build(recipe.network.name, **recipe.network.options, **classes)
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
        ("regularization.input.policy=autoaugment", "regularization.input.policy"),
        ("regularization.internal.drop_block_size=2", "no middle pixel"),
        ("regularization.internal={manifold_mixup: 1, deep_supervision: 0.3}", "do not go together"),
        ("regularization.deep_supervision=0.3", "deep_supervision: unknown key"),
        ("epochs=0", "epochs"),
        ("schedule.warmup_epochs=3", "leaves none of 3 epochs"),
    ],
)
def test_faults_are_named(tmp_path: Path, change: str, expected: str) -> None:
    (tmp_path / "a.yaml").write_text(MINIMAL)
    with pytest.raises(ConfigurationError, match=r"a\.yaml") as caught:
        load_recipe(tmp_path / "a.yaml", [change])
    assert expected in str(caught.value)


def test_recipes_in_run_folders_of_the_first_version_are_still_read(tmp_path: Path) -> None:
    old = "regularization={input: {cutout: 0.1}, label_smoothing: 0.05, deep_supervision: 0.3}"
    (tmp_path / "a.yaml").write_text(MINIMAL)
    regularization = load_recipe(tmp_path / "a.yaml", [old]).regularization
    assert isinstance(regularization, Regularization)
    assert (regularization.input.cutout, regularization.label.smoothing) == (0.1, 0.05)
    assert regularization.internal.deep_supervision == 0
    (tmp_path / "b.yaml").write_text(MINIMAL.replace("digits", "detection").replace("vgg5", "yolox-nano"))
    dense = load_recipe(tmp_path / "b.yaml", ["regularization={cutout: 0.2, cutout_area: [0.1, 0.3]}"]).regularization
    assert (dense.input.cutout, dense.input.cutout_area) == (0.2, (0.1, 0.3))


@pytest.mark.parametrize(
    "key", ["input.mixup", "internal.manifold_mixup", "internal.deep_supervision", "label.smoothing"]
)
def test_what_a_detector_has_no_use_for_is_unknown_to_its_recipe(tmp_path: Path, key: str) -> None:
    (tmp_path / "b.yaml").write_text(MINIMAL.replace("digits", "detection"))
    with pytest.raises(ConfigurationError, match="unknown key"):
        load_recipe(tmp_path / "b.yaml", [f"regularization.{key}=0.1"])


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
