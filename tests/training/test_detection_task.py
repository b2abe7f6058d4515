from __future__ import annotations

from pathlib import Path

import cv2
import pytest
import torch

from data.errors import ConfigurationError, FileAccessError, InputError
from tests.training.sites import SMALL, fish_of_three_sites
from training.checkpoint import save_weights
from training.internal import InternalRegularizer
from training.loop import Run
from training.recipe import DetectionRecipe
from training.start import start_from
from training.tasks.detection import DetectionTask
from training.tasks.scenes import SceneBatches

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fish_of_three_sites(tmp_path_factory.mktemp("data"))


def recipe(**changes: object) -> DetectionRecipe:
    own = {"task": "detection", "network": {"name": "yolox-nano"}, "optimizer": {"learning_rate": 0.002}}
    return DetectionRecipe.model_validate(SMALL | own | changes)


@pytest.fixture(scope="module")
def task(root: Path) -> DetectionTask:
    return DetectionTask(recipe(), root)


def test_no_site_is_on_both_sides(task: DetectionTask) -> None:
    learnt, unseen = set(task.train.sites.tolist()), set(task.held.sites.tolist())
    assert len(learnt) == 2
    assert len(unseen) == 1
    assert not learnt & unseen


def test_batches_are_the_same_when_asked_for_again_and_new_in_another_epoch(task: DetectionTask) -> None:
    first, again, later = (next(task.batches(epoch)) for epoch in (0, 0, 1))
    assert torch.equal(first.frames, again.frames)
    assert torch.equal(first.targets.xyxy, again.targets.xyxy)
    assert not torch.equal(first.frames, later.frames)


def test_boxes_lie_inside_their_scenes(task: DetectionTask) -> None:
    for batch in task.batches(0):
        assert tuple(batch.frames.shape[1:]) == (96, 128, 3)
        xyxy = batch.targets.xyxy
        assert (xyxy >= 0).all()
        assert (xyxy <= torch.tensor([128, 96, 128, 96])).all()
        assert (xyxy[:, 2:] > xyxy[:, :2]).all()
        assert set(batch.targets.image.tolist()) <= set(range(8))


def test_the_last_epochs_are_not_mixed(task: DetectionTask) -> None:
    assert [plan.mixed for plan in task.plans(0)] == [True] * task.steps
    assert [plan.mixed for plan in task.plans(1)] == [False] * task.steps


def test_whole_datasets_are_watched_beside_the_held_out_sites(root: Path) -> None:
    source = {"folder": "fish", "split": "train"}
    task = DetectionTask(recipe(data={"train": [source], "validate_on": [source], "validation_share": 0.3}), root)
    assert len(task.held) == 8 + 24
    assert len(task.train) == 16


def test_only_the_asked_number_of_pictures_is_drawn(root: Path) -> None:
    few = recipe(data={"train": [{"folder": "fish", "split": "train", "pictures": 8}], "validation_share": 0.3})
    task = DetectionTask(few, root)
    assert task.steps == 1
    assert sum(len(plan.indices) for plan in task.plans(0)) == 8


def test_cutout_erases_in_padding_grey(root: Path) -> None:
    task = DetectionTask(recipe(regularization={"input": {"cutout": 1.0}}), root)
    seen = []
    network = task.network().train()
    network.register_forward_pre_hook(lambda _layer, inputs: seen.append(inputs[0]))
    batch = SceneBatches(task.train, task.recipe, task.plans(0))[0]
    task.loss(network, batch, CPU)
    changed = (seen[0].permute(0, 2, 3, 1) != batch.frames.float()).any(dim=3)
    assert changed.any()
    assert (seen[0].permute(0, 2, 3, 1)[changed] == 114).all()


