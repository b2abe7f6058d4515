"""Is a method better than none? Paired over seeds, corrected for the number of methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import stats


@dataclass(frozen=True)
class Comparison:
    """A method against the baseline, seed by seed.

    `mean` and `deviation` (of a sample) are the method's own, `difference` is its mean less the baseline's, `low` and
    `high` bound it with 95 % confidence (Student's t). `p` is the paired t-test's, two-sided; `p_exact` that of all
    sign changes of the differences, which supposes no distribution and cannot fall below 2 / 2^seeds.
    """

    mean: float
    deviation: float
    difference: float
    low: float
    high: float
    p: float
    p_exact: float


def compared(method: Sequence[float], baseline: Sequence[float]) -> Comparison:
    """Compare values of the same seeds, two or more.

    Where all differences are alike their spread tells nothing, and `p` is the exact one.
    """
    values, differences = np.asarray(method, float), np.asarray(method, float) - np.asarray(baseline, float)
    exact, spread = sign_flip_p(differences), float(differences.std(ddof=1))
    mean = float(differences.mean())
    error = spread / np.sqrt(len(differences))
    alike = spread <= 1e-12 * max(1.0, abs(mean))
    reach = float(stats.t.ppf(0.975, len(differences) - 1)) * error
    p = exact if alike else float(2 * stats.t.sf(abs(mean) / error, len(differences) - 1))
    return Comparison(
        float(values.mean()), float(values.std(ddof=1)), mean, mean - reach, mean + reach, min(1.0, p), exact
    )


def sign_flip_p(differences: NDArray[np.floating]) -> float:
    """Share of all sign changes whose mean is as far from 0 as that of the differences (exact permutation test)."""
    signs = np.array(list(product((1.0, -1.0), repeat=len(differences))))
    means = np.abs(signs @ differences)
    return float(np.mean(means >= np.abs(np.sum(differences)) - 1e-12 * max(1.0, float(np.abs(differences).max()))))


def holm(p: Sequence[float]) -> list[float]:
    """p-values corrected for their number (Holm 1979): the chance of even one false finding stays below the level."""
    order = np.argsort(p, kind="stable")
    raised = np.maximum.accumulate([(len(p) - rank) * p[index] for rank, index in enumerate(order)])
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(1.0, raised)
    return corrected.tolist()
