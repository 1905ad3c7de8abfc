"""The nearest neighbours against a search that compares all pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array

from gdw.audit.nearest import Index
from gdw.audit.outliers import outlier_scores
from gdw.audit.spaces import Sparse, Standardised


def cosines(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """All similarities, the obvious way; rows of zeros are similar to nothing."""
    similar = np.zeros((len(a), len(b)))
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            lengths = np.linalg.norm(x) * np.linalg.norm(y)
            similar[i, j] = x @ y / lengths if lengths else 0.0
    return similar


def drawn(n: int, width: int = 12, *, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(5, width))
    rows = centres[rng.integers(0, 5, n)] + rng.normal(size=(n, width))
    return rows.astype(np.float32)


@pytest.mark.parametrize("sparse", [False, True])
def test_all_pairs_are_compared_in_small_data(sparse: bool) -> None:
    base, queries = drawn(80), drawn(30, seed=1)
    wrap = (lambda rows: Sparse(csr_array(rows).tocsr())) if sparse else (lambda rows: rows)
    found = Index(wrap(base)).search(wrap(queries), k=4)
    expected = cosines(queries, base)
    best = -np.sort(-expected, axis=1)[:, :4]
    np.testing.assert_allclose(found.similarity, best, atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(expected, found.index, 1), best, atol=1e-5)


def test_an_example_is_not_its_own_neighbour_but_its_copy_is() -> None:
    base = drawn(60)
    base[7] = base[3]
    found = Index(base).search(k=3)
    assert not (found.index == np.arange(60)[:, None]).any()
    assert found.index[3, 0] == 7
    assert found.index[7, 0] == 3
    expected = cosines(base, base) - 9 * np.eye(60)
    np.testing.assert_allclose(found.similarity, -np.sort(-expected, axis=1)[:, :3], atol=1e-5)


def test_similarities_of_wide_rows_are_those_of_all_columns() -> None:
    base = drawn(300, 400)
    base[250:] = base[:50] + 0.05 * drawn(50, 400, seed=2)
    found = Index(base).search(k=5)
    exact = cosines(base[:50], base) - 9 * np.eye(50, 300)
    assert (found.index[:50, 0] == np.arange(250, 300)).all()
    np.testing.assert_allclose(found.similarity[:50, 0], exact.max(1), atol=1e-4)


def test_copies_are_found_by_landmarks_too() -> None:
    base = drawn(3000, 64)
    base[2800:] = base[:200] + 0.02 * drawn(200, 64, seed=3)
    found = Index(base, limit=1000).search(k=3)
    assert (found.index[:200, 0] == np.arange(2800, 3000)).mean() > 0.97
    everything = Index(base).search(k=3)
    assert (found.similarity <= everything.similarity + 1e-5).all()


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_few_rows(rows: int) -> None:
    found = Index(drawn(rows)).search(k=4)
    assert found.index.shape == found.similarity.shape == (rows, 4)
    assert (found.index >= 0).sum() == rows * min(rows - 1, 4)
    assert np.isfinite(found.similarity).all()
    assert np.isfinite(outlier_scores(found.similarity, 3)).all()


@pytest.mark.parametrize("limit", [10, 10_000])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_equal_rows(value: float, limit: int) -> None:
    rows = np.full((50, 6), value, dtype=np.float32)
    found = Index(Standardised.fit(rows), limit=limit).search(k=4)
    assert np.isfinite(found.similarity).all()
    assert (outlier_scores(found.similarity, 3) == 0).all()


def test_columns_count_by_how_far_they_are_from_usual() -> None:
    rows = drawn(40) * np.array([1e4, *[1] * 11], dtype=np.float32) + 1e5
    rows[:, 5] = 3.0
    scaled = Standardised.fit(rows)[np.arange(40)]
    np.testing.assert_allclose(scaled.std(0), [*[1] * 5, 0, *[1] * 6], atol=1e-2)
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-2)


def test_the_example_unlike_all_others_has_the_largest_score() -> None:
    rng = np.random.default_rng(0)
    base = (rng.normal(size=(1, 20)) * 3 + rng.normal(size=(200, 20))).astype(np.float32)
    base[17] = -base[17]
    scores = outlier_scores(Index(base).search().similarity, 5)
    assert scores.argmax() == 17
    assert scores[17] > 0.9
    assert (scores > 0.5).sum() <= 4
    assert ((scores >= 0) & (scores <= 1)).all()
