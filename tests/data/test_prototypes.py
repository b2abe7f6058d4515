from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data.frames import FramePlacement, FramePreprocessing, place_frame
from data.masks import area, nothing
from data.prototypes import decoded_masks

STRIDE = 4


def disc(middle: tuple[float, float], radius: float, size_wh: tuple[int, int]) -> np.ndarray:
    """(1, h, w): how far inside a disc in input pixels the middle of each prototype pixel lies, in input pixels."""
    rows, columns = np.mgrid[: size_wh[1] // STRIDE, : size_wh[0] // STRIDE]
    away = np.hypot((columns + 0.5) * STRIDE - middle[0], (rows + 0.5) * STRIDE - middle[1])
    return (radius - away)[None].astype(np.float32)


@given(
    st.tuples(st.integers(60, 900), st.integers(60, 900)), st.floats(0.3, 0.7), st.floats(0.3, 0.7), st.floats(0.1, 0.2)
)
def test_a_disc_comes_out_where_it_is_in_the_frame(frame_wh: tuple[int, int], x: float, y: float, share: float) -> None:
    spec = FramePreprocessing(size_wh=(320, 192))
    placement = place_frame(frame_wh, spec)
    radius = share * min(frame_wh)
    middle = np.array([x * frame_wh[0], y * frame_wh[1]])
    at = middle * placement.scale_xy + placement.left_top
    scale = min(placement.scale_xy)
    if radius * scale < 2 * STRIDE:
        return
    prototypes = disc((at[0], at[1]), radius * scale, spec.size_wh)
    box = np.concatenate([middle - radius, middle + radius])[None].astype(np.float32)
    (mask,) = decoded_masks(np.ones((1, 1), np.float32), prototypes, box, placement, STRIDE)
    assert np.abs(mask.xyxy - box[0]).max() <= 2 + STRIDE / 2 / scale
    assert abs(area(mask) / (np.pi * radius**2) - 1) < 0.15 + 8 / radius


def test_masks_stay_in_their_boxes_and_holes_are_filled() -> None:
    placement = FramePlacement((1.0, 1.0), (0, 0))
    prototypes = np.ones((2, 16, 16), np.float32)
    prototypes[1, 6:8, 6:8] = 9
    boxes = np.array([[3.2, 4, 40, 50.6], [10, 10, 12, 12], [20, 20, 20.2, 30]], np.float32)
    weights = np.array([[1, -0.5], [-1, 0], [1, 0]], np.float32)
    holed, empty, thin = decoded_masks(weights, prototypes, boxes, placement, STRIDE)
    assert holed.xyxy.tolist() == [3, 4, 40, 51]
    assert holed.inside.all()
    assert empty == thin == nothing()
    assert decoded_masks(weights[:0], prototypes, boxes[:0], placement, STRIDE) == ()
