"""Collections into the real FiftyOne and back, with what a person may do to them in between."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.curate.fields import BY_KIND, INFO, ITEM, PART, TRUTH
from apps.curate.reading import SOMEONE
from apps.curate.samples import BATCH, add_pictures, collection_of, dataset_of
from data.curation.collection import Collection, Label, Picture, Provenance
from data.errors import ArgumentError, InputError
from data.masks import Mask, from_picture

SOURCE = Provenance(kind="source", name="reef")
PERSON = Provenance(kind="person", name="Ada", when="2026-11-22T20:15:03Z")
SIZE = (97, 61)


@pytest.fixture(autouse=True)
def _no_datasets_left(fiftyone_module: ModuleType) -> Any:
    yield
    for name in fiftyone_module.list_datasets():
        fiftyone_module.delete_dataset(name)


def digits(count: int = 4, name: str = "digits") -> Collection:
    pictures = tuple(
        Picture(
            f"{n}.png", Path(f"/nowhere/{n}.png"), (32, 30), (Label(str(n % 3), SOURCE),), "train", f"writer-{n % 2}"
        )
        for n in range(count)
    )
    return Collection(name, "digits", ("0", "1", "2"), pictures)


def boxed(*labels: Label, kind: str = "detection") -> Collection:
    return Collection("reef", kind, ("fish", "crab"), (Picture("a.png", Path("/nowhere/a.png"), SIZE, labels),))  # type: ignore[arg-type]


def box(left: float, top: float, right: float, bottom: float, **more: Any) -> Label:
    return Label("fish", SOURCE, np.array([left, top, right, bottom], np.float32), **more)


names = st.sampled_from(["fish", "crab"])
speakers = st.sampled_from([SOURCE, PERSON, Provenance(kind="model", name="fish-int8", when="2026-11-22T20:15:03Z")])
confidences = st.none() | st.floats(0, 1)


@st.composite
def boxes(draw: st.DrawFn, *, masked: bool) -> Label:
    left, right = sorted(draw(st.lists(st.floats(0, SIZE[0], width=32), min_size=2, max_size=2, unique=True)))
    top, bottom = sorted(draw(st.lists(st.floats(0, SIZE[1], width=32), min_size=2, max_size=2, unique=True)))
    xyxy = np.array([left, top, right, bottom], np.float32)
    # Thinner than this a box has no area in the numbers that FiftyOne keeps.
    xyxy[2:] = np.minimum(np.maximum(xyxy[2:], xyxy[:2] + 0.01), SIZE)
    xyxy[:2] = np.minimum(xyxy[:2], xyxy[2:] - np.float32(0.01))
    mask = draw(masks()) if masked and draw(st.booleans()) else None
    track = draw(st.integers(0, 9))
    return Label(draw(names), draw(speakers), xyxy, mask, draw(confidences), track)


@st.composite
def masks(draw: st.DrawFn) -> Mask:
    pixels = np.zeros((SIZE[1], SIZE[0]), np.bool_)
    corners = st.tuples(st.integers(0, SIZE[0] - 1), st.integers(0, SIZE[1] - 1))
    for x, y in draw(st.lists(corners, min_size=1, max_size=4)):
        pixels[y : y + 9, x : x + 5] = True
    return from_picture(pixels)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
@pytest.mark.parametrize("kind", ["detection", "segmentation"])
def test_boxes_come_back_as_they_went(data: st.DataObject, kind: str, fiftyone_module: ModuleType) -> None:
    labels = data.draw(
        st.lists(boxes(masked=kind == "segmentation"), max_size=4, unique_by=lambda one: one.xyxy.tobytes())
    )
    part = data.draw(st.sampled_from(["train", "val", "test", ""]))
    settled = bool(labels) and all(label.by == PERSON for label in labels)
    whole = settled or data.draw(st.booleans())
    picture = Picture("a/b.png", Path("/nowhere/a/b.png"), SIZE, tuple(labels), part, "site", whole)
    collection = Collection("reef", kind, ("fish", "crab"), (picture,))  # type: ignore[arg-type]
    dataset = dataset_of(collection, "reef")
    try:
        back = collection_of(dataset)
    finally:
        fiftyone_module.delete_dataset("reef")
    assert back == collection


def test_labels_of_whole_pictures_come_back_as_they_went(fiftyone_module: ModuleType) -> None:
    one, two, three = (
        Picture(
            "0.png", Path("/nowhere/0.png"), (3, 4), (Label("2", PERSON, confidence=0.25),), "val", "w", True, ("x",)
        ),
        Picture("1.png", Path("/nowhere/1.png"), (3, 4), (), "", "", False),
        Picture("2.png", Path("/nowhere/2.png"), (3, 4), (Label("0", SOURCE),), "train"),
    )
    collection = Collection("digits", "digits", ("0", "1", "2"), (one, two, three))
    dataset = dataset_of(collection, "digits")
    assert collection_of(dataset) == collection
    assert collection_of(dataset.skip(1)) == collection.select([1, 2])


def test_the_documents_are_those_that_fiftyone_writes(fiftyone_module: ModuleType) -> None:
    fo = fiftyone_module
    mask = Mask(3, 4, np.ones((5, 6), np.bool_))
    dataset = dataset_of(boxed(box(3, 4, 9, 9, mask=mask, confidence=0.5, track=7), kind="segmentation"), "reef")
    (ours,) = dataset._sample_collection.find()
    said = ours[TRUTH]["detections"][0]
    sample = fo.Sample(
        ours["filepath"],
        tags=[],
        metadata=fo.ImageMetadata(width=SIZE[0], height=SIZE[1]),
        **{key: ours[key] for key in (ITEM, PART, "group", "complete")},
    )
    own = {key: said[key] for key in said if key.startswith("by_") or key in {"track", "window"}}
    sample[TRUTH] = fo.Detections(
        detections=[
            fo.Detection(label="fish", bounding_box=said["bounding_box"], confidence=0.5, mask=mask.inside, **own)
        ]
    )
    other = dataset.clone("other")
    other.clear()
    other.add_sample(sample)
    (theirs,) = other._sample_collection.find()
    assert _without_times_and_ids(ours) == _without_times_and_ids(theirs)


def _without_times_and_ids(document: Any) -> Any:
    if isinstance(document, dict):
        left_out = {"_id", "_rand", "_dataset_id", "created_at", "last_modified_at"}
        shape = {key: type(value) for key, value in document.items() if key in left_out}
        return {key: _without_times_and_ids(value) for key, value in document.items() if key not in left_out}, shape
    return [_without_times_and_ids(one) for one in document] if isinstance(document, list) else document


def test_thousands_come_in_batches_and_tell_of_it(fiftyone_module: ModuleType) -> None:
    heard: list[tuple[int, int]] = []
    dataset = dataset_of(digits(BATCH + 1), "digits", tick=lambda *one: heard.append(one))
    assert heard == [(BATCH, BATCH + 1), (BATCH + 1, BATCH + 1)]
    assert len(dataset) == BATCH + 1
    assert dataset.persistent
    assert dataset.media_type == "image"
    assert dataset.first().metadata.width == 32


def test_a_name_that_is_taken_is_refused(fiftyone_module: ModuleType) -> None:
    dataset_of(digits(), "digits")
    with pytest.raises(ArgumentError, match="--name"):
        dataset_of(digits(), "digits")


def test_labels_go_to_the_field_that_is_asked_for(fiftyone_module: ModuleType) -> None:
    dataset = dataset_of(digits(), "digits", field="digits_int8")
    assert not dataset.has_field(TRUTH)
    assert collection_of(dataset, "digits_int8").pictures == digits().pictures
    with pytest.raises(InputError, match="'ground_truth'"):
        collection_of(dataset)


def test_more_pictures_join_those_that_are_there(fiftyone_module: ModuleType) -> None:
    dataset = dataset_of(digits(2), "digits")
    add_pictures(dataset, digits(5).select([2, 3, 4]))
    assert collection_of(dataset) == digits(5)


@pytest.mark.parametrize(
    ("kind", "label"), [("digits", box(1, 2, 3, 4)), ("detection", Label("fish", SOURCE))], ids=["boxed", "unboxed"]
)
def test_labels_of_the_wrong_kind_are_refused(kind: Any, label: Label, fiftyone_module: ModuleType) -> None:
    with pytest.raises(ValueError, match="box"):
        dataset_of(boxed(label, kind=kind), "reef")


# What people do in the App


def test_a_label_drawn_in_the_app_is_a_persons(fiftyone_module: ModuleType) -> None:
    dataset = dataset_of(boxed(box(1, 2, 30, 40)), "reef")
    sample = dataset.first()
    sample[TRUTH].detections.append(fiftyone_module.Detection(label="whale", bounding_box=[0.5, 0.5, 0.25, 0.25]))
    sample.save()
    back = collection_of(dataset)
    assert back.names == ("fish", "crab", "whale")
    drawn = back.pictures[0].labels[1]
    assert (drawn.name, drawn.by) == ("whale", SOMEONE)
    assert drawn.xyxy is not None
    assert drawn.xyxy.tolist() == pytest.approx([48.5, 30.5, 72.75, 45.75])


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        ({"bounding_box": [2.0, 2.0, 0.1, 0.1]}, "outside"),
        ({"bounding_box": [0.1, 0.1, 0.0, 0.1]}, "no area"),
        ({"bounding_box": [0.1, float("nan"), 0.1, 0.1]}, "finite"),
        ({"bounding_box": None}, "finite"),
        ({"label": None}, "without a class"),
        ({"label": ""}, "without a class"),
    ],
)
def test_boxes_that_make_no_sense_are_problems(edit: dict[str, Any], why: str, fiftyone_module: ModuleType) -> None:
    dataset = dataset_of(boxed(box(1, 2, 30, 40), box(5, 5, 20, 20)), "reef")
    change(dataset, edit)
    back = collection_of(dataset)
    assert [label.xyxy.tolist() for label in back.pictures[0].labels if label.xyxy is not None] == [[5, 5, 20, 20]]
    assert why in back.problems[0].why
    assert back.problems[0].name == "a.png"


@pytest.mark.parametrize("confidence", [float("nan"), float("inf"), -0.5, 1.5])
def test_confidences_that_are_none_are_left_out(confidence: float, fiftyone_module: ModuleType) -> None:
    dataset = dataset_of(boxed(box(1, 2, 30, 40, confidence=0.5)), "reef")
    change(dataset, {"confidence": confidence})
    back = collection_of(dataset)
    assert back.pictures[0].labels[0].confidence is None
    assert "confidence" in back.problems[0].why


@pytest.mark.parametrize("edit", [{BY_KIND: "ghost"}, {"by_name": ""}, {"by_when": "yesterday"}])
def test_a_signature_that_makes_no_sense_is_somebodys(edit: dict[str, Any], fiftyone_module: ModuleType) -> None:
    dataset = dataset_of(boxed(box(1, 2, 30, 40)), "reef")
    change(dataset, edit)
    back = collection_of(dataset)
    assert back.pictures[0].labels[0].by == SOMEONE
    assert len(back.problems) == 1


def test_a_mask_follows_its_box(fiftyone_module: ModuleType) -> None:
    mask = Mask(11, 12, np.array([[1, 0, 1], [1, 1, 1]], np.bool_))
    dataset = dataset_of(boxed(box(10, 10, 20, 20, mask=mask), kind="segmentation"), "reef")
    change(dataset, {"bounding_box": [30 / SIZE[0], 40 / SIZE[1], 10 / SIZE[0], 10 / SIZE[1]]})
    moved = collection_of(dataset).pictures[0].labels[0].mask
    assert moved == Mask(31, 42, mask.inside)
    change(dataset, {"bounding_box": [90 / SIZE[0], 40 / SIZE[1], 7 / SIZE[0], 10 / SIZE[1]], "window": None})
    cut = collection_of(dataset).pictures[0].labels[0].mask
    assert cut is not None
    assert cut.xyxy[2] <= SIZE[0]


def change(dataset: Any, edit: dict[str, Any]) -> None:
    """Edit the first label of the first sample, past all checks."""
    edits = {f"{TRUTH}.detections.0.{key}": value for key, value in edit.items()}
    dataset._sample_collection.update_one({}, {"$set": edits})
    dataset.reload()


def test_parts_and_items_that_make_no_sense_are_problems(fiftyone_module: ModuleType) -> None:
    dataset = dataset_of(digits(4), "digits")
    dataset.set_values(PART, ["train", "holiday", None, "val"])
    dataset.set_values(ITEM, ["0.png", "1.png", None, "0.png"])
    back = collection_of(dataset)
    assert [(one.id, one.part) for one in back.pictures] == [("0.png", "train"), ("1.png", ""), ("2.png", "")]
    assert {problem.name for problem in back.problems} == {"0.png", "1.png"}


def test_a_picture_without_a_size_that_is_gone_is_a_problem(fiftyone_module: ModuleType, tmp_path: Path) -> None:
    dataset = dataset_of(digits(2), "digits")
    dataset.set_values("metadata", [None, None])
    assert len(collection_of(dataset).problems) == 2


@pytest.mark.parametrize(
    ("label", "kind"), [("7", "digits"), ("not_a_digit", "digits"), ("Chromis chrysura", "species")]
)
def test_datasets_of_others_are_understood_by_what_they_hold(
    label: str, kind: str, fiftyone_module: ModuleType
) -> None:
    fo = fiftyone_module
    dataset = fo.Dataset("theirs")
    metadata = fo.ImageMetadata(width=9, height=9)
    dataset.add_sample(fo.Sample("/nowhere/a.png", metadata=metadata, mine=fo.Classification(label=label)))
    assert INFO not in dataset.info
    back = collection_of(dataset, "mine")
    assert (back.kind, back.pictures[0].labels[0].name, back.pictures[0].id) == (kind, label, "a.png")


def test_boxes_of_others_are_understood(fiftyone_module: ModuleType) -> None:
    fo = fiftyone_module
    dataset = fo.Dataset("theirs")
    one = fo.Detection(label="a", bounding_box=[0, 0, 0.5, 0.5])
    metadata = fo.ImageMetadata(width=10, height=10)
    dataset.add_sample(fo.Sample("/nowhere/a.png", metadata=metadata, mine=fo.Detections(detections=[one])))
    assert collection_of(dataset, "mine").kind == "detection"
    outlined = fo.Detection(label="a", bounding_box=[0, 0, 0.5, 0.5], mask=np.ones((3, 3), bool))
    dataset.add_sample(fo.Sample("/nowhere/b.png", metadata=metadata, mine=fo.Detections(detections=[outlined])))
    back = collection_of(dataset, "mine")
    assert back.kind == "segmentation"
    assert back.pictures[1].labels[0].mask == Mask(0, 0, np.ones((5, 5), np.bool_))


def test_videos_are_no_collection_of_pictures(fiftyone_module: ModuleType) -> None:
    dataset = fiftyone_module.Dataset("videos")
    dataset.media_type = "video"
    with pytest.raises(InputError, match="holds videos"):
        collection_of(dataset)


@pytest.mark.parametrize(
    ("speakers", "tags", "whole"),
    [
        ((PERSON, PERSON), (), True),
        ((PERSON, SOURCE), (), False),
        ((), (), False),
        ((), ("accepted",), True),
    ],
)
def test_a_picture_that_a_person_went_through_is_wholly_labelled(
    fiftyone_module: ModuleType, speakers: tuple[Provenance, ...], tags: tuple[str, ...], whole: bool
) -> None:
    labels = tuple(Label("fish", by, np.array([1, 2, 30 + n, 40], np.float32)) for n, by in enumerate(speakers))
    picture = Picture("a.png", Path("/nowhere/a.png"), SIZE, labels, complete=False, tags=tags)
    dataset = dataset_of(Collection("reef", "detection", ("fish",), (picture,)), "reef")
    assert collection_of(dataset).pictures[0].complete is whole
