"""Labels chosen by `data.curation.selection` against labels drawn at random: learning curves of digits and of fish.

The sections are part of `benchmarks.curate`, which says how to measure them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.sections import ROOT, Section
from data.curation.selection import choose, margin_uncertainty
from data.frames import FramePreprocessing, fit_frame, frames_input
from data.metrics import softmax
from data.preprocess import DigitPreprocessing, ink_image, network_input
from data.readers import DigitSet, read_digits
from data.readers.crops import CropSplit, read_crops
from models import zoo
from training.run import data_root
from training.start import IMAGENET, start_from, weights_file

ROUNDS = {"species": 50, "digits": 100}
"""Labels that are chosen at once."""
CHANCE = (200, 400, 600, 800, 1000)
MOST = 1000
ENOUGH = 600
SPECIES_SEEDS = 6
DIGIT_SEEDS = 5
POOL_SHARE = 0.85
"""A seed's pool is such a share of all groups (species) or examples (digits) that may be labelled."""
_STEPS, _BATCH = 300, 64
_WEIGHT_DECAY = 3e-5
_CROPS = FramePreprocessing(size_wh=(160, 160), colours="rgb", mean=127.0, std=128.0)

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Learnt:
    """What a model that has learnt says: its `accuracy` on the test part, and of all N pictures of the pool their
    `probabilities` (N, C) and `embeddings` (N, D)."""

    accuracy: float
    probabilities: Floats
    embeddings: Floats


@dataclass(frozen=True)
class Pool:
    """N pictures that may be labelled: `groups` (N,), `embeddings` (N, D) before anything is labelled, and how a model
    learns from the chosen ones."""

    groups: NDArray[np.str_]
    embeddings: Floats
    learn: Callable[[Labels], Learnt]


@dataclass(frozen=True)
class Curves:
    """Accuracies (seeds, rounds) after so many labels, one row of numbers a seed."""

    sizes: tuple[int, ...]
    accuracies: NDArray[np.float64]

    @property
    def mean(self) -> NDArray[np.float64]:
        return np.asarray(self.accuracies.mean(axis=0))


def by_chance(pool: Pool, sizes: Sequence[int], seed: int) -> list[float]:
    order = np.random.default_rng([seed, 1]).permutation(len(pool.groups))
    return [pool.learn(order[:size]).accuracy for size in sizes]


def by_choice(pool: Pool, sizes: Sequence[int]) -> list[float]:
    """As `shankha curate next` is used: choose, label, learn, and again."""
    labelled = np.zeros(len(pool.groups), np.bool_)
    order: list[int] = []
    accuracies = []
    uncertainty, embeddings = np.ones(len(pool.groups), np.float32), pool.embeddings
    for size in sizes:
        chosen = choose(embeddings, uncertainty, pool.groups, size - len(order), ~labelled)
        labelled[chosen.indices] = True
        order += chosen.indices.tolist()
        learnt = pool.learn(np.array(order, np.int64))
        uncertainty, embeddings = margin_uncertainty(learnt.probabilities), learnt.embeddings
        accuracies.append(learnt.accuracy)
    return accuracies


def curves(pools: Sequence[Pool], step: int) -> tuple[Curves, Curves]:
    """Of chance, and of choice up to `ENOUGH` labels; pool by pool."""
    rounds = tuple(range(step, ENOUGH + 1, step))
    chance, choice = [], []
    for seed, pool in enumerate(pools):
        chance.append(by_chance(pool, CHANCE, seed))
        choice.append(by_choice(pool, rounds))
        print(seed, np.round(chance[-1], 4), np.round(choice[-1], 4), flush=True)
    return Curves(CHANCE, np.array(chance)), Curves(rounds, np.array(choice))


