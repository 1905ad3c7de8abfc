"""Intervals and p-values: against SciPy, against enumeration, and their coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest, hypergeom

from gdw.certify.bounds import at_most, effective_size, exact_p_value, share_interval


def test_whole_numbers_are_binomial() -> None:
    x = np.arange(-1, 31)
    for share in (0.01, 0.3, 0.9):
        np.testing.assert_allclose(at_most(x, 30, share), binom.cdf(x, 30, share), atol=1e-12)


def test_between_whole_numbers_the_probability_rises() -> None:
    values = at_most(np.linspace(-1, 12, 400), 12, 0.2)
    assert (np.diff(values) >= 0).all()
    assert values[0] == 0
    assert values[-1] == 1


@pytest.mark.parametrize("wrong", [0, 1, 7, 15, 30])
def test_interval_is_inside_the_exact_one(wrong: int) -> None:
    low, high = share_interval(wrong / 30, 30, 0.95)
    exact = binomtest(wrong, 30).proportion_ci(0.95, method="exact")
    assert exact.low <= low <= wrong / 30 <= high <= exact.high
    mirrored = share_interval(1 - wrong / 30, 30, 0.95)
    np.testing.assert_allclose(mirrored, (1 - high, 1 - low), atol=1e-9)


@pytest.mark.parametrize("size", [30, 100, 300])
def test_coverage_at_every_share(size: int) -> None:
    counts = np.arange(size + 1)
    low, high = np.array([share_interval(x / size, size, 0.95) for x in counts]).T
    for share in np.arange(0.01, 0.505, 0.005):
        held = (low <= share) & (share <= high)
        assert binom.pmf(counts, size, share) @ held > 0.935


def test_p_value_by_enumeration() -> None:
    # 20 rows and a target of 10 %: three wrong rows are the fewest above it.
    expected = [hypergeom.pmf(range(x + 1), 20, 3, 8).sum() for x in range(4)]
    np.testing.assert_allclose(exact_p_value(np.arange(4), 8, 20, 0.1), expected)


def test_nothing_is_above_a_target_that_no_count_exceeds() -> None:
    assert exact_p_value(0, 0, 0, 0.1) == 0
    assert exact_p_value(3, 3, 3, 1.0) == 0


@pytest.mark.parametrize("bad", [3, 10, 40])
def test_p_value_is_valid(bad: int) -> None:
    """Where more than the target is wrong, at most 5 % of the samples have a p-value of at most 5 %."""
    size, verified, target = 100, 40, (bad - 1) / 100
    x = np.arange(verified + 1)
    p = exact_p_value(x, verified, size, target)
    assert hypergeom.pmf(x, size, bad, verified)[p <= 0.05].sum() <= 0.05


def test_all_rows_say_everything() -> None:
    assert effective_size(50, 50) == np.inf
    assert effective_size(50, 100) == 100
