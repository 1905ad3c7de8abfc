"""Calibrated probabilities: right on average, and those of verified rows do not know their own outcome."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from gdw.certify import calibrated, verified_sample
from gdw.errors import DataError
from tests.certify.populations import population


@pytest.mark.parametrize(("count", "method"), [(60, "logistic"), (600, "isotonic")])
def test_they_are_right_on_average_where_the_scores_are_not(count: int, method: str) -> None:
    truth, wrong = population(6000, 0.2, slope=2.0)
    scores = 0.3 + 0.4 * truth**0.3  # never below 0.3
    rows = np.random.default_rng(0).choice(6000, count, replace=False)
    found = calibrated(verified_sample(6000, rows, wrong[rows]), scores)
    assert found.method == method
    assert f"{method} calibration on {count} verified rows" in found.basis
    rest = np.setdiff1d(np.arange(6000), rows)
    assert np.mean((found.probability - truth)[rest] ** 2) < 0.25 * np.mean(
        (scores - truth)[rest] ** 2
    )
    order = rest[np.argsort(scores[rest])]
    assert (np.diff(found.probability[order]) >= 0).all()


def test_isotonic_is_that_of_scikit_learn() -> None:
    truth, wrong = population(3000, 0.3)
    rows = np.arange(400)
    likely = np.where(rows % 2, 0.1, 0.2)
    found = calibrated(verified_sample(3000, rows, wrong[rows], likely), truth)
    expected = IsotonicRegression(out_of_bounds="clip").fit(truth[rows], wrong[rows], 1 / likely)
    np.testing.assert_allclose(found.probability[400:], expected.predict(truth[400:]))


def test_the_probability_of_a_verified_row_does_not_know_its_outcome() -> None:
    scores = np.random.default_rng(0).random(500)
    wrong = np.random.default_rng(1).random(500) < 0.5
    found = calibrated(verified_sample(500, np.arange(400), wrong[:400]), scores)
    # Useless scores: fitted to the rows themselves, the step function would follow the outcomes.
    assert abs(np.corrcoef(found.probability[:400], wrong[:400])[0, 1]) < 0.12


def test_all_right() -> None:
    found = calibrated(verified_sample(100, np.arange(50), np.zeros(50)), np.linspace(0, 1, 100))
    assert found.method == "constant"
    np.testing.assert_allclose(found.probability, 0.5 / 51)


def test_too_few() -> None:
    with pytest.raises(DataError, match="10 or more verified rows"):
        calibrated(verified_sample(100, np.arange(5), np.zeros(5)), np.linspace(0, 1, 100))
