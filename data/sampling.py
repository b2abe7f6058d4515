"""Which pictures to learn from, and which to hold back: neighbouring frames of a clip are nearly the same picture."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from data.readers.detectionset import DetectionSet

Indices = NDArray[np.int64]

_DRAWS: Final = 500


def spread_over_clips(clips: NDArray[np.str_], count: int, rng: np.random.Generator) -> Indices:
    """Draw pictures so that no long clip crowds out the short ones, and none gives two neighbours where it need not.

    A clip's share goes with the square root of its length, up to all of it. Within a clip the frames lie at equal
    distances, from a first one that is drawn: another call with the same generator gives others. Nothing is drawn
    twice unless more is asked for than there is; then everything is drawn, as often as it fits.

    Args:
        clips: (N,) the clip of each picture, the pictures of one clip in the order of time.
        count: How many pictures to draw.
        rng: Where chance comes from.

    Returns:
        (count,) rising indices into the pictures.

    Raises:
        ValueError: The count is negative, or pictures are asked for where there are none.
    """
    if count < 0 or (count and not len(clips)):
        raise ValueError(f"{count} pictures cannot be drawn from {len(clips)}")
    if not len(clips):
        return np.zeros(0, np.int64)
    passes, rest = divmod(count, len(clips))
    names, clip_of = np.unique(clips, return_inverse=True)
    lengths = np.bincount(clip_of, minlength=len(names))
    members = np.split(np.argsort(clip_of, kind="stable"), np.cumsum(lengths)[:-1])
    quotas = _rounded(shares(lengths, rest), rng)
    drawn = [own[_at_distances(len(own), int(quota), rng)] for own, quota in zip(members, quotas, strict=True)]
    return np.sort(np.concatenate([np.tile(np.arange(len(clips)), passes), *drawn])).astype(np.int64)


def shares(lengths: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """(C,) how many each clip of these lengths gives: c * sqrt(length), at most its length, `count` together."""
    roots = np.sqrt(lengths)
    full = np.zeros(len(lengths), np.bool_)
    while not full.all():
        level = (count - lengths[full].sum()) / roots[~full].sum()
        newly = ~full & (roots <= level)
        if not newly.any():
            return np.where(full, lengths, level * roots)
        full |= newly
    return lengths.astype(np.float64)


def _rounded(shares: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Each share rounded up or down by chance, so that on average it is kept, and their sum always."""
    whole = np.floor(shares + 1e-9).astype(np.int64)
    left = round(float(shares.sum())) - int(whole.sum())
    fractions = np.clip(shares - whole, 0.0, 1.0)
    order = rng.permutation(len(shares))
    edges = np.cumsum(fractions[order])
    if left:
        edges *= left / edges[-1]
        # Systematic sampling: marks at distance one, a share's chance of one is its fraction.
        marks = np.minimum(np.arange(left) + rng.random(), left - 1e-9)
        np.add.at(whole, order[np.searchsorted(edges, marks, side="right")], 1)
    return whole


def _at_distances(length: int, count: int, rng: np.random.Generator) -> Indices:
    """`count` of `length` places at equal distances, never one twice."""
    start = int(rng.integers(length))
    return (np.arange(count) * length + start) // max(1, count)


def hold_out(
    pictures: DetectionSet, share: float, seed: int = 0, by: Literal["sites", "clips"] = "sites"
) -> tuple[Indices, Indices]:
    """Hold out whole camera sites: frames of one site show the same rocks, and often the same fish; or whole clips.

    Of many random choices of sites, the one whose share of the boxes, and of the pictures, is nearest to `share` is
    taken. Pictures whose site is not known are kept, and so is everything where fewer than two sites are known.

    Args:
        pictures: What to share out.
        share: Part to hold out, between 0 and 1.
        seed: Of the choice.
        by: What is held out whole. Clips of one site are alike: scores on them are higher than at a new site.

    Returns:
        Rising indices kept, and rising indices held out.

    Raises:
        ValueError: The share is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise ValueError(f"the share held out must lie between 0 and 1, not {share}")
    groups = pictures.sites if by == "sites" else pictures.clips
    sites = np.unique(groups[groups != ""])
    if len(sites) < 2:
        return np.arange(len(pictures)), np.zeros(0, np.int64)
    weights = _weights(pictures, groups, sites)
    rng = np.random.default_rng(seed)
    best, held = np.inf, sites[:0]
    for _ in range(_DRAWS):
        order = rng.permutation(len(sites))
        sums = np.cumsum(weights[order], axis=0)[:-1]
        misses = np.abs(sums - share).sum(axis=1)
        cut = int(misses.argmin())
        if misses[cut] < best - 1e-12:
            best, held = float(misses[cut]), sites[order[: cut + 1]]
    is_held = np.isin(groups, held)
    return np.flatnonzero(~is_held), np.flatnonzero(is_held)


def _weights(pictures: DetectionSet, groups: NDArray[np.str_], sites: NDArray[np.str_]) -> NDArray[np.float64]:
    """(S, 2) each site's share of the boxes and of the pictures of all these sites."""
    counts = np.array([len(boxes) for boxes in pictures.xyxy])
    here = [groups == site for site in sites]
    weights = np.array([(counts[one].sum(), np.count_nonzero(one)) for one in here], np.float64)
    return np.asarray(weights / np.maximum(weights.sum(axis=0), 1.0), np.float64)
