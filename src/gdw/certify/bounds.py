"""Intervals and p-values for a share, from a number of rows that need not be whole."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_OF_TIES = 2 / 3
"""How much of the probability of the observed number itself counts as a tail: 1/2 gives the mid-P interval, 1
the exact one of Clopper and Pearson. With 2/3 the coverage of a 95 % interval is above 93.5 % for all shares
from 1 to 50 % and 30, 100 and 300 rows, where that of the mid-P interval falls to 92 %."""
_ALMOST = 1e-9


def at_most(x: ArrayLike, n: ArrayLike, share: ArrayLike) -> Floats:
    """The probability of at most `x` of `n` rows if each has the probability `share`.

    It is the binomial distribution function, continued to real `x` and `n` by the incomplete beta function
    (Korn and Graubard, Survey Methodology 24, 1998). All arguments broadcast.

    >>> float(at_most(0, 2, 0.5))
    0.25
    """
    from scipy.special import betainc

    x, n, share = (np.asarray(value, dtype=np.float64) for value in (x, n, share))
    inside = betainc(np.maximum(x + 1, _ALMOST), np.maximum(n - x, _ALMOST), share)
    probability: Floats = np.where(
        x >= n - _ALMOST, 1.0, np.where(x <= _ALMOST - 1, 0.0, 1.0 - inside)
    )
    return probability


def share_interval(share: float, size: float, confidence: float) -> tuple[float, float]:
    """A confidence interval for a share that was observed in `size` rows.

    It is between the mid-P interval and the exact one of Clopper and Pearson, see `_OF_TIES`.

    >>> low, high = share_interval(0.0, 100, 0.95)
    >>> round(low, 3), round(high, 3)
    (0.0, 0.032)

    Args:
        share: the observed share, from 0 to 1.
        size: the number of rows, above 0; the effective number where the design is not simple.
        confidence: such as 0.95.

    Returns:
        The lower and the upper limit.
    """
    alpha = (1 - confidence) / 2
    high = 1.0 if share >= 1 else _crossing(share, size, alpha)
    low = 0.0 if share <= 0 else 1 - _crossing(1 - share, size, alpha)
    return low, high


def effective_size(verified: int, size: int) -> float:
    """The number of rows that say as much as `verified` of `size` rows, drawn without replacement."""
    return np.inf if verified >= size else verified / (1 - verified / size)


def exact_p_value(wrong: ArrayLike, verified: ArrayLike, size: ArrayLike, target: float) -> Floats:
    """The p-value of "more than the share `target` of all rows is wrong", by the hypergeometric distribution.

    Args:
        wrong: how many of the verified rows are wrong. The arguments broadcast.
        verified: how many rows are verified, drawn at random without replacement.
        size: the number of all rows.
        target: a share.

    Returns:
        0 where more than the target is impossible.
    """
    from scipy.stats import hypergeom

    size = np.asarray(size)
    fewest = np.floor(target * size + _ALMOST).astype(np.int64) + 1
    p = hypergeom.cdf(wrong, size, np.minimum(fewest, size), verified)
    return np.where(fewest > size, 0.0, p)


def _crossing(share: float, size: float, alpha: float) -> float:
    """The true share at which the lower tail of the observed `share` has the probability `alpha`."""
    from scipy.optimize import brentq

    def excess(p: float) -> float:
        below, up_to = at_most(np.array([share * size - 1, share * size]), size, p)
        return float((1 - _OF_TIES) * below + _OF_TIES * up_to - alpha)

    return float(brentq(excess, share, 1.0, xtol=1e-10))