def labels_for(curve: Curves, accuracy: float) -> float:
    """How many labels a mean curve needs for an accuracy, between its points in a straight line; infinity for never."""
    reached = np.flatnonzero(curve.mean >= accuracy)
    if not len(reached):
        return float("inf")
    at = int(reached[0])
    if at == 0:
        return float(curve.sizes[0])
    low, high = curve.mean[at - 1], curve.mean[at]
    return curve.sizes[at - 1] + (accuracy - low) / (high - low) * (curve.sizes[at] - curve.sizes[at - 1])


def section(title: str, note: str, chance: Curves, choice: Curves) -> Section:
    sizes = [size for size in sorted({*chance.sizes, *choice.sizes}) if size % 100 == 0]
    rows = [(f"{size:,}", _cell(chance, size), _cell(choice, size)) for size in sizes]
    target = float(chance.mean[-1])
    needed = labels_for(choice, target)
    reach = f"{needed:,.0f} labels" if np.isfinite(needed) else f"not with {ENOUGH}"
    won = int((choice.accuracies[:, -1] >= chance.accuracies[:, -1]).sum())
    rows.append((f"{target:.2%} is reached with", f"{MOST:,} labels", f"**{reach}**"))
    rows.append((f"seeds in which {ENOUGH} chosen are as good as {MOST:,}", "", f"{won} of {len(choice.accuracies)}"))
    draw(title, chance, choice)
    return Section.of(title, note, ("labels", "drawn at random", "chosen"), rows)


def _cell(curve: Curves, size: int) -> str:
    if size not in curve.sizes:
        return ""
    own = curve.accuracies[:, curve.sizes.index(size)]
    return f"{own.mean():.2%} ({own.min():.2%} to {own.max():.2%})"


def draw(title: str, chance: Curves, choice: Curves) -> None:
    """The two curves with the range of their seeds, and where choice reaches chance's end."""
    figure = Figure(figsize=(6.4, 4.0), dpi=110)
    axes = figure.subplots()
    for curve, name, colour in ((chance, "drawn at random", "#7a7a7a"), (choice, "chosen (curate next)", "#0b7285")):
        axes.plot(curve.sizes, 100 * curve.mean, "o-", color=colour, label=name, markersize=4)
        low, high = 100 * curve.accuracies.min(axis=0), 100 * curve.accuracies.max(axis=0)
        axes.fill_between(curve.sizes, low, high, color=colour, alpha=0.15, linewidth=0)
    target, needed = float(chance.mean[-1]), labels_for(choice, float(chance.mean[-1]))
    axes.axhline(100 * target, color="#7a7a7a", linewidth=0.8, linestyle="--")
    if np.isfinite(needed):
        axes.plot([needed], [100 * target], "D", color="#c92a2a", label=f"as good with {needed:,.0f} labels")
    axes.set(xlabel="labels", ylabel="test accuracy, %", title=title)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", frameon=False)
    figure.tight_layout()
    figure.savefig(ROOT / "docs" / f"curate-{title.rpartition(' ')[2].lower()}.png")


def active_species(runs: Path) -> Section:
    pools, tested = species_pools()
    note = (
        f"Fish4Knowledge: {tested} test crops of held-out trajectories; the pool is {POOL_SHARE:.0%} of the other "
        f"trajectories, drawn anew for each of {SPECIES_SEEDS} seeds. A linear model on features of EfficientNet-Lite0 "
        "as ImageNet left them, which never saw a label of a fish, learns anew after every "
        f"{ROUNDS['species']} labels. In brackets the range of the seeds. How to choose was decided on trajectories of "
        "the pool alone; rounds of 50 were taken there after rounds of 100 had needed about 580 labels here, on four "
        "seeds. Aimed at: what chance reaches with 1,000 labels, with at most 600."
    )
    return section("Active learning, species", note, *curves(pools, ROUNDS["species"]))


