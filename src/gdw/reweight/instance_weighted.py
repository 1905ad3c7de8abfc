"""Methods that weigh each example as a whole, by its label, its index or its loss."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from gdw.functional import broadcast_instance_weights
from gdw.functional.class_gradient import IGNORE_INDEX
from gdw.hypergradient import Collective, TrainingPass
from gdw.hypergradient.batch import Batch
from gdw.reweight.base import Weighting
from gdw.reweight.prepared import Prepared


class InstanceWeighted(Prepared):
    """Plain training with one weight an example, known before the backward pass."""

    _pending: Tensor | None = None

    @abstractmethod
    def _instance_weights(
        self, run: TrainingPass, targets: Tensor, indices: Tensor | None
    ) -> Tensor:
        """The weight of each example, in the shape of `run.losses`, `(N, ...)`."""

    def _revise(self, run: TrainingPass, targets: Tensor, indices: Tensor | None) -> TrainingPass:
        self._pending = self._instance_weights(run, targets, indices)
        return run

    def _weigh(self, run: TrainingPass, meta_batch: Batch | None) -> Weighting:
        del meta_batch
        weights, self._pending = self._pending, None
        assert weights is not None, "backward revises before it weighs"
        return Weighting(broadcast_instance_weights(weights, run.class_gradient))


def labelled(losses: Tensor, targets: Tensor) -> Tensor:
    """Which examples carry a label, booleans in the shape of `losses`."""
    if targets.shape == losses.shape and not targets.is_floating_point():
        return targets != IGNORE_INDEX
    return torch.ones_like(losses, dtype=torch.bool)


def mean_over(kept: Tensor, count: Tensor, collective: Collective) -> Tensor:
    """Weights with which a mean over all `count` examples is the mean over those `kept`.

    `kept`: booleans `(N, ...)` of this process, or how much each counts, from 0 to 1; the mean is over all
    processes. All zero if none is kept.
    """
    chosen = kept.to(count.dtype)
    total = collective.sum_scalar(chosen.sum())
    return chosen * torch.where(total > 0, count / total, 0.0)
