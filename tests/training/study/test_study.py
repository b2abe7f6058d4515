"""Studies end to end on drawn digits: what is run, what is not run twice, and what is written."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from apps.main import run
from data.errors import ConfigurationError, FileAccessError, InputError
from data.synth.handwriting import Hand, write_digit
from training.loop import Run
from training.recipe import load_recipe
from training.run import RECIPES
from training.study.methods import BASELINE, METHODS, baseline_changes, methods_of
from training.study.plan import load_study
from training.study.report import study_rows, write_report
from training.study.running import Result, run_study

RECIPE = {
    "name": "tiny",
    "task": "digits",
    "network": {"name": "compact", "options": {"widths": [4, 8, 8, 12]}},
    "data": {"train": [{"folder": "drawn"}], "validation_share": 0.3},
    "regularization": {"input": {"cutout": 0.3}},
    "schedule": {"warmup_epochs": 0.5},
    "epochs": 1,
    "batch_size": 20,
    "workers": 0,
}
STUDY = {"name": "tiny", "recipe": "tiny.yaml", "seeds": [1, 2], "methods": ["cutout", "label-smoothing"]}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for value in range(10):
        (folder / "drawn" / str(value)).mkdir(parents=True)
        for number in range(4):
            image = write_digit(value, Hand.draw(rng), rng, height=40)
            cv2.imwrite(str(folder / "drawn" / str(value) / f"{number}.png"), image)
    return folder


@pytest.fixture(autouse=True)
def at_hand(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHANKHA_DATA", str(data))


def written(folder: Path, **changes: object) -> Path:
    (folder / "tiny.yaml").write_text(yaml.safe_dump(RECIPE))
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(STUDY | changes))
    return path


def test_trials_differ_by_method_and_seed_alone(tmp_path: Path) -> None:
    own = {"wide": {"regularization.input.cutout": 0.9}}
    study = load_study(written(tmp_path, own=own, changes={"epochs": 3}))
    assert [(trial.method, trial.recipe.seed) for trial in study.trials[:4]] == [
        (BASELINE, 1), ("cutout", 1), ("label-smoothing", 1), ("wide", 1)
    ]  # fmt: skip
    assert len(study.trials) == 8
    plain, cutout, smoothing, wide = (trial.recipe.regularization for trial in study.trials[:4])
    assert (plain.input.cutout, cutout.input.cutout, wide.input.cutout) == (0.0, 0.5, 0.9)
    assert (plain.label.smoothing, smoothing.label.smoothing) == (0.0, 0.1)
    assert {trial.recipe.epochs for trial in study.trials} == {3}
    same = {trial.recipe.model_copy(update={"regularization": None, "name": "", "seed": 0}).model_dump_json()
            for trial in study.trials}  # fmt: skip
    assert len(same) == 1


@pytest.mark.parametrize("shipped", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_method_fits_the_recipes_of_its_tasks(shipped: Path) -> None:
    task = load_recipe(shipped).task
    baseline = load_recipe(shipped, lines(baseline_changes(task)))
    for name in methods_of(task):
        assert load_recipe(shipped, lines(baseline_changes(task) | METHODS[name].changes)) != baseline


def lines(changes: dict[str, object]) -> list[str]:
    return [f"{key}={yaml.safe_dump(value).strip()}" for key, value in changes.items()]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"methods": ["cutuot"]}, "no method 'cutuot'"),
        ({"methods": ["copy-paste"]}, "'copy-paste' is nothing for digits"),
        ({"methods": ["cutout", "cutout"]}, "comes twice"),
        ({"seeds": []}, "seeds"),
        ({"seeds": [1]}, "seeds"),
        ({"seeds": [1, 1]}, "a seed comes twice"),
        ({"epochs": 3}, "epochs: unknown key"),
        ({"better": "more"}, "better"),
        ({"changes": {"regularization.input.cutuot": 1}}, "cutuot: unknown key"),
        ({"own": {"cutout": {}}}, "is the name of a method"),
        ({"own": {"longer": {"epochs": 9}}}, "same budget"),
        ({"own": {"odd": {"regularization.internal.drop_block_size": 4}}}, "with method 'odd'"),
    ],
)
def test_faults_of_a_study_are_named(tmp_path: Path, changes: dict[str, object], expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_study(written(tmp_path, **changes))
    assert expected in str(caught.value)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError):
        load_study(tmp_path / "none.yaml")
    with pytest.raises(FileAccessError, match=r"other\.yaml"):
        load_study(written(tmp_path, recipe="other.yaml"))


def test_an_interrupted_study_goes_on_and_ends_as_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = load_study(written(tmp_path, metric="cell_accuracy"))
    fit, fitted = Run.fit, []

    def counted(run: Run[object], shown: object = None) -> object:
        fitted.append(run.folder.parent.name)
        if len(fitted) == 3:
            raise KeyboardInterrupt
        return fit(run, shown)  # type: ignore[arg-type]

    monkeypatch.setattr(Run, "fit", counted)
    with pytest.raises(KeyboardInterrupt):
        run_study(study, tmp_path / "out")
    results = run_study(study, tmp_path / "out")
    assert fitted == [BASELINE, "cutout", "label-smoothing", "label-smoothing", BASELINE, "cutout", "label-smoothing"]
    again = run_study(study, tmp_path / "out")
    assert again == results
    assert len(fitted) == 7
    rows = write_report(study, results, tmp_path / "out")
    assert rows[0].method == BASELINE
    tree = json.loads((tmp_path / "out" / "study.json").read_text())
    assert {row["method"] for row in tree["rows"]} == {BASELINE, "cutout", "label-smoothing"}
    assert tree["results"][0]["metrics"].keys() >= {"score", "cell_accuracy"}
    assert (tmp_path / "out" / "study.png").read_bytes().startswith(b"\x89PNG")
    text = (tmp_path / "out" / "study.md").read_text()
    assert text.count("\n| ") == 5
    assert "Holm" in text


def test_a_failed_method_does_not_stop_the_others(tmp_path: Path) -> None:
    path = written(tmp_path, methods=["shake-shake", "dropout"])
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(RECIPE | {"network": {"name": "vgg5"}}))
    study = load_study(path)
    results = run_study(study, tmp_path / "out")
    assert [bool(result.problem) for result in results] == [False, True, False] * 2
    rows = study_rows(study, results)
    assert [row.method for row in rows] == [BASELINE, "dropout", "shake-shake"]
    assert "residual branches" in rows[-1].problem
    assert not (tmp_path / "out" / "shake-shake" / "seed-1" / "result.json").exists()


def test_results_of_another_study_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    study = load_study(written(tmp_path, methods=[]))
    run_study(study, tmp_path / "out")
    with pytest.raises(InputError, match="another recipe"):
        run_study(load_study(written(tmp_path, methods=[], changes={"batch_size": 10})), tmp_path / "out")
    (tmp_path / "out" / BASELINE / "seed-1" / "result.json").write_text("{")
    with pytest.raises(InputError, match="no result of a trial"):
        run_study(study, tmp_path / "out")


def test_a_metric_that_no_run_has_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="plain_accuracy"):
        run_study(load_study(written(tmp_path, methods=[], metric="accuracy")), tmp_path / "out")


def test_rows_stand_from_best_to_worst(tmp_path: Path) -> None:
    study = load_study(written(tmp_path, metric="loss", better="lower"))
    losses = {BASELINE: (2.0, 2.1), "cutout": (2.5, 2.7), "label-smoothing": (1.0, 1.2)}
    results = [
        Result(name, seed, {"loss": value})
        for name, values in losses.items()
        for seed, value in zip((1, 2), values, strict=True)
    ]
    assert [row.method for row in study_rows(study, results)] == [BASELINE, "label-smoothing", "cutout"]
    failed = [Result(BASELINE, 1, {}, problem="no data"), *results[1:]]
    with pytest.raises(InputError, match="the baseline failed: no data"):
        study_rows(study, failed)


def test_the_command_prints_the_table_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, methods=["cutout"])
    assert run(["study", str(path), "--out", str(tmp_path / "out")]) == 0
    assert "cutout" in capsys.readouterr().out
    assert run(["study", str(path), "--out", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["study"]["name"] == "tiny"
    assert run(["study", str(tmp_path / "none.yaml")]) == 5
    assert "none.yaml" in capsys.readouterr().err
