from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

from apps.curate.brain import hardness, laid_out, leaks, look_over, representativeness, uniqueness, with_the_same_boxes
from apps.curate.fields import (
    ACCEPTED,
    BRIGHTNESS,
    DOUBT,
    DUPLICATE_OF,
    HARDNESS,
    ITEM,
    LEAK,
    MAP,
    MODELS,
    REPRESENTATIVENESS,
    SIMILARITY,
    SUGGESTED,
    TRUTH,
    UNIQUENESS,
)
from apps.curate.samples import add_label_field, dataset_of
from apps.curate.views import DOUBTFUL, DUPLICATES, FAULTS, HARD, LOW_LIGHT, MISSED, TYPICAL, UNUSUAL
from data.curation.collection import Collection, Label, Picture, Provenance
from data.curation.duplicates import Duplicates
from data.curation.neighbours import Neighbours, directions, nearest
from data.errors import ArgumentError

SOURCE = Provenance(kind="source", name="test")
NAMES = ("Chromis chrysura", "Zebrasoma scopas")
COUNT = 60


def picture(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    drawn = np.full((48, 48, 3), 120, np.uint8)
    for _ in range(9):
        place, size = rng.integers(0, 48, 2).tolist(), rng.integers(3, 14, 2).tolist()
        cv2.ellipse(drawn, place, size, float(rng.integers(180)), 0, 360, rng.integers(0, 255, 3).tolist(), -1)
    return drawn


def species(folder: Path) -> tuple[Collection, np.ndarray]:
    """Sixty pictures of two species that embeddings tell apart: one mislabelled, one twice, one dark, one fish torn."""
    labels = np.arange(COUNT) % 2
    pictures = []
    for number in range(COUNT):
        path = folder / f"{number:02}.png"
        drawn = picture(1 if number == 41 else number)
        cv2.imwrite(str(path), drawn // 8 if number == 9 else drawn)
        said = labels[number] if number != 7 else 1 - labels[number]
        group = "torn" if number in {20, 44} else f"fish{number}"
        part = "train" if number < 40 else "val"
        label = Label(NAMES[said], SOURCE)
        pictures.append(Picture(f"{number:02}.png", path, (48, 48), (label,), part, group))
    embeddings = np.random.default_rng(0).normal(size=(COUNT, 8)) * 0.3
    embeddings[:, :4] += labels[:, None] * 4
    return Collection("fish", "species", NAMES, tuple(pictures)), embeddings


@pytest.fixture
def dataset(fiftyone_module: ModuleType, tmp_path: Path) -> Iterator[tuple[Any, np.ndarray]]:
    collection, embeddings = species(tmp_path)
    made = dataset_of(collection, f"brain-{tmp_path.name}")
    yield made, embeddings
    made.delete()


def items(view: Any) -> list[str]:
    return view.values(ITEM)


def test_what_a_curator_should_look_at_is_found_and_saved_as_views(dataset: tuple[Any, np.ndarray]) -> None:
    samples, embeddings = dataset
    probabilities = np.full((COUNT, 2), 0.5)
    probabilities[np.arange(COUNT), np.arange(COUNT) % 2] = 0.99
    probabilities[30] = 0.5
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    looked = look_over(samples, embeddings, (probabilities, NAMES))
    assert items(samples.load_saved_view(DOUBTFUL))[0] == "07.png"
    assert samples.match({ITEM: "07.png"}).first()[SUGGESTED] == NAMES[1]
    assert items(samples.load_saved_view(DUPLICATES)) == ["01.png", "41.png"]
    assert samples.match({ITEM: "41.png"}).first()[DUPLICATE_OF] == "01.png"
    assert set(items(samples.load_saved_view("leaks between train and val"))) == {
        "01.png",
        "20.png",
        "41.png",
        "44.png",
    }
    assert items(samples.load_saved_view(HARD))[0] == "30.png"
    assert items(samples.load_saved_view(LOW_LIGHT)) == ["09.png"]
    assert {view.name: view.count for view in looked.views}[UNUSUAL] == 3
    assert TYPICAL in samples.list_saved_views()
    assert looked.unreadable == 0
    for field in (DOUBT, HARDNESS, UNIQUENESS, REPRESENTATIVENESS, BRIGHTNESS):
        values = samples.values(field)
        assert all(0 <= value <= 1 for value in values), field


def test_search_by_picture_and_map_are_ready_for_the_app(dataset: tuple[Any, np.ndarray]) -> None:
    samples, embeddings = dataset
    look_over(samples, embeddings)
    ids = samples.values("id")
    alike = samples.sort_by_similarity(ids[3], k=10, brain_key=SIMILARITY).values("id")
    assert alike[0] == ids[3]
    assert {ids.index(one) % 2 for one in alike} == {1}
    points = samples.load_brain_results(MAP).points
    assert points.shape == (COUNT, 2)
    apart = np.linalg.norm(points[::2].mean(axis=0) - points[1::2].mean(axis=0))
    assert apart > points[::2].std(axis=0).max()


def test_looking_again_replaces_what_was_found(dataset: tuple[Any, np.ndarray]) -> None:
    samples, embeddings = dataset
    look_over(samples, embeddings)
    wrong = samples.match({ITEM: "07.png"}).first()
    wrong[TRUTH].label = NAMES[1]
    wrong.tags = [ACCEPTED]
    wrong.save()
    samples.delete_samples(samples.match({ITEM: "41.png"}))
    look_over(samples, np.delete(embeddings, 41, axis=0))
    assert not samples.has_saved_view(DUPLICATES)
    assert "07.png" not in items(samples.load_saved_view(DOUBTFUL))
    assert samples.match({ITEM: "01.png"}).first()[LEAK] is False
    assert len(samples.load_brain_results(MAP).points) == COUNT - 1


def test_without_a_model_copies_leaks_and_light_are_found_all_the_same(dataset: tuple[Any, np.ndarray]) -> None:
    samples, _ = dataset
    looked = look_over(samples)
    assert {view.name for view in looked.views} == {DUPLICATES, "leaks between train and val", LOW_LIGHT}
    assert not samples.list_brain_runs()


def test_missing_files_and_missing_embeddings_stop_nothing(dataset: tuple[Any, np.ndarray]) -> None:
    samples, embeddings = dataset
    Path(samples.match({ITEM: "12.png"}).first().filepath).unlink()
    embeddings[12] = np.nan
    looked = look_over(samples, embeddings)
    lost = samples.match({ITEM: "12.png"}).first()
    assert looked.unreadable == 1
    assert [lost[field] for field in (DOUBT, UNIQUENESS, BRIGHTNESS, SUGGESTED)] == [None] * 4
    assert len(samples.load_brain_results(MAP).points) == COUNT - 1


def test_rows_that_are_not_those_of_the_pictures_are_refused(dataset: tuple[Any, np.ndarray]) -> None:
    with pytest.raises(ValueError, match="59 rows for 60 pictures"):
        look_over(dataset[0], dataset[1][1:])


def test_videos_are_refused(fiftyone_module: ModuleType) -> None:
    videos = fiftyone_module.Dataset()
    videos.media_type = "video"
    with pytest.raises(ArgumentError, match="expected pictures"):
        look_over(videos)
    videos.delete()


def box(name: str, left: float, score: float | None = None) -> Label:
    by = SOURCE if score is None else Provenance(kind="model", name="m")
    return Label(name, by, np.array([left, 10, left + 10, 20], np.float32), confidence=score)


def test_boxes_are_held_against_a_models(fiftyone_module: ModuleType, tmp_path: Path) -> None:
    truth = {
        "right": [box("fish", 5)],
        "spurious": [box("fish", 5), box("fish", 30)],
        "missed": [],
        "badly": [box("fish", 5)],
        "partly": [],
        "other": [box("anchor", 5)],
        "unasked": [box("fish", 5)],
    }
    said = {"right": [5], "spurious": [5], "missed": [5], "badly": [11], "partly": [5], "other": []}
    made = []
    for name, labels in truth.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), picture(len(made)))
        made.append(Picture(name, tmp_path / f"{name}.png", (48, 48), tuple(labels), complete=name != "partly"))
    samples = dataset_of(Collection("c", "detection", ("anchor", "fish"), tuple(made)), f"boxes-{tmp_path.name}")
    add_label_field(samples, "detection", "m")
    for sample in samples.match({ITEM: {"$in": list(said)}}):
        places = said[sample[ITEM]]
        sample["m"] = fiftyone_module.Detections(
            detections=[
                fiftyone_module.Detection(
                    label="fish", bounding_box=[x / 48, 10 / 48, 10 / 48, 10 / 48], confidence=0.9
                )
                for x in places
            ]
        )
        sample.save()
    samples.info[MODELS] = {"m": {"classes": ["fish"], "threshold": 0.4}}
    samples.save()
    look_over(samples, field="m")
    doubts = dict(zip(items(samples), samples.values(DOUBT), strict=True))
    assert doubts == pytest.approx(
        {"right": 0, "spurious": 1, "missed": 0.9, "badly": 0.9, "partly": 0, "other": 0, "unasked": None}
    )
    assert items(samples.load_saved_view(FAULTS["spurious"])) == ["spurious"]
    assert items(samples.load_saved_view(FAULTS["badly placed"])) == ["badly"]
    assert items(samples.load_saved_view(MISSED)) == ["missed"]
    assert samples.match({ITEM: "spurious"}).first()[TRUTH].detections[1][DOUBT] == 1.0
    assert items(samples.load_saved_view(DOUBTFUL))[0] == "spurious"
    samples.delete()


