from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from data.errors import ConfigurationError
from models.segmenter import MASK_STRIDE, MaskTargets
from tests.training.sites import SMALL
from training.loop import Run
from training.recipe import SegmentationRecipe, load_recipe
from training.run import RECIPES
from training.tasks.scenes import SceneBatches
from training.tasks.segmentation import SegmentationTask

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """COCO json of three clips of one site: bright ellipses, two kinds of fish."""
    root = tmp_path_factory.mktemp("data")
    (root / "fish").mkdir()
    rng = np.random.default_rng(1)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for clip in range(3):
        for number in range(8):
            picture = np.full((72, 128, 3), rng.integers(20, 60), np.uint8)
            images.append({"id": len(images), "file_name": f"clip{clip}_{number:06d}.png", "site": "Bay"})
            for _ in range(number % 3):
                x, y = rng.uniform(24, 104), rng.uniform(16, 56)
                angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
                corners = np.stack([x + 16 * np.cos(angles), y + 8 * np.sin(angles)], axis=1)
                cv2.fillPoly(picture, [np.round(corners).astype(np.int32)], (200, 210, 190))
                annotations.append(
                    {"image_id": images[-1]["id"], "category_id": 1, "segmentation": [corners.ravel().tolist()]}
                )
            cv2.imwrite(str(root / "fish" / images[-1]["file_name"]), picture)
    categories = [{"id": 1, "name": "luderick"}, {"id": 2, "name": "bream"}]
    tree = {"images": images, "annotations": annotations, "categories": categories}
    (root / "fish" / "train.json").write_text(json.dumps(tree))
    return root


def recipe(**changes: Any) -> SegmentationRecipe:
    outlined = [{"folder": "fish", "split": "train", "exhaustive": True}]
    own: dict[str, Any] = {
        "task": "segmentation",
        "network": {"name": "yolox-nano-seg", "options": {"classes": 2, "prototypes": 8}},
        "data": {"train": outlined, "hold_out": "clips", "validation_share": 0.3},
        "epochs": 1,
        "plain_epochs": 0,
    }
    return SegmentationRecipe.model_validate(SMALL | own | changes)


@pytest.fixture(scope="module")
def task(root: Path) -> SegmentationTask:
    return SegmentationTask(recipe(), root)


def test_whole_clips_are_held_out_and_names_kept(task: SegmentationTask) -> None:
    learnt, unseen = set(task.train.clips.tolist()), set(task.held.clips.tolist())
    assert (len(learnt), len(unseen)) == (2, 1)
    assert not learnt & unseen
    assert task.train.names == ("luderick", "bream")
    assert task.train.exhaustive.all()


def test_batches_have_a_mask_for_every_box_on_its_bright_pixels(task: SegmentationTask) -> None:
    plain = recipe(augmentation=dict.fromkeys(type(recipe().augmentation).model_fields, 0.0))
    batch = SceneBatches(task.train, plain, task.plans(0))[0]
    targets = batch.targets
    assert isinstance(targets, MaskTargets)
    assert targets.outlined.all()
    assert targets.masks.shape == (len(targets.xyxy), 96 // MASK_STRIDE, 128 // MASK_STRIDE)
    grey = batch.frames.float().mean(dim=3)
    coarse = torch.nn.functional.avg_pool2d(grey[:, None], MASK_STRIDE)[:, 0]
    for mask, image in zip(targets.masks, targets.image, strict=True):
        assert coarse[image][mask > 0].mean() > 150


def test_a_run_ends_with_scores_and_pictures(task: SegmentationTask, tmp_path: Path) -> None:
    evaluation = Run(task, task.recipe, tmp_path / "run").fit()
    assert set(evaluation.metrics) == {"mask_ap50", "mask_map50", "mask_map50_95", "map50"}
    assert evaluation.score == evaluation.metrics["mask_ap50"]
    for name in ("training-scenes", "training-masks", "held-out", "held-out-masks"):
        assert (tmp_path / "run" / "pictures" / f"{name}.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"network": {"name": "yolox-nano"}}, "'yolox-nano' outlines nothing"),
        ({"names": ("crab",)}, "no object that it would learn from has an outline"),
    ],
)
def test_what_cannot_be_learnt_is_said(root: Path, changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigurationError, match=fault):
        SegmentationTask(recipe(**changes), root).network()


def test_bad_outlines_are_told_and_the_rest_is_learnt(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = root / "fish" / "train.json"
    whole = path.read_text()
    tree = json.loads(whole)
    crossing, outside = [10, 10, 30, 20, 30, 10, 10, 20], [500, 500, 600, 500, 600, 600]
    for number, annotation in enumerate(tree["annotations"][:14]):
        annotation |= {"bbox": [10, 10, 20, 10], "segmentation": [outside if number else crossing]}
    try:
        path.write_text(json.dumps(tree))
        task = SegmentationTask(recipe(), root)
    finally:
        path.write_text(whole)
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "fish: train.json: annotations[0]: its polygon crosses itself"
    assert len(told) == 11
    assert told[10].startswith("fish: ... and ")
    assert torch.isfinite(task.loss(task.network(), next(task.batches(0)), CPU))


def test_one_site_alone_cannot_be_held_out(root: Path) -> None:
    data = {"train": [{"folder": "fish", "split": "train"}]}
    with pytest.raises(ConfigurationError, match="no site is left to validate on"):
        SegmentationTask(recipe(data=data), root)


def test_the_shipped_recipe_is_one() -> None:
    shipped = load_recipe(RECIPES / "masks.yaml")
    assert isinstance(shipped, SegmentationRecipe)
    assert shipped.network.options["classes"] == len(shipped.names or ())
