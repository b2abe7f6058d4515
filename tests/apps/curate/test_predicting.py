"""Predictions, probabilities and embeddings of the shipped models in the real FiftyOne, and what may go wrong."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from apps.curate import predicting, rows
from apps.curate.answering import UNKNOWN_FISH
from apps.curate.fields import BY_KIND, BY_NAME, BY_WHEN, ITEM, MODELS, PROBLEM, TRUTH
from apps.curate.predicting import embed, embedding_file, field_probabilities, predict, predicted_field, probabilities
from apps.curate.reading import collection_of
from data.curation.collection import Collection, Label, Picture
from data.errors import ArgumentError, FileAccessError, InputError
from data.images import read_image
from data.labels import DIGIT_CLASSES
from deploy.packing import write_artifact
from deploy.runtime.artifact import Artifact
from deploy.runtime.detector import FishDetector
from deploy.runtime.digits import DigitReader
from deploy.runtime.embedding import Embedder
from deploy.runtime.segmenter import FishSegmenter
from deploy.runtime.spec import MODEL_FILE
from deploy.runtime.species import SpeciesNamer
from tests.apps.curate.pictured import SHIPPED, SOURCE, drawn_digits, drawn_frames, opened, write
from tests.deploy.bright import frame, graph_bytes, spec

DIGITS = SHIPPED / "digits-int8"


@pytest.fixture(autouse=True)
def _no_datasets_left(fiftyone_module: ModuleType) -> Iterator[None]:
    yield
    for name in fiftyone_module.list_datasets():
        fiftyone_module.delete_dataset(name)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a network was run")

    monkeypatch.setattr(Embedder, "look", refuse)


def copied(place: Path, **changes: Any) -> Path:
    """The digit model, with other words in its spec."""
    shutil.copytree(DIGITS, place)
    told = json.loads((place / "spec.json").read_text())
    (place / "spec.json").write_text(json.dumps(told | changes))
    return place


def test_digits_get_what_the_reader_says_and_who_said_it(tmp_path):
    collection = drawn_digits(tmp_path)
    dataset = opened(collection)
    heard: list[tuple[int, int]] = []
    field = predict(dataset, DIGITS, lambda *done: heard.append(done))
    read = DigitReader(Artifact.open(DIGITS)).read([read_image(one.path) for one in collection.pictures])
    assert field == "digits_int8"
    assert heard[-1] == (22, 22)
    assert dataset.values(f"{field}.label") == [DIGIT_CLASSES[n] for n in read.probabilities.argmax(axis=1)]
    np.testing.assert_allclose(dataset.values(f"{field}.confidence"), read.probabilities.max(axis=1), rtol=1e-6)
    assert dataset.distinct(f"{field}.{BY_KIND}") == ["model"]
    assert dataset.distinct(f"{field}.{BY_NAME}") == ["digits-int8"]
    assert dataset.distinct(f"{field}.{BY_WHEN}") == [dataset.info[MODELS][field]["when"]]
    kept, classes = probabilities(dataset, DIGITS)
    assert classes == DIGIT_CLASSES
    np.testing.assert_allclose(kept, read.probabilities, rtol=1e-6)
    assert collection_of(dataset).pictures == collection.pictures


def test_the_documents_are_those_of_set_values(tmp_path, fiftyone_module):
    dataset = opened(drawn_digits(tmp_path, 2))
    field = predict(dataset, DIGITS)
    mine = dataset.first()[field]
    said = {key: mine[key] for key in ("label", "confidence", BY_KIND, BY_NAME, BY_WHEN)}
    dataset.set_values("other", [fiftyone_module.Classification(**said)] * 2)
    kept = dataset._sample_collection.find_one()
    assert {**kept[field], "_id": 0} == {**kept["other"], "_id": 0}


def test_embeddings_come_with_the_predictions_of_digits(tmp_path, monkeypatch):
    collection = drawn_digits(tmp_path)
    dataset = opened(collection)
    predict(dataset, DIGITS)
    with monkeypatch.context() as patch:
        patch.setattr(Embedder, "look", lambda *_: pytest.fail("a network was run"))
        found = embed(dataset, DIGITS)
    images = [read_image(one.path) for one in collection.pictures]
    np.testing.assert_allclose(found, Embedder(Artifact.open(DIGITS)).pictures(images), atol=1e-5)


def test_only_new_and_changed_pictures_are_looked_at(tmp_path):
    collection = drawn_digits(tmp_path, 8)
    dataset = opened(collection.select(range(5)))
    heard: list[tuple[int, int]] = []
    before = embed(dataset, DIGITS, lambda *done: heard.append(done))
    opened(collection, "more")
    shutil.copy(collection.pictures[7].path, collection.pictures[0].path)
    os.utime(collection.pictures[0].path, ns=(1, 1))
    dataset.add_samples([dataset.first().__class__(filepath=str(one.path)) for one in collection.pictures[5:]])
    after = embed(dataset, DIGITS, lambda *done: heard.append(done))
    assert heard == [(5, 5), (4, 4)]
    np.testing.assert_array_equal(after[1:5], before[1:])
    np.testing.assert_array_equal(after[0], after[7])
    assert not np.array_equal(after[0], before[0])


def test_the_order_is_that_of_the_samples_asked_for(tmp_path, no_network):
    dataset = opened(drawn_digits(tmp_path, 6))
    rng = np.random.default_rng(0)
    keys = rows.keys_of(dataset.values("filepath"))
    kept = rng.normal(size=(6, 124)).astype(np.float32)
    file = embedding_file(dataset, Artifact.open(DIGITS))
    rows.keep_rows(file, keys, kept)
    np.testing.assert_array_equal(embed(dataset.sort_by(ITEM, reverse=True), DIGITS), kept[::-1])
    np.testing.assert_array_equal(embed(dataset.skip(2).limit(3), DIGITS), kept[2:5])


def test_a_damaged_file_of_rows_is_made_anew(tmp_path):
    dataset = opened(drawn_digits(tmp_path, 4))
    before = embed(dataset, DIGITS)
    file = embedding_file(dataset, Artifact.open(DIGITS))
    file.write_bytes(file.read_bytes()[:100])
    np.testing.assert_array_equal(embed(dataset, DIGITS), before)


def test_a_picture_that_cannot_be_read_is_told_of_and_the_others_go_on(tmp_path):
    collection = drawn_digits(tmp_path, 6)
    gone, torn = collection.pictures[1].path, collection.pictures[4].path
    whole = gone.read_bytes(), torn.read_bytes()
    gone.unlink()
    torn.write_bytes(whole[1][:60])
    dataset = opened(collection)
    field = predict(dataset, DIGITS)
    labels, problems = dataset.values([f"{field}.label", PROBLEM])
    assert [n for n, label in enumerate(labels) if label is None] == [1, 4]
    assert "No such file" in problems[1]
    assert problems[4]
    assert [n for n, why in enumerate(problems) if why] == [1, 4]
    assert np.isnan(embed(dataset, DIGITS)).all(axis=1).tolist() == [n in {1, 4} for n in range(6)]
    assert np.isnan(probabilities(dataset, DIGITS)[0]).all(axis=1).tolist() == [n in {1, 4} for n in range(6)]
    gone.write_bytes(whole[0])
    torn.write_bytes(whole[1])
    predict(dataset.exists(field, False), DIGITS)
    assert dataset.values(PROBLEM) == [None] * 6
    assert None not in dataset.values(f"{field}.label")
    assert np.isfinite(embed(dataset, DIGITS)).all()


def test_what_was_said_of_a_picture_goes_when_it_can_no_longer_be_read(tmp_path):
    collection = drawn_digits(tmp_path, 3)
    dataset = opened(collection)
    field = predict(dataset, DIGITS)
    collection.pictures[0].path.unlink()
    predict(dataset.limit(1), DIGITS)
    assert [label is None for label in dataset.values(f"{field}.label")] == [True, False, False]


def test_large_pictures_are_taken_fewer_at_once(tmp_path, monkeypatch):
    dataset = opened(drawn_digits(tmp_path, 9))
    at_once: list[int] = []
    prepare = Embedder.prepare

    def counted(self: Embedder, images: Any, *rest: Any) -> Any:
        at_once.append(len(images))
        return prepare(self, images, *rest)

    monkeypatch.setattr(Embedder, "prepare", counted)
    whole = embed(dataset, DIGITS)
    monkeypatch.setattr(predicting, "_PIXELS_AT_ONCE", 48 * 40 * 4)
    embedding_file(dataset, Artifact.open(DIGITS)).unlink()
    np.testing.assert_allclose(embed(dataset, DIGITS), whole, atol=1e-5)
    assert at_once == [9, 4, 4, 1]


def test_two_artifacts_of_one_name_get_fields_of_their_own(tmp_path):
    dataset = opened(drawn_digits(tmp_path / "pictures", 4))
    other = copied(tmp_path / "other", temperature=9.0)
    first, second = predict(dataset, DIGITS), predict(dataset, other)
    assert first == "digits_int8"
    assert second.startswith("digits_int8_")
    assert dataset.values(f"{first}.confidence") != dataset.values(f"{second}.confidence")
    assert (predict(dataset, DIGITS), predict(dataset, other)) == (first, second)
    assert predicted_field(dataset, Artifact.open(other)) == second
    assert not np.array_equal(field_probabilities(dataset, first)[0], field_probabilities(dataset, second)[0])


def test_a_field_of_a_persons_own_is_left_alone(tmp_path, fiftyone_module):
    dataset = opened(drawn_digits(tmp_path, 3))
    dataset.set_values("digits_int8", ["mine"] * 3)
    assert predict(dataset, DIGITS).startswith("digits_int8_")
    assert dataset.values("digits_int8") == ["mine"] * 3


def test_fish_are_found_as_the_detector_finds_them(tmp_path):
    collection = drawn_frames(tmp_path)
    dataset = opened(collection)
    said = collection_of(dataset, predict(dataset, SHIPPED / "fish-int8"))
    detector = FishDetector(Artifact.open(SHIPPED / "fish-int8"))
    total = 0
    for picture in said.pictures:
        (found,) = detector.detect([read_image(picture.path)])
        total += len(found)
        np.testing.assert_allclose([label.xyxy for label in picture.labels], found.xyxy, atol=1e-3)
        np.testing.assert_allclose([label.confidence for label in picture.labels], found.scores, rtol=1e-5)
    assert total
    assert dataset.info[MODELS]["fish_int8"]["threshold"] == detector.threshold
    assert embed(dataset, SHIPPED / "fish-int8").shape == (3, Embedder(detector.artifact).width)


def test_outlines_keep_their_pixels(tmp_path):
    dataset = opened(drawn_frames(tmp_path, kind="segmentation"))
    said = collection_of(dataset, predict(dataset, SHIPPED / "masks-int8"))
    segmenter = FishSegmenter(Artifact.open(SHIPPED / "masks-int8"))
    masks = [(picture, segmenter.segment([read_image(picture.path)])[0].masks) for picture in said.pictures]
    assert any(found for _, found in masks)
    for picture, found in masks:
        assert tuple(label.mask for label in picture.labels) == found


def test_crops_are_named_or_said_to_be_unknown(tmp_path):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (40, 50, 3), np.uint8) for _ in range(3)]
    images.append(np.full((30, 30), 128, np.uint8))
    pictures = tuple(
        Picture(f"{n}.png", write(tmp_path / f"{n}.png", image), image.shape[1::-1]) for n, image in enumerate(images)
    )
    dataset = opened(Collection("crops", "species", ("Scaridae",), pictures))
    field = predict(dataset, SHIPPED / "species-int8")
    namer = SpeciesNamer(Artifact.open(SHIPPED / "species-int8"))
    kept, classes = probabilities(dataset, SHIPPED / "species-int8")
    np.testing.assert_allclose(kept.sum(axis=1), 1, atol=1e-4)
    assert classes[-1] == UNKNOWN_FISH
    known = 1 - kept[:, -1] >= namer.unknown_threshold
    expected = [classes[row[:-1].argmax()] if sure else UNKNOWN_FISH for row, sure in zip(kept, known, strict=True)]
    assert dataset.values(f"{field}.label") == expected
    assert UNKNOWN_FISH in expected
    assert embed(dataset, SHIPPED / "species-int8").shape == (4, 1280)


def test_what_is_no_number_is_never_written(tmp_path):
    model = onnx.load_from_string(graph_bytes(tmp_path))
    bias = next(one for one in model.graph.initializer if one.name == "logits.bias")
    bias.CopyFrom(numpy_helper.from_array(np.array([np.nan], np.float32), bias.name))
    write_artifact(tmp_path / "art", spec(), {MODEL_FILE: model.SerializeToString()})
    picture = Picture("a.png", write(tmp_path / "a.png", frame((1, 1))), (96, 64))
    dataset = opened(Collection("one", "detection", ("fish",), (picture,)))
    with pytest.raises(InputError, match="answers with what is no number"):
        predict(dataset, tmp_path / "art")
    assert dataset.exists("bright").count() == 0


@pytest.mark.parametrize(
    ("model", "why"),
    [("fish-int8", "answers for detection; expected an artifact for digits"), ("dense-int8", "gives no labels")],
)
def test_a_model_that_has_nothing_to_say_of_such_pictures_is_refused(tmp_path, model, why):
    dataset = opened(drawn_digits(tmp_path, 2))
    with pytest.raises(InputError, match=why):
        predict(dataset, SHIPPED / model)
    assert not dataset.info.get(MODELS)


def test_videos_and_cut_out_parts_are_refused(tmp_path, fiftyone_module):
    videos = fiftyone_module.Dataset("videos")
    videos.add_sample(fiftyone_module.Sample(filepath="/nowhere/a.mp4"))
    with pytest.raises(ArgumentError, match="holds video; expected pictures"):
        predict(videos, SHIPPED / "fish-int8")
    collection = drawn_frames(tmp_path, 1)
    label = Label("fish", SOURCE, np.array([1, 1, 9, 9], np.float32))
    dataset = opened(replace(collection, pictures=(replace(collection.pictures[0], labels=(label,)),)))
    with pytest.raises(ArgumentError, match="parts of its pictures"):
        embed(dataset.to_patches(TRUTH), SHIPPED / "fish-int8")


def test_a_full_disk_is_told_of_and_leaves_no_half_file(tmp_path, monkeypatch):
    dataset = opened(drawn_digits(tmp_path, 3))
    place = embedding_file(dataset, Artifact.open(DIGITS)).parent
    before = set(place.iterdir()) if place.exists() else set()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(FileAccessError, match="No space left"):
        embed(dataset, DIGITS)
    assert set(place.iterdir()) == before


def test_names_of_datasets_make_folders():
    assert rows.plain_name("reef-2.1") == "reef-2.1"
    odd = [rows.plain_name(name) for name in ("a/b", "a b", "..", "a_b", "মাছ", "")]
    assert len(set(odd)) == len(odd)
    assert all("/" not in name and name.strip(".") for name in odd)
