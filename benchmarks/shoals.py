"""Fish for measuring trackers: where each is, and what an imperfect detector would say, five times a second.

Two kinds of clips, neither of which draws a picture: `shoal` has fish of its own, which swim with momentum, in schools
or alone, turn, dart, enter and leave, hide behind rocks and each other (1280 x 720 pixels); `footage` takes the animals
of the synthetic footage. The detector misses, jitters, and sees fish where there are none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apps.fish.records import Observations, Samples
from data.boxes import Boxes, ious
from data.synth.footage import simulate
from data.synth.footage_spec import ClipSpec

SIZE_WH = (1280, 720)
RATE = 5
STEPS = 5  # of motion between two samples
VISIT_SECONDS = 3.0  # an animal unseen for longer comes anew

Animals = list[tuple[int, np.ndarray, float]]
"""Identity, box (4,) and visible share of every animal in one sample."""


@dataclass(frozen=True)
class Eyes:
    """How well fish are seen: `missed` share of fully visible fish, `ghosts` false detections a sample."""

    missed: float = 0.1
    ghosts: float = 0.3


@dataclass(frozen=True)
class Water:
    """What swims. `fish` live at once, in schools of `school`; `length` in pixels (low, high); `speed` in body lengths
    a second; `darts` a minute and fish; `rocks` that hide fish."""

    fish: int
    school: int = 1
    length: tuple[float, float] = (40, 160)
    speed: float = 0.8
    darts: float = 2.0
    rocks: int = 2
    eyes: Eyes = Eyes()


WATERS = {
    "reef": Water(8),
    "school": Water(30, school=10, length=(25, 60), speed=1.2),
    "darting": Water(10, length=(30, 90), speed=1.5, darts=12),
    "murky": Water(8, eyes=Eyes(missed=0.35, ghosts=1.0)),
    "seagrass": Water(5, length=(30, 80), rocks=5, speed=0.5, eyes=Eyes(missed=0.2)),
    "sparse": Water(1),
}


@dataclass(frozen=True)
class Scene:
    """Truth and detections of one clip: `truth_sample`, `truth_id` (M,) and `truth_xyxy` (M, 4) hold every fish of
    which at least a quarter can be seen; `visits` counts fish, again where one was away for `VISIT_SECONDS`."""

    truth_sample: np.ndarray
    truth_id: np.ndarray
    truth_xyxy: Boxes
    observations: Observations

    @property
    def visits(self) -> int:
        return len(np.unique(self.truth_id))

    @property
    def max_n(self) -> int:
        return int(np.bincount(self.truth_sample).max(initial=0)) if len(self.truth_sample) else 0


def shoal(water: Water, seconds: float, seed: int) -> Scene:
    """One clip of that water; the same seed gives the same clip."""
    rng = np.random.default_rng(seed)
    rocks = np.array([_rock(rng) for _ in range(water.rocks)], np.float32).reshape(-1, 4)
    swimming: list[_Fish] = []
    born, samples = 0, []
    for sample in range(int(seconds * RATE)):
        for _ in range(STEPS):
            while len(swimming) < water.fish and (sample == 0 or rng.random() < 0.05):
                group = _arrivals(rng, water, born, inside=sample == 0)
                born += len(group)
                swimming += group
            for fish in swimming:
                _swim(rng, fish, water, 1 / RATE / STEPS)
            swimming = [fish for fish in swimming if _near_frame(fish)]
        samples.append(_visible(swimming, rocks))
    return _seen(samples, water.eyes, SIZE_WH, rng)


def footage(spec: ClipSpec, seed: int, eyes: Eyes) -> Scene:
    """The animals of a clip of synthetic footage."""
    truth = simulate(spec, seed)
    step = round(spec.fps / RATE)
    samples: list[Animals] = []
    for frame in range(0, truth.frames, step):
        animals = [(fish.identity, np.array(fish.xyxy), fish.visible) for fish in truth.of_frame(frame)]
        samples.append([each for each in animals if (each[1][2:] - each[1][:2]).min() >= 3])
    return _seen(samples, eyes, spec.size_wh, np.random.default_rng(seed))


class _Fish:
    def __init__(self, identity: int, at: np.ndarray, heading: np.ndarray, length: float, depth: float) -> None:
        self.identity, self.at, self.heading, self.length, self.depth = identity, at, heading, length, depth

    def box(self) -> np.ndarray:
        facing = abs(self.heading[0]) / (np.linalg.norm(self.heading) + 1e-6)
        half = np.array([self.length * (0.35 + 0.65 * facing), self.length * (0.35 + 0.1 * (1 - facing))]) / 2
        return np.concatenate([self.at - half, self.at + half])


def _rock(rng: np.random.Generator) -> np.ndarray:
    size = rng.uniform([80, 80], [260, 300])
    corner = rng.uniform([0, 100], np.array(SIZE_WH) - size)
    return np.concatenate([corner, corner + size])


def _arrivals(rng: np.random.Generator, water: Water, born: int, *, inside: bool) -> list[_Fish]:
    width, height = SIZE_WH
    right = rng.random() < 0.5
    at = np.array([width + 40.0 if right else -40.0, rng.uniform(0.1, 0.9) * height])
    if inside:
        at[0] = rng.uniform(0.05, 0.95) * width
    length = rng.uniform(*water.length)
    heading = np.array([-1.0 if right else 1.0, rng.normal(0, 0.2)]) * length * water.speed * rng.uniform(0.6, 1.4)
    spread = length * np.sqrt(water.school)
    group = []
    for member in range(water.school):
        offset = rng.normal(0, spread, 2) * (water.school > 1)
        group.append(_Fish(born + member, at + offset, heading.copy(), length * rng.uniform(0.85, 1.15), rng.random()))
    return group


def _swim(rng: np.random.Generator, fish: _Fish, water: Water, step: float) -> None:
    cruise = fish.length * water.speed
    fish.heading += rng.normal(0, cruise * 0.9 * np.sqrt(step), 2) * [1, 0.6]
    fish.heading[1] *= 1 - 0.5 * step
    if rng.random() < water.darts / 60 * step:
        angle = rng.uniform(0, 2 * np.pi)
        fish.heading = np.array([np.cos(angle), 0.5 * np.sin(angle)]) * cruise * rng.uniform(3, 6)
    pace = np.linalg.norm(fish.heading) + 1e-6
    fish.heading *= 1 + (cruise / pace - 1) * 0.8 * step
    fish.at = fish.at + fish.heading * step


def _near_frame(fish: _Fish) -> bool:
    box = fish.box()
    return box[2] > -80 and box[3] > -80 and box[0] < SIZE_WH[0] + 80 and box[1] < SIZE_WH[1] + 80


def _visible(swimming: list[_Fish], rocks: Boxes) -> Animals:
    """Each fish in the frame, its box cut at the frame, and the share of it that can be seen."""
    out = []
    wholes = np.array([fish.box() for fish in swimming]).reshape(-1, 4)
    depths = np.array([fish.depth for fish in swimming])
    for fish, whole in zip(swimming, wholes, strict=True):
        box = np.clip(whole, 0, [*SIZE_WH, *SIZE_WH])
        if (box[2:] - box[:2]).min() < 3:
            continue
        covers = np.concatenate([rocks[: len(rocks) if fish.depth > 0.3 else 0], wholes[depths < fish.depth]])
        covers = covers[((covers[:, :2] < box[2:]) & (covers[:, 2:] > box[:2])).all(axis=1)]
        grid = np.stack(np.meshgrid(np.linspace(box[0], box[2], 8), np.linspace(box[1], box[3], 5)), -1).reshape(-1, 2)
        inside = (grid[:, None] >= covers[:, :2]) & (grid[:, None] <= covers[:, 2:])
        shown = 1 - inside.all(axis=2).any(axis=1).mean()
        out.append((fish.identity, box, float(shown * np.prod(box[2:] - box[:2]) / np.prod(whole[2:] - whole[:2]))))
    return out


def _seen(samples: list[Animals], eyes: Eyes, size_wh: tuple[int, int], rng: np.random.Generator) -> Scene:
    """What is true, and what an imperfect detector says."""
    limits = np.array([*size_wh, *size_wh])
    stones = rng.uniform(0, size_wh, (2, 2))
    held: set[int] = set()  # what was missed is likely to be missed again
    found: list[tuple[int, np.ndarray, float]] = []
    for sample, animals in enumerate(samples):
        caught = set()
        for identity, box, part in animals:
            chance = (1 - eyes.missed) * np.clip((part - 0.15) / 0.45, 0, 1) * (1.0 if identity in held else 0.5)
            if rng.random() < (chance if sample else 1 - eyes.missed):
                caught.add(identity)
                score = rng.beta(6 * (0.35 + 0.65 * min(part, 1.0)), 2.2 + 3 * eyes.missed)
                found.append((sample, box + rng.normal(0, 0.04, 4) * np.tile(box[2:] - box[:2], 2), score))
        held = caught
        ghosts = range(rng.poisson(eyes.ghosts))
        found += [(sample, _ghost(rng, stones, size_wh), rng.beta(1.6, 4.5)) for _ in ghosts]
    detections = [(sample, np.clip(box, 0, limits), score) for sample, box, score in found if score >= 0.05]
    truth = [(sample, *animal[:2]) for sample, animals in enumerate(samples) for animal in animals if animal[2] >= 0.25]
    return _scene(truth, detections, len(samples))


def _ghost(rng: np.random.Generator, stones: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """The same stone, taken for a fish again, or anything."""
    at = stones[rng.integers(2)] + rng.normal(0, 2, 2) if rng.random() < 0.4 else rng.uniform(0, size_wh)
    return np.concatenate([at, at + rng.uniform(0.025, 0.1) * size_wh[0] * np.array([1.0, 0.45])])


def _scene(truth: list[tuple[int, int, np.ndarray]], seen: list[tuple[int, np.ndarray, float]], count: int) -> Scene:
    seen = [(sample, box, score) for sample, box, score in seen if (box[2:] - box[:2]).min() >= 2]
    xyxy = np.array([box for _, box, _ in seen], np.float32).reshape(-1, 4)
    scores = np.array([score for *_, score in seen], np.float32)
    sample = np.array([at for at, *_ in seen], np.int64)
    kept = _suppressed(sample, xyxy, scores)
    samples = Samples.of_chapter(0, 0.0, range(0, 6 * count, 6), np.arange(count) / RATE)
    labels = np.zeros(int(kept.sum()), np.int64)
    truth_sample = np.array([at for at, *_ in truth], np.int64)
    return Scene(
        truth_sample,
        visits(truth_sample, np.array([identity for _, identity, _ in truth], np.int64)),
        np.array([box for *_, box in truth], np.float32).reshape(-1, 4),
        Observations(samples, sample[kept], xyxy[kept], scores[kept], labels, ("fish",)),
    )


def visits(sample: np.ndarray, identity: np.ndarray) -> np.ndarray:
    """(M,) a number for every visit of every animal."""
    visits, last, count = np.zeros(len(sample), np.int64), {}, 0
    for row, (at, who) in enumerate(zip(sample.tolist(), identity.tolist(), strict=True)):
        before, number = last.get(who, (-np.inf, -1))
        if at - before > VISIT_SECONDS * RATE:
            number, count = count, count + 1
        last[who] = at, number
        visits[row] = number
    return visits


def _suppressed(sample: np.ndarray, xyxy: Boxes, scores: np.ndarray) -> np.ndarray:
    """(N,) bool: what non-maximum suppression at 0.65 would leave."""
    kept = np.ones(len(scores), bool)
    for at in np.unique(sample):
        rows = np.flatnonzero(sample == at)
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        overlap = ious(xyxy[rows], xyxy[rows])
        for first in range(len(rows)):
            if kept[rows[first]]:
                kept[rows[first + 1 :][overlap[first, first + 1 :] > 0.65]] = False
    return kept
