"""Evaluations: the numbers of `shankha evaluate`, kept in the real FiftyOne as its own methods would keep them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from apps.curate.answering import UNKNOWN_FISH
from apps.curate.evaluating import Evaluated, evaluate
from apps.curate.fields import MODELS, TRUTH
from apps.curate.predicting import predict
from apps.curate.samples import add_label_field, labels_document
from apps.curate.score_tables import tables
from apps.curate.scoring import BoxScores, WholeScores, class_mapping, score_whole
from apps.evaluate import evaluate_detector, evaluate_digits
from data.curation.collection import Collection, Kind, Label, Picture, Provenance
from data.curation.sets import read_collection
from data.errors import InputError
from data.masks import Mask
from deploy.runtime.artifact import Artifact
from tests.apps.curate.pictured import SHIPPED, SOURCE, drawn_digits, opened

MODEL = Provenance(kind="model", name="guess", when="2026-11-22T20:15:03Z")
SIZE = (128, 128)
THRESHOLD = 0.5


@pytest.fixture(autouse=True)
def _no_datasets_left(fiftyone_module: ModuleType) -> Iterator[None]:
    yield
    for name in fiftyone_module.list_datasets():
        fiftyone_module.delete_dataset(name)


def guessed(kind: Kind, count: int = 12, *, masks: bool = False) -> tuple[Collection, Collection]:
    """Pictures with objects of two classes, and what a model that errs found in them."""
    rng = np.random.default_rng(7)
    truth, said = [], []
    for n in range(count):
        right, found = [], []
        for _ in range(int(rng.integers(0, 6))):
            low = rng.integers(0, 80, 2)
            xyxy = np.concatenate([low, low + rng.integers(12, 40, 2)]).astype(np.float32)
            name = str(rng.choice(["fish", "crab"]))
            right.append(Label(name, SOURCE, xyxy, outline(xyxy, rng) if masks else None))
            if rng.random() < 0.8:
                near = np.clip(np.round(xyxy + rng.integers(-4, 5, 4)), 0, 128).astype(np.float32)
                called = name if rng.random() < 0.8 else "crab"
                mask = outline(near, rng) if masks else None
                found.append(Label(called, MODEL, near, mask, float(rng.uniform(0.1, 1))))
        for _ in range(int(rng.integers(0, 4))):
            low = rng.integers(0, 90, 2)
            xyxy = np.concatenate([low, low + rng.integers(8, 30, 2)]).astype(np.float32)
            found.append(Label("fish", MODEL, xyxy, outline(xyxy, rng) if masks else None, float(rng.uniform(0, 0.6))))
        picture = Picture(f"{n}.png", Path(f"/nowhere/{n}.png"), SIZE, tuple(right), "val", f"site-{n % 2}")
        truth.append(picture)
        said.append(replace(picture, labels=tuple(found)))
    names = ("fish", "crab")
    return Collection("reef", kind, names, tuple(truth)), Collection("reef", kind, names, tuple(said))


def outline(xyxy: Any, rng: np.random.Generator) -> Mask:
    """Most pixels of the box, those of its edges among them: it fills its box, as FiftyOne takes it to."""
    left, top, right, bottom = (int(edge) for edge in xyxy)
    inside = rng.random((bottom - top, right - left)) < 0.9
    inside[[0, -1]] = inside[:, [0, -1]] = True
    return Mask(left, top, inside)


def with_predictions(truth: Collection, said: Collection, threshold: float | None = None) -> Any:
    """A dataset with what the model found in the field "guess"."""
    dataset = opened(truth, "reef")
    add_label_field(dataset, truth.kind, "guess")
    documents = [labels_document(one.labels, truth.kind, one.size_wh) for one in said.pictures]
    kind = type(dataset.first()[TRUTH])
    dataset.set_values("guess", [kind.from_dict(document) for document in documents])
    dataset.info[MODELS] = {"guess": {"task": truth.kind, "classes": list(said.names), "threshold": threshold}}
    dataset.save()
    return dataset


@pytest.mark.parametrize("masks", [False, True])
def test_a_kept_run_is_what_fiftyone_would_have_made_of_it(fiftyone_module, masks):
    truth, said = guessed("segmentation" if masks else "detection", masks=masks)
    dataset = with_predictions(truth, said, threshold=THRESHOLD)
    found = evaluate(dataset, "guess")
    assert found.keys == ("guess_coco", "guess_counted")
    settings = {"gt_field": TRUTH, "classes": ["fish", "crab"], "use_masks": masks, "progress": False}
    sure = dataset.filter_labels("guess", fiftyone_module.ViewField("confidence") >= THRESHOLD, only_matches=False)
    theirs = {
        "guess_coco": dataset.evaluate_detections("guess", eval_key="own_coco", compute_mAP=True, **settings),
        "guess_counted": sure.evaluate_detections("guess", eval_key="own_counted", **settings),
    }
    for key, other in theirs.items():
        mine = dataset.load_evaluation_results(key)
        assert list(mine.classes) == list(other.classes)
        np.testing.assert_array_equal(mine.confusion_matrix(), other.confusion_matrix())
        assert mine.report() == other.report()
        assert sorted(zip(mine.ytrue_ids, mine.ypred_ids, strict=True), key=str) == sorted(
            zip(other.ytrue_ids, other.ypred_ids, strict=True), key=str
        )
        own = key.replace("guess", "own")
        for field in (TRUTH, "guess"):
            for part in ("", "_id"):
                values = [dataset.values(f"{field}.detections.{name}{part}") for name in (key, own)]
                assert values[0] == values[1]
            overlaps = [
                np.array([one for row in dataset.values(f"{field}.detections.{name}_iou") for one in row], float)
                for name in (key, own)
            ]
            np.testing.assert_allclose(overlaps[0], overlaps[1], atol=1e-5)
        for part in ("tp", "fp", "fn"):
            assert dataset.values(f"{key}_{part}") == dataset.values(f"{own}_{part}")
    mine, other = dataset.load_evaluation_results("guess_coco"), theirs["guess_coco"]
    np.testing.assert_allclose(mine.precision, other.precision, atol=1e-9)
    np.testing.assert_allclose(mine.recall_sweep, other.recall_sweep, atol=1e-9)
    assert found.coco_map == pytest.approx(other.mAP(), abs=1e-9)
    scores = found.outlines if masks else found.scores
    assert isinstance(scores, BoxScores)
    assert scores.scores.map50_95 == pytest.approx(found.coco_map, abs=1e-9)
    assert set(scores.scores.sites) == {"site-0", "site-1"}


def test_an_evaluation_replaces_the_one_before():
    dataset = with_predictions(*guessed("detection", 4), threshold=THRESHOLD)
    first, second = evaluate(dataset, "guess"), evaluate(dataset, "guess")
    assert first == second
    assert sorted(dataset.list_evaluations()) == ["guess_coco", "guess_counted"]


def test_predictions_of_no_known_model_are_compared_without_a_threshold():
    dataset = with_predictions(*guessed("detection", 4))
    dataset.info.clear()
    dataset.save()
    found = evaluate(dataset, "guess")
    assert found.keys == ("guess_coco",)
    assert isinstance(found.scores, BoxScores)
    assert found.scores.point is None


def test_labels_that_make_no_sense_are_passed_over():
    truth, said = guessed("detection", 6)
    dataset = with_predictions(truth, said, threshold=THRESHOLD)
    before = evaluate(dataset, "guess")
    sample = next(one for one in dataset if len(one[TRUTH].detections) > 1)
    sample[TRUTH].detections.insert(0, type(sample[TRUTH].detections[0])(bounding_box=[0.1, 0.1, 0.2, 0.2]))
    sample.save()
    after = evaluate(dataset, "guess")
    assert after.scores == before.scores
    dataset.reload()
    assert dataset[sample.id][TRUTH].detections[0]["guess_coco"] is None
    assert {one["guess_coco"] for one in dataset[sample.id][TRUTH].detections[1:]} <= {"tp", "fn"}


def test_a_detector_is_scored_as_by_shankha_evaluate(shankha_data, tmp_path):
    reef = shankha_data / "fish" / "aquarium"
    for kind in ("images", "labels"):
        for file in sorted((reef / kind / "test").iterdir())[:10]:
            to = tmp_path / "reef" / kind / "test" / file.name
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, to)
    names = "fish, jellyfish, penguin, puffin, shark, starfish, stingray"
    (tmp_path / "reef" / "data.yaml").write_text(f"names: [{names}]\n")
    artifact = Artifact.open(SHIPPED / "fish-int8")
    right = evaluate_detector(artifact, tmp_path / "reef", "test")
    dataset = opened(read_collection(tmp_path / "reef", "detection", tmp_path / "media", "test"))
    scores = evaluate(dataset, predict(dataset, SHIPPED / "fish-int8")).scores
    assert isinstance(scores, BoxScores)
    assert scores.scores.overall.boxes == right.scores.overall.boxes > 0
    for part in ("map50", "map50_95", "recall"):
        mine, theirs = getattr(scores.scores.overall, part), getattr(right.scores.overall, part)
        assert mine == pytest.approx(theirs, abs=1e-6)
    assert scores.point == right.point
    assert scores.ece == pytest.approx(right.ece, abs=1e-6)


def test_digits_are_scored_as_by_shankha_evaluate(tmp_path):
    collection = drawn_digits(tmp_path / "flat", 44)
    moved = []
    for picture in collection.pictures:
        to = tmp_path / "folders" / picture.labels[0].name / picture.id
        to.parent.mkdir(parents=True, exist_ok=True)
        moved.append(replace(picture, path=Path(shutil.copy(picture.path, to))))
    artifact = Artifact.open(SHIPPED / "digits-int8")
    right = evaluate_digits(artifact, tmp_path / "folders")
    dataset = opened(replace(collection, pictures=tuple(moved)))
    found = evaluate(dataset, predict(dataset, SHIPPED / "digits-int8"))
    scores = found.scores
    assert isinstance(scores, WholeScores)
    assert scores.forced == right.accuracy
    assert found.pictures == 44
    assert set(scores.parts) == {"train", "val"}
    assert {one.total for one in scores.groups.values()} == {14, 15}
    results = dataset.load_evaluation_results("digits_int8_right")
    np.testing.assert_array_equal(results.confusion_matrix(classes=list(scores.names)), scores.confusion)
    labels = dataset.values([f"{TRUTH}.label", "digits_int8.label", "digits_int8_right"])
    assert [one == other for one, other, _ in zip(*labels, strict=True)] == labels[2]
    assert scores.accuracy.right == sum(labels[2])


def test_only_pictures_with_both_are_compared(tmp_path):
    collection = drawn_digits(tmp_path, 11)
    bare = replace(collection.pictures[0], labels=())
    dataset = opened(replace(collection, pictures=(bare, *collection.pictures[1:])))
    field = predict(dataset.limit(8), SHIPPED / "digits-int8")
    assert evaluate(dataset, field).pictures == 7
    with pytest.raises(InputError, match="nothing to compare"):
        evaluate(dataset.skip(8), field)
    with pytest.raises(InputError, match="has no field 'nothing'"):
        evaluate(dataset, "nothing")


def test_an_unknown_fish_is_an_answer_but_no_choice():
    names = ("Scaridae", "Zebrasoma")
    by = Provenance(kind="model", name="guess")
    said = ["Scaridae", UNKNOWN_FISH, "Zebrasoma", UNKNOWN_FISH]
    right = ["Scaridae", "Scaridae", "Scaridae", "Nigra"]
    pictures = [Picture(f"{n}.png", Path("x"), (9, 9), group=f"fish-{n}") for n in range(4)]
    rows = np.array([[0.8, 0.1, 0.1], [0.3, 0.2, 0.5], [0.3, 0.6, 0.1], [0.1, 0.2, 0.7]], np.float32)
    scores = score_whole(
        Collection("a", "species", (*names, "Nigra"), tuple(_said(pictures, right, SOURCE))),
        Collection("a", "species", (*names, UNKNOWN_FISH), tuple(_said(pictures, said, by, 0.5))),
        (rows, (*names, UNKNOWN_FISH)),
    )
    assert (scores.accuracy.right, scores.accuracy.total) == (1, 4)
    assert scores.forced is not None
    assert (scores.forced.right, scores.forced.total) == (2, 3)
    assert scores.names == ("Scaridae", "Zebrasoma", "Nigra", UNKNOWN_FISH)
    assert scores.ece == pytest.approx(0.25)


def _said(pictures: list[Picture], names: list[str], by: Provenance, confidence: float | None = None) -> list[Picture]:
    return [
        replace(one, labels=(Label(name, by, confidence=confidence),))
        for one, name in zip(pictures, names, strict=True)
    ]


@pytest.mark.parametrize(
    ("truth", "classes", "expected"),
    [
        (("fish", "Shark", "penguin"), ("fish",), {"fish": "fish", "Shark": "fish"}),
        (("Luderick", "bream"), ("luderick",), {"Luderick": "luderick"}),
        (("penguin",), ("fish",), {}),
    ],
)
def test_classes_are_compared_by_what_they_are_to_the_model(truth, classes, expected):
    assert class_mapping(truth, classes) == expected


def test_the_tables_show_models_side_by_side(tmp_path):
    dataset = opened(drawn_digits(tmp_path, 22))
    field = predict(dataset, SHIPPED / "digits-int8")
    whole = evaluate(dataset, field)
    boxes = evaluate(with_predictions(*guessed("detection", 8), threshold=THRESHOLD), "guess")
    assert isinstance(whole.scores, WholeScores)
    assert isinstance(boxes.scores, BoxScores)
    text = _printed([whole, replace(whole, field="another"), boxes])
    rows = [line.split("│") for line in text.splitlines() if line.startswith("│")]
    by_name = {row[1].strip(): [cell.strip() for cell in row[2:]] for row in rows}
    assert by_name["digits_int8"][:2] == ["22", f"{whole.scores.accuracy.share:.2%} {_spread(whole.scores)}"]
    assert by_name["another"] == by_name["digits_int8"]
    assert by_name["guess"][2] == f"{boxes.scores.scores.map50:.1%}"
    assert "group site-0" in text
    assert "guess: class" in text


def _spread(scores: WholeScores) -> str:
    return f"({scores.accuracy.low:.1%} to {scores.accuracy.high:.1%})"


def _printed(evaluated: list[Evaluated]) -> str:
    console = Console(width=160)
    with console.capture() as captured:
        console.print(tables(evaluated))
    return captured.get()
