from __future__ import annotations

import json
import re
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from apps.evaluate import evaluate, evaluate_digits
from apps.main import run
from apps.scores import MISTAKES, score, scores_json
from data.curation.folder import write_version
from data.curation.sets import read_collection
from data.errors import ArgumentError, FileAccessError, InputError
from data.labels import BENGALI, NOT_A_DIGIT
from data.readers import read_digits
from data.readers.digitset import ArrayImages, DigitSet, Problem
from deploy.runtime.digits import decode
from tests.tiny import drawn_batch, tiny

DOCS = Path(__file__).resolve().parents[2] / "docs" / "evaluate.md"


@pytest.fixture(scope="module")
def artifact():
    return tiny().int8.artifact


def save(folder: Path, label: int, number: int, image: np.ndarray) -> Path:
    """Every picture in another way: format, depth, polarity, names of classes."""
    names = {0: str(label), 1: BENGALI[label] if label < 10 else "", 2: f"digit_{label}"}
    place = folder / (names[number % 3] if label != NOT_A_DIGIT else "not_a_digit")
    place.mkdir(parents=True, exist_ok=True)
    kind = number % 7
    suffix = (".png", ".jpg", ".bmp", ".tiff", ".webp", ".png", ".png")[kind]
    path = place / f"{number}{suffix}"
    if kind == 1:
        image = 255 - image
    picture = Image.fromarray(image)
    if kind == 3:
        picture = Image.fromarray(image.astype(np.uint16) * 257)
    elif kind == 4:
        picture = picture.convert("RGB")
    elif kind == 5:
        picture = picture.convert("P")
    elif kind == 6:
        alpha = Image.fromarray(255 - image)
        picture = Image.merge("LA", (Image.new("L", picture.size, 0), alpha))
    picture.save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    """110 pictures in class folders, ten of them no digits."""
    for number, (image, label) in enumerate(zip(*drawn_batch(110, seed=21), strict=True)):
        save(tmp_path / "digits", int(label), number, image)
    return tmp_path / "digits"


def evaluated(artifact, folder, *more: str):
    app = typer.Typer()
    app.command()(evaluate)
    out = folder.parent / "scores.json"
    arguments = [str(artifact.folder), "--data", str(folder), "--json", str(out), *more]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False, env={"COLUMNS": "160"})
    assert done.exit_code == 0
    return json.loads(out.read_text(encoding="utf-8")), done.output


def test_class_folders_of_all_kinds_of_pictures(artifact, folder):
    found, shown = evaluated(artifact, folder)
    assert (found["examples"], found["n"], found["unreadable"]) == (110, 100, 0)
    assert found["accuracy"] == found["right"] / 100 > 0.95
    assert found["interval"][0] < found["accuracy"] <= found["interval"][1]
    assert np.sum(found["confusion"]) == 100
    assert np.trace(found["confusion"]) == found["right"]
    assert {name: one["support"] for name, one in found["classes"].items()} == {str(c): 10 for c in range(10)}
    assert found["not_a_digit"]["examples"] == 10
    assert found["not_a_digit"]["rejected_share"] > 0.8
    assert found["artifact"]["sha256"] == artifact.spec.files["model.onnx"]
    assert f"{found['accuracy']:.2%}" in shown


def test_every_key_of_the_json_is_documented(artifact, folder):
    found, _ = evaluated(artifact, folder)
    documented = set(re.findall(r"`(\w+)`", DOCS.read_text(encoding="utf-8")))
    inner = {key for one in ("artifact", "calibration", "review", "not_a_digit") for key in found[one]}
    assert set(found) | inner <= documented


