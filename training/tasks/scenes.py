"""Learning from scenes of footage: pictures of any number of labelled datasets, whole camera sites held out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor
from torch.utils.data import Dataset

from data.errors import ConfigurationError
from data.frames import fit_frame, frames_input
from data.masks import coarse_picture
from data.readers.detections import read_detections
from data.readers.detectionset import DetectionSet, as_fish, joined_detections
from data.sampling import hold_out, spread_over_clips
from data.versions import learning_split, validation_split
from models.detector import BoxTargets
from models.segmenter import MASK_STRIDE, MaskTargets
from training.augmentation.emptied import FRAMES, emptied
from training.augmentation.policies import varied
from training.augmentation.scenes import LabelledPicture, SceneAugmenter
from training.augmentation.windows import Pose, moved_mask, pose_matrix
from training.loading import in_workers
from training.recipe import DetectionSource, SceneRecipe
from training.regularization import with_holes
from training.task import Task

_MOST_TOLD = 10
"""Lines about what cannot be used of a dataset; of more, how many there are is told."""


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


class SceneBatches(Dataset[SceneBatch]):
    """Makes the batch of a plan; runs in worker processes."""

    def __init__(self, pictures: DetectionSet, recipe: SceneRecipe, plans: Sequence[ScenePlan]) -> None:
        self.pictures, self.plans = pictures, plans
        plain = recipe.augmentation.model_copy(update={"mosaic": 0.0, "mixup": 0.0, "copy_paste": 0.0})
        self.policy = recipe.regularization.input.policy
        self.size_wh = recipe.scene_wh
        self.mixing = SceneAugmenter(recipe.augmentation, self.size_wh)
        self.plain = SceneAugmenter(plain, self.size_wh)
        self.emptied = recipe.augmentation.emptied

    def __len__(self) -> int:
        return len(self.plans)

    def __getitem__(self, number: int) -> SceneBatch:
        scenes, seed = self.scenes(number), self.plans[number].seed
        images = varied(np.stack([scene.image for scene in scenes]), self.policy, seed, moves=False)
        return SceneBatch(torch.from_numpy(images), targets(scenes), seed)

    def scenes(self, number: int) -> list[LabelledPicture]:
        """The scenes of one batch."""
        plan = self.plans[number]
        augmenter = self.mixing if plan.mixed else self.plain
        augmenter.seed(plan.seed)
        rng = np.random.default_rng([plan.seed, 1])

        def another() -> LabelledPicture:
            return labelled(self.pictures, int(rng.integers(len(self.pictures))), self.size_wh)

        chance = np.random.default_rng([plan.seed, 3])
        return [augmenter.scene(another, self._first(int(index), chance)) for index in plan.indices]

    def _first(self, index: int, chance: np.random.Generator) -> LabelledPicture:
        """The picture that a scene begins with, or its clip without what moves."""
        picture = labelled(self.pictures, index, self.size_wh)
        if chance.random() >= self.emptied or not picture.exhaustive:
            return picture
        alike = self.pictures.clips == self.pictures.clips[index]
        clip = np.flatnonzero(alike & (self.pictures.sizes_wh == self.pictures.sizes_wh[index]).all(axis=1))
        if len(clip) < FRAMES:
            return picture
        frames = chance.choice(clip, FRAMES, replace=False)
        return emptied(picture, [labelled(self.pictures, int(at), self.size_wh).image for at in frames])


def labelled(pictures: DetectionSet, index: int, size_wh: tuple[int, int]) -> LabelledPicture:
    """A picture with its boxes, to be varied. Photographs far larger than the network's input are shrunk first."""
    image, xyxy = pictures.read(index), pictures.xyxy[index]
    shrink = max(1, min(side // wanted for side, wanted in zip(image.shape[1::-1], size_wh, strict=True)))
    if shrink > 1:
        small = cv2.resize(image, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)
        xyxy = xyxy * np.float32(small.shape[1] / image.shape[1])
        image = np.asarray(small, np.uint8)
    masks = None if pictures.masks is None else pictures.masks[index]
    if masks is not None and shrink > 1:
        matrix = pose_matrix(pictures.size_wh(index), Pose(image.shape[1::-1], (0, 0)), image.shape[1::-1])
        masks = tuple(one and moved_mask(one, matrix, image.shape[1::-1]) for one in masks)
    return LabelledPicture(image, xyxy, pictures.labels[index], bool(pictures.exhaustive[index]), masks)


def targets(scenes: Sequence[LabelledPicture]) -> BoxTargets:
    """What a network should find in a batch of pictures of its input size: with masks where all of them have some."""
    counts = [len(scene.xyxy) for scene in scenes]
    boxes = BoxTargets(
        xyxy=torch.from_numpy(np.concatenate([scene.xyxy for scene in scenes])),
        labels=torch.from_numpy(np.concatenate([scene.labels for scene in scenes])),
        image=torch.from_numpy(np.repeat(np.arange(len(scenes)), counts)),
        exhaustive=torch.tensor([scene.exhaustive for scene in scenes]),
    )
    masks = [mask for scene in scenes for mask in scene.masks or ()]
    if any(scene.masks is None for scene in scenes):
        return boxes
    size_wh = scenes[0].size_wh
    coarse = np.zeros((len(masks), size_wh[1] // MASK_STRIDE, size_wh[0] // MASK_STRIDE), np.uint8)
    for number, mask in enumerate(masks):
        if mask is not None:
            coarse[number] = coarse_picture(mask, size_wh, MASK_STRIDE)
    outlined = torch.tensor([mask is not None for mask in masks], dtype=torch.bool)
    return MaskTargets(**vars(boxes), masks=torch.from_numpy(coarse), outlined=outlined)


class SceneTask(Task[SceneBatch]):
    """A task that learns from scenes: what to show when, and what to look at after an epoch.

    Args:
        recipe: What to learn from and how to vary it.
        root: The data folder that the recipe's dataset folders lie below.

    Raises:
        ConfigurationError: No site is left to validate on.
    """

    def __init__(self, recipe: SceneRecipe, root: Path) -> None:
        self.recipe, self.root = recipe, root
        kept, held = [], []
        for source in recipe.data.train:
            pictures = self._told(source)
            if validation_split(root / source.folder, source.split):
                kept.append(pictures)
                held.append(self._told(source.model_copy(update={"split": "val"})))
                continue
            learnt, unseen = hold_out(pictures, recipe.data.validation_share, recipe.seed, recipe.data.hold_out)
            kept.append(pictures.select(learnt))
            held.append(pictures.select(unseen))
        held += [self._told(source) for source in recipe.data.validate_on]
        self.train = joined_detections(recipe.name, kept)
        self.held = joined_detections(recipe.name, held)
        self.parts = np.split(np.arange(len(self.train)), np.cumsum([len(part) for part in kept])[:-1])
        if not len(self.held):
            raise ConfigurationError(
                recipe.name, "no site is left to validate on", expected="a dataset of several sites in data.train"
            )

    def _told(self, source: DetectionSource) -> DetectionSet:
        """The pictures of a dataset; what of its labels cannot be used is told."""
        pictures, console = self.pictures_of(source), Console(stderr=True)
        lines = [f"{source.folder}: {problem.name}: {problem.why}" for problem in pictures.problems]
        more = [f"{source.folder}: ... and {len(lines) - _MOST_TOLD} more"] if len(lines) > _MOST_TOLD else []
        for line in [*lines[:_MOST_TOLD], *more]:
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        return pictures

    def pictures_of(self, source: DetectionSource) -> DetectionSet:
        """The pictures of one of the recipe's datasets, labelled as this task learns them."""
        folder = self.root / source.folder
        return as_fish(read_detections(folder, learning_split(folder, source.split), source.exhaustive))

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
        scenes = SceneBatches(self.train, self.recipe, self.plans(epoch))
        return in_workers(scenes, self.recipe.workers)

    def learning_inputs(self, batch: SceneBatch, device: torch.device) -> Tensor:
        """(B, 3, height, width) inputs of a batch, after the recipe's regularization of the input."""
        inputs = self.inputs(batch.frames, device)
        rng = np.random.default_rng([batch.seed, 2])
        spec = self.recipe.regularization.input
        return with_holes(inputs, spec, rng, fill=self.recipe.preprocessing.padding)

    def inputs(self, frames: Tensor, device: torch.device) -> Tensor:
        """(B, height, width, 3) uint8 fitted frames -> (B, 3, height, width) float32."""
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
