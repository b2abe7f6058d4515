"""The detection task: boxes around fish in frames of underwater footage, from any number of labelled datasets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from data.detection_metrics import score_detections
from data.detections import Detections
from data.errors import ConfigurationError
from data.frames import fit_frame, frames_input, in_frame
from data.readers.detections import read_detections
from data.readers.detectionset import DetectionSet, as_fish, joined_detections
from data.sampling import hold_out_sites, spread_over_clips
from data.suppression import suppressed
from models import zoo
from models.detector import BoxTargets, Detector
from training.augmentation.scenes import LabelledPicture, SceneAugmenter
from training.loading import in_workers
from training.recipe import DetectionRecipe
from training.regularization import with_holes
from training.report import plot_scenes
from training.start import start_from
from training.task import Evaluation, Task

_SCORING_BATCH = 16
_LEAST_SCORE = 0.01
"""Boxes of lower score change no metric worth reading, and cost the most time."""


@dataclass(frozen=True)
class ScenePlan:
    """Which pictures begin the scenes of a batch, the seed of all their variation, and whether they may be mixed."""

    indices: NDArray[np.int64]
    seed: int
    mixed: bool


@dataclass(frozen=True)
class SceneBatch:
    """`frames` (B, height, width, 3) uint8 BGR, what is in them, and the seed for what is drawn on the whole batch."""

    frames: Tensor
    targets: BoxTargets
    seed: int


class _Scenes(Dataset[SceneBatch]):
    """Makes the batch of a plan; runs in worker processes."""

    def __init__(self, pictures: DetectionSet, recipe: DetectionRecipe, plans: Sequence[ScenePlan]) -> None:
        self.pictures, self.plans = pictures, plans
        plain = recipe.augmentation.model_copy(update={"mosaic": 0.0, "mixup": 0.0, "copy_paste": 0.0})
        self.size_wh = recipe.scene_wh
        self.mixing = SceneAugmenter(recipe.augmentation, self.size_wh)
        self.plain = SceneAugmenter(plain, self.size_wh)

    def __len__(self) -> int:
        return len(self.plans)

    def __getitem__(self, number: int) -> SceneBatch:
        plan = self.plans[number]
        augmenter = self.mixing if plan.mixed else self.plain
        augmenter.seed(plan.seed)
        rng = np.random.default_rng([plan.seed, 1])

        def another() -> LabelledPicture:
            return labelled(self.pictures, int(rng.integers(len(self.pictures))), self.size_wh)

        scenes = [augmenter.scene(another, labelled(self.pictures, int(i), self.size_wh)) for i in plan.indices]
        return SceneBatch(torch.from_numpy(np.stack([scene.image for scene in scenes])), targets(scenes), plan.seed)


def labelled(pictures: DetectionSet, index: int, size_wh: tuple[int, int]) -> LabelledPicture:
    """A picture with its boxes, to be varied. Photographs far larger than the network's input are shrunk first."""
    image, xyxy = pictures.read(index), pictures.xyxy[index]
    shrink = max(1, min(side // wanted for side, wanted in zip(image.shape[1::-1], size_wh, strict=True)))
    if shrink > 1:
        small = cv2.resize(image, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)
        xyxy = xyxy * np.float32(small.shape[1] / image.shape[1])
        image = np.asarray(small, np.uint8)
    return LabelledPicture(image, xyxy, pictures.labels[index], bool(pictures.exhaustive[index]))


def targets(scenes: Sequence[LabelledPicture]) -> BoxTargets:
    """What a network should find in a batch of pictures of its input size."""
    counts = [len(scene.xyxy) for scene in scenes]
    return BoxTargets(
        xyxy=torch.from_numpy(np.concatenate([scene.xyxy for scene in scenes])),
        labels=torch.from_numpy(np.concatenate([scene.labels for scene in scenes])),
        image=torch.from_numpy(np.repeat(np.arange(len(scenes)), counts)),
        exhaustive=torch.tensor([scene.exhaustive for scene in scenes]),
    )


class DetectionTask(Task[SceneBatch]):
    """Boxes around fish.

    Args:
        recipe: What to learn from and how to vary it.
        root: The data folder that the recipe's dataset folders lie below.
    """

    def __init__(self, recipe: DetectionRecipe, root: Path) -> None:
        self.recipe, self.root = recipe, root
        kept, held = [], []
        for source in recipe.data.train:
            pictures = as_fish(read_detections(root / source.folder, source.split))
            learnt, unseen = hold_out_sites(pictures, recipe.data.validation_share, recipe.seed)
            kept.append(pictures.select(learnt))
            held.append(pictures.select(unseen))
        held += [as_fish(read_detections(root / source.folder, source.split)) for source in recipe.data.validate_on]
        self.train = joined_detections(recipe.name, kept)
        self.held = joined_detections(recipe.name, held)
        self.parts = np.split(np.arange(len(self.train)), np.cumsum([len(part) for part in kept])[:-1])
        if not len(self.held):
            raise ConfigurationError(
                recipe.name, "no site is left to validate on", expected="a dataset of several sites in data.train"
            )

    def network(self) -> nn.Module:
        """The recipe's network, started from its weights where it names some."""
        network = zoo.build(self.recipe.network.name, **self.recipe.network.options)
        if not isinstance(network, Detector):
            raise ConfigurationError("network.name", f"{self.recipe.network.name!r} finds no boxes")
        if self.recipe.start_from is not None:
            start_from(network, self.root / self.recipe.start_from, self.sample_input(32))
        return network

    @property
    def steps(self) -> int:
        """Whole batches in an epoch; the rest waits for another epoch's order."""
        drawn = (source.pictures or len(part) for source, part in zip(self.recipe.data.train, self.parts, strict=True))
        return max(1, sum(drawn) // self.recipe.batch_size)

    def plans(self, epoch: int) -> list[ScenePlan]:
        """Which pictures come when: drawn anew every epoch, spread over the clips of each dataset."""
        rng = np.random.default_rng([self.recipe.seed, epoch])
        order = rng.permutation(np.concatenate([part[self._drawn(n, part, rng)] for n, part in enumerate(self.parts)]))
        seeds = rng.integers(0, 2**31 - 2, self.steps)
        mixed = epoch < self.recipe.epochs - self.recipe.plain_epochs
        batches = np.array_split(order[: self.steps * self.recipe.batch_size], self.steps)
        return [ScenePlan(part, int(seed), mixed) for part, seed in zip(batches, seeds, strict=True)]

    def _drawn(self, number: int, part: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        count = self.recipe.data.train[number].pictures
        if count is None:
            return np.arange(len(part))
        return spread_over_clips(self.train.clips[part], count, rng)

    def batches(self, epoch: int) -> Iterator[SceneBatch]:
        """The epoch's augmented scenes, made by worker processes."""
        scenes = _Scenes(self.train, self.recipe, self.plans(epoch))
        return in_workers(scenes, self.recipe.workers)

    def loss(self, network: nn.Module, batch: SceneBatch, device: torch.device) -> Tensor:
        """The network's own loss on the batch, after the recipe's regularization."""
        if not isinstance(network, Detector):
            raise TypeError("only a Detector has a loss of its own")
        rng = np.random.default_rng([batch.seed, 2])
        spec = self.recipe.regularization.input
        inputs = with_holes(self._inputs(batch.frames, device), spec, rng, fill=self.recipe.preprocessing.padding)
        return network.loss(network(inputs), batch.targets.to(device))

    def _inputs(self, frames: Tensor, device: torch.device) -> Tensor:
        inputs = torch.from_numpy(frames_input(frames.numpy(), self.recipe.preprocessing))
        return inputs.to(device, memory_format=torch.channels_last)

    @cached_property
    def validation(self) -> DetectionSet:
        """The pictures of held-out sites that are looked at after every epoch: the same in every run with this seed."""
        rng = np.random.default_rng([self.recipe.seed, 5])
        wanted = min(self.recipe.data.validation_pictures, len(self.held))
        return self.held.select(np.sort(spread_over_clips(self.held.clips, wanted, rng)))

    def sample_input(self, count: int) -> Tensor:
        """(count, 3, height, width) float32 inputs: training pictures as they are, spread over the clips."""
        rng = np.random.default_rng([self.recipe.seed, 3])
        chosen = spread_over_clips(self.train.clips, min(count, len(self.train)), rng)
        fitted = np.stack([fit_frame(self.train.read(int(i)), self.recipe.preprocessing) for i in chosen])
        return torch.from_numpy(frames_input(fitted, self.recipe.preprocessing))

    @torch.no_grad()
    def detect(self, network: nn.Module, pictures: DetectionSet, device: torch.device) -> list[Detections]:
        """What the network (in evaluation mode) finds in every picture, in the picture's own pixels."""
        found: list[Detections] = []
        spec = self.recipe.preprocessing
        network.eval()
        for start in range(0, len(pictures), _SCORING_BATCH):
            images = [pictures.read(i) for i in range(start, min(len(pictures), start + _SCORING_BATCH))]
            fitted = torch.from_numpy(np.stack([fit_frame(image, spec) for image in images]))
            boxes, logits = network(self._inputs(fitted, device))
            scores = logits.float().sigmoid().cpu().numpy()
            for image, own, score in zip(images, boxes.float().cpu().numpy(), scores, strict=True):
                found.append(in_frame(suppressed(own, score, _LEAST_SCORE), image.shape[1::-1], spec))
        return found

    def evaluate(self, network: nn.Module, device: torch.device) -> Evaluation:
        """COCO metrics on sites never trained on; the score is mAP50."""
        scores = score_detections(self.validation, self.detect(network, self.validation, device))
        metrics = {"map50": scores.overall.map50, "map50_95": scores.overall.map50_95}
        return Evaluation(scores.overall.map50, metrics)

    def picture(self, network: nn.Module, device: torch.device, folder: Path) -> None:
        """A sheet of training scenes with their boxes, and of held-out pictures with truth and findings."""
        plan = self.plans(0)[0]
        batch = _Scenes(self.train, self.recipe, [plan])[0]
        boxes = [batch.targets.xyxy[batch.targets.image == n].numpy() for n in range(len(batch.frames))]
        plot_scenes(list(batch.frames.numpy()[:16]), boxes[:16], [], folder / "training-scenes.png")
        chosen = self.validation.select(np.linspace(0, len(self.validation) - 1, 16).round().astype(np.int64))
        found = [seen.select(seen.scores > 0.3).xyxy for seen in self.detect(network, chosen, device)]
        images = [chosen.read(i) for i in range(len(chosen))]
        plot_scenes(images, [chosen.xyxy[i] for i in range(len(chosen))], found, folder / "held-out.png")
