"""From drawn crops to a species artifact, and what its namer says: names, unknown fish, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from apps.species_scores import evaluate_species, macro_interval, report_json, report_tables
from data.errors import ConfigurationError, InputError
from data.frames import fit_frame, frames_input
from data.metrics import softmax
from data.species import known_probabilities, vote
from data.taxonomy import Taxon, Taxonomy
from deploy.runtime.artifact import Artifact
from deploy.runtime.spec import SpeciesSpec
from deploy.runtime.species import SpeciesNamer, decode_species
from deploy.species import calibrate, deploy_data, export_species
from models import zoo
from tests.training.drawn_crops import KINDS, TREE, draw_folder, drawn
from training.recipe import SpeciesRecipe
from training.tasks.species import SpeciesTask


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("data")
    draw_folder(place / "crops")
    return place


@pytest.fixture(scope="module")
def artifact(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    recipe = SpeciesRecipe.model_validate(TREE | {"data": {"folder": "crops", "left_out": ["Nigra"]}})
    task = SpeciesTask(recipe, folder)
    torch.manual_seed(0)
    network = task.network()
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for epoch in range(5):
        for batch in task.batches(epoch):
            optimizer.zero_grad()
            task.loss(network, batch, torch.device("cpu")).backward()
            optimizer.step()
    to = tmp_path_factory.mktemp("artifacts") / "species"
    return export_species(network.eval(), recipe, deploy_data(task), to, "onnxruntime", int8=False).artifact


def fish(name: str, count: int = 6) -> list[np.ndarray]:
    rng = np.random.default_rng(9)
    return [drawn(KINDS[name], rng) for _ in range(count)]


def test_drawn_fish_get_their_names(artifact: Artifact) -> None:
    namer = SpeciesNamer(artifact)
    assert namer.names == ("Rubra longa", "Viridis alta", "Azurea magna")
    assert namer.size_wh == (32, 32)
    for name in namer.names:
        scores = namer.score(fish(name))
        assert scores.shape == (6, 3)
        named = vote(scores, np.ones(6), namer.names, 0.0)
        assert named.name == name


def test_probabilities_add_up_to_being_known(artifact: Artifact) -> None:
    namer, spec = SpeciesNamer(artifact), artifact.spec
    crops = fish("Rubra longa")
    inputs = frames_input(np.stack([fit_frame(crop, spec.preprocessing) for crop in crops]), spec.preprocessing)
    logits, familiarity = namer.raw(inputs)
    known = 1 / (1 + np.exp(-(spec.known_scale * familiarity[:, 0] + spec.known_shift)))
    scores = namer.score(crops)
    np.testing.assert_allclose(known_probabilities(scores), known, atol=1e-5)
    np.testing.assert_allclose(np.exp(scores), softmax(logits, spec.temperature) * known[:, None], atol=1e-5)
    np.testing.assert_array_equal(namer.known(scores), known_probabilities(scores) >= spec.unknown_threshold)


def test_no_crop_has_no_score(artifact: Artifact) -> None:
    assert SpeciesNamer(artifact).score([]).shape == (0, 3)


@pytest.mark.parametrize("crop", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_what_is_no_crop_is_refused_by_its_number(artifact: Artifact, crop: np.ndarray) -> None:
    with pytest.raises(InputError, match="crop 1: is"):
        SpeciesNamer(artifact).score([fish("Rubra longa", 1)[0], crop])


def test_the_taxonomy_travels_with_the_model(artifact: Artifact) -> None:
    assert SpeciesNamer(artifact).taxonomy.of("Rubra longa") == Taxon(key="Rubra longa", genus="Rubra", species="longa")


def test_crops_are_cut_with_the_models_margin(artifact: Artifact) -> None:
    frame = np.zeros((100, 100, 3), np.uint8)
    (crop,) = SpeciesNamer(artifact).crops(frame, np.array([[40, 45, 60, 55]], np.float32))
    assert crop.shape == (24, 34, 3)


def test_scores_tell_known_and_unknown_species_apart(artifact: Artifact, folder: Path, tmp_path: Path) -> None:
    report = evaluate_species(artifact, folder / "crops", "test")
    assert report.accuracy.total == 12
    assert report.accuracy.share > 0.8
    assert [one.name for one in report.unknown] == ["Nigra"]
    tree = json.loads(json.dumps(report_json(report, artifact.of(SpeciesSpec)), allow_nan=False))
    assert tree["unknown_rejected"]["n"] == 4
    assert tree["classes"]["Rubra longa"]["fish"] == 2
    assert len(report_tables(report).renderables) == 3
    draw_folder(tmp_path / "other", fish=2)
    for path in sorted((tmp_path / "other").iterdir())[:3]:
        path.rename(path.with_name(f"X{path.name}"))
    with pytest.raises(InputError, match="holds none of the model's species"):
        evaluate_species(artifact, tmp_path / "other")


def test_an_unreadable_crop_is_told_and_the_rest_is_scored(artifact: Artifact, tmp_path: Path) -> None:
    draw_folder(tmp_path, fish=2)
    (tmp_path / "01_Rubra_longa" / "broken.png").write_bytes(b"nothing")
    report = evaluate_species(artifact, tmp_path)
    assert [one.name for one in report.problems] == ["01_Rubra_longa/broken.png"]
    assert report.accuracy.total == 12


def test_calibration_keeps_nearly_all_known_crops() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 4
    logits = (5 * np.eye(4)[labels] + rng.normal(0, 1, (400, 4))).astype(np.float32)
    familiarity = rng.normal(0, 1, (400, 1)).astype(np.float32)
    fitted = calibrate(logits, familiarity, familiarity - 4, labels)
    assert fitted.rejected == pytest.approx(0.05, abs=0.005)
    assert fitted.blind_rejected > 0.95
    assert fitted.known_scale > 0
    scores = decode_species(logits, familiarity, fitted.temperature, fitted.known_scale, fitted.known_shift)
    assert np.mean(known_probabilities(scores) < fitted.threshold) == pytest.approx(fitted.rejected)


def test_a_taxonomy_that_lacks_a_species_stops_the_export(folder: Path) -> None:
    task = SpeciesTask(SpeciesRecipe.model_validate(TREE), folder)
    with pytest.raises(InputError, match="disagrees with the model: 'Azurea magna' and 2 more"):
        deploy_data(task, Taxonomy(taxa=(Taxon(key="Nigra"),)))


def test_other_networks_are_refused(folder: Path, tmp_path: Path) -> None:
    recipe = SpeciesRecipe.model_validate(TREE)
    data = deploy_data(SpeciesTask(recipe, folder))
    with pytest.raises(ConfigurationError, match="names no fish"):
        export_species(zoo.build("vgg5"), recipe, data, tmp_path / "a", "onnxruntime", int8=False)
    other = zoo.build("crop-residual", classes=3, widths=[8, 8, 8, 8])
    with pytest.raises(InputError, match="holds 4 species, the run learnt 3"):
        export_species(other, recipe, data, tmp_path / "a", "onnxruntime", int8=False)


def test_the_interval_of_the_mean_recall_holds_it() -> None:
    rng = np.random.default_rng(1)
    labels, groups = np.arange(300) % 3, np.array([f"{i % 3}-{i // 10}" for i in range(300)])
    right = rng.random(300) < 0.8
    low, high = macro_interval(labels, right, groups)
    assert low < np.mean([right[labels == label].mean() for label in range(3)]) < high
    assert macro_interval(labels, np.ones(300, np.bool_), groups) == (1.0, 1.0)


def test_both_engines_agree_on_the_float_network(artifact: Artifact, folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    recipe = SpeciesRecipe.model_validate(TREE)
    task = SpeciesTask(recipe, folder)
    torch.manual_seed(0)
    data = deploy_data(task)
    export_species(task.network().eval(), recipe, data, tmp_path / "a", "openvino", int8=False)
    answers = [SpeciesNamer(Artifact.open(tmp_path / "a", name)).raw(data.held) for name in ("openvino", "onnxruntime")]
    np.testing.assert_allclose(answers[0][0], answers[1][0], atol=1e-3)
    np.testing.assert_allclose(answers[0][1], answers[1][1], atol=1e-3)
