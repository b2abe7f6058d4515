from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from data.errors import ConfigurationError
from deploy.export import export_run
from deploy.runtime.artifact import Artifact
from deploy.runtime.counter import DenseCounter
from deploy.runtime.engines import load
from deploy.runtime.spec import DetectionSpec
from models.counting_loss import LOSSES
from models.yolox import YoloxNano
from tests.training.sites import SMALL, fish_of_three_sites
from training.loop import Run
from training.recipe import CountingRecipe
from training.start import start_from, weights_file
from training.tasks.counting import CountingTask

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fish_of_three_sites(tmp_path_factory.mktemp("data"))


def recipe(**changes: object) -> CountingRecipe:
    return CountingRecipe.model_validate(SMALL | {"task": "counting", "network": {"name": "density-nano"}} | changes)


@pytest.fixture(scope="module")
def task(root: Path) -> CountingTask:
    return CountingTask(recipe(), root)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("network", ["density-nano", "count-nano"])
def test_every_network_learns_by_every_loss(root: Path, loss: str, network: str) -> None:
    task = CountingTask(recipe(loss=loss, network={"name": network}), root)
    batch = next(task.batches(0))
    learner = task.network()
    value = task.loss(learner, batch, CPU)
    value.backward()
    assert value.dtype == torch.float32
    assert torch.isfinite(value)
    assert any(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in learner.parameters())


def test_points_are_the_middles_of_the_scenes_boxes(task: CountingTask, monkeypatch: pytest.MonkeyPatch) -> None:
    caught = {}

    def spy(rates: torch.Tensor, points: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        caught.update(rates=rates, points=points, image=image)
        return rates.sum()

    monkeypatch.setattr("training.tasks.counting.LOSSES", {task.loss_name: spy})
    batch = next(task.batches(0))
    task.loss(task.network(), batch, CPU)
    assert caught["rates"].shape == (8, 12, 16)
    boxes = batch.targets.xyxy
    torch.testing.assert_close(caught["points"], (boxes[:, :2] + boxes[:, 2:]) / 2 / 8)
    assert torch.equal(caught["image"], batch.targets.image)


def test_a_perfect_map_has_no_error(task: CountingTask, monkeypatch: pytest.MonkeyPatch) -> None:
    def perfect(_network: object, pictures: object, _device: object) -> list[np.ndarray]:
        maps = []
        for index in range(len(pictures)):
            cells = np.zeros((12, 16), np.float32)
            cells[6, 8] = len(pictures.xyxy[index])
            maps.append(cells)
        return maps

    monkeypatch.setattr(task, "maps", perfect)
    evaluation = task.evaluate(task.network(), CPU)
    assert evaluation.score == 0
    assert evaluation.metrics["bias"] == 0
    assert {"mae_0", "mae_1", "mae_2-4"} <= set(evaluation.metrics)


def test_a_run_becomes_an_artifact(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHANKHA_DATA", str(root))
    plan = recipe()
    Run(CountingTask(plan, root), plan, tmp_path / "run").fit()
    assert {path.name for path in (tmp_path / "run/pictures").iterdir()} >= {"training-scenes.png", "held-out.png"}
    made = export_run(tmp_path / "run", tmp_path / "art", int8=False)
    (seen,) = DenseCounter(made.artifact).count([np.full((72, 128, 3), 40, np.uint8)])
    assert np.isfinite(seen.count)
    assert made.artifact.spec.grid_wh == (16, 12)


def test_counting_needs_a_counter_and_whole_labels(root: Path) -> None:
    with pytest.raises(ConfigurationError, match="counts nothing"):
        CountingTask(recipe(network={"name": "yolox-nano"}), root).network()
    (root / "fish" / "data.yaml").write_text("names: [fish]\ntrain: images/train\nexhaustive: false\n")
    try:
        with pytest.raises(ConfigurationError, match="every fish is labelled"):
            CountingTask(recipe(), root)
    finally:
        (root / "fish" / "data.yaml").unlink()


def test_a_persons_points_are_enough(tmp_path: Path) -> None:
    rows = ["picture,x,y"]
    for site in ("7001", "7002", "7003"):
        for number in range(4):
            name = f"{site}_F1_f{number:06d}.png"
            (tmp_path / "clicks").mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / "clicks" / name), np.full((72, 128, 3), 30, np.uint8))
            rows += [f"{name},,"] + [f"{name},{20 + 30 * at},36" for at in range(number)]
    (tmp_path / "clicks/points.csv").write_text("\n".join(rows))
    task = CountingTask(recipe(data={"train": [{"folder": "clicks"}], "validation_share": 0.3}), tmp_path)
    assert sum(len(boxes) for boxes in (*task.train.xyxy, *task.held.xyxy)) == 18
    assert torch.isfinite(task.loss(task.network(), next(task.batches(0)), CPU))


def test_a_picture_with_a_point_outside_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["picture,x,y"]
    for site in ("7001", "7002", "7003"):
        for number in range(2):
            cv2.imwrite(str(tmp_path / f"{site}_F1_f{number:06d}.png"), np.full((72, 128, 3), 30, np.uint8))
            rows.append(f"{site}_F1_f{number:06d}.png,{400 if (site, number) == ('7002', 0) else 40},36")
    (tmp_path / "points.csv").write_text("\n".join(rows))
    task = CountingTask(recipe(data={"train": [{"folder": "."}], "validation_share": 0.3}), tmp_path)
    used = {name.rpartition("/")[2] for name in (*task.train.ids.tolist(), *task.held.ids.tolist())}
    assert used == {row.split(",")[0] for row in rows[1:] if ",400," not in row}
    told = capsys.readouterr().err
    assert "points.csv:4: its point lies outside the picture of 128 x 72 pixels" in told
    assert ".: 1 picture: left out, since not all fish in it are labelled" in told


def test_coco_weights_start_a_counter(root: Path, shankha_data: Path) -> None:
    weights = shankha_data.parent / "weights/yolox_nano_coco.onnx"
    if not weights.is_file():
        pytest.skip(f"{weights} is missing: the COCO weights of YOLOX-Nano")
    plain, started = (CountingTask(recipe(start_from=start), root).network() for start in (None, str(weights)))
    name = "neck.down8.merge.0.weight"
    assert not torch.equal(started.state_dict()[name], plain.state_dict()[name])
    assert started(torch.rand(1, 3, 96, 128) * 255).isfinite().all()


@pytest.mark.parametrize("kind", ["density-nano", "count-nano"])
def test_the_shipped_detector_starts_a_counter(root: Path, kind: str) -> None:
    shipped = weights_file(root, "fish-int8")
    detector = YoloxNano().eval()
    start_from(detector, shipped, torch.rand(4, 3, 64, 96) * 255)
    session = load("onnxruntime", shipped.read_bytes(), shipped)
    size_wh = Artifact.open(shipped.parent).of(DetectionSpec).spec.preprocessing.size_wh
    frames = torch.rand(1, 3, size_wh[1], size_wh[0], generator=torch.Generator().manual_seed(1)) * 255
    with torch.no_grad():
        for own, theirs in zip(detector(frames), session.run(frames.numpy()), strict=True):
            np.testing.assert_allclose(own.numpy(), theirs, atol=0.05)
        started = CountingTask(recipe(start_from="fish-int8", network={"name": kind}), root).network().eval()
        for own, theirs in zip(started.backbone(frames), detector.backbone(frames), strict=True):
            np.testing.assert_allclose(own.numpy(), theirs.numpy(), atol=0.05)
