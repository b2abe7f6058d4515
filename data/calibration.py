"""Calibration of detection scores: from a network's logit to the probability that its box is right."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

LEAST_SLOPE: Final = 1e-3
"""A surer box stays the surer one, whatever the answers were: the slope is never nought or negative."""

_ITERATIONS: Final = 100
_TINY: Final = 1e-10


def fit_platt(logits: Floats, right: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope a and shift b such that 1 / (1 + exp(-(a * logit + b))) is the probability of being right.

    Maximum likelihood with Platt's smoothed targets, (n_right + 1) / (n_right + 2) and 1 / (n_wrong + 2), which keep
    the answer finite where logits part right from wrong entirely. Source: Platt, "Probabilistic outputs for support
    vector machines", 1999; solved by Newton's method as in Lin, Lin and Weng, "A note on Platt's probabilistic outputs
    for support vector machines", 2007.

    Args:
        logits: (N,) the network's logits; those that are not finite are left out.
        right: (N,) whether each box is right.

    Returns:
        (a, b), a > 0; (1, 0) without answers.
    """
    if len(logits) != len(right):
        raise ValueError(f"{len(logits)} logits against {len(right)} answers: expected as many")
    finite = np.isfinite(logits)
    strength, is_right = np.asarray(logits, np.float64)[finite], right[finite]
    if not len(strength):
        return 1.0, 0.0
    count = int(np.count_nonzero(is_right))
    targets = np.where(is_right, (count + 1) / (count + 2), 1 / (len(is_right) - count + 2))
    slope, shift = _newton(np.stack([strength, np.ones_like(strength)], axis=1), targets)
    if slope >= LEAST_SLOPE:
        return slope, shift
    (shift,) = _newton(np.ones((len(strength), 1)), targets, LEAST_SLOPE * strength)
    return LEAST_SLOPE, shift


def _newton(parts: Floats, targets: Floats, fixed: Floats | float = 0.0) -> tuple[float, ...]:
    """(P,) weights w of `parts` (N, P) that make sigmoid(parts @ w + fixed) likeliest under `targets` (N,)."""
    weights = np.zeros(parts.shape[1])
    loss = _loss(parts @ weights + fixed, targets)
    for _ in range(_ITERATIONS):
        chance = 1 / (1 + np.exp(-np.clip(parts @ weights + fixed, -700, 700)))
        slope = parts.T @ (chance - targets)
        curve = (parts * (chance * (1 - chance))[:, None]).T @ parts + 1e-9 * np.eye(len(weights))
        step = np.linalg.solve(curve, slope)
        size = 1.0
        while _loss(parts @ (weights - size * step) + fixed, targets) > loss and size > _TINY:
            size /= 2
        weights = weights - size * step
        before, loss = loss, _loss(parts @ weights + fixed, targets)
        if before - loss <= _TINY * len(targets):
            break
    return tuple(float(weight) for weight in weights)


def _loss(strength: Floats, targets: Floats) -> float:
    """Cross entropy in nats: log(1 + exp(s)) - t s, summed."""
    return float(np.sum(np.logaddexp(0.0, strength) - targets * strength))