def species_pools() -> tuple[list[Pool], int]:
    """A pool for each seed, and the number of test crops."""
    crops = read_crops(data_root() / "fish/f4k-species")
    tested = set(crops.part("test", CropSplit(test_share=0.25, validation_share=0.1)).files.tolist())
    is_test = np.array([name in tested for name in crops.files], np.bool_)
    seen = imagenet_features([crops.read(index) for index in range(len(crops))])
    groups = np.unique(crops.groups[~is_test])
    pools = []
    for seed in range(SPECIES_SEEDS):
        kept = np.random.default_rng(seed).choice(groups, round(POOL_SHARE * len(groups)), replace=False)
        own = np.flatnonzero(~is_test & np.isin(crops.groups, kept))
        learn = _head(seen[own], crops.labels[own], seen[is_test], crops.labels[is_test])
        pools.append(Pool(crops.groups[own], seen[own], learn))
    return pools, int(is_test.sum())


@torch.no_grad()
def imagenet_features(images: Sequence[NDArray[np.uint8]]) -> Floats:
    """(N, 1280) features of the middle of each crop."""
    network = zoo.build("crop-efficientnet-lite0", classes=2, view=0.75)
    parts = []
    for start in range(0, len(images), 32):
        fitted = np.stack([fit_frame(image, _CROPS) for image in images[start : start + 32]])
        inputs = torch.from_numpy(frames_input(fitted, _CROPS))
        if not parts:
            start_from(network, weights_file(data_root(), IMAGENET), inputs)
            network.eval()
        margin = round(_CROPS.size_wh[0] * (1 - network.view) / 2)
        parts.append(network.backbone(inputs[:, :, margin:-margin, margin:-margin]).numpy())
    return np.concatenate(parts)


def _head(seen: Floats, labels: Labels, test_seen: Floats, test_labels: Labels) -> Callable[[Labels], Learnt]:
    """A linear model, learnt to its end on the chosen ones."""
    mean, spread = seen.mean(axis=0), seen.std(axis=0) + 1e-6
    scale = spread * np.float32(np.sqrt(seen.shape[1]))
    inputs, test = ((part - mean) / scale for part in (seen, test_seen))

    def learn(chosen: Labels) -> Learnt:
        layer = nn.Linear(seen.shape[1], int(labels.max()) + 1)
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
        features, targets = torch.from_numpy(inputs[chosen]), torch.from_numpy(labels[chosen])
        optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=60)

        def loss() -> Tensor:
            optimizer.zero_grad()
            found = functional.cross_entropy(layer(features), targets)
            found = found + _WEIGHT_DECAY / 2 * layer.weight.pow(2).sum()
            found.backward()
            return found

        optimizer.step(loss)
        with torch.no_grad():
            right = layer(torch.from_numpy(test)).argmax(dim=1).numpy() == test_labels
            logits = layer(torch.from_numpy(inputs)).numpy()
        return Learnt(float(right.mean()), softmax(logits).astype(np.float32), seen)

    return learn


def active_digits(runs: Path) -> Section:
    pools, (cmaterdb, numtadb) = digit_pools()
    note = (
        f"The pool is {POOL_SHARE:.0%} of 5,000 training digits of CMATERdb and 5,000 of NumtaDB, drawn anew for each "
        f"of {DIGIT_SEEDS} seeds; accuracy is the mean of that on CMATERdb's {cmaterdb} test digits and on "
        f"{numtadb:,} digits of NumtaDB that are in no pool. A small network learns from nothing after every "
        f"{ROUNDS['digits']} labels and gives uncertainty and embeddings for the next; the first are chosen by their "
        "ink alone. In brackets the range of the seeds. How to choose was decided on the species' pool, not here. "
        "Aimed at: what chance reaches with 1,000 labels, with at most 600."
    )
    return section("Active learning, digits", note, *curves(pools, ROUNDS["digits"]))


