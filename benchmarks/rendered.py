"""Rendered clips as the shipped detector sees them, five times a second; the truth of the same samples."""

from __future__ import annotations

import numpy as np

from apps.fish.records import Observations, Samples
from benchmarks.shoals import RATE, Scene, visits
from data.detections import Detections
from data.synth.fish_plans import SPECIES
from data.synth.footage import SEEN_SHARE
from data.synth.footage_spec import ClipSpec, Stock
from data.synth.footage_truth import FishTruth
from data.synth.scene import Scene as Staged
from data.synth.stage import Stage
from deploy.runtime.detector import FishDetector

LEAST_KEPT = 0.1
MOST_FISH = (4, 9, 20)
"""Of one species in a clip, less one, by turns."""


def drawn_specs(count: int, seed: int) -> list[ClipSpec]:
    """Clips of 20 s unlike the standard ones: waters, fish and what hides them drawn at random."""
    rng = np.random.default_rng(seed)
    return [_drawn(rng, number) for number in range(count)]


def filmed(spec: ClipSpec, seed: int, detector: FishDetector) -> Scene:
    """Render the samples of a clip and detect fish in them; a fish away for `VISIT_SECONDS` is another visit."""
    staged = Staged.draw(spec, seed)
    stage = Stage(staged, seed)
    numbers = range(0, spec.frames, round(spec.fps / RATE))
    seen, truth = [], []
    for sample, number in enumerate(numbers):
        seen += detector.detect([stage.frame(number)])
        truth += [(sample, fish) for fish in staged.truth_at(number) if fish.visible >= SEEN_SHARE]
    return scene_of(seen, truth, [number / spec.fps for number in numbers], numbers, detector.names)


def scene_of(
    seen: list[Detections],
    truth: list[tuple[int, FishTruth]],
    seconds: list[float],
    numbers: range,
    names: tuple[str, ...],
) -> Scene:
    """What was detected in each sample, and the fish that were there."""
    sample = np.array([at for at, _ in truth], np.int64)
    return Scene(
        sample,
        visits(sample, np.array([fish.identity for _, fish in truth], np.int64)),
        np.array([fish.xyxy for _, fish in truth], np.float32).reshape(-1, 4),
        Observations.of_frames(Samples.of_chapter(0, 0.0, numbers, seconds), seen, names).above(LEAST_KEPT),
    )


def _drawn(rng: np.random.Generator, number: int) -> ClipSpec:
    kinds = rng.choice(len(SPECIES), int(rng.integers(1, len(MOST_FISH) + 1)), replace=False)
    stocks = tuple(
        Stock(
            species=list(SPECIES)[kind],
            individuals=int(rng.integers(1, MOST_FISH[number % len(MOST_FISH)])),
            school=bool(rng.random() < 0.3),
        )
        for kind in kinds
    )
    return ClipSpec(
        name=f"drawn-{number}",
        seconds=20.0,
        stocks=stocks,
        roaming=float(rng.uniform(0.8, 2.8)),
        water=rng.choice(["green", "blue", "grey"]),
        bed=rng.choice(["sand", "rubble", "meadow"]),
        turbidity=float(rng.uniform(0.08, 0.45)),
        snow=int(rng.integers(0, 300)),
        seagrass=int(rng.integers(0, 10)),
        rocks=int(rng.integers(0, 4)),
        sway_degrees=float(rng.choice([0, 0, 1])),
        light=float(rng.uniform(0.5, 1)),
        noise=float(rng.uniform(1, 5)),
    )
