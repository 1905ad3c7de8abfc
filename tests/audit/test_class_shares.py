"""The shares of wrong labels of the classes agree with that of all labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdw.audit.class_shares import moved

shares = st.floats(0, 1, allow_subnormal=False)


def test_odds_are_multiplied_by_one_number() -> None:
    found = moved(np.array([0.2, 0.5, 0.8]), np.array([1, 2, 1]), 0.7)
    odds = found / (1 - found) / np.array([0.25, 1, 4])
    np.testing.assert_allclose(odds, odds[0])
    assert (found[0] + 2 * found[1] + found[2]) / 4 == pytest.approx(0.7)


@given(st.lists(st.tuples(shares, st.integers(0, 1000)), min_size=1, max_size=6), shares)
def test_whatever_the_shares_are_the_mean_is_right_and_their_order_stays(
    classes: list[tuple[float, int]], mean: float
) -> None:
    before, weights = np.array(classes).T
    weights = weights.astype(np.int64)
    weights[0] += 1
    found = moved(before, weights, mean)
    assert np.average(found, weights=weights) == pytest.approx(mean, abs=1e-6)
    assert ((found >= 0) & (found <= 1)).all()
    assert (np.diff(found[np.argsort(before, kind="stable")]) >= 0).all()
