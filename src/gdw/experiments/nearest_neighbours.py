"""Weighted adaptive nearest neighbours: each label votes by its reliability."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from gdw.experiments.contenders import Contender, Features, Fitted, Labels, Probabilities
from gdw.options import Count


class WANN(Contender):
    """WANN (Di Salvo et al., TMLR 2025, arXiv 2408.14358, equations 1 to 4).

    The reliability of a given label is `η = 1 / k`, for the smallest odd `k` from `k_min` to `k_max` with
    which a vote of the k nearest other examples yields that label; `1 / k_max` if none does. A new example
    takes the number of neighbours `k = 1 / η` of its nearest training example. These k neighbours vote, each
    with the weight η. The class probabilities are the shares of the votes.
    """

    k_min: Count = Field(11, description="The smallest number of neighbours.")
    k_max: Count = Field(51, description="The largest number of neighbours.")
    metric: Literal["cosine", "euclidean"] = Field("cosine", description="The distance.")

    @model_validator(mode="after")
    def _ordered(self) -> WANN:
        if self.k_min > self.k_max:
            raise ValueError(f"k_min {self.k_min} is above k_max {self.k_max}: exchange them")
        return self

    def fit(self, X: Features, y: Labels, *, num_classes: int, seed: int) -> Fitted:
        del seed
        from sklearn.neighbors import NearestNeighbors

        most = min(self.k_max, len(X) - 1)
        index = NearestNeighbors(n_neighbors=most, metric=self.metric, algorithm="brute").fit(X)
        others = index.kneighbors(return_distance=False)
        sizes = self._sizes(y[others], y, num_classes)

        def vote(nearest: NDArray[np.int64]) -> Probabilities:
            return _vote(sizes, y, nearest, num_classes)

        return Fitted(lambda new: vote(index.kneighbors(new, return_distance=False)), vote(others))

    def _sizes(self, labels: Labels, y: Labels, num_classes: int) -> NDArray[np.int64]:
        """The k of each training example `(N,)`, from the labels `(N, K)` of its nearest others."""
        most = labels.shape[1]
        chosen = np.full(len(y), most)
        counts = np.zeros((len(y), num_classes), dtype=np.int64)
        rows = np.arange(len(y))
        undecided = np.ones(len(y), dtype=bool)
        for k in range(1, most + 1):
            counts[rows, labels[:, k - 1]] += 1
            if k >= self.k_min and (k - self.k_min) % 2 == 0:
                agrees = undecided & (counts.argmax(1) == y)
                chosen[agrees] = k
                undecided &= ~agrees
        return chosen


def _vote(
    sizes: NDArray[np.int64], y: Labels, nearest: NDArray[np.int64], num_classes: int
) -> Probabilities:
    """The shares of the votes `(M, C)` of the neighbours `nearest` `(M, K)`, the nearest first."""
    voters = np.arange(nearest.shape[1]) < sizes[nearest[:, :1]]
    votes = np.zeros((len(nearest), num_classes))
    rows = np.broadcast_to(np.arange(len(nearest))[:, None], nearest.shape)
    np.add.at(votes, (rows, y[nearest]), voters / sizes[nearest])
    votes /= votes.sum(1, keepdims=True)
    return votes