def test_a_policy_varies_the_pixels_and_leaves_the_boxes(root: Path) -> None:
    plain, varied = (
        DetectionTask(recipe(regularization={"input": {"policy": policy}}), root) for policy in (None, "trivialaugment")
    )
    one, other = (SceneBatches(task.train, task.recipe, task.plans(0))[0] for task in (plain, varied))
    assert one.frames.shape == other.frames.shape
    assert not torch.equal(one.frames, other.frames)
    assert torch.equal(one.targets.xyxy, other.targets.xyxy)


def test_internal_regularization_acts_on_a_detector_while_it_learns(root: Path) -> None:
    internal = {"dropout": 0.1, "spatial_dropout": 0.1, "drop_block": 0.1, "stochastic_depth": 0.2, "shake_shake": True}
    task = DetectionTask(recipe(regularization={"internal": internal}), root)
    torch.manual_seed(0)
    network = task.network().train()
    batch = SceneBatches(task.train, task.recipe, task.plans(0))[0]
    plain = task.loss(network, batch, CPU)
    with InternalRegularizer(network, task.recipe.regularization.internal, task.classes).acting():
        acted = task.loss(network, batch, CPU)
    assert torch.isfinite(acted)
    assert acted.item() != plain.item()
    acted.backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in network.parameters())


def test_a_run_learns_resumes_alike_and_draws_its_pictures(root: Path, tmp_path: Path) -> None:
    plan = recipe(epochs=6, plain_epochs=5)
    first = Run(DetectionTask(plan, root), plan, tmp_path / "one")
    evaluation = first.fit()
    history = first.progress.history
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]
    assert set(evaluation.metrics) == {"map50", "map50_95"}
    for name in ("curves.png", "training-scenes.png", "held-out.png"):
        assert cv2.imread(str(tmp_path / "one/pictures" / name)) is not None
    network = DetectionTask(plan, root).network()
    start_from(network, tmp_path / "one/weights.safetensors", torch.zeros(1, 3, 96, 128))
    again = DetectionTask(plan, root).evaluate(network.eval(), CPU)
    assert again.score == pytest.approx(evaluation.score)


def test_a_single_site_is_refused_as_nothing_could_be_validated(root: Path, tmp_path: Path) -> None:
    for part, ending in (("images", "jpg"), ("labels", "txt")):
        (tmp_path / "fish" / part / "train").mkdir(parents=True)
        for file in (root / "fish" / part / "train").glob(f"7001_*.{ending}"):
            (tmp_path / "fish" / part / "train" / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ConfigurationError, match="no site"):
        DetectionTask(recipe(), tmp_path)


def test_a_network_that_finds_no_boxes_is_refused(root: Path) -> None:
    task = DetectionTask(recipe(network={"name": "compact"}), root)
    with pytest.raises(ConfigurationError, match="finds no boxes"):
        task.network()


def test_starting_weights_must_exist_and_fit(task: DetectionTask, tmp_path: Path) -> None:
    network, image = task.network(), torch.zeros(1, 3, 96, 128)
    with pytest.raises(FileAccessError, match="missing"):
        start_from(network, tmp_path / "none.onnx", image)
    (tmp_path / "weights.pt").write_bytes(b"x")
    with pytest.raises(ConfigurationError, match="nothing that this network can start from"):
        start_from(network, tmp_path / "weights.pt", image)
    save_weights(torch.nn.Linear(2, 2), tmp_path / "weights.safetensors")
    with pytest.raises(InputError, match="does not fit"):
        start_from(network, tmp_path / "weights.safetensors", image)


def test_coco_weights_start_the_shipped_recipe(root: Path, shankha_data: Path) -> None:
    weights = shankha_data.parent / "weights/yolox_nano_coco.onnx"
    if not weights.is_file():
        pytest.skip(f"{weights} is missing: the COCO weights of YOLOX-Nano")
    started = DetectionTask(recipe(start_from=str(weights)), root).network()
    plain = DetectionTask(recipe(), root).network()
    stem = next(iter(started.state_dict()))
    assert not torch.equal(started.state_dict()[stem], plain.state_dict()[stem])
    assert all(torch.isfinite(value).all() for value in started.state_dict().values())
