from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from data.density import LEAST_PEAK, Density, counted, density_in_frame, peaks
from data.frames import FramePreprocessing, place_frame

SPEC = FramePreprocessing(size_wh=(96, 64))
MAPS = hnp.arrays(np.float32, (8, 12), elements=st.floats(0, 3, width=32))
SIZES = st.tuples(st.integers(1, 500), st.integers(1, 500))


def cells(**amounts: float) -> np.ndarray:
    """(8, 12) zeros but for the cells `c<column>r<row>`."""
    made = np.zeros((8, 12), np.float32)
    for name, amount in amounts.items():
        column, row = name[1:].split("r")
        made[int(row), int(column)] = amount
    return made


def test_a_frame_of_the_inputs_size_counts_every_cell():
    seen = density_in_frame(cells(c2r1=0.5, c11r7=1.5), (96, 64), SPEC)
    assert seen.count == pytest.approx(2.0)
    assert seen.xy[seen.amounts > 0].tolist() == [[20, 12], [92, 60]]
    assert len(seen.xy) == 96


def test_cells_in_the_padding_count_nothing():
    """A frame twice as wide as high fills the middle 48 rows of the input."""
    made = np.ones((8, 12), np.float32)
    seen = density_in_frame(made, (192, 96), SPEC)
    assert place_frame((192, 96), SPEC).left_top == (0, 8)
    assert seen.count == 72
    assert seen.xy.min(axis=0).tolist() == [8, 8]
    assert seen.xy.max(axis=0).tolist() == [184, 88]


@given(MAPS, SIZES)
def test_count_points_and_cells_agree_and_lie_in_the_frame(made, size_wh):
    seen, told = density_in_frame(made, size_wh, SPEC), counted(made, size_wh, SPEC)
    assert told.count == pytest.approx(seen.count, rel=1e-6)
    assert len(told.points) <= round(told.count)
    for xy in (seen.xy, told.points):
        assert xy.dtype == np.float32
        assert (xy >= 0).all()
        assert (xy <= size_wh).all()


def test_one_cell_counts_and_places_nothing():
    told = counted(np.array([[3.4]], np.float32), (200, 100), SPEC)
    assert told.count == pytest.approx(3.4)
    assert told.points.shape == (0, 2)
    assert density_in_frame(np.array([[3.4]], np.float32), (200, 100), SPEC).xy.tolist() == [[100, 50]]


def test_a_peak_is_the_middle_of_mass():
    assert peaks(cells(c4r3=1), 9).tolist() == [[4.5, 3.5]]
    between = peaks(cells(c4r3=0.5, c5r3=0.5), 9)
    assert between.tolist() == [[5.0, 3.5]]


def test_the_highest_peaks_come_first_and_no_more_than_asked():
    made = cells(c1r1=0.6, c6r1=1.2, c10r6=0.9, c1r6=0.9 * LEAST_PEAK)
    assert peaks(made, 9).tolist() == [[6.5, 1.5], [10.5, 6.5], [1.5, 1.5]]
    assert peaks(made, 2).tolist() == [[6.5, 1.5], [10.5, 6.5]]
    assert peaks(made, 0).shape == (0, 2)
    assert peaks(np.zeros((8, 12), np.float32), 5).shape == (0, 2)


@given(st.sets(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=12))
def test_objects_three_cells_apart_are_all_placed(corners):
    made = np.zeros((8, 12), np.float32)
    for column, row in corners:
        made[3 * row, 3 * column] = 1
    assert sorted(map(tuple, peaks(made, 96).tolist())) == sorted((3 * x + 0.5, 3 * y + 0.5) for x, y in corners)


@given(MAPS)
def test_peaks_lie_on_the_map(made):
    found = peaks(made, 96)
    assert found.shape == (len(found), 2)
    assert ((found >= 0) & (found <= [12, 8])).all()


def test_points_are_a_density():
    seen = Density.of_points(np.array([[1, 2], [3, 4]], np.float32))
    assert seen.count == 2
    assert Density.of_points(np.zeros((0, 2), np.float32)).count == 0