def test_unreadable_pictures_are_counted_and_named(artifact, folder):
    (folder / "3" / "text.jpg").write_text("no picture")
    (folder / "3" / "empty.png").write_bytes(b"")
    whole = next((folder / "3").glob("*.png")).read_bytes()
    (folder / "3" / "cut.png").write_bytes(whole[: len(whole) // 2])
    found, shown = evaluated(artifact, folder)
    assert (found["examples"], found["unreadable"]) == (110, 3)
    assert {one["file"] for one in found["unreadable_files"]} == {"3/text.jpg", "3/empty.png", "3/cut.png"}
    assert all(one["why"] for one in found["unreadable_files"])
    assert "3/cut.png" in shown


def test_mistakes_name_the_file(artifact, folder):
    image, label = next((i, n) for i, n in zip(*drawn_batch(110, seed=22), strict=True) if n == 7)
    wrong = folder / "4" / "in-truth-a-7.png"
    cv2.imwrite(str(wrong), image)
    found, _ = evaluated(artifact, folder)
    named = {one["file"]: one for one in found["mistakes"]}
    assert named["4/in-truth-a-7.png"]["true"] == "4"
    assert named["4/in-truth-a-7.png"]["read"] == str(label)
    assert 0 < named["4/in-truth-a-7.png"]["confidence"] <= 1


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda folder: None, FileAccessError, "is no folder"),
        (lambda folder: folder.mkdir(), InputError, "holds no folder of a digit"),
        (lambda folder: (folder / "cats").mkdir(parents=True), InputError, "holds no folder of a digit"),
        (lambda folder: (folder / "3").mkdir(parents=True), InputError, "holds no pictures"),
    ],
)
def test_nothing_to_score_is_one_clear_error(artifact, tmp_path, make, error, says):
    make(tmp_path / "d")
    with pytest.raises(error, match=says):
        evaluate_digits(artifact, tmp_path / "d")


def test_nothing_readable_is_one_clear_error(artifact, tmp_path):
    (tmp_path / "5").mkdir()
    (tmp_path / "5" / "a.png").write_text("no picture")
    with pytest.raises(InputError, match=r"no readable picture; the first of 1: 5/a\.png") as caught:
        evaluate_digits(artifact, tmp_path)
    assert caught.value.exit_code == 2


def test_a_versioned_folder_is_scored_as_long_as_it_is_as_written(artifact, folder, tmp_path, capsys):
    whole = read_collection(folder, "digits", tmp_path / "media")
    set_folder = write_version(whole, tmp_path / "set", "classes").folder
    assert evaluate_digits(artifact, set_folder).accuracy == evaluate_digits(artifact, folder).accuracy
    next(path for path in set_folder.rglob("*.*") if path.suffix != ".json").write_bytes(b"x")
    assert run(["evaluate", str(artifact.folder), "--data", str(set_folder)]) == 2
    assert "set: differs from its manifest" in " ".join(capsys.readouterr().err.split())


def test_an_unknown_split_is_an_error(artifact, folder):
    with pytest.raises(ArgumentError, match="--split"):
        evaluate_digits(artifact, folder, "nowhere")


def test_the_command_line_gives_exit_codes(artifact, folder, tmp_path, capsys):
    assert run(["evaluate", str(artifact.folder), "--data", str(folder)]) == 0
    assert run(["evaluate", str(artifact.folder), "--data", str(tmp_path / "no")]) == 5
    (tmp_path / "empty").mkdir()
    assert run(["evaluate", str(artifact.folder), "--data", str(tmp_path / "empty")]) == 2
    assert run(["evaluate", str(tmp_path / "no"), "--data", str(folder)]) == 5
    assert run(["evaluate"]) == 1
    assert capsys.readouterr().err.count("error:") == 4


def digit_set(labels, sources=None, images=None) -> DigitSet:
    count = len(labels)
    sources = np.array(["one"] * count if sources is None else sources, np.str_)
    names = np.array([f"{i}.png" for i in range(count)], np.str_)
    store = ArrayImages(np.zeros((count, 4, 4), np.uint8) if images is None else images)
    return DigitSet("set", np.asarray(labels, np.int64), sources, sources, names, np.arange(count), store, "dark")


def logits_for(values, sure=9.0):
    logits = np.zeros((len(values), 11), np.float32)
    logits[np.arange(len(values)), values] = sure
    return logits


