"""A ranking of all rows, and what the verified rows say about its first k rows or the rest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gdw.certify.estimates import Estimate, classical, weighted
from gdw.certify.sample import VerifiedSample
from gdw.certify.share import checked_scores
from gdw.errors import DataError

Floats = NDArray[np.float64]

_STEPS, _STEPS_BY_WEIGHT = 100, 50
"""How many k are looked at. With unequal probabilities each one needs a fit."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """N rows in the order in which they are changed, the most suspicious first.

    Attributes:
        sample: the verified rows; their positions are ranks.
        doubt: `(N,)`, the scores by rank.
        suggestion_doubt: `(N,)`, how likely the suggested label of each row is wrong, by rank.
        suggestion_wrong: bool `(m,)`, whether the suggested label of each verified row is wrong; None if it
            is not known.
        candidates: how many rows may be changed at most.
    """

    sample: VerifiedSample
    doubt: Floats
    suggestion_doubt: Floats
    suggestion_wrong: NDArray[np.bool_] | None
    candidates: int


def order_of_change(doubt: Floats, changed: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    """The positions of all rows in the order in which they are changed, the most suspicious first.

    Args:
        doubt: `(N,)`, the scores.
        changed: `(N,)`, whether the suggestion differs from the given label: these come first. By default
            there are no suggestions.
    """
    first = np.zeros(len(doubt), dtype=bool) if changed is None else changed
    order: NDArray[np.int64] = np.lexsort((-doubt, ~first))
    return order


def ranking(
    sample: VerifiedSample,
    doubt: ArrayLike,
    *,
    suggestion_wrong: ArrayLike | None = None,
    suggestion_doubt: ArrayLike | None = None,
    candidates: int | None = None,
    order: ArrayLike | None = None,
) -> Ranking:
    """Rank all rows by their scores.

    Args:
        sample: m verified rows of N.
        doubt: `(N,)`, the scores, from 0 (surely right) to 1 (surely wrong). Those of the verified rows must
            not depend on their verified labels.
        suggestion_wrong: `(m,)`, whether the suggested label of each verified row is wrong.
        suggestion_doubt: `(N,)`, how likely each suggested label is wrong; by default as likely as the given
            label is right.
        candidates: only so many of the first rows may be changed, such as the label issues; by default all.
        order: `(N,)`, the positions of all rows in another order than by score.

    Raises:
        DataError: shapes differ, or a score is not from 0 to 1.
    """
    scores = checked_scores(doubt, sample.size)
    places = order_of_change(scores) if order is None else np.asarray(order)
    if not np.array_equal(np.sort(places), np.arange(sample.size)):
        raise DataError(f"order: expected each of the {sample.size} positions once")
    of_suggestion = 1 - scores if suggestion_doubt is None else suggestion_doubt
    rank = np.empty(sample.size, dtype=np.int64)
    rank[places] = np.arange(sample.size)
    outcome = None if suggestion_wrong is None else np.asarray(suggestion_wrong).astype(bool)
    if outcome is not None and outcome.shape != sample.wrong.shape:
        raise DataError(
            f"expected whether the suggestion is wrong for each of the {len(sample)} verified rows, found "
            f"{outcome.shape}"
        )
    return Ranking(
        replace(sample, rows=rank[sample.rows]),
        scores[places],
        checked_scores(of_suggestion, sample.size)[places],
        outcome,
        sample.size if candidates is None else min(int(candidates), sample.size),
    )


class Change(ABC):
    """What is done with the first k rows, and which share is then to be small.

    Attributes:
        falls: whether the share is the smaller the more rows are changed.
    """

    falls: ClassVar[bool]

    def __init__(self, ranking: Ranking) -> None:
        self.ranking = ranking

    @abstractmethod
    def sample(self, k: int) -> VerifiedSample:
        """The verified rows of those that the share is about, with the outcome that counts."""

    @abstractmethod
    def doubt(self, k: int) -> Floats:
        """How likely each of these rows counts."""

    @property
    def steps(self) -> NDArray[np.int64]:
        """The k that are looked at, in increasing order."""
        steps = _STEPS if self.ranking.sample.equal else _STEPS_BY_WEIGHT
        return np.unique(np.linspace(0, self.ranking.candidates, steps + 1).astype(np.int64))

    def estimate(self, k: int) -> Estimate:
        """The estimate of the share; the scores are used where rows were not equally likely to be drawn."""
        sample = self.sample(k)
        return classical(sample) if sample.equal else weighted(self.doubt(k), sample)


class Drop(Change):
    """The first k rows are left out: the share of wrong labels in the rest."""

    falls = True

    def sample(self, k: int) -> VerifiedSample:
        return _slice(self.ranking.sample, self.ranking.sample.wrong, k, self.ranking.sample.size)

    def doubt(self, k: int) -> Floats:
        return self.ranking.doubt[k:]


class Relabel(Change):
    """The first k rows get the suggested label: the share of wrong labels in all rows."""

    falls = True

    def __init__(self, ranking: Ranking) -> None:
        if ranking.suggestion_wrong is None:
            raise DataError(
                "relabelling: expected whether the suggested label of each verified row is wrong "
                "(suggestion_wrong), found none"
            )
        super().__init__(ranking)

    def sample(self, k: int) -> VerifiedSample:
        sample, suggested = self.ranking.sample, self.ranking.suggestion_wrong
        assert suggested is not None
        return sample.with_outcome(np.where(sample.rows < k, suggested, sample.wrong))

    def doubt(self, k: int) -> Floats:
        return np.concatenate([self.ranking.suggestion_doubt[:k], self.ranking.doubt[k:]])


class Changed(Change):
    """The first k rows are changed: the share of them whose given label was right."""

    falls = False

    def sample(self, k: int) -> VerifiedSample:
        return _slice(self.ranking.sample, ~self.ranking.sample.wrong, 0, k)

    def doubt(self, k: int) -> Floats:
        return 1 - self.ranking.doubt[:k]


def _slice(
    sample: VerifiedSample, outcome: NDArray[np.bool_], first: int, last: int
) -> VerifiedSample:
    """The verified rows with ranks from `first` to below `last`, as `VerifiedSample.within`."""
    inside = (sample.rows >= first) & (sample.rows < last)
    probability = sample.probability[inside]
    if sample.equal and last > first:
        probability = np.full(len(probability), len(probability) / (last - first))
    return VerifiedSample(last - first, sample.rows[inside] - first, outcome[inside], probability)