@pytest.mark.parametrize(
    ("parts", "groups", "pairs", "leaking"),
    [
        (["train", "val", "val"], ["a", "a", "b"], [], [0, 1]),
        (["train", "val", "val"], ["a", "b", "b"], [(0, 2)], [0, 2]),
        (["train", "train", "val"], ["a", "a", "b"], [(0, 1)], []),
        (["train", "val", ""], ["one", "one", "one"], [], []),
        (["train", "", "val"], ["a", "a", "b"], [(1, 2)], []),
        (["train", "val", "val"], ["", "", "b"], [], []),
        (["train", "train", "val"], None, [(0, 1), (1, 2)], [0, 1, 2]),
        (None, ["a", "a", "b"], [(0, 2)], []),
    ],
)
def test_leaks_are_by_group_and_by_look(
    parts: list[str] | None, groups: list[str] | None, pairs: list[tuple[int, int]], leaking: list[int]
) -> None:
    array = np.array(pairs, np.int64).reshape(-1, 2)
    copies = Duplicates(3, array, np.ones(len(array), np.bool_), np.ones(len(array), np.float32))
    assert np.flatnonzero(leaks(parts, groups, copies)).tolist() == leaking


HERE, NEARLY_HERE, THERE = [0.1, 0.1, 0.2, 0.2], [0.11, 0.1, 0.2, 0.2], [0.6, 0.6, 0.2, 0.2]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ([HERE], [NEARLY_HERE], True),
        ([HERE], [THERE], False),
        ([HERE, THERE], [THERE, HERE], True),
        ([HERE, THERE], [HERE, NEARLY_HERE], False),
        ([HERE], [HERE, THERE], False),
        ([HERE], None, False),
        ([], None, True),
    ],
)
def test_frames_of_a_still_camera_are_copies_only_where_the_same_fish_are_in_place(
    one: list[list[float]], other: list[list[float]] | None, same: bool
) -> None:
    pairs = np.array([[0, 1], [0, 2]])
    copies = Duplicates(3, pairs, np.array([False, True]), np.array([0.97, 1], np.float32))
    kept = with_the_same_boxes(copies, [one, other, [THERE]])
    assert kept.pairs.tolist() == ([[0, 1]] if same else []) + [[0, 2]]


