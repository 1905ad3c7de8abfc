"""Base of methods that give each example one weight, by its label, its index or its loss."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from gdw.functional import broadcast_instance_weights
from gdw.functional.losses import IGNORE_INDEX
from gdw.hypergradient import TrainingPass
from gdw.hypergradient.inputs import Batch
from gdw.reweight.plain import PreparedPlain
from gdw.reweight.step_result import StepResult


class InstanceWeighted(PreparedPlain):
    """Plain training with one weight per example, known before the backward pass."""

    @abstractmethod
    def _instance_weights(
        self, training_pass: TrainingPass, targets: Tensor, indices: Tensor | None
    ) -> Tensor:
        """The weight of each example, in the shape of `training_pass.losses`, `(N, ...)`."""

    def _step(self, batch: Batch, meta_batch: Batch | None, indices: Tensor | None) -> StepResult:
        training_pass = self._forward(batch, indices)
        weights = self._instance_weights(training_pass, batch[1], indices)
        class_weights = broadcast_instance_weights(weights, training_pass.class_gradient)
        return self._backward(training_pass, class_weights)


def labelled(losses: Tensor, targets: Tensor) -> Tensor:
    """Which examples have a label: booleans in the shape of `losses`."""
    if targets.shape == losses.shape and not targets.is_floating_point():
        return targets != IGNORE_INDEX
    return torch.ones_like(losses, dtype=torch.bool)
