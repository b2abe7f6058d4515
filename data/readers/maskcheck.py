"""The check that every labelled mask goes through, whatever file it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from data.masks import Mask, area, outlined, without_holes
from data.rle import from_rle


def labelled_mask(segmentation: Any, size_wh: tuple[int, int]) -> tuple[Mask | None, str]:
    """A mask as COCO json tells it, and what is wrong with it ("" where nothing is).

    Polygons, each a list of x, y in turn, or run lengths, compressed or not. What leaves the picture is cut off; holes
    are filled and told; None where there is no mask, or none that can be used.
    """
    if not segmentation:
        return None, ""
    try:
        if isinstance(segmentation, dict):
            return _from_lengths(segmentation, size_wh)
        return outlined([_corners(one) for one in segmentation], size_wh), ""
    except (ValueError, TypeError, OverflowError) as error:
        why = str(error)
        return None, why if isinstance(error, ValueError) and why.startswith(("its", "the run")) else "is no mask"


def _corners(values: Sequence[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    if len(values) % 2:
        raise ValueError("its polygon holds an odd count of numbers")
    return np.array(values, np.float64).reshape(-1, 2)


def _from_lengths(tree: dict[str, Any], size_wh: tuple[int, int]) -> tuple[Mask | None, str]:
    size, counts = tree.get("size"), tree.get("counts")
    if size != [size_wh[1], size_wh[0]]:
        raise ValueError(f"its run lengths are of a picture of {size}, not [{size_wh[1]}, {size_wh[0]}] pixels")
    if not isinstance(counts, str | list):
        raise ValueError("its run lengths are missing")
    mask = from_rle(counts, size_wh)
    if not mask.inside.size:
        return None, "its mask has no area"
    whole = without_holes(mask)
    filled = area(whole) - area(mask)
    return whole, f"its mask has holes of {filled} pixels, which were filled" if filled else ""
