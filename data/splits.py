"""Splits that do not leak: whole groups (source, writer, sheet, trajectory, camera site), never single frames."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]

_BITS = 64


def leave_one_out(groups: Sequence[str] | NDArray[np.str_]) -> Iterator[tuple[str, Indices, Indices]]:
    """For each group in turn, by name: the group, the indices of all others, and its own indices.

    Args:
        groups: (N,) the group of each example.
    """
    array = np.asarray(groups, np.str_)
    for group in np.unique(array):
        held_out = array == group
        yield str(group), np.flatnonzero(~held_out), np.flatnonzero(held_out)


def by_group(
    groups: Sequence[str] | NDArray[np.str_], fractions: Mapping[str, float], seed: int = 0
) -> dict[str, Indices]:
    """Share whole groups out over parts, about in the proportions asked for.

    A group's part follows from its name and the seed alone. So the order of the examples does not matter, and data
    added later never moves a group that was there before. The price is that proportions hold on average: with few
    groups, or one huge group, they are far off, and a part may be empty.

    Args:
        groups: (N,) the group of each example.
        fractions: Part name to its share; shares are positive and add up to 1.
        seed: Another seed gives another split.

    Returns:
        Part name to the sorted indices of its examples.

    Raises:
        ValueError: Shares are not positive or do not add up to 1.
    """
    if not fractions or min(fractions.values()) <= 0 or abs(sum(fractions.values()) - 1) > 1e-6:
        raise ValueError(f"shares must be positive and add up to 1, not {dict(fractions)}")
    names = list(fractions)
    edges = np.cumsum(list(fractions.values()))[:-1]
    array = np.asarray(groups, np.str_)
    unique, inverse = np.unique(array, return_inverse=True)
    parts = np.searchsorted(edges, [_place(f"{seed}:{group}") for group in unique], side="right")
    part_of = parts[inverse] if len(unique) else np.zeros(0, np.int64)
    return {name: np.flatnonzero(part_of == number) for number, name in enumerate(names)}


def stratified_holdout(
    labels: Sequence[int] | NDArray[np.int64], share: float, seed: int = 0
) -> tuple[Indices, Indices]:
    """Hold out the same share of every class, at random: for watching a training run, not for judging a model.

    Where writers are unknown this cannot keep one writer's digits together, so the held-out part is easier than
    the handwriting of people never seen, and a figure measured on it is too good. Judge by `leave_one_out` over
    sources, or by groups where there are any.

    Args:
        labels: (N,) class of each example.
        share: Part of every class to hold out, between 0 and 1; at least one of a class that has two or more.
        seed: Of the draw.

    Returns:
        Sorted indices kept, and sorted indices held out.

    Raises:
        ValueError: The share is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise ValueError(f"the share held out must lie between 0 and 1, not {share}")
    array = np.asarray(labels, np.int64)
    generator = np.random.default_rng(seed)
    held_out = np.zeros(len(array), np.bool_)
    for label in np.unique(array):
        members = np.flatnonzero(array == label)
        count = min(max(1, round(share * len(members))), len(members) - 1)
        held_out[generator.permutation(members)[:count]] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def hold_out_groups(
    labels: Sequence[int] | NDArray[np.int64], groups: Sequence[str] | NDArray[np.str_], share: float, seed: int = 0
) -> tuple[Indices, Indices]:
    """Hold out about the same share of every class's groups, whole groups only.

    Of a class with two groups or more at least one is held out and at least one is kept; a class of a single group is
    kept. Which groups are held out follows from their names, the class and the seed, so the order of the examples does
    not matter. A group that holds several classes counts as one of the lowest of them.

    Args:
        labels: (N,) class of each example.
        groups: (N,) group of each example.
        share: Part of every class's groups to hold out, between 0 and 1.
        seed: Another seed holds out others.

    Returns:
        Sorted indices kept, and sorted indices held out.

    Raises:
        ValueError: The share is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise ValueError(f"the share held out must lie between 0 and 1, not {share}")
    classes, names = np.asarray(labels, np.int64), np.asarray(groups, np.str_)
    unique, inverse = np.unique(names, return_inverse=True)
    class_of = np.full(len(unique), np.iinfo(np.int64).max)
    np.minimum.at(class_of, inverse, classes)
    held = np.zeros(len(unique), np.bool_)
    for label in np.unique(class_of):
        own = np.flatnonzero(class_of == label)
        count = min(max(1, round(share * len(own))), len(own) - 1)
        order = sorted(own.tolist(), key=lambda group: _place(f"{seed}:{unique[group]}"))
        held[order[:count]] = True
    held_out = held[inverse] if len(unique) else np.zeros(0, np.bool_)
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def _place(text: str) -> float:
    """A number from 0 up to 1 that the text alone decides."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[: _BITS // 8], "big") / 2.0**_BITS
