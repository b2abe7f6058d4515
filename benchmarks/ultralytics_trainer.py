"""Ultralytics' own trainer beside our loop: the same frames, as many epochs, read by the same code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from data.detections import Detections
from data.files import write_text
from data.readers import DetectionSet
from models import zoo
from training.checkpoint import load_weights, save_weights
from training.recipe import DetectionRecipe, load_recipe
from training.run import data_root, recipe_at, train
from training.tasks.detection import DetectionTask

EPOCHS = 6
SIDE = 416
EVERY = 3
OURS = {
    "ours, YOLO11n": ("network={name: yolo11n}", "start_from=null"),
    "ours, YOLOX-Nano from COCO": (),
}
THEIRS = "ultralytics, YOLO11n"


@dataclass(frozen=True)
class Trained:
    """A trained detector: `detect` finds fish in pictures; it saw `pictures` an epoch, and none of the `held` sites."""

    epochs: int
    pictures: int
    held: DetectionSet
    detect: Callable[[DetectionSet], list[Detections]]


def compared(runs: Path) -> dict[str, Trained]:
    """Every trainer's result; what is not trained yet is trained."""
    common = _common(some_frames(runs / "trainers-frames"))
    found = {}
    for name, own in OURS.items():
        folder = train("fish", (*common, *own), None, runs / f"trainers-{_slug(name)}")[0]
        found[name] = _trained(_task((*common, *own)), folder / "weights.safetensors")
    task = _task((*common, *OURS["ours, YOLO11n"]))
    weights = runs / f"trainers-{_slug(THEIRS)}" / "weights.safetensors"
    if not weights.is_file():
        _train_theirs(task, weights)
    found[THEIRS] = _trained(task, weights)
    return found


def exported(runs: Path, folder: Path) -> tuple[Path, Path]:
    """The same YOLO11n weights twice: as ultralytics' own file, and as our int8 artifact, both in the folder."""
    from ultralytics import YOLO  # noqa: PLC0415
    from ultralytics.nn.tasks import DetectionModel  # noqa: PLC0415

    from deploy.export import export_run  # noqa: PLC0415
    from models.ultralytics_detectors import UltralyticsDetector  # noqa: PLC0415

    compared(runs)
    run = runs / f"trainers-{_slug('ours, YOLO11n')}"
    detector = load_weights(UltralyticsDetector("yolo11n"), run / "weights.safetensors")
    theirs: Any = YOLO("yolo11n.yaml")
    theirs.model = DetectionModel("yolo11n.yaml", nc=1, verbose=False)
    states = theirs.model.state_dict() | detector.network.state_dict()
    theirs.model.load_state_dict(states)
    weights = folder / "yolo11n.pt"
    theirs.save(weights)
    return weights, export_run(run, folder / "yolo11n-int8", int8=True).artifact.folder


def some_frames(folder: Path) -> Path:
    """Every third frame of DeepFish train, linked: neighbouring frames are nearly the same."""
    source = data_root() / "fish" / "deepfish"
    for picture in sorted((source / "images" / "train").iterdir())[::EVERY]:
        for old in (picture, source / "labels" / "train" / f"{picture.stem}.txt"):
            link = folder / old.relative_to(source)
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                link.symlink_to(old)
    return folder


def _common(frames: Path) -> tuple[str, ...]:
    return (
        f"data={{train: [{{folder: {frames.resolve()}, split: train}}], validation_pictures: 200}}",
        f"epochs={EPOCHS}",
        "plain_epochs=1",
        f"preprocessing.size_wh=[{SIDE}, 256]",
    )


def _task(changes: tuple[str, ...]) -> DetectionTask:
    recipe = load_recipe(recipe_at("fish"), changes)
    assert isinstance(recipe, DetectionRecipe)
    return DetectionTask(recipe, data_root())


def _trained(task: DetectionTask, weights: Path) -> Trained:
    network = load_weights(zoo.build(task.recipe.network.name, **task.recipe.network.options), weights).eval()
    return Trained(
        EPOCHS, len(task.train), task.validation, lambda pictures: task.detect(network, pictures, torch.device("cpu"))
    )


def _train_theirs(task: DetectionTask, weights: Path) -> None:
    """Train with ultralytics' defaults; it keeps its best epoch by the same held-out pictures."""
    from ultralytics import YOLO  # noqa: PLC0415

    from models.ultralytics_detectors import UltralyticsDetector  # noqa: PLC0415  keeps ultralytics offline

    folder = weights.parent.resolve()
    root = folder.parent / "trainers-frames"
    for part, pictures in (("train", task.train), ("val", task.validation)):
        lines = (f"{root / 'images' / name.partition('/images/')[2]}\n" for name in pictures.ids.tolist())
        write_text(folder / f"{part}.txt", "".join(lines))
    tree = {"path": str(folder), "train": "train.txt", "val": "val.txt", "names": ["fish"]}
    write_text(folder / "data.yaml", yaml.safe_dump(tree))
    YOLO("yolo11n.yaml").train(
        data=str(folder / "data.yaml"), epochs=EPOCHS, imgsz=SIDE, device="cpu", workers=1, amp=False,
        project=str(folder), name="ultralytics", exist_ok=True, plots=False,
    )  # fmt: skip
    best: Any = YOLO(str(folder / "ultralytics" / "weights" / "best.pt")).model
    detector = UltralyticsDetector("yolo11n")
    states = best.state_dict()
    detector.network.load_state_dict({name: states[name].float() for name in detector.network.state_dict()})
    save_weights(detector, weights)


def _slug(name: str) -> str:
    return "-".join("".join(letter if letter.isalnum() else " " for letter in name.lower()).split())
