"""The logistic curve: against scikit-learn, and left-out errors against fits without the row."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from gdw.certify.platt import Platt
from tests.certify.populations import population


@pytest.mark.parametrize("slope", [0.0, 2.0, 12.0])
def test_it_is_logistic_regression_with_a_ridge(slope: float) -> None:
    scores, wrong = population(1000, 0.1, slope=slope)
    scores, rows = np.clip(scores, 0.002, 0.998), np.arange(150)
    weight = np.linspace(0.5, 1.5, 150)
    curve = Platt.fit(scores, rows, wrong[rows], weight)
    assert curve is not None
    odds = np.log(scores / (1 - scores))
    z = (odds - odds.mean())[:, None] / odds.std()
    model = LogisticRegression(C=2.0, tol=1e-10, max_iter=10_000)
    model.fit(z[rows], wrong[rows], weight)
    np.testing.assert_allclose(curve(scores), model.predict_proba(z)[:, 1], atol=1e-5)


def test_perfect_scores_have_a_finite_slope() -> None:
    scores = np.repeat([0.0, 1.0], 500)
    curve = Platt.fit(scores, np.arange(400, 600), scores[400:600] > 0, np.ones(200))
    assert curve is not None
    low, high = curve(np.array([0.0, 1.0]))
    assert 0 < low < 0.02
    assert 0.98 < high < 1


def test_left_out_errors_are_those_of_fits_without_the_row() -> None:
    scores, wrong = population(400, 0.3)
    rows, weight = np.arange(60), np.ones(60)
    curve = Platt.fit(scores, rows, wrong[rows], weight)
    assert curve is not None
    expected = np.empty(60)
    for i in range(60):
        rest = np.delete(rows, i)
        without = Platt.fit(scores, rest, wrong[rest], weight[rest])
        assert without is not None
        expected[i] = wrong[i] - without(scores[[i]])[0]
    np.testing.assert_allclose(
        curve.leave_one_out(scores[rows], wrong[rows], weight), expected, atol=0.03
    )


def test_nothing_to_fit() -> None:
    scores, rows = np.linspace(0, 1, 100), np.arange(20)
    assert Platt.fit(scores, rows, np.zeros(20, bool), np.ones(20)) is None
    assert Platt.fit(np.full(100, 0.3), rows, rows > 3, np.ones(20)) is None
