"""The loop: a killed run resumes to the same result, damage is refused, early stopping stops."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from data.errors import InputError
from tests.training.toy import STEPS, ImageTask, ToyTask, recipe
from training.loop import Run


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "weights.safetensors")


def test_a_run_leaves_what_a_person_and_a_program_need(tmp_path: Path) -> None:
    evaluation = Run(ToyTask(), recipe(), tmp_path).fit()
    assert evaluation.metrics["accuracy"] > 0.8
    report = json.loads((tmp_path / "metrics.json").read_text())
    assert [row["epoch"] for row in report["history"]] == [1, 2, 3, 4]
    assert report["validation"] == evaluation.metrics
    assert report["history"][report["selected_epoch"] - 1]["score"] == max(row["score"] for row in report["history"])
    for name in ("recipe.yaml", "checkpoint.safetensors", "pictures/curves.png", "pictures/seen.txt"):
        assert (tmp_path / name).stat().st_size > 0
    assert list((tmp_path / "events").iterdir())


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("stop_in_epoch", [0, 1, 3])
def test_a_run_that_was_interrupted_ends_as_one_that_was_not(
    tmp_path: Path, optimizer: str, stop_in_epoch: int
) -> None:
    plan = recipe(optimizer={"name": optimizer, "learning_rate": 0.01})
    Run(ToyTask(), plan, tmp_path / "whole").fit()
    with pytest.raises(KeyboardInterrupt):
        Run(ToyTask(stop_in_epoch=stop_in_epoch), plan, tmp_path / "stopped").fit()
    Run(ToyTask(), plan, tmp_path / "stopped").fit()
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.parametrize("stop_in_epoch", [1, 3])
def test_side_heads_and_hooks_resume_and_stay_out_of_the_weights(tmp_path: Path, stop_in_epoch: int) -> None:
    internal = {"dropout": 0.2, "max_dropout": 0.1, "deep_supervision": 0.5}
    plan = recipe(regularization={"internal": internal, "label": {"distillation": 0.5}})
    Run(ImageTask(), plan, tmp_path / "whole").fit()
    with pytest.raises(KeyboardInterrupt):
        Run(ImageTask(stop_in_epoch=stop_in_epoch), plan, tmp_path / "stopped").fit()
    resumed_run = Run(ImageTask(), plan, tmp_path / "stopped")
    resumed_run.fit()
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert whole.keys() == ImageTask().network().state_dict().keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    heads = list(resumed_run.internal.parameters())
    assert len(heads) == 2
    torch.manual_seed(plan.seed)
    fresh = Run(ImageTask(), plan, tmp_path / "fresh").internal
    assert not any(torch.equal(one, other) for one, other in zip(heads, fresh.parameters(), strict=True))


def test_a_task_is_told_where_its_run_stands(tmp_path: Path) -> None:
    task = ToyTask()
    moments = []
    loss = task.loss
    task.loss = lambda *given: moments.append(task.moment) or loss(*given)  # type: ignore[method-assign,func-returns-value]
    run = Run(task, recipe(), tmp_path)
    run.fit()
    assert [moment.done for moment in moments] == pytest.approx([step / (4 * STEPS) for step in range(4 * STEPS)])
    assert all(moment.teacher is run.average.network for moment in moments)
    assert not any(parameter.requires_grad for parameter in moments[0].teacher.parameters())


def test_a_run_goes_on_when_its_recipe_was_written_by_a_version_without_some_keys(tmp_path: Path) -> None:
    Run(ToyTask(), recipe(), tmp_path).fit()
    kept = tmp_path / "recipe.yaml"
    tree = yaml.safe_load(kept.read_text())
    del tree["regularization"]
    kept.write_text(yaml.safe_dump(tree))
    assert Run(ToyTask(), recipe(), tmp_path).progress.epochs_done == 4


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    Run(ToyTask(), recipe(), tmp_path).fit()
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    Run(ToyTask(spoil=True), recipe(), tmp_path).fit()
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


def test_another_seed_gives_another_network(tmp_path: Path) -> None:
    Run(ToyTask(), recipe(), tmp_path / "a").fit()
    Run(ToyTask(), recipe(seed=2), tmp_path / "b").fit()
    assert not torch.equal(weights(tmp_path / "a")["0.weight"], weights(tmp_path / "b")["0.weight"])


def test_early_stopping_waits_its_patience(tmp_path: Path) -> None:
    plan = recipe(epochs=60, early_stopping={"patience": 3})
    run = Run(ToyTask(), plan, tmp_path)
    run.fit()
    assert run.progress.epochs_done < 60
    assert run.progress.epochs_done - run.progress.best_epoch == 3


def test_the_rate_follows_the_schedule_over_the_whole_run(tmp_path: Path) -> None:
    run = Run(ToyTask(), recipe(schedule={"warmup_epochs": 1}), tmp_path)
    run.fit()
    rates = [row["learning_rate"] for row in run.progress.history]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.1 * rates[0]
    assert run.average.updates == 4 * STEPS


def test_a_run_of_another_recipe_is_not_overwritten(tmp_path: Path) -> None:
    Run(ToyTask(), recipe(), tmp_path).fit()
    with pytest.raises(InputError, match="another recipe"):
        Run(ToyTask(), recipe(seed=5), tmp_path)


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, damage: bytes | None) -> None:
    Run(ToyTask(), recipe(), tmp_path).fit()
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-40] if damage is None else damage)
    with pytest.raises(InputError, match="no checkpoint of this run"):
        Run(ToyTask(), recipe(), tmp_path)


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="loss became nan"):
        Run(ToyTask(spoil=True), recipe(), tmp_path).fit()


def test_bfloat16_learns_too(tmp_path: Path) -> None:
    assert Run(ToyTask(), recipe(precision="bfloat16"), tmp_path).fit().metrics["accuracy"] > 0.8
