"""A first look at labels: quick models, what they know of each example, and their inputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import random as random_sparse
from scipy.stats import multivariate_normal

from gdw.data.encode.encoder import SparseInputs
from gdw.suggestion import cross_check
from gdw.suggestion.neighbours import neighbours
from gdw.suggestion.opinions import opinions
from gdw.suggestion.quick_features import quick_features
from gdw.suggestion.quick_model import QuickModel, _shrunk, softmax


def clusters(count: int = 300, classes: int = 3, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    X = 4.0 * np.eye(classes, 5)[labels] + rng.normal(size=(count, 5))
    return X.astype(np.float32), labels


def test_a_quick_model_gives_the_probabilities_of_normal_distributions_with_one_covariance() -> (
    None
):
    X, labels = clusters()
    model = QuickModel.fit(X.astype(np.float64), labels, 4)  # class 3 has no row
    means = np.stack([X[labels == k].mean(0) for k in range(3)]).astype(np.float64)
    covariance = _shrunk(X - means[labels], 3)
    assert np.abs(covariance - np.eye(5)).max() < 0.2
    prior = (np.bincount(labels) + 1) / (len(X) + 4)
    density = np.stack(
        [prior[k] * multivariate_normal(means[k], covariance).pdf(X) for k in range(3)], axis=1
    )
    expected = density / density.sum(1, keepdims=True)
    found = softmax(model.scores(X.astype(np.float64)))
    assert found[:, :3] == pytest.approx(expected, abs=1e-6)
    assert (found[:, 3] == 0).all()


def test_columns_that_do_not_vary_do_no_harm() -> None:
    X, labels = clusters(20)
    X[:, 2:] = 0
    assert np.isfinite(QuickModel.fit(X, labels, 3).scores(X)).all()
    assert np.isfinite(QuickModel.fit(X[:1], labels[:1], 3).scores(X)).all()


def test_an_example_is_judged_without_its_own_label() -> None:
    X, labels = clusters()
    one, two = labels.copy(), labels.copy()
    one[7] = two[7] = 2
    two[7] = 1
    found, other = cross_check(X, one, 3), cross_check(X, two, 3)
    # The folds differ a little, because they spread the labels evenly.
    p = dict(zip(found.classes[7], found.probabilities[7], strict=True))
    q = dict(zip(other.classes[7], other.probabilities[7], strict=True))
    assert p[2] == pytest.approx(q[2], abs=0.02)
    assert found.of_given[7] == pytest.approx(p[2])


def test_wrong_labels_are_recognised_and_the_given_label_decides_where_models_do_not() -> None:
    X, labels = clusters(900)
    given = labels.copy()
    given[::5] = (given[::5] + 1) % 3
    found = cross_check(X, given, 3)
    wrong = given != labels
    assert (found.likely == labels).mean() > 0.95
    assert found.of_given[wrong].mean() < 0.2 < 0.7 < found.of_given[~wrong].mean()
    X[:] = 0
    assert (cross_check(X, given, 3).likely == given).mean() > 0.9


def test_what_is_likely_with_the_label_known_by_hand() -> None:
    given = np.array([0, 0, 1])
    classes = np.array([[0, 1], [1, 0], [1, 0]])
    p = np.array([[0.75, 0.25], [0.625, 0.375], [1.0, 0.0]])
    found = opinions(given, 2, classes, p, np.array([0.75, 0.375, 1.0]))
    # T(0|0) = (0.75 + 0.375 + 1) / 2.125 = 1, T(0|1) = (0.25 + 0.625) / (0.875 + 2) = 7 / 23
    assert found.likely.tolist() == [0, 0, 1]
    one, other = 0.375, 0.625 * 7 / 23
    assert found.doubt[1] == pytest.approx(1 - (one - other) / (one + other))
    assert found.doubt[2] == 0


def test_a_label_that_no_example_is_likely_to_have_keeps_its_examples() -> None:
    given = np.array([0, 0, 0, 1])
    classes, p = np.zeros((4, 1), dtype=np.int64), np.ones((4, 1))
    found = opinions(given, 2, classes, p, np.array([1.0, 1, 1, 0]))
    assert found.likely.tolist() == [0, 0, 0, 0]
    assert found.strata.tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("labels", [[0, 1], [0, 0, 1], [0, 1, 2, 3]])
def test_very_few_examples_are_no_error(labels: list[int]) -> None:
    X = np.random.default_rng(0).normal(size=(len(labels), 2)).astype(np.float32)
    found = cross_check(X, np.array(labels), max(labels) + 1)
    assert len(found) == len(labels)
    assert ((found.doubt >= 0) & (found.doubt <= 1)).all()


def test_inputs_of_all_kinds_become_few_columns_of_one_scale() -> None:
    rng = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (40, 3, 40, 30), generator=rng, dtype=torch.uint8)
    views = torch.randn(40, 2, 7, generator=rng)
    terms = SparseInputs(random_sparse(40, 900, 0.05, "csr", np.float32, rng=0))
    table = torch.randn(40, 3, generator=rng)
    table[:, 1] = 5
    for inputs, width in ((pictures, 40), (views, 7), (terms, 40), (table, 3)):
        found = quick_features(inputs)
        assert found.shape == (40, width)
        assert np.abs(found.mean(0)).max() < 1e-4
        spread = found.std(0)
        if inputs is pictures or inputs is terms:
            assert np.mean(spread**2) == pytest.approx(1, abs=1e-3)
        else:
            assert ((np.abs(spread - 1) < 1e-3) | (spread == 0)).all()
    assert (quick_features(table)[:, 1] == 0).all()


def test_components_of_few_examples_do_not_blow_up_noise() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 300)
    directions = np.linalg.qr(rng.normal(size=(600, 5)))[0].T
    # All but the first hundred columns of noise are small.
    noise = rng.normal(size=(300, 600)) * np.where(np.arange(600) < 100, 1.0, 0.1)
    X = quick_features(torch.from_numpy((9 * directions[labels] + noise).astype(np.float32)))
    assert (cross_check(X, labels, 5).classes[:, 0] == labels).mean() > 0.95
    near = np.array(neighbours(X, np.arange(300)))
    assert (labels[near] == labels[:, None]).mean() > 0.9
    # No row is the nearest of many others.
    assert np.bincount(near[:, 0]).max() < 30


def test_neighbours_are_the_nearest_other_rows() -> None:
    X = np.array([[0.0], [1], [3], [7], [15], [31]], dtype=np.float32)
    assert neighbours(X, np.array([2, 5])) == [[1, 0, 3, 4], [4, 3, 2, 1]]
    assert neighbours(X[:1], np.array([0])) == [[]]


def test_the_first_rows_have_neighbours_where_all_would_take_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    X = np.arange(8, dtype=np.float32)[:, None]
    monkeypatch.setattr("gdw.suggestion.neighbours._MOST", 17)
    found = neighbours(X, np.array([0, 7, 3]))
    assert [near[:1] for near in found] == [[1], [6], []]
