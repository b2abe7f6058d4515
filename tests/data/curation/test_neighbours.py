from __future__ import annotations

import numpy as np
import pytest

from data.curation.neighbours import directions, nearest


def plainly(embeddings: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    units = directions(embeddings).astype(np.float64)
    cosines = units @ units.T
    np.fill_diagonal(cosines, -2)
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
    return order, np.take_along_axis(cosines, order, axis=1)


@pytest.mark.parametrize(("rows", "width", "count"), [(2, 3, 1), (40, 5, 10), (700, 8, 3), (3300, 6, 15)])
def test_neighbours_are_those_of_a_full_comparison(rows: int, width: int, count: int) -> None:
    embeddings = np.random.default_rng(rows).normal(size=(rows, width))
    found = nearest(embeddings, count)
    order, cosines = plainly(embeddings, count)
    np.testing.assert_allclose(found.cosines, cosines, atol=1e-5)
    assert (found.indices == order).mean() > 0.999  # but for what rounding makes equal


def test_equal_pictures_find_each_other_in_the_order_that_they_come_in() -> None:
    embeddings = np.repeat(np.random.default_rng(0).normal(size=(4, 6)), 3, axis=0)
    assert nearest(embeddings, 2).indices.tolist()[:3] == [[1, 2], [0, 2], [0, 1]]


def test_what_has_no_embedding_is_nobodys_neighbour() -> None:
    embeddings = np.random.default_rng(0).normal(size=(6, 4))
    embeddings[2] = np.nan
    found = nearest(embeddings, 5)
    assert found.indices[2].tolist() == [-1] * 5
    assert not (found.indices == 2).any()
    assert (found.indices[:, -1] == -1).all()
    assert (found.cosines[found.indices == -1] == -1).all()


@pytest.mark.parametrize("rows", [0, 1])
def test_one_picture_has_no_neighbours(rows: int) -> None:
    assert (nearest(np.zeros((rows, 3)), 4).indices == -1).all()


def test_a_feature_of_large_numbers_does_not_rule() -> None:
    rng = np.random.default_rng(1)
    told = rng.normal(size=(50, 4))
    scaled = told * [1, 1, 1, 1000] + [0, 0, 50, 0]
    np.testing.assert_allclose(nearest(told, 3).cosines, nearest(scaled, 3).cosines, atol=1e-4)


@pytest.mark.parametrize(("shape", "count"), [((3,), 1), ((3, 2), 0)])
def test_nonsense_is_refused(shape: tuple[int, ...], count: int) -> None:
    with pytest.raises(ValueError, match="expected a matrix"):
        nearest(np.zeros(shape), count)
