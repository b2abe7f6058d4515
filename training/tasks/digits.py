"""The digit task: handwritten digits and what is none, from datasets of cropped digits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from data.errors import ConfigurationError, InputError
from data.labels import DIGIT_CLASSES, NOT_A_DIGIT
from data.metrics import confusion_matrix, expected_calibration_error, softmax
from data.preprocess import DigitPreprocessing, Image, fit_ink, ink_image, network_input, tight_ink
from data.readers import DigitSet, read_digits
from data.splits import hold_out_groups, stratified_holdout
from data.versions import is_version, learning_split, validation_split
from models import zoo
from training.augmentation.handwriting import HandwritingAugmenter
from training.augmentation.policies import varied
from training.checkpoint import load_weights
from training.classification import ClassificationLoss
from training.loading import in_workers
from training.recipe import DigitRecipe, DigitSource
from training.report import plot_confusion, plot_sheet
from training.task import Evaluation, Task

_SCORING_BATCH = 512


@dataclass(frozen=True)
class InkExamples:
    """N digits as tight ink: `inks` (h, w) uint8 each, `labels` (N,) int64, `sources` (N,) str.

    `repeats` (N,) int64 says how often an epoch shows each. `groups` (N,) str are what must not be torn apart between
    training and validation, "" where that is not known.
    """

    inks: tuple[Image, ...]
    labels: NDArray[np.int64]
    sources: NDArray[np.str_]
    repeats: NDArray[np.int64]
    groups: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, chosen: NDArray[np.int64]) -> InkExamples:
        """The chosen examples, in that order."""
        inks = tuple(self.inks[i] for i in chosen)
        return InkExamples(inks, self.labels[chosen], self.sources[chosen], self.repeats[chosen], self.groups[chosen])


@dataclass(frozen=True)
class Frames:
    """Network-ready examples: `frames` (N, size, size) uint8 ink and `labels` (N,) int64, 10 for not a digit."""

    frames: Image
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Validation:
    """Held-out digits: `plain` as the datasets have them, `cells` as augmented form cells, some of them no digits."""

    plain: Frames
    cells: Frames


@dataclass(frozen=True)
class BatchPlan:
    """Which examples make a batch, and the seed that all its variation is drawn from."""

    indices: NDArray[np.int64]
    seed: int


@dataclass(frozen=True)
class DigitBatch:
    """`frames` (B, size, size) uint8 ink, `labels` (B,) int64, and the seed for what is drawn on the whole batch."""

    frames: Tensor
    labels: Tensor
    seed: int


def load_inks(sources: Sequence[DigitSource], root: Path, spec: DigitPreprocessing) -> InkExamples:
    """Read datasets and take the ink of every example.

    Raises:
        InputError: Nothing readable is left. Examples without ink are an error of their dataset too.
    """
    inks: list[Image] = []
    labels: list[int] = []
    names: list[str] = []
    repeats: list[int] = []
    groups: list[str] = []
    for source in sources:
        digits = _chosen(source, root)
        whole = _versioned_groups(digits, root / source.folder)
        for batch in digits.batches():
            for index, image in zip(batch.indices, batch.images, strict=True):
                ink = tight_ink(image, spec, digits.polarity)
                if ink is not None:
                    inks.append(ink)
                    labels.append(int(digits.labels[index]))
                    names.append(str(digits.sources[index]))
                    repeats.append(source.repeat)
                    groups.append(str(whole[index]))
    if not inks:
        raise InputError(root, "the recipe's datasets hold no readable digit", cure="check data.train in the recipe")
    counts = np.array(repeats, np.int64)
    return InkExamples(tuple(inks), np.array(labels, np.int64), np.array(names), counts, np.array(groups))


def _versioned_groups(digits: DigitSet, folder: Path) -> NDArray[np.str_]:
    """(N,) the groups that the manifest of a versioned folder tells, where there are several; "" elsewhere."""
    if not is_version(folder) or len(np.unique(digits.groups)) < 2:
        return np.full(len(digits), "")
    return np.array([f"{folder}/{group}" if group != digits.name else "" for group in digits.groups.tolist()])


def _chosen(source: DigitSource, root: Path) -> DigitSet:
    digits = read_digits(root / source.folder, learning_split(root / source.folder, source.split))
    if source.sources is not None:
        missing = sorted(set(source.sources) - set(digits.sources.tolist()))
        if missing:
            known = ", ".join(sorted(set(digits.sources.tolist())))
            raise ConfigurationError(source.folder, f"has no source {missing[0]!r}", expected=f"one of {known}")
        digits = digits.select(np.isin(digits.sources, source.sources))
    if source.limit is None:
        return digits
    return digits.select(_some(np.arange(len(digits.labels)), source.limit, seed=0))


class _AugmentedBatches(Dataset[DigitBatch]):
    """Makes the batch of a plan; runs in worker processes."""

    def __init__(self, examples: InkExamples, recipe: DigitRecipe, plans: Sequence[BatchPlan]) -> None:
        self.examples, self.recipe, self.plans = examples, recipe, plans
        self.augmenter = HandwritingAugmenter(recipe.augmentation)

    def __len__(self) -> int:
        return len(self.plans)

    def __getitem__(self, number: int) -> DigitBatch:
        plan = self.plans[number]
        made = augmented_frames(self.augmenter, self.examples, plan, self.recipe)
        frames = varied(made.frames, self.recipe.regularization.input.policy, plan.seed, moves=True)
        return DigitBatch(torch.from_numpy(frames), torch.from_numpy(made.labels), plan.seed)


def augmented_frames(
    augmenter: HandwritingAugmenter, examples: InkExamples, plan: BatchPlan, recipe: DigitRecipe
) -> Frames:
    """The plan's examples as augmented, preprocessed cells; some become "not a digit"."""
    augmenter.seed(plan.seed)
    rng = np.random.default_rng([plan.seed, 1])
    spoilt = rng.random(len(plan.indices)) < recipe.data.not_a_digit
    neighbours = rng.integers(0, len(examples), len(plan.indices))
    size = recipe.preprocessing.size
    frames = np.zeros((len(plan.indices), size, size), np.uint8)
    for frame, index, neighbour, is_spoilt in zip(frames, plan.indices, neighbours, spoilt, strict=True):
        draw = augmenter.not_a_digit if is_spoilt else augmenter.digit
        frame[:] = ink_image(draw(examples.inks[index], examples.inks[neighbour]), recipe.preprocessing, "dark")
    return Frames(frames, np.where(spoilt, NOT_A_DIGIT, examples.labels[plan.indices]))


