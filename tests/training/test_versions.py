"""Learning from folders that `shankha curate export` wrote: parts and groups as the manifest has them, to a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.curation.collection import Collection, Part
from data.curation.folder import write_version
from data.curation.sets import read_collection
from data.errors import ArgumentError, ConfigurationError, InputError
from data.labels import NOT_A_DIGIT
from data.masks import Mask
from tests.training import drawn_crops, sites
from tests.training.drawn_digits import draw_digits
from training.loop import Run
from training.recipe import DetectionRecipe, DigitRecipe, SegmentationRecipe, SpeciesRecipe
from training.run import build_task
from training.task import Task

_DIGITS = {
    "name": "tiny",
    "task": "digits",
    "network": {"name": "compact", "options": {"widths": [8, 8, 12, 12], "depths": [0, 0, 1]}},
    "data": {"train": [{"folder": "set"}], "validation_share": 0.2},
    "epochs": 1,
    "batch_size": 20,
    "schedule": {"warmup_epochs": 0.5},
    "workers": 0,
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHANKHA_DATA", str(tmp_path))
    return tmp_path


def digits_of(root: Path, parts: tuple[Part, ...]) -> Collection:
    """Digits of ten writers, shared out over the parts by writer."""
    draw_digits(root / "drawn")
    whole = read_collection(root / "drawn", "digits", root / "media")
    pictures = [
        replace(picture, group=f"writer {number % 10}", part=parts[number % 10 % len(parts)])
        for number, picture in enumerate(whole.pictures)
    ]
    return replace(whole, pictures=tuple(pictures))


def test_digits_of_a_writer_are_learnt_or_held_out(root: Path) -> None:
    write_version(digits_of(root, ("",)), root / "set", "classes")
    task = build_task(DigitRecipe.model_validate(_DIGITS))
    learnt, held = set(task.train.groups.tolist()), set(task.held.groups.tolist())
    assert len(held) == 2
    assert not learnt & held
    assert len(task.train) + len(task.held) == 140
    assert Run(task, task.recipe, root / "run").fit().metrics["plain_accuracy"] >= 0


def test_the_parts_of_digits_stay_as_they_are(root: Path) -> None:
    given = digits_of(root, ("train", "train", "val", "test"))
    write_version(given, root / "set", "classes")
    task = build_task(DigitRecipe.model_validate(_DIGITS))
    counts = {part: sum(one.part == part for one in given.pictures) for part in ("train", "val", "test")}
    assert (len(task.train), len(task.held)) == (counts["train"], counts["val"])
    asked = DigitRecipe.model_validate(_DIGITS | {"data": {"train": [{"folder": "set", "split": "test"}]}})
    other = build_task(asked)
    assert len(other.train) + len(other.held) == counts["test"]


def test_what_is_no_digit_is_learnt_too_and_spoils_no_accuracy(root: Path) -> None:
    given = digits_of(root, ("",))
    pictures = [
        replace(one, labels=(replace(one.labels[0], name="not_a_digit"),)) if one.group == "writer 3" else one
        for one in given.pictures
    ]
    write_version(replace(given, pictures=tuple(pictures)), root / "set", "classes")
    task = build_task(DigitRecipe.model_validate(_DIGITS))
    labels = np.concatenate([task.train.labels, task.held.labels])
    assert int((labels == NOT_A_DIGIT).sum()) == 14


def test_a_fish_is_learnt_or_held_out_whatever_its_pictures_are_called(root: Path) -> None:
    drawn_crops.draw_folder(root / "crops", fish=12)
    whole = read_collection(root / "crops", "species", root / "media")
    fish = {
        name: f"fish {number // 2}" for number, name in enumerate(dict.fromkeys(one.group for one in whole.pictures))
    }
    pairs = tuple(replace(one, group=fish[one.group], part="") for one in whole.pictures)
    write_version(replace(whole, pictures=pairs), root / "crops-set", "classes")
    recipe = SpeciesRecipe.model_validate(drawn_crops.TREE | {"data": {"folder": "crops-set"}, "epochs": 1})
    task = build_task(recipe)
    learnt, held = set(task.train.groups.tolist()), set(task.held.groups.tolist())
    assert not learnt & held
    assert learnt | held < set(fish.values())  # the rest is the part test
    assert Run(task, recipe, root / "run").fit().metrics["accuracy"] >= 0


def boxes_of(root: Path, parts: dict[str, Part]) -> Collection:
    sites.fish_of_three_sites(root)
    whole = read_collection(root / "fish", "detection", root / "media")
    pictures = tuple(replace(one, part=parts.get(one.group, "")) for one in whole.pictures)
    return replace(whole, pictures=pictures)


def scenes(task: str, **changes: Any) -> dict[str, Any]:
    own: dict[str, Any] = {"task": task, "network": {"name": "yolox-nano"}, "epochs": 1, "plain_epochs": 0}
    return sites.SMALL | own | {"data": {"train": [{"folder": "set"}], "validation_share": 0.3}} | changes


@pytest.mark.parametrize("target_format", ["yolo", "coco"])
def test_a_camera_site_is_learnt_or_held_out(target_format: str, root: Path) -> None:
    write_version(boxes_of(root, {}), root / "set", target_format)
    task = build_task(DetectionRecipe.model_validate(scenes("detection")))
    assert len(set(task.held.sites.tolist())) == 1
    assert not set(task.train.sites.tolist()) & set(task.held.sites.tolist())
    assert len(task.train) + len(task.held) == 24


@pytest.mark.parametrize("target_format", ["yolo", "coco"])
def test_the_parts_of_frames_stay_as_they_are(target_format: str, root: Path) -> None:
    write_version(boxes_of(root, {"7001": "val", "7002": "train", "7003": "test"}), root / "set", target_format)
    task = build_task(DetectionRecipe.model_validate(scenes("detection")))
    assert {site.rpartition("/")[2] for site in task.train.sites.tolist()} == {"7002"}
    assert {site.rpartition("/")[2] for site in task.held.sites.tolist()} == {"7001"}


def test_a_detector_is_trained_to_the_end(root: Path) -> None:
    write_version(boxes_of(root, {"7001": "val", "7002": "train", "7003": "train"}), root / "set", "yolo")
    recipe = DetectionRecipe.model_validate(scenes("detection"))
    task: Task[Any] = build_task(recipe)
    assert Run(task, recipe, root / "run").fit().metrics["map50"] >= 0


@pytest.mark.parametrize("target_format", ["yolo", "coco"])
def test_a_segmenter_is_trained_to_the_end(target_format: str, root: Path) -> None:
    whole = boxes_of(root, {"7001": "val", "7002": "train", "7003": "train"})
    outlined = tuple(
        replace(one, labels=tuple(replace(label, mask=_mask(label.xyxy)) for label in one.labels))
        for one in whole.pictures
    )
    write_version(replace(whole, kind="segmentation", pictures=outlined), root / "set", target_format)
    network = {"name": "yolox-nano-seg", "options": {"classes": 1, "prototypes": 8}}
    recipe = SegmentationRecipe.model_validate(scenes("segmentation", network=network))
    task = build_task(recipe)
    assert all(mask is not None for own in task.train.masks or () for mask in own)
    assert {site.rpartition("/")[2] for site in task.held.sites.tolist()} == {"7001"}
    assert Run(task, recipe, root / "run").fit().metrics["mask_ap50"] >= 0


def _mask(xyxy: Any) -> Any:
    left, top, right, bottom = (round(float(edge)) for edge in xyxy)
    return Mask(left, top, np.ones((bottom - top, right - left), np.bool_))


def test_a_folder_that_differs_from_its_manifest_is_not_learnt_from(root: Path) -> None:
    write_version(boxes_of(root, {}), root / "set", "yolo")
    next((root / "set" / "labels").rglob("*.txt")).write_text("0 0.5 0.5 0.1 0.1\n")
    with pytest.raises(InputError, match=r"set: differs from its manifest: labels/"):
        build_task(DetectionRecipe.model_validate(scenes("detection")))


def test_without_a_part_for_learning_nothing_is_learnt(root: Path) -> None:
    write_version(boxes_of(root, dict.fromkeys(sites.SITES, "test")), root / "set", "yolo")
    with pytest.raises(ArgumentError, match=r"has no part to learn from; expected a part train"):
        build_task(DetectionRecipe.model_validate(scenes("detection")))


def test_one_site_alone_cannot_be_validated_on_itself(root: Path) -> None:
    whole = boxes_of(root, {})
    one_site = tuple(replace(one, group="7001") for one in whole.pictures)
    write_version(replace(whole, pictures=one_site), root / "set", "yolo")
    with pytest.raises(ConfigurationError, match="no site is left to validate on"):
        build_task(DetectionRecipe.model_validate(scenes("detection")))
