from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from data.readers import DetectionSet, as_fish, read_detections
from training.augmentation.emptied import FRAMES, emptied
from training.augmentation.spec import SceneAugmentation
from training.augmentation.windows import LabelledPicture
from training.recipe import CountingRecipe
from training.tasks.scenes import SceneBatches, ScenePlan

WATER = 40


def passing_fish(root: Path, frames: int) -> DetectionSet:
    """A camera that stands still while one bright fish swims from left to right, past a rock."""
    for part in ("images", "labels"):
        (root / "fish" / part / "train").mkdir(parents=True)
    for number in range(frames):
        picture = np.full((64, 96, 3), WATER, np.uint8)
        picture[48:60, 10:30] = 90
        x = 8 + 80 * number // frames
        picture[20:28, x - 6 : x + 6] = 220
        cv2.imwrite(str(root / f"fish/images/train/7001_F1_f{number:06d}.png"), picture)
        line = f"0 {x / 96:.5f} {24 / 64:.5f} {12 / 96:.5f} {8 / 64:.5f}"
        (root / f"fish/labels/train/7001_F1_f{number:06d}.txt").write_text(line)
    return as_fish(read_detections(root / "fish", "train"))


def test_what_passes_is_gone_and_what_stays_is_there(tmp_path: Path) -> None:
    pictures = passing_fish(tmp_path, FRAMES)
    frames = [pictures.read(number) for number in range(FRAMES)]
    whole = LabelledPicture(frames[0], pictures.xyxy[0], pictures.labels[0], exhaustive=True)
    empty = emptied(whole, frames)
    assert empty.exhaustive
    assert len(empty) == 0
    assert empty.image.dtype == np.uint8
    assert (empty.image[:40] == WATER).all()
    assert (empty.image[48:60, 10:30] == 90).all()


@pytest.mark.parametrize(("frames", "share", "empty"), [(FRAMES, 1.0, True), (FRAMES, 0.0, False), (6, 1.0, False)])
def test_scenes_begin_empty_where_the_clip_is_long_enough(
    tmp_path: Path, frames: int, share: float, empty: bool
) -> None:
    pictures = passing_fish(tmp_path, frames)
    recipe = CountingRecipe.model_validate(
        {
            "name": "small",
            "task": "counting",
            "network": {"name": "density-nano"},
            "data": {"train": [{"folder": "fish", "split": "train"}]},
            "scene_wh": (96, 64),
            "augmentation": SceneAugmentation.off().model_copy(update={"emptied": share, "clean": 1.0}),
            "epochs": 2,
        }
    )
    plan = ScenePlan(np.arange(4), 5, mixed=True)
    scenes = SceneBatches(pictures, recipe, [plan]).scenes(0)
    assert [len(scene) for scene in scenes] == [0 if empty else 1] * 4
    assert all((scene.image.max() < 150) == empty for scene in scenes)