class DigitTask(Task[DigitBatch]):
    """Ten digits and "not a digit".

    Args:
        recipe: What to learn from and how to vary it.
        root: The data folder that the recipe's dataset folders lie below.
    """

    classes = len(DIGIT_CLASSES)

    def __init__(self, recipe: DigitRecipe, root: Path) -> None:
        self.recipe, self.root = recipe, root
        self.train, self.held = _learnt_and_held(recipe, root)
        self.train = self.train.select(_some(np.arange(len(self.train)), recipe.data.limit, recipe.seed))

    def network(self) -> nn.Module:
        """The recipe's network, started from another run's weights where it names some."""
        network = zoo.build(self.recipe.network.name, **self.recipe.network.options)
        if self.recipe.start_from is not None:
            load_weights(network, self.root / self.recipe.start_from)
        return network

    @property
    def steps(self) -> int:
        """Whole batches in an epoch; the rest waits for another epoch's order."""
        return max(1, len(self.train) // self.recipe.batch_size)

    def plans(self, epoch: int) -> list[BatchPlan]:
        """Which examples come when: a new order every epoch."""
        rng = np.random.default_rng([self.recipe.seed, epoch])
        order = rng.permutation(len(self.train))[: self.steps * self.recipe.batch_size]
        seeds = rng.integers(0, 2**31 - 2, self.steps)
        return [BatchPlan(part, int(seed)) for part, seed in zip(np.array_split(order, self.steps), seeds, strict=True)]

    def batches(self, epoch: int) -> Iterator[DigitBatch]:
        """The epoch's augmented batches, made by worker processes."""
        batches = _AugmentedBatches(self.train, self.recipe, self.plans(epoch))
        return in_workers(batches, self.recipe.workers)

    def loss(self, network: nn.Module, batch: DigitBatch, device: torch.device) -> Tensor:
        """Soft cross-entropy under the recipe's regularization."""
        learn = ClassificationLoss(len(DIGIT_CLASSES), self.recipe.regularization)
        rng = np.random.default_rng([batch.seed, 2])
        return learn(network, self._inputs(batch.frames, device), batch.labels.to(device), self.moment, rng)

    def _inputs(self, frames: Tensor, device: torch.device) -> Tensor:
        inputs = torch.from_numpy(network_input(frames.numpy(), self.recipe.preprocessing))
        return inputs.to(device, memory_format=torch.channels_last)

    @cached_property
    def validation(self) -> Validation:
        """The held-out digits, drawn once: the same at every epoch and in every run with this seed."""
        spec = self.recipe.preprocessing
        inks = self.held
        plain = np.stack([fit_ink(ink, spec) for ink in inks.inks])
        augmenter = HandwritingAugmenter(self.recipe.augmentation)
        parts = [
            augmented_frames(augmenter, inks, BatchPlan(part, self.recipe.seed + 1000 + number), self.recipe)
            for number, part in enumerate(np.array_split(np.arange(len(inks)), max(1, len(inks) // 128)))
        ]
        cells = Frames(np.concatenate([p.frames for p in parts]), np.concatenate([p.labels for p in parts]))
        return Validation(Frames(plain, inks.labels), cells)

    @torch.no_grad()
    def logits(self, network: nn.Module, frames: Image, device: torch.device) -> NDArray[np.float32]:
        """(N, 11) float32 logits of ink frames (N, size, size) uint8."""
        network.eval()
        parts = [
            network(self._inputs(torch.from_numpy(frames[i : i + _SCORING_BATCH]), device)).float().cpu().numpy()
            for i in range(0, len(frames), _SCORING_BATCH)
        ]
        return np.concatenate(parts)

    def evaluate(self, network: nn.Module, device: torch.device) -> Evaluation:
        """Accuracy among the ten digits on plain digits and on cells, and how well non-digits are told apart.

        The score is the mean of the two accuracies less the mean negative log-likelihood's hundredth, which decides
        between epochs of equal accuracy.
        """
        plain = self.logits(network, self.validation.plain.frames, device)
        cells = self.logits(network, self.validation.cells.frames, device)
        labels = self.validation.cells.labels
        digit = labels != NOT_A_DIGIT
        known = self.validation.plain.labels
        plain_right = (plain[:, :NOT_A_DIGIT].argmax(axis=1) == known)[known != NOT_A_DIGIT]
        cell_right = cells[digit, :NOT_A_DIGIT].argmax(axis=1) == labels[digit]
        probabilities = softmax(cells)
        nll = -float(np.mean(np.log(np.maximum(1e-9, probabilities[np.arange(len(labels)), labels]))))
        called_none = cells.argmax(axis=1) == NOT_A_DIGIT
        metrics = {
            "plain_accuracy": float(plain_right.mean()),
            "cell_accuracy": float(cell_right.mean()),
            "none_found": float(called_none[~digit].mean()) if (~digit).any() else 1.0,
            "digits_lost": float(called_none[digit].mean()),
            "cell_nll": nll,
            "cell_ece": expected_calibration_error(probabilities[digit, :NOT_A_DIGIT].max(axis=1), cell_right),
        }
        return Evaluation((metrics["plain_accuracy"] + metrics["cell_accuracy"]) / 2 - nll / 100, metrics)

    def picture(self, network: nn.Module, device: torch.device, folder: Path) -> None:
        """Confusion on cells, the worst mistakes, and a sheet of training cells before preprocessing."""
        cells = self.validation.cells
        probabilities = softmax(self.logits(network, cells.frames, device))
        read = probabilities.argmax(axis=1)
        plot_confusion(
            confusion_matrix(cells.labels, read, len(DIGIT_CLASSES)), DIGIT_CLASSES, folder / "confusion.png"
        )
        wrong = np.flatnonzero(read != cells.labels)
        worst = wrong[np.argsort(-probabilities[wrong, read[wrong]])][:48]
        captions = [f"{_short(cells.labels[i])} read {_short(read[i])}" for i in worst]
        plot_sheet([cells.frames[i] for i in worst], captions, folder / "mistakes.png")
        plot_sheet(*self.sample_cells(48), folder / "training-cells.png")

    def sample_cells(self, count: int) -> tuple[list[Image], list[str]]:
        """Augmented cells (64, 64) uint8 before preprocessing and their labels, every fourth not a digit."""
        augmenter = HandwritingAugmenter(self.recipe.augmentation)
        augmenter.seed(self.recipe.seed)
        rng = np.random.default_rng(self.recipe.seed)
        images, captions = [], []
        for number, index in enumerate(rng.integers(0, len(self.train), count)):
            none = number % 4 == 3
            draw = augmenter.not_a_digit if none else augmenter.digit
            images.append(draw(self.train.inks[index], self.train.inks[(index + 1) % len(self.train)]))
            captions.append("none" if none else _short(self.train.labels[index]))
        return images, captions


def _learnt_and_held(recipe: DigitRecipe, root: Path) -> tuple[InkExamples, InkExamples]:
    """What the recipe learns from, each example as often as an epoch shows it, and what it validates on.

    A versioned folder that has a part for validation gives that, and learns all of its part for learning.
    """
    spec, data = recipe.preprocessing, recipe.data
    settled = [source for source in data.train if validation_split(root / source.folder, source.split)]
    others = [source for source in data.train if source not in settled]
    learnt, held = [], []
    if others:
        own = load_inks(others, root, spec)
        kept, apart = _held_out(own, data.validation_share, recipe.seed)
        # Copies are made after the split: no example is on both sides of it.
        learnt.append(own.select(np.repeat(kept, own.repeats[kept])))
        held.append(own.select(apart))
    if settled:
        own = load_inks(settled, root, spec)
        learnt.append(own.select(np.repeat(np.arange(len(own)), own.repeats)))
        validation = [source.model_copy(update={"split": "val"}) for source in settled]
        held.append(load_inks(validation, root, spec))
    if data.validate_on:
        held.append(load_inks(data.validate_on, root, spec))
    return _joined(learnt), _joined(held)


def _held_out(examples: InkExamples, share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices kept and held out: whole groups where those are known, else examples of every source and class."""
    _, source = np.unique(examples.sources, return_inverse=True)
    strata = source * len(DIGIT_CLASSES) + examples.labels
    loose, grouped = np.flatnonzero(examples.groups == ""), np.flatnonzero(examples.groups != "")
    kept, held = stratified_holdout(strata[loose], share, seed)
    whole, apart = hold_out_groups(source[grouped], examples.groups[grouped], share, seed)
    return np.sort(np.concatenate([loose[kept], grouped[whole]])), np.sort(
        np.concatenate([loose[held], grouped[apart]])
    )


def _some(indices: NDArray[np.int64], limit: int | None, seed: int) -> NDArray[np.int64]:
    if limit is None or limit >= len(indices):
        return indices
    return np.sort(np.random.default_rng(seed).choice(indices, limit, replace=False))


def _joined(parts: Sequence[InkExamples]) -> InkExamples:
    inks = tuple(ink for part in parts for ink in part.inks)
    columns = ("labels", "sources", "repeats", "groups")
    return InkExamples(inks, *(np.concatenate([getattr(part, column) for part in parts]) for column in columns))


def _short(label: int | np.integer) -> str:
    return "none" if label == NOT_A_DIGIT else str(int(label))
