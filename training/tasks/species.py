"""The species task: names for fish in crops, from a folder of crops shared out by fish."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor, nn
from torch.utils.data import Dataset

from data.errors import ConfigurationError, InputError, ShankhaError
from data.frames import fit_frame, frames_input
from data.metrics import class_scores, confusion_matrix, negative_log_likelihood
from data.preprocess import Image
from data.readers.crops import CropSet, read_parts, teachable
from data.readers.digitset import Problem
from models import zoo
from models.species import SpeciesNetwork
from training.augmentation.crops import CropAugmenter
from training.augmentation.policies import varied
from training.classification import ClassificationLoss
from training.loading import in_workers
from training.recipe import SpeciesRecipe
from training.regularization import soft_cross_entropy
from training.report import plot_confusion, plot_sheet
from training.start import start_from, weights_file
from training.task import Evaluation, Task

_SCORING_BATCH = 64
_LARGEST = 1.5
"""Crops are kept at most so many times larger than the network's input: a turned one needs a little more."""


@dataclass(frozen=True)
class Crops:
    """N decoded crops: `images` (H, W, 3) BGR uint8 of any sizes, `labels` (N,) int64, `groups` (N,) the fish."""

    images: tuple[Image, ...]
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class CropPlan:
    """Which crops make a batch, and the seed that all their variation is drawn from."""

    indices: NDArray[np.int64]
    seed: int


@dataclass(frozen=True)
class CropBatch:
    """`crops` (B, height, width, 3) uint8 BGR, `labels` (B,) int64, and the seed for what is drawn on the batch."""

    crops: Tensor
    labels: Tensor
    seed: int


class _Varied(Dataset[CropBatch]):
    """Makes the batch of a plan; runs in worker processes."""

    def __init__(self, crops: Crops, recipe: SpeciesRecipe, plans: Sequence[CropPlan]) -> None:
        self.crops, self.plans = crops, plans
        self.augmenter = CropAugmenter(recipe.augmentation, recipe.preprocessing)
        self.policy, self.fill = recipe.regularization.input.policy, recipe.preprocessing.padding

    def __len__(self) -> int:
        return len(self.plans)

    def __getitem__(self, number: int) -> CropBatch:
        plan = self.plans[number]
        self.augmenter.seed(plan.seed)
        others = np.random.default_rng([plan.seed, 1]).integers(0, len(self.crops), len(plan.indices))
        pairs = zip(plan.indices, others, strict=True)
        made = np.stack([self.augmenter(self.crops.images[i], self.crops.images[other]) for i, other in pairs])
        made = varied(made, self.policy, plan.seed, moves=True, fill=self.fill)
        return CropBatch(torch.from_numpy(made), torch.from_numpy(self.crops.labels[plan.indices]), plan.seed)