def test_the_lone_picture_is_unique_and_the_middle_one_represents() -> None:
    rng = np.random.default_rng(0)
    embeddings = np.concatenate([rng.normal(size=(50, 6)) * 0.1 + 1, [[-9, 3, 3, -9, 2, 1]]])
    unique = uniqueness(nearest(embeddings, 15))
    assert unique.argmax() == 50
    assert unique.max() == 1
    assert representativeness(embeddings).min() >= 0
    assert np.isnan(uniqueness(Neighbours(np.full((2, 3), -1), np.full((2, 3), -1, np.float32)))).all()


def test_hardness_is_nought_for_the_sure_and_one_for_the_clueless() -> None:
    rows = np.array([[1, 0, 0, 0], [0.25] * 4, [0.5, 0.5, 0, 0], [np.nan] * 4])
    assert hardness(rows)[:3] == pytest.approx([0, 1, 0.5])
    assert np.isnan(hardness(rows)[3])


@pytest.mark.parametrize("count", [4, 5, 30])
def test_few_pictures_make_a_map_too_and_the_same_each_time(count: int) -> None:
    embeddings = np.random.default_rng(0).normal(size=(count + 1, 6))
    embeddings[2] = np.nan
    sound = np.flatnonzero(np.isfinite(embeddings).all(axis=1))
    near = nearest(embeddings, 15)
    first, again = (laid_out(directions(embeddings)[sound], near, sound) for _ in range(2))
    assert first.shape == (count, 2)
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, again)
