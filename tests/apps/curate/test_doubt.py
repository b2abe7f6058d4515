from __future__ import annotations

import sys

import numpy as np
import pytest

from apps.curate.doubt import doubt_boxes, doubt_labels
from data.detections import Detections
from data.errors import MissingDependencyError

pytest.importorskip("sklearn")


def clusters(count: int = 400, classes: int = 5, spread: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    return rng.normal(size=(classes, 16))[labels] * 2 + rng.normal(size=(count, 16)) * spread, labels


def flipped(labels: np.ndarray, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    chosen, classes = rng.choice(len(labels), count, replace=False), int(labels.max()) + 1
    wrong = labels.copy()
    wrong[chosen] = (labels[chosen] + rng.integers(1, classes, count)) % classes
    return wrong, chosen


@pytest.mark.parametrize("groups", [None, "few", "many", "nobody's"])
def test_flipped_labels_are_the_most_doubtful_and_the_right_class_is_suggested(groups: str | None) -> None:
    embeddings, labels = clusters()
    wrong, chosen = flipped(labels, 8)
    of = {"few": np.arange(400) % 3, "many": np.arange(400) // 4, "nobody's": np.zeros(400, int)}.get(groups or "")
    names = None if of is None else np.array([f"g{one}" if groups != "nobody's" else "" for one in of])
    found = doubt_labels(wrong, embeddings, names)
    most = np.argsort(-found.doubt)[:20]
    assert set(chosen.tolist()) <= set(most.tolist())
    assert (found.suggested[chosen] == labels[chosen]).all()
    assert ((found.doubt >= 0) & (found.doubt <= 1)).all()
    assert (found.suggested != wrong).all()


def test_a_fish_whose_pictures_are_all_wrong_is_doubted_though_they_agree_with_each_other() -> None:
    embeddings, labels = clusters(spread=0.6)
    groups = np.array([f"fish{one}" for one in range(100)]).repeat(4)
    labels = labels[::4].repeat(4)
    rng = np.random.default_rng(3)
    middles = rng.normal(size=(5, 16)) * 2
    embeddings = (middles[labels[::4]] + rng.normal(size=(100, 16))).repeat(4, axis=0) + rng.normal(size=(400, 16)) / 5
    wrong = labels.copy()
    wrong[:8] = (labels[:8] + 1) % 5
    found = doubt_labels(wrong, embeddings, groups)
    assert set(range(8)) <= set(np.argsort(-found.doubt)[:20].tolist())


def test_a_class_of_a_single_fish_is_not_doubted_because_no_other_taught_it() -> None:
    embeddings, labels = clusters(spread=0.3)
    groups = np.array([f"fish{one}" for one in range(400)])
    groups[labels == 4] = "the only one"
    found = doubt_labels(labels, embeddings, groups)
    assert np.median(found.doubt[labels == 4]) < 0.1


def test_a_models_probabilities_join_in() -> None:
    embeddings, labels = clusters(spread=4.0)
    wrong, chosen = flipped(labels, 20)
    probabilities = np.full((400, 5), 0.02)
    probabilities[np.arange(400), labels] = 0.92
    probabilities[7] = np.nan
    alone, joined = doubt_labels(wrong, embeddings), doubt_labels(wrong, embeddings, probabilities=probabilities)

    def caught(doubt: np.ndarray) -> float:
        return float(np.isin(chosen, np.argsort(-doubt)[:20]).mean())

    assert caught(joined.doubt) > caught(alone.doubt)
    assert np.isfinite(joined.doubt).all()


def test_pictures_without_label_or_embedding_are_not_doubted() -> None:
    embeddings, labels = clusters(100)
    labels[3], embeddings[5] = -1, np.nan
    found = doubt_labels(labels, embeddings)
    assert np.flatnonzero(np.isnan(found.doubt)).tolist() == [3, 5]
    assert np.flatnonzero(found.suggested < 0).tolist() == [3, 5]


@pytest.mark.parametrize("labels", [[], [0], [1, 1, 1], [-1, -1], [0, 1], [0, 0, 1]])
def test_too_little_to_doubt_is_no_error(labels: list[int]) -> None:
    embeddings = np.random.default_rng(0).normal(size=(len(labels), 4))
    found = doubt_labels(np.array(labels, np.int64), embeddings)
    assert np.array_equal(np.isnan(found.doubt), np.array(labels) < 0)


def test_lengths_and_classes_must_agree() -> None:
    embeddings, labels = clusters(20)
    with pytest.raises(ValueError, match="differ in length"):
        doubt_labels(labels[1:], embeddings)
    with pytest.raises(ValueError, match="2 classes"):
        doubt_labels(labels, embeddings, probabilities=np.ones((20, 2)))


def test_without_the_extra_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, labels = clusters(40)
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(MissingDependencyError, match="--extra curate"):
        doubt_labels(labels, embeddings)


def found(*rows: tuple[float, float, float, float, float, int]) -> Detections:
    array = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(array[:, :4], array[:, 4], array[:, 5].astype(np.int64))


BOX = (10, 10, 50, 50)


@pytest.mark.parametrize(
    ("predictions", "fault", "doubt", "suggested", "missed"),
    [
        ([(*BOX, 0.9, 0)], "", 0.0, -1, []),
        ([(*BOX, 0.2, 0)], "", 0.0, -1, []),
        ([(*BOX, 0.9, 1)], "wrong class", 0.9, 0, []),
        ([(*BOX, 0.9, 1), (11, 10, 50, 50, 0.3, 0)], "wrong class", 0.6, 0, []),
        ([(*BOX, 0.3, 1)], "spurious", 0.7, -1, []),
        ([(30, 10, 70, 50, 0.8, 0)], "badly placed", 0.8, 0, []),
        ([(80, 80, 99, 99, 0.8, 0)], "spurious", 1.0, -1, [0]),
        ([(80, 80, 99, 99, 0.4, 0)], "spurious", 1.0, -1, []),
        ([], "spurious", 1.0, -1, []),
        ([(*BOX, 0.9, 0), (80, 80, 99, 99, 0.6, 0), (60, 0, 75, 9, 0.7, 1)], "", 0.0, -1, [2, 1]),
    ],
)
def test_boxes_are_held_against_predictions(
    predictions: list[tuple[float, float, float, float, float, int]],
    fault: str,
    doubt: float,
    suggested: int,
    missed: list[int],
) -> None:
    told = doubt_boxes(np.array([BOX], np.float32), np.array([0]), found(*predictions))
    assert told.faults == (fault,)
    assert told.doubt == pytest.approx([doubt], abs=1e-6)
    assert told.suggested.tolist() == [suggested]
    assert told.missed.tolist() == missed


def test_a_picture_without_boxes_lacks_what_was_found() -> None:
    told = doubt_boxes(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), found((0, 0, 9, 9, 0.9, 0)))
    assert told.faults == ()
    assert told.missed.tolist() == [0]


def test_the_prediction_of_a_neighbour_says_nothing_against_a_box() -> None:
    boxes = np.array([(0, 0, 40, 40), (25, 0, 65, 40)], np.float32)
    told = doubt_boxes(boxes, np.array([0, 0]), found((1, 0, 40, 40, 0.95, 0)))
    assert told.faults == ("", "spurious")
    assert told.doubt == pytest.approx([0, 1])
