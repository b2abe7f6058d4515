"""`shankha curate next` with the real FiftyOne and a really trained tiny reader of digits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

from apps.curate.choosing import LABEL_NEXT, choose_samples, uncertainty, waiting
from apps.curate.fields import ACCEPTED, DUPLICATE_OF, ILLEGIBLE, NEXT, RELABEL, TRUTH
from apps.curate.samples import dataset_of
from apps.main import run
from data.curation.collection import Collection, Label, Picture
from data.errors import ArgumentError
from data.labels import DIGIT_CLASSES
from tests.data.curation.made import ASHA, MODEL, SOURCE, collection
from tests.tiny import drawn_batch, tiny

LABELLED = 22


@pytest.fixture
def name(fiftyone_module: ModuleType) -> Iterator[str]:
    yield "to choose from"
    if fiftyone_module.dataset_exists("to choose from"):
        fiftyone_module.delete_dataset("to choose from")


def digits(folder: Path) -> Collection:
    """66 drawn digits of three writers: the first `LABELLED` with a label; the last is a copy of the first."""
    folder.mkdir()
    images, labels = drawn_batch(66, 5)
    pictures = []
    for number, (image, label) in enumerate(zip([*images[:-1], images[0]], labels, strict=True)):
        path = folder / f"{number:02d}.png"
        cv2.imwrite(str(path), image)
        own = (Label(DIGIT_CLASSES[label], SOURCE),) if number < LABELLED else ()
        pictures.append(Picture(path.name, path, image.shape[1::-1], own, "train", f"writer {number % 3}"))
    return Collection("drawn", "digits", DIGIT_CLASSES, tuple(pictures))


def test_unlabelled_pictures_are_ranked_and_saved_as_a_view(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = dataset_of(digits(tmp_path / "drawn"), name)
    model, page = str(tiny().float32.artifact.folder), tmp_path / "next.jpg"
    assert run(["curate", "next", "9", name, "--model", model, "--sheet", str(page)]) == 0
    assert "9 of 44 pictures without a label, from 3 groups" in capsys.readouterr().out
    dataset.reload()
    view = dataset.load_saved_view(LABEL_NEXT)
    assert view.values(NEXT) == list(range(1, 10))
    assert view.values(TRUTH) == [None] * 9
    assert "65.png" not in [Path(path).name for path in view.values("filepath")]
    sheet = cv2.imread(str(page))
    assert sheet is not None
    assert sheet.shape[0] > 2 * 220  # two rows
    again = choose_samples(dataset, 4, model)
    assert dataset.load_saved_view(LABEL_NEXT).values("id") == list(again.ids)
    assert len(dataset.exists(NEXT)) == 4
    assert again.ids == tuple(view.values("id")[:4])


def test_what_people_put_aside_is_not_chosen(name: str, tmp_path: Path) -> None:
    dataset = dataset_of(digits(tmp_path / "drawn"), name)
    samples = list(dataset)
    for number, tag in ((30, ILLEGIBLE), (31, RELABEL), (32, ACCEPTED)):
        samples[number].tags.append(tag)
        samples[number].save()
    samples[33][DUPLICATE_OF] = "00.png"
    samples[33].save()
    samples[34].filepath = str(tmp_path / "gone.png")
    samples[34].save()
    found = choose_samples(dataset, 100, str(tiny().float32.artifact.folder))
    chosen = {Path(path).name for path in dataset.select(list(found.ids)).values("filepath")}
    assert not chosen & {f"{number}.png" for number in (*range(30, 35), 65)}
    assert not chosen & {f"{number:02d}.png" for number in range(LABELLED)}
    assert found.candidates == 44 - 5


def test_nothing_to_label_is_told(name: str, tmp_path: Path) -> None:
    dataset = dataset_of(digits(tmp_path / "drawn").select(range(LABELLED)), name)
    with pytest.raises(ArgumentError, match="no readable picture is without a label"):
        choose_samples(dataset, 3, str(tiny().float32.artifact.folder))


@pytest.mark.parametrize("kind", ["digits", "detection"])
def test_only_people_and_sources_have_labelled(kind: Any, name: str, tmp_path: Path) -> None:
    given = collection(kind, tmp_path / "source", count=6)
    box = None if kind == "digits" else np.array([1, 1, 9, 9], np.float32)
    said: list[tuple[tuple[Label, ...], bool]] = [
        ((Label(given.names[0], MODEL, box),), True),
        ((Label(given.names[0], ASHA, box),), True),
        ((Label(given.names[0], SOURCE, box),), False),
        ((), False),
        ((), True),
        ((Label(given.names[0], MODEL, box), Label(given.names[1], ASHA, box))[: 1 if kind == "digits" else 2], True),
    ]
    pictures = [
        Picture(one.id, one.path, one.size_wh, labels, complete=whole)
        for one, (labels, whole) in zip(given.pictures, said, strict=True)
    ]
    dataset = dataset_of(Collection("x", kind, given.names, tuple(pictures)), name)
    wanted = [True, False, False, True, True, True] if kind == "digits" else [True, False, False, True, False, False]
    assert waiting(dataset, kind).tolist() == wanted


def test_frames_are_the_less_sure_the_larger_the_share_of_their_boxes_is(name: str, tmp_path: Path) -> None:
    given = collection("detection", tmp_path / "source", count=4)
    corners = np.array([1, 1, 9, 9], np.float32)
    sure = [(0.99,), (0.5,), (0.5, 0.6), ()]
    pictures = [
        Picture(one.id, one.path, one.size_wh, tuple(Label("fish", MODEL, corners, confidence=value) for value in own))
        for one, own in zip(given.pictures, sure, strict=True)
    ]
    dataset = dataset_of(Collection("x", "detection", given.names, tuple(pictures)), name, field="seen")
    unsure, says = uncertainty(dataset, "seen", "detection")
    assert np.allclose(unsure, [0.05, 0.5 / 1.5, 0.9 / 2.1, 0.05])
    assert says[2] == "2 found, unsure 0.43"
