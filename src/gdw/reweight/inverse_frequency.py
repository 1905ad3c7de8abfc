"""Weights by the inverse of a class's frequency."""

from __future__ import annotations

from torch import Tensor

from gdw.reweight.class_counts import mean_one
from gdw.reweight.class_weighted import ClassWeighted


class InverseFrequency(ClassWeighted):
    """Every class weighs the same in sum: `w_k ∝ 1 / n_k`, of mean one over the training set.

    The classical correction of unequal classes (King and Zeng, "Logistic Regression in Rare Events Data",
    2001). A class of less than one example counts as one.
    """

    def _class_weights(self, counts: Tensor) -> Tensor:
        return mean_one(1 / counts.clamp(min=1), counts)
