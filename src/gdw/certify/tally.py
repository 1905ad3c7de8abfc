"""What the verified rows say for each number of changed rows: p-values, and the order in which they count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gdw.certify.bounds import at_most, exact_p_value
from gdw.certify.ranked import Change
from gdw.certify.sample import VerifiedSample

Floats = NDArray[np.float64]

_LEAST_PART = 3
"""The sequence begins where one in so many verified rows is looked at, or more."""
_ALL = 1e-6


@dataclass(frozen=True, eq=False)
class Tally:
    """What the verified rows say for each of K numbers of changed rows, as arrays `(K,)`.

    Attributes:
        steps: the numbers of changed rows.
        share: the observed share; NaN where no row was verified.
        verified: how many verified rows it is of.
        size: how many rows the share is about.
        total: N.
        equal: whether all rows were equally likely to be drawn.
        answers_vary: whether another answer about the same row may differ, because verifiers err.
    """

    steps: NDArray[np.int64]
    share: Floats
    verified: NDArray[np.int64]
    size: NDArray[np.int64]
    total: int
    equal: bool
    answers_vary: bool = False

    @classmethod
    def of(cls, change: Change, *, answers_vary: bool = False) -> Tally:
        """Count for each k of `change`."""
        samples = [change.sample(int(k)) for k in change.steps]
        verified, size = (
            np.array(v) for v in zip(*((len(s), s.size) for s in samples), strict=True)
        )
        sample = change.ranking.sample
        share = np.array([_mean(s) for s in samples])
        return cls(change.steps, share, verified, size, sample.size, sample.equal, answers_vary)

    def order(self, falls: bool, target: float, alpha: float) -> NDArray[np.int64]:
        """The indices in the order in which they are tested: a function of the ranks alone."""
        indices = np.arange(len(self.steps))[:: -1 if falls else 1]
        enough = self._exact(np.zeros(len(indices)), target) <= alpha
        enough &= self._large
        return indices[np.argmax(enough[indices]) :] if enough.any() else indices[:0]

    def p_values(self, change: Change, target: float) -> Callable[[int], float]:
        """From an index to the p-value of "the share is above the target"."""
        if self.equal:
            wrong = np.round(np.where(self.verified > 0, self.share, 0) * self.verified)
            exact = self._exact(wrong, target)
            return lambda i: float(exact[i])
        return lambda i: (
            change.estimate(int(self.steps[i])).p_value(target) if self.verified[i] else 1.0
        )

    def _exact(self, wrong: ArrayLike, target: float) -> Floats:
        """The p-value of each k if so many of its verified rows are wrong `(K,)`."""
        if self.answers_vary:  # fewer rows than all would have been called wrong by chance
            return at_most(wrong, self.verified, target)
        return exact_p_value(wrong, self.verified, np.maximum(self.size, 1), target)

    @property
    def _large(self) -> NDArray[np.bool_]:
        """For which k the share is about enough verified rows."""
        large: NDArray[np.bool_] = (self.size > 0) & (
            self.verified * _LEAST_PART >= self.verified.max()
        )
        return large

    def start(self, falls: bool) -> int:
        """The index at which the sequence begins if there are enough verified rows."""
        indices = np.flatnonzero(self._large)
        return int(indices[-1 if falls else 0])

    def more(self, start: int, target: float, alpha: float) -> int | None:
        """About how many more verified rows would show the target at the start of the sequence.

        Returns:
            None if the share that is observed there is not below the target.
        """
        share, verified, size = self.share[start], self.verified[start], self.size[start]
        if not share < target:
            return None
        # Without a wrong row among them, the share is not 0.
        guess = share + min((0.5 - 0.5 * share) / (verified + 1), (target - share) / 2)

        def shown(factor: float) -> bool:
            n = min(verified * factor, size * (1 - _ALL))
            effective = n / (1 - n / size)
            return bool(at_most(guess * effective, effective, target) <= alpha)

        most = self.verified.max()
        low, high = 1.0, self.total / most
        for _ in range(30):
            middle = np.sqrt(low * high)
            low, high = (low, middle) if shown(middle) else (middle, high)
        return max(1, int(np.ceil(most * (high - 1))))


def _mean(sample: VerifiedSample) -> float:
    """The observed share, weighted by the design; NaN without a verified row."""
    if not len(sample):
        return np.nan
    weight = 1 / sample.probability
    return float(weight @ sample.wrong / weight.sum())