class SpeciesTask(Task[CropBatch]):
    """Names for fish.

    Args:
        recipe: What to learn from and how to vary it.
        root: The data folder that the recipe's folder lies below.
    """

    def __init__(self, recipe: SpeciesRecipe, root: Path) -> None:
        self.recipe, self.root = recipe, root
        self.folder = root / recipe.data.folder
        parts = read_parts(self.folder, recipe.data.split)
        decoded = {part: _decoded(crops, max(recipe.preprocessing.size_wh)) for part, crops in parts.items()}
        self.names, problems = self._learnable(parts, decoded)
        self.problems = tuple(dict.fromkeys(problems))
        for problem in self.problems:
            Console(stderr=True).print(f"left out: {problem.name}: {problem.why}", markup=False, soft_wrap=True)
        self.train = _kept(parts["train"], decoded["train"], self.names)
        self.held = _kept(parts["val"], decoded["val"], self.names)
        if len(self.names) < 2 or not len(self.train):
            cure = "give two species or more, each of several fish"
            raise InputError(
                self.folder, f"holds {len(self.names)} species to learn", expected="two or more", cure=cure
            )
        if not len(self.held):
            raise InputError(
                self.folder,
                "has no fish to validate on",
                expected="a species of three fish or more",
                cure="add pictures",
            )

    def _learnable(
        self, parts: dict[str, CropSet], decoded: dict[str, list[Image | Problem]]
    ) -> tuple[tuple[str, ...], list[Problem]]:
        """The species that can be learnt, and everything that cannot, with its reason."""
        whole = CropSet.joined(list(parts.values()))
        found = [one for part in parts for one in decoded[part]]
        readable = np.array([not isinstance(one, Problem) for one in found], np.bool_)
        names, too_few = teachable(whole, readable)
        unknown = sorted(set(self.recipe.data.left_out) - set(whole.names))
        if unknown:
            known = ", ".join(whole.names)
            raise ConfigurationError("data.left_out", f"{unknown[0]!r} is no species", expected=f"one of {known}")
        problems = [*whole.problems, *whole.left_out, *(one for one in found if isinstance(one, Problem)), *too_few]
        return tuple(name for name in names if name not in self.recipe.data.left_out), problems

    @property
    def classes(self) -> int:  # type: ignore[override]
        """Number of species."""
        return len(self.names)

    def network(self) -> nn.Module:
        """The recipe's network, started from its weights where it names some."""
        network = zoo.build(self.recipe.network.name, classes=len(self.names), **self.recipe.network.options)
        if not isinstance(network, SpeciesNetwork):
            raise ConfigurationError("network.name", f"{self.recipe.network.name!r} names no fish")
        if self.recipe.start_from is not None:
            start_from(network, weights_file(self.root, self.recipe.start_from), self.sample_input(64))
        return network

    @property
    def steps(self) -> int:
        """Whole batches in an epoch, which shows about as many crops as there are."""
        return max(1, len(self.train) // self.recipe.batch_size)

    def plans(self, epoch: int) -> list[CropPlan]:
        """Which crops come when, drawn by the recipe's balance: anew every epoch."""
        rng = np.random.default_rng([self.recipe.seed, epoch])
        counts = np.bincount(self.train.labels, minlength=len(self.names))
        weights = 1.0 / counts[self.train.labels] ** self.recipe.data.balance
        order = _drawn(weights / weights.sum(), self.steps * self.recipe.batch_size, rng)
        seeds = rng.integers(0, 2**31 - 2, self.steps)
        return [CropPlan(part, int(seed)) for part, seed in zip(np.array_split(order, self.steps), seeds, strict=True)]

    def batches(self, epoch: int) -> Iterator[CropBatch]:
        """The epoch's varied crops, made by worker processes."""
        return in_workers(_Varied(self.train, self.recipe, self.plans(epoch)), self.recipe.workers)

    def loss(self, network: nn.Module, batch: CropBatch, device: torch.device) -> Tensor:
        """The recipe's loss under its regularization."""
        learn = ClassificationLoss(len(self.names), self.recipe.regularization, self._criterion)
        inputs = self._inputs(batch.crops.numpy(), device)
        return learn(network, inputs, batch.labels.to(device), self.moment, np.random.default_rng([batch.seed, 2]))

    def _criterion(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of adjusted logits (N, C) and soft targets (N, C), focused on what is not yet right."""
        spec = self.recipe.loss
        if spec.adjustment:
            counts = torch.bincount(torch.from_numpy(self.train.labels), minlength=len(self.names)).float()
            logits = logits.float() + spec.adjustment * (counts / counts.sum()).clamp(min=1e-6).log().to(logits.device)
        if not spec.focus:
            return soft_cross_entropy(logits, targets)
        log_chances = torch.log_softmax(logits.float(), dim=1)
        return -(targets * (1 - log_chances.exp()) ** spec.focus * log_chances).sum(dim=1).mean()

    def _inputs(self, fitted: Image, device: torch.device) -> Tensor:
        inputs = torch.from_numpy(frames_input(fitted, self.recipe.preprocessing))
        return inputs.to(device, memory_format=torch.channels_last)

    def inputs_of(self, crops: Crops) -> NDArray[np.float32]:
        """(N, 3, height, width) float32 network inputs of crops as they are."""
        spec = self.recipe.preprocessing
        return frames_input(np.stack([fit_frame(image, spec) for image in crops.images]), spec)

    def sample_input(self, count: int) -> Tensor:
        """(count, 3, height, width) float32 inputs of training crops as they are, at most as many as there are."""
        chosen = np.linspace(0, len(self.train) - 1, min(count, len(self.train))).round().astype(np.int64)
        few = Crops(tuple(self.train.images[i] for i in chosen), self.train.labels[chosen], self.train.groups[chosen])
        return torch.from_numpy(self.inputs_of(few))

    @torch.no_grad()
    def logits(self, network: nn.Module, crops: Crops, device: torch.device) -> NDArray[np.float32]:
        """(N, C) float32 logits of crops as they are, the network in evaluation."""
        network.eval()
        inputs = torch.from_numpy(self.inputs_of(crops)).split(_SCORING_BATCH)
        return np.concatenate([network(part.to(device)).float().cpu().numpy() for part in inputs])

    def evaluate(self, network: nn.Module, device: torch.device) -> Evaluation:
        """Accuracy and mean recall of the species on held-out fish, a forced choice among the known ones.

        The score is the mean of the two, less a hundredth of the negative log-likelihood, which decides between
        epochs of equal shares.
        """
        logits, labels = self.logits(network, self.held, device), self.held.labels
        read = logits.argmax(axis=1).astype(np.int64)
        recalls = class_scores(confusion_matrix(labels, read, len(self.names))).recall
        metrics = {
            "accuracy": float((read == labels).mean()),
            "macro_recall": float(np.nanmean(recalls)),
            "nll": negative_log_likelihood(logits, labels),
        }
        return Evaluation((metrics["accuracy"] + metrics["macro_recall"]) / 2 - metrics["nll"] / 100, metrics)

    def picture(self, network: nn.Module, device: torch.device, folder: Path) -> None:
        """Confusion of held-out fish, the worst mistakes, and a sheet of varied training crops."""
        logits, labels = self.logits(network, self.held, device), self.held.labels
        read = logits.argmax(axis=1)
        plot_confusion(confusion_matrix(labels, read, len(self.names)), self.names, folder / "confusion.png")
        wrong = np.flatnonzero(read != labels)
        worst = wrong[np.argsort(logits[wrong, labels[wrong]] - logits[wrong].max(axis=1), kind="stable")][:48]
        captions = [f"{_short(self.names[labels[i]])}: {_short(self.names[read[i]])}" for i in worst]
        fitted = [fit_frame(self.held.images[i], self.recipe.preprocessing)[..., ::-1] for i in worst]
        plot_sheet(fitted, captions, folder / "mistakes.png")
        batch = _Varied(self.train, self.recipe, self.plans(0)[:1])[0]
        captions = [_short(self.names[label]) for label in batch.labels[:48]]
        plot_sheet(list(batch.crops[:48].numpy()[..., ::-1]), captions, folder / "training-crops.png")


def _decoded(crops: CropSet, side: int) -> list[Image | Problem]:
    """Every crop, shrunk where it is far larger than the network's input, or why it cannot be read."""
    found: list[Image | Problem] = []
    for index in range(len(crops)):
        try:
            image = crops.read(index)
        except ShankhaError as error:
            found.append(Problem.of(error, str(crops.files[index])))
            continue
        shrink = _LARGEST * side / max(image.shape[:2])
        if shrink < 1:
            image = np.asarray(cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA), np.uint8)
        found.append(image)
    return found


def _kept(part: CropSet, decoded: Sequence[Image | Problem], names: tuple[str, ...]) -> Crops:
    """The readable crops of the species that are learnt."""
    label_of = {name: label for label, name in enumerate(names)}
    labels = [label_of.get(part.names[label]) for label in part.labels]
    chosen = [i for i, image in enumerate(decoded) if not isinstance(image, Problem) and labels[i] is not None]
    images = tuple(image for i in chosen if not isinstance(image := decoded[i], Problem))
    return Crops(images, np.array([labels[i] for i in chosen], np.int64), part.groups[chosen])


def _drawn(chances: NDArray[np.float64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`count` indices in random order; each comes as often as its chance says, rounded up or down by chance."""
    marks = (np.arange(count) + rng.random()) / count
    shuffled = rng.permutation(len(chances))
    at = np.searchsorted(np.cumsum(chances[shuffled]), marks, side="right")
    return rng.permutation(shuffled[np.minimum(at, len(chances) - 1)])


def _short(name: str) -> str:
    """ "Chromis chrysura" -> "C. chrysura"."""
    first, _, rest = name.partition(" ")
    return f"{first[0]}. {rest[:12]}" if rest else first[:12]
