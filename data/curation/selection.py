"""What to label next: pictures that a model is unsure of, unlike each other and unlike what is labelled already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.sampling import shares

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

DOUBLES: Final = 0.99
"""Cosine of two pictures' embeddings from which they are near duplicates: never both are chosen."""
_SHARPNESS: Final = 2.0
"""Exponent of the uncertainty, which the squared distance is weighted with."""
_MOST_OF_GROUP: Final = 1.25
"""A group gives at most so many times its fair share, while others have some left."""
_LEAST_OF_GROUP: Final = 2
"""And always up to so many."""
_WIDTH: Final = 128
"""Principal axes of the embeddings that distances are measured in."""
_BLOCK: Final = 2048
_FLAT: Final = 1e-6


@dataclass(frozen=True)
class Chosen:
    """K pictures in the order in which they should be labelled.

    Attributes:
        indices: (K,) int64 into the pictures; none twice.
        gains: (K,) float32, uncertainty squared times the squared distance to what was known or chosen before.
    """

    indices: Indices
    gains: Floats

    def __len__(self) -> int:
        return len(self.indices)


def margin_uncertainty(probabilities: NDArray[np.floating]) -> Floats:
    """(N, C) probabilities of classes -> (N,) float32 from 0, sure, to 1: one less the lead of the likeliest class."""
    if probabilities.shape[1] < 2:
        return np.asarray(1 - probabilities.max(axis=1, initial=0.0), np.float32)
    top = np.partition(probabilities, -2, axis=1)[:, -2:]
    return np.asarray(np.clip(1 - (top[:, 1] - top[:, 0]), 0, 1), np.float32)


def choose(
    embeddings: Floats, uncertainty: Floats, groups: NDArray[np.str_], count: int, candidates: NDArray[np.bool_]
) -> Chosen:
    """Choose pictures one after the other, each time the one of the greatest gain.

    The gain of a picture is its uncertainty squared times its squared distance to the nearest picture that is known
    or chosen already: greedy k-centre (Sener and Savarese: Active learning for convolutional neural networks, ICLR
    2018) weighted by uncertainty, as k-means++ is in BADGE (Ash et al., ICLR 2020). Distances are between directions
    of the embeddings, each number less its mean over its deviation, on their principal axes. A group (site, writer,
    fish) gives little more than its fair share, which goes with the square root of its candidates. Of near duplicates
    (`DOUBLES`) one is chosen at most, and none of what is known.

    Args:
        embeddings: (N, D) of all pictures, labelled ones too.
        uncertainty: (N,) 0 to 1; all alike where there is no model yet.
        groups: (N,) what a picture belongs to, "" where that is not known: those count as groups of their own.
        count: How many to choose; fewer come back where there are no more candidates.
        candidates: (N,) which may be chosen. All others are known: nothing like them is wanted.

    Raises:
        ValueError: The arrays differ in length, or hold what is no number.
    """
    lengths = {len(embeddings), len(uncertainty), len(groups), len(candidates)}
    if len(lengths) != 1 or not (np.isfinite(embeddings).all() and np.isfinite(uncertainty).all()):
        raise ValueError("embeddings, uncertainty, groups and candidates differ in length or are no numbers")
    open_ones = np.flatnonzero(candidates)
    if count < 1 or not len(open_ones):
        return Chosen(np.zeros(0, np.int64), np.zeros(0, np.float32))
    places = _directions(embeddings)
    likeness = _nearest(places[open_ones], places[~candidates])
    weights = np.clip(uncertainty[open_ones], _FLAT, 1).astype(np.float64) ** _SHARPNESS
    picked, gains = _greedy(places[open_ones], likeness, weights, _Quotas(groups[open_ones], count), count)
    return Chosen(open_ones[picked], gains)


def _directions(embeddings: Floats) -> Floats:
    """(N, at most `_WIDTH`) unit vectors; equal embeddings give equal ones."""
    spread = embeddings.std(axis=0)
    scale = np.where(spread > _FLAT * max(float(spread.max(initial=0.0)), _FLAT), spread, np.inf)
    plain = (embeddings - embeddings.mean(axis=0)) / scale
    if plain.shape[1] > _WIDTH:
        _, axes = np.linalg.eigh(plain.T.astype(np.float64) @ plain / len(plain))
        plain = plain @ axes[:, -_WIDTH:].astype(np.float32)
    lengths = np.linalg.norm(plain, axis=1, keepdims=True)
    places = np.asarray(plain / np.maximum(lengths, _FLAT), np.float32)
    places[lengths[:, 0] < _FLAT] = np.eye(1, places.shape[1], dtype=np.float32)  # the mean itself has no direction
    return places


def _nearest(places: Floats, known: Floats) -> Floats:
    """(K,) cosine to the most alike of what is known; 0 where nothing is."""
    best = np.full(len(places), -1.0, np.float32)
    for start in range(0, len(known), _BLOCK):
        block = known[start : start + _BLOCK]
        for row in range(0, len(places), _BLOCK):
            here = slice(row, row + _BLOCK)
            best[here] = np.maximum(best[here], (places[here] @ block.T).max(axis=1))
    return best if len(known) else np.zeros(len(places), np.float32)


class _Quotas:
    """How many pictures each group may still give."""

    def __init__(self, groups: NDArray[np.str_], count: int) -> None:
        own = np.array([name or f"\0{index}" for index, name in enumerate(groups.tolist())], np.str_)
        names, self.group_of = np.unique(own, return_inverse=True)
        sizes = np.bincount(self.group_of, minlength=len(names))
        fair = shares(sizes, min(count, len(own)))
        self.left = np.maximum(np.ceil(_MOST_OF_GROUP * fair), _LEAST_OF_GROUP).astype(np.int64)

    def take(self, index: int) -> NDArray[np.bool_] | None:
        """Count a picture; which pictures are thereby barred, None where none is."""
        group = self.group_of[index]
        self.left[group] -= 1
        return None if self.left[group] > 0 else np.asarray(self.group_of == group)


def _greedy(
    places: Floats, likeness: Floats, weights: NDArray[np.float64], quotas: _Quotas, count: int
) -> tuple[Indices, Floats]:
    """Indices in order, and their gains. When the quotas leave nothing, they are lifted."""
    barred = likeness >= DOUBLES
    over_quota = np.zeros(len(places), np.bool_)
    picked: list[int] = []
    gains: list[float] = []
    if not likeness.any() and np.ptp(weights) < _FLAT:
        weights = weights * (1 + _FLAT * (places @ places.mean(axis=0)))  # the most ordinary picture begins
    while len(picked) < count and not barred.all():
        shut = barred | over_quota
        if shut.all():
            over_quota[:] = False
            shut = barred
        gain = np.where(shut, -1.0, weights * (1.0 - likeness))
        best = int(gain.argmax())
        picked.append(best)
        gains.append(float(gain[best]))
        alike = places @ places[best]
        likeness = np.maximum(likeness, alike)
        barred = barred | (alike >= DOUBLES)
        barred[best] = True
        spent = quotas.take(best)
        if spent is not None:
            over_quota |= spent
    return np.array(picked, np.int64), np.array(gains, np.float32)