def digit_pools() -> tuple[list[Pool], tuple[int, int]]:
    """A pool for each seed, and the numbers of test digits of CMATERdb and of NumtaDB."""
    spec = DigitPreprocessing()
    root = data_root() / "digits"
    own, test = (_inks(read_digits(root / "cmaterdb", split), spec) for split in ("train", "test"))
    numtadb = read_digits(root / "numtadb")
    drawn = np.random.default_rng(0).permutation(len(numtadb))[:8000]
    more, other = (_inks(numtadb.select(np.sort(part)), spec) for part in (drawn[:5000], drawn[5000:]))
    frames, labels, groups = (np.concatenate([one, two]) for one, two in zip(own, more, strict=True))
    tests = (test[:2], other[:2])
    pools = []
    for seed in range(DIGIT_SEEDS):
        kept = np.random.default_rng(seed).permutation(len(frames))[: round(POOL_SHARE * len(frames))]
        learn = _network(frames[kept], labels[kept], tests, seed, spec)
        pools.append(Pool(groups[kept], frames[kept].reshape(len(kept), -1).astype(np.float32), learn))
    return pools, (len(test[1]), len(other[1]))


def _inks(digits: DigitSet, spec: DigitPreprocessing) -> tuple[NDArray[np.uint8], Labels, NDArray[np.str_]]:
    frames = np.stack([ink_image(digits.read(index), spec, digits.polarity) for index in range(len(digits))])
    return frames, digits.labels, digits.groups


_Tests = Sequence[tuple[NDArray[np.uint8], Labels]]


def _network(
    frames: NDArray[np.uint8], labels: Labels, tests: _Tests, seed: int, spec: DigitPreprocessing
) -> Callable[[Labels], Learnt]:
    """A small network, learnt anew from varied ink."""

    def learn(chosen: Labels) -> Learnt:
        torch.manual_seed(seed)
        network = zoo.build("compact", widths=[16, 24, 32, 48], dropout=0.1)
        inputs, targets = torch.from_numpy(network_input(frames[chosen], spec)), torch.from_numpy(labels[chosen])
        optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.02)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=_STEPS)
        passes = -(-_STEPS * _BATCH // len(chosen))
        order = torch.cat([torch.randperm(len(chosen)) for _ in range(passes)])[: _STEPS * _BATCH]
        for batch in order.split(_BATCH):
            optimizer.zero_grad()
            logits = network(_moved(inputs[batch]))
            functional.cross_entropy(logits, targets[batch], label_smoothing=0.05).backward()
            optimizer.step()
            schedule.step()
        network.eval()
        shares = [float((_answers(network, one, spec)[0].argmax(axis=1) == known).mean()) for one, known in tests]
        logits, features = _answers(network, frames, spec)
        return Learnt(float(np.mean(shares)), softmax(logits).astype(np.float32), features)

    return learn


def _moved(inputs: Tensor) -> Tensor:
    """Ink turned, sheared, stretched and shifted at random."""
    count = len(inputs)
    turn, shear, wide, high = ((torch.rand(4, count) - 0.5) * torch.tensor([[0.5], [0.5], [0.3], [0.3]])).unbind()
    pose = torch.zeros(count, 2, 3)
    pose[:, 0, 0], pose[:, 0, 1] = torch.cos(turn) * (1 + wide), shear - torch.sin(turn)
    pose[:, 1, 0], pose[:, 1, 1] = torch.sin(turn), torch.cos(turn) * (1 + high)
    pose[:, :, 2] = (torch.rand(count, 2) - 0.5) * 0.2
    paper = inputs.amin()
    grid = functional.affine_grid(pose, list(inputs.shape), align_corners=False)
    return functional.grid_sample(inputs - paper, grid, align_corners=False) + paper


@torch.no_grad()
def _answers(network: nn.Module, frames: NDArray[np.uint8], spec: DigitPreprocessing) -> tuple[Floats, Floats]:
    """Logits (N, 10) of the digits, and the inputs of the last layer (N, D)."""
    last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    features: list[Floats] = []
    hook = last.register_forward_pre_hook(lambda _, given: features.append(given[0].numpy()))
    parts = [network(torch.from_numpy(network_input(frames[at : at + 512], spec))) for at in range(0, len(frames), 512)]
    hook.remove()
    return torch.cat(parts)[:, :10].numpy(), np.concatenate(features)
