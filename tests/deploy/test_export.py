from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import typer
import yaml
from typer.testing import CliRunner

from data.errors import ArgumentError, FileAccessError, InputError
from data.labels import NOT_A_DIGIT
from data.metrics import TARGET_ERROR, coverage, softmax
from deploy.card import CardFacts, CardWords, model_card
from deploy.digits import calibrate
from deploy.export import export, export_run, load_run
from deploy.runtime.artifact import Artifact
from deploy.runtime.digits import DigitReader, decode
from models import zoo
from tests.tiny import drawn_batch
from training.checkpoint import save_weights


@pytest.fixture
def run(tiny, tmp_path, monkeypatch):
    """A run folder of the tiny network, and the data of its recipe as class folders."""
    for number, (image, label) in enumerate(zip(*drawn_batch(440, seed=4), strict=True)):
        if label != NOT_A_DIGIT:
            path = tmp_path / "data" / "mine" / str(label) / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), image)
    monkeypatch.setenv("SHANKHA_DATA", str(tmp_path / "data"))
    folder = tmp_path / "run"
    folder.mkdir()
    recipe = tiny.recipe.model_dump(mode="json")
    recipe["data"] |= {"train": [{"folder": "mine"}], "validation_share": 0.3}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    save_weights(tiny.network, folder / "weights.safetensors")
    return folder


@pytest.mark.parametrize("int8", [True, False])
def test_a_run_becomes_an_artifact_that_reads(run, tmp_path, int8):
    made = export_run(run, tmp_path / "art", int8=int8)
    spec = Artifact.open(tmp_path / "art").spec
    assert spec.name == ("tiny-int8" if int8 else "tiny-float32")
    assert spec.precision == ("int8" if int8 else "float32")
    assert spec.training["data"] == ["mine"]
    assert (run / "parity.json").exists() == int8
    if int8:
        assert json.loads((run / "parity.json").read_text())["inputs"] == made.parity.inputs
    images, labels = drawn_batch(220, seed=5)
    digit = labels != NOT_A_DIGIT
    assert np.mean(DigitReader(made.artifact).read(images).values[digit] == labels[digit]) > 0.95
    card = (tmp_path / "art" / "card.md").read_text(encoding="utf-8")
    assert f"{spec.metrics['validation_accuracy']:.2%}" in card
    assert f"{spec.temperature:.3f}" in card


def test_the_command_says_what_it_made(run, tmp_path):
    app = typer.Typer()
    app.command()(export)
    done = CliRunner().invoke(app, [str(run), "--to", str(tmp_path / "art"), "--int8"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "int8, temperature" in done.output
    assert "same answer" in done.output


def test_an_unknown_engine_is_refused_before_any_work(tmp_path):
    with pytest.raises(ArgumentError, match="--engine: 'ncnn' is unknown; expected onnxruntime"):
        export_run(tmp_path / "nowhere", tmp_path / "art", int8=True, engine="ncnn")


def test_a_target_that_is_no_artifact_is_refused_before_any_work(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds thesis\.txt"):
        export_run(tmp_path / "nowhere", tmp_path, int8=True)


def test_what_is_no_run_is_refused(run, tmp_path):
    with pytest.raises(FileAccessError, match="no such folder"):
        load_run(tmp_path / "nowhere")
    (run / "weights.safetensors").write_bytes(b"no weights")
    with pytest.raises(InputError, match=r"weights\.safetensors"):
        load_run(run)
    save_weights(zoo.build("vgg5"), run / "weights.safetensors")
    with pytest.raises(InputError, match="does not fit"):
        load_run(run)
    (run / "weights.safetensors").unlink()
    with pytest.raises(InputError, match=r"holds no weights\.safetensors"):
        load_run(run)


@pytest.fixture
def overconfident():
    """Logits of 4,000 answers that are four times too sure, one in eleven no digit."""
    rng = np.random.default_rng(3)
    honest = rng.normal(0, 2, (4000, 11))
    labels = np.minimum((rng.random((4000, 1)) > softmax(honest).cumsum(axis=1)).sum(axis=1), 10)
    return (4 * honest).astype(np.float32), labels


def test_calibration_mends_confidence_and_keeps_the_error_low(overconfident):
    logits, labels = overconfident
    fitted = calibrate(logits, labels)
    assert fitted.temperature == pytest.approx(4, rel=0.1)
    assert fitted.ece_after < 0.25 * fitted.ece_before
    assert fitted.nll_after < fitted.nll_before
    assert fitted.review.total == 4000
    assert fitted.review.error <= TARGET_ERROR
    assert len(fitted.right) == np.count_nonzero(labels != NOT_A_DIGIT)


def test_the_shipped_threshold_gives_what_was_promised(overconfident):
    logits, labels = overconfident
    fitted = calibrate(logits, labels)
    shipped = json.loads(json.dumps({"t": fitted.temperature, "a": fitted.threshold}))
    readings = decode(logits, shipped["t"], shipped["a"])
    assert coverage(readings.values == labels, readings.accepted) == fitted.review


def test_the_card_names_the_origin_of_the_data(tiny):
    card = (tiny.int8.artifact.folder / "card.md").read_text(encoding="utf-8")
    for needed in (
        "Jadavpur University",
        "non-commercial",
        "`elsewhere`: under its own licence",
        "## Limits",
        "Recipe `tiny`",
    ):
        assert needed in card
    assert "NumtaDB" not in card
    assert "shankha evaluate" in card
    assert "weight_decay: 0.02" in card


def test_the_card_of_numtadb_names_its_licence():
    facts = CardFacts(
        name="n", network="compact", weights="int8, 1 kB", parameters=1, datasets=("digits/numtadb",), recipe="r",
        recipe_text="a: 1", rows=(("accuracy", "99 %", "1,000 digits"),), date="2026-01-01",
    )  # fmt: skip
    words = CardWords(
        summary="Reads.", table=(("input", "a picture"),), use="Forms.", licence="Free.", validation="Held out.",
        calibration="None.", limits="- Many.", data="Folders.",
    )  # fmt: skip
    card = model_card(facts, words)
    assert "CC BY-SA 4.0" in card
    assert "| accuracy | 99 % | 1,000 digits |" in card
    assert "| input | a picture |\n| made on | 2026-01-01 |" in card
