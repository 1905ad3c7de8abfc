"""How many rows each class gets, so that all classes come as near to the same number as they can."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Quotas:
    """How many of the rows of C classes are to be drawn.

    Attributes:
        sure: int64 `(C,)`, of each class.
        more: further rows: one each of this number of classes, drawn among those that are `open`.
        open: bool `(C,)`.
    """

    sure: Counts
    more: int
    open: NDArray[np.bool_]

    @property
    def expected(self) -> NDArray[np.float64]:
        """`(C,)`, the expected number of rows of each class."""
        share = self.more / max(1, int(self.open.sum()))
        expected: NDArray[np.float64] = self.sure + share * self.open
        return expected

    def drawn(self, rng: np.random.Generator) -> Counts:
        """`(C,)`, the number of rows of each class."""
        quota: Counts = self.sure.copy()
        quota[rng.choice(np.flatnonzero(self.open), self.more, replace=False)] += 1
        return quota


def quotas(wanted: int, available: Counts, counted: Counts) -> Quotas:
    """Share `wanted` rows among classes so that the smallest totals are as large as they can be.

    >>> quotas(7, np.array([9, 9, 1]), np.array([4, 0, 0])).sure
    array([1, 5, 1])

    Args:
        wanted: the number of rows, not more than are available.
        available: int64 `(C,)`, the rows that each class has.
        counted: int64 `(C,)`, the rows that each class has got before.
    """

    def up_to(level: int) -> Counts:
        share: Counts = np.clip(level - counted, 0, available)
        return share

    low, high = 0, int((counted + available).max(initial=0))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if up_to(middle).sum() <= wanted else (low, middle - 1)
    sure = up_to(low)
    return Quotas(sure, wanted - int(sure.sum()), up_to(low + 1) > sure)
