"""The digit task on small folders of drawn digits, through to a run that learns them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from data.errors import ConfigurationError, InputError
from data.labels import NOT_A_DIGIT
from tests.training.drawn_digits import draw_digits
from training.checkpoint import save_weights
from training.recipe import DigitRecipe
from training.run import train
from training.tasks.digits import DigitTask

TREE = {
    "name": "tiny",
    "task": "digits",
    "network": {"name": "compact", "options": {"widths": [8, 12, 16, 24]}},
    "data": {"train": [{"folder": "drawn"}], "validation_share": 0.2, "not_a_digit": 0.2},
    "epochs": 3,
    "batch_size": 20,
    "workers": 0,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    draw_digits(folder / "drawn")
    return folder


def recipe(**changes: object) -> DigitRecipe:
    return DigitRecipe.model_validate(TREE | changes)


def test_nothing_is_both_learnt_and_held_out(root: Path) -> None:
    task = DigitTask(recipe(), root)
    assert len(task.train) + len(task.held) == 140
    learnt = {ink.tobytes() for ink in task.train.inks}
    assert not learnt & {ink.tobytes() for ink in task.held.inks}
    assert np.bincount(task.held.labels, minlength=10).min() > 0


def test_an_epoch_shows_every_example_once_and_the_next_in_another_order(root: Path) -> None:
    task = DigitTask(recipe(batch_size=16), root)
    first, second = task.plans(0), task.plans(1)
    shown = np.concatenate([plan.indices for plan in first])
    assert len(first) == task.steps == len(task.train) // 16
    assert len(np.unique(shown)) == len(shown)
    assert [plan.seed for plan in task.plans(0)] == [plan.seed for plan in first]
    assert not np.array_equal(shown, np.concatenate([plan.indices for plan in second]))


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_depend_on_the_epoch_alone_not_on_the_workers(root: Path, workers: int) -> None:
    batch = next(DigitTask(recipe(workers=workers), root).batches(4))
    again = next(DigitTask(recipe(), root).batches(4))
    assert torch.equal(batch.frames, again.frames)
    assert torch.equal(batch.labels, again.labels)
    assert batch.frames.shape == (20, 32, 32)


def test_the_asked_share_becomes_not_a_digit(root: Path) -> None:
    task = DigitTask(recipe(), root)
    labels = torch.cat([batch.labels for epoch in range(4) for batch in task.batches(epoch)])
    assert (labels == NOT_A_DIGIT).float().mean().item() == pytest.approx(0.2, abs=0.07)


def test_smoothing_enters_the_loss(root: Path) -> None:
    losses = []
    for smoothing in (0.0, 0.3):
        task = DigitTask(recipe(regularization={"label": {"smoothing": smoothing}}), root)
        torch.manual_seed(0)
        losses.append(task.loss(task.network().train(), next(task.batches(0)), torch.device("cpu")).item())
    assert losses[0] != losses[1]


def test_repeat_and_limit(root: Path) -> None:
    repeated = DigitTask(recipe(data={"train": [{"folder": "drawn", "repeat": 3}], "validation_share": 0.2}), root)
    assert len(repeated.train) == 3 * (140 - len(repeated.held))
    assert not {ink.tobytes() for ink in repeated.train.inks} & {ink.tobytes() for ink in repeated.held.inks}
    limited = DigitTask(recipe(data={"train": [{"folder": "drawn"}], "limit": 50}), root)
    assert len(limited.train) == 50


def test_a_limited_source_is_the_same_whatever_the_seed(root: Path) -> None:
    few = {"train": [{"folder": "drawn", "limit": 60}], "validation_share": 0.2}
    tasks = [DigitTask(recipe(data=few, seed=seed), root) for seed in (1, 2)]
    inks = [{ink.tobytes() for ink in (*task.train.inks, *task.held.inks)} for task in tasks]
    assert inks[0] == inks[1]
    assert len(tasks[0].train) + len(tasks[0].held) == 60


def test_a_policy_varies_the_cells_and_nothing_else(root: Path) -> None:
    plain, varied = (
        next(DigitTask(recipe(regularization={"input": {"policy": policy}}), root).batches(2))
        for policy in (None, "randaugment")
    )
    assert torch.equal(plain.labels, varied.labels)
    assert plain.frames.shape == varied.frames.shape
    assert not torch.equal(plain.frames, varied.frames)


def test_a_run_starts_from_another_runs_weights(root: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    first = DigitTask(recipe(), root).network()
    save_weights(first, weights)
    started = DigitTask(recipe(start_from=str(weights)), root).network()
    assert all(torch.equal(value, started.state_dict()[name]) for name, value in first.state_dict().items())
    weights.write_bytes(b"damaged")
    with pytest.raises(InputError, match="weights"):
        DigitTask(recipe(start_from=str(weights)), root).network()


def test_unknown_sources_and_empty_datasets_are_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no source 'z'"):
        DigitTask(recipe(data={"train": [{"folder": "drawn", "sources": ["z"]}]}), root)
    (tmp_path / "drawn" / "3").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "drawn" / "3" / "blank.png"), np.full((30, 30), 255, np.uint8))
    with pytest.raises(InputError):
        DigitTask(recipe(), tmp_path)


def test_a_recipe_becomes_a_run_folder_with_pictures(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHANKHA_DATA", str(root))
    path = tmp_path / "tiny.yaml"
    path.write_text(f"{TREE}".replace("'", '"').replace("True", "true"), encoding="utf-8")
    folder, evaluation = train(
        str(path), ["epochs=10", "optimizer.learning_rate=0.01", "augmentation.clean=1"], None, tmp_path / "run"
    )
    assert evaluation.metrics["plain_accuracy"] > 0.5
    assert {"confusion.png", "mistakes.png", "training-cells.png", "curves.png"} == {
        picture.name for picture in (folder / "pictures").iterdir()
    }
    resumed, again = train("ignored", [], folder, None)
    assert resumed == folder
    assert again == evaluation
