"""What more verified rows would be worth."""

from __future__ import annotations

import numpy as np
import pytest

from gdw.suggestion import cross_check
from gdw.suggestion.learning_curve import _along, _balanced, learning_curve
from tests.suggestion.test_quick_models import clusters


def test_wrong_labels_that_depend_on_the_class_are_learned_from_verified_rows() -> None:
    X, labels = clusters(600)
    given = np.where(
        np.arange(600) % 10 < 6, (labels + 1) % 3, labels
    )  # most labels are of the next class
    found = cross_check(X, given, 3)
    chosen = np.random.default_rng(1).permutation(600)[:90]
    equal = np.full(90, 0.15)
    curve = learning_curve(found, X, chosen, labels[chosen], equal)
    assert curve is not None
    # What the data alone predict is wrong.
    assert (found.classes[chosen, 0] == labels[chosen]).mean() < 0.3
    assert curve.now > 0.8
    assert curve.now <= curve.low <= curve.high <= 1
    assert learning_curve(found, X, chosen[:20], labels[chosen[:20]], equal[:20]) is None
    assert learning_curve(found, X, chosen, np.zeros(90, dtype=int), equal) is None


def test_the_curve_goes_on_with_one_over_the_root_of_the_number() -> None:
    codes, weights = np.repeat([0, 1], 200), np.ones(400)
    sizes = np.array([80.0, 160.0, 320.0])
    right = np.repeat((0.9 - 2 * sizes**-0.5)[:, None], 400, axis=1)
    curve = _along(right, codes, weights, sizes, 500, np.random.default_rng(0))
    assert curve.now == pytest.approx(0.9 - 2 * 400**-0.5)
    assert curve.low == pytest.approx(0.9 - 2 * 900**-0.5)
    assert curve.high == pytest.approx(curve.low)
    worse = _along(right[::-1], codes, weights, sizes, 500, np.random.default_rng(0))
    assert worse.low == pytest.approx(worse.now)


def test_rows_count_by_how_likely_they_were_to_be_chosen() -> None:
    codes, right = np.array([0, 0, 1]), np.array([[1.0, 0.0, 1.0]])
    assert _balanced(right, codes, np.array([1.0, 1.0, 1.0])) == pytest.approx([0.75])
    assert _balanced(right, codes, np.array([1.0, 3.0, 9.0])) == pytest.approx([0.625])
