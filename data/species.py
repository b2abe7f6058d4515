"""Names for fish: what a species model says of single crops, and the one name that a whole track gets from them.

A species model answers with log-probabilities (N, C) of its C species. A row sums, as probabilities, to the
probability that the fish is of a known species at all; what is missing to one is the probability of "unknown fish".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.boxes import Boxes
from data.preprocess import Image

Floats = NDArray[np.floating]

_SUREST: Final = 30.0
"""Log-odds beyond which surer is no surer: exp(-30) is below the resolution of float32 beside one."""


@dataclass(frozen=True)
class Named:
    """The name of a fish.

    `name` is None for an unknown fish. `confidence` is the probability of what is said: of that species, or of an
    unknown fish. `runner_up` is the next likeliest species; for an unknown fish, the likeliest.
    """

    name: str | None
    confidence: float
    runner_up: str | None


def known_probabilities(log_probabilities: Floats) -> Floats:
    """(N, C) log-probabilities -> (N,) float64 probability that a fish is of one of the C species."""
    return np.exp(_log_known(np.asarray(log_probabilities, np.float64)))


def vote(log_probabilities: Floats, weights: Floats, names: Sequence[str], threshold: float) -> Named:
    """One name for a track out of its crops.

    The crops' log-odds of being known, and their log-probabilities among the known species, are averaged by weight.
    Averaged and not added, because the crops of a track are no independent witnesses: many crops make the answer
    steadier, never surer than the crops are.

    Args:
        log_probabilities: (N, C), each row a crop's; see the module's head.
        weights: (N,) how much each crop counts, 0 or more: its box's score or area, say.
        names: C species.
        threshold: The probability of being known from which a fish gets a name.

    Returns:
        The name; an unknown fish of confidence 1 where there is no crop, or none that counts.

    Raises:
        ValueError: Shapes do not fit, or a weight is negative or no number.
    """
    rows, shares = np.asarray(log_probabilities, np.float64), np.asarray(weights, np.float64)
    if rows.ndim != 2 or rows.shape != (len(shares), len(names)):
        raise ValueError(f"log-probabilities {rows.shape} for {len(shares)} weights and {len(names)} names")
    if not (np.isfinite(shares).all() and (shares >= 0).all()):
        raise ValueError("a weight is negative or no number")
    if not shares.any():
        return Named(None, 1.0, None)
    shares = shares / shares.max()
    shares = shares / shares.sum()
    log_known = _log_known(rows)
    chance = 1 / (1 + np.exp(-float(shares @ _log_odds(log_known))))
    among = shares @ np.clip(rows - log_known[:, None], -_SUREST, 0.0)
    among = np.exp(among - among.max())
    among /= among.sum()
    order = np.argsort(-among, kind="stable")
    if chance < threshold:
        return Named(None, float(1 - chance), names[order[0]])
    return Named(names[order[0]], float(chance * among[order[0]]), names[order[1]] if len(names) > 1 else None)


def _log_known(rows: Floats) -> Floats:
    """(N, C) -> (N,) log of the rows' sums, at most 0; rows without any chance count as the least one."""
    floored = np.maximum(rows, -2 * _SUREST)
    top = floored.max(axis=1, keepdims=True, initial=-2 * _SUREST)
    return np.asarray(np.minimum(np.log(np.exp(floored - top).sum(axis=1)) + top[:, 0], 0.0), np.float64)


def _log_odds(log_known: Floats) -> Floats:
    rest = -np.expm1(log_known)
    with np.errstate(divide="ignore"):
        return np.clip(log_known - np.log(rest), -_SUREST, _SUREST)


def crops_around(frame: Image, xyxy: Boxes, margin: float) -> list[Image]:
    """The fish of each box with some of what is around it, as species models see them.

    Args:
        frame: (H, W, 3) uint8.
        xyxy: (N, 4) boxes in pixels of the frame.
        margin: What is added on every side, as a share of the box's longer side.

    Returns:
        N views of the frame, cut at its edges, each of at least one pixel.
    """
    height, width = frame.shape[:2]
    room = margin * (xyxy[:, 2:] - xyxy[:, :2]).max(axis=1, initial=0.0)[:, None]
    low = np.floor(xyxy[:, :2] - room).astype(np.int64)
    high = np.ceil(xyxy[:, 2:] + room).astype(np.int64)
    low = np.clip(low, 0, [width - 1, height - 1])
    high = np.clip(high, low + 1, [width, height])
    return [frame[top:bottom, left:right] for (left, top), (right, bottom) in zip(low, high, strict=True)]
