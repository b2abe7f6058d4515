"""Which colour each species of a deployment has: the same in its pictures, its clips and its charts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from apps.fish.counts import DeploymentCounts
from apps.fish.records import TrackedObservations

PALETTE: Final = ("#f0a30a", "#e38fc0", "#5ab4f0", "#f0e442", "#ff7043", "#35c89a", "#d0d0d0")
"""After Okabe and Ito, made to show on blue and green water; `report/page.css` has the same hues for paper."""


def colours_of(settled: TrackedObservations, counts: DeploymentCounts) -> tuple[int, ...]:
    """The colour of each label, as a position in `PALETTE`.

    The species that were counted choose first, then the others, surest first: of the first seven no two are alike, nor
    of the next seven. A species has the colour that its label stands for, and so the same in all deployments, unless
    one before it has that.

    Args:
        settled: All that was seen, one species for each fish.
        counts: What was counted of it.
    """
    seen = settled.observations
    surest = np.zeros(len(seen.names), np.float32)
    np.maximum.at(surest, seen.labels, seen.scores)
    counted = [bool(species.max_n) for species in counts.species]
    order = sorted(
        range(len(seen.names)), key=lambda label: (not counted[label], 0 if counted[label] else -surest[label])
    )
    chosen: dict[int, int] = {}
    for start in range(0, len(order), len(PALETTE)):
        chosen |= _shared_out(order[start : start + len(PALETTE)])
    return tuple(chosen[label] for label in range(len(order)))


def _shared_out(labels: Sequence[int]) -> dict[int, int]:
    """A colour of its own for each label, at most as many as there are colours; its usual one where that is free."""
    chosen: dict[int, int] = {}
    for label in labels:
        if label % len(PALETTE) not in chosen.values():
            chosen[label] = label % len(PALETTE)
    free = [colour for colour in range(len(PALETTE)) if colour not in chosen.values()]
    others = [label for label in labels if label not in chosen]
    return chosen | dict(zip(others, free, strict=False))