def test_scores_by_hand(artifact):
    labels = [0, 0, 1, 2, 10, 10]
    readings = decode(logits_for([0, 1, 1, 10, 10, 5]), temperature=1.0, accept_threshold=0.5)
    # The fourth, a 2, is called no digit; forced to choose, argmax of equal logits says 0.
    scores = score(digit_set(labels, ["a", "a", "b", "b", "b", "b"]), readings, (Problem("x.png", "cut"),), 2.0)
    found = scores_json(scores, artifact)
    assert (found["right"], found["n"], found["accuracy"]) == (2, 4, 0.5)
    assert found["confusion"][0][:3] == [1, 1, 0]
    assert found["confusion"][2][0] == 1
    assert found["classes"]["0"] == {"support": 2, "recall": 0.5, "precision": 0.5}
    assert found["classes"]["9"] == {"support": 0, "recall": None, "precision": None}
    assert {key: one["accuracy"] for key, one in found["sources"].items()} == {"a": 0.5, "b": 0.5}
    review = found["review"]
    assert [review[key] for key in ("accepted_right", "accepted_wrong", "reviewed_right", "reviewed_wrong")] == [
        2,
        2,
        1,
        1,
    ]
    assert (review["effort"], review["error"]) == (2 / 6, 2 / 6)
    assert found["not_a_digit"] == {
        "examples": 2, "called": 1, "rejected": 1, "digits_called": 1, "rejected_share": 0.5,
    }  # fmt: skip
    assert [one["file"] for one in found["mistakes"]] == ["1.png", "5.png", "3.png"]
    assert found["mistakes"][1]["true"] == "not_a_digit"
    assert (found["unreadable"], found["images_per_second"]) == (1, 3.0)


def test_pictures_of_no_digit_alone_have_no_accuracy(artifact):
    found = scores_json(score(digit_set([10, 10]), decode(logits_for([10, 3]), 1.0, 0.5), (), 1.0), artifact)
    assert (found["accuracy"], found["n"], found["sources_mean"], found["calibration"]["ece"]) == (None, 0, None, None)
    assert found["not_a_digit"]["rejected_share"] == 0.5
    json.dumps(found, allow_nan=False)


def test_only_the_worst_mistakes_are_listed(artifact):
    logits = logits_for([1] * 50)
    logits[:, 1] = np.linspace(1, 9, 50)
    scores = score(digit_set([2] * 50), decode(logits, 1.0, 0.0), (), 1.0)
    assert len(scores.mistakes) == MISTAKES
    assert [one.file for one in scores.mistakes] == [f"{i}.png" for i in range(49, 49 - MISTAKES, -1)]


def test_memory_stays_flat(artifact, monkeypatch):
    images, labels = drawn_batch(64, seed=23)
    large = np.stack([cv2.resize(image, (600, 720)) for image in images])

    def peak(copies: int) -> int:
        digits = digit_set(np.tile(labels, copies), images=large)
        digits = digits.select(np.arange(len(digits)))
        digits.places[:] = np.arange(len(digits)) % 64
        monkeypatch.setattr("apps.evaluate.read_digits", lambda data, split: digits)
        tracemalloc.start()
        scores = evaluate_digits(artifact, Path("set"))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert scores.review.total == 64 * copies
        return most

    peak(1)
    small, big = peak(5), peak(20)
    assert big < small + 2_000_000  # the further 960 pictures would be 415 MB


def test_cmaterdb_leaves_out_copies_of_training_pictures(artifact, shankha_data):
    scores = evaluate_digits(artifact, shankha_data / "digits" / "cmaterdb", "test")
    assert scores.accuracy.total == 993
    assert len(scores.left_out) == 7


def test_numtadb_is_scored_by_source(artifact, shankha_data):
    digits = read_digits(shankha_data / "digits" / "numtadb", "b")
    scores = evaluate_digits(artifact, shankha_data / "digits" / "numtadb", "b")
    assert scores.accuracy.total == len(digits) > 100
    assert len(scores.sources) == 1
