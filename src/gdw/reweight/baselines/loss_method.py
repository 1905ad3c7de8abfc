"""Base of methods that are a loss: options and a formula."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from gdw.errors import ConfigError
from gdw.functional import autograd_class_gradient, class_probabilities
from gdw.functional.weights import unit_weights
from gdw.hypergradient.inputs import Batch
from gdw.reweight.options import MethodOptions
from gdw.reweight.plain import PreparedPlain
from gdw.reweight.step_result import StepResult


class LossMethod(PreparedPlain):
    """A method whose loss takes the place of the cross-entropy; all weights are one.

    Targets may be classes or class probabilities. Where a class index is to be ignored, loss and gradient
    are zero. `StepResult.loss` is the cross-entropy of the given labels, as for every method.
    """

    Options: ClassVar[type[MethodOptions]] = MethodOptions

    @abstractmethod
    def _loss(self, logits: Tensor, q: Tensor, indices: Tensor | None) -> Tensor:
        """The loss of each example, `(N, ...)`.

        Args:
            logits: `(N, C, ...)`, a leaf; the gradient is taken with respect to it.
            q: the target distribution `(N, C, ...)`, smoothed if asked; all zero without a label.
            indices: positions `(N,)` in the training set; None if unknown.
        """

    def _step(self, batch: Batch, meta_batch: Batch | None, indices: Tensor | None) -> StepResult:
        training_pass = self._problem.training_pass(batch)
        logits, smoothing = training_pass.logits, self.options.label_smoothing
        q = class_probabilities(logits.detach(), batch[1], label_smoothing=smoothing)
        # Under autocast a matrix product in the loss would reduce the precision of the logits.
        with torch.autocast(logits.device.type, enabled=False):
            losses, gradient = autograd_class_gradient(
                lambda z, target: self._loss(z, target, indices), logits, q
            )
        training_pass = replace(training_pass, losses=losses)
        training_pass = self._sample_weighted(training_pass, gradient, indices)
        return self._backward(training_pass, unit_weights(gradient))


def soft_cross_entropy(logits: Tensor, q: Tensor) -> Tensor:
    """`−Σ_k q_k log p_k` of each example, `(N, ...)`, for targets `q` `(N, C, ...)`."""
    return -(q * logits.log_softmax(1)).sum(1)


def per_class(values: Tensor, like: Tensor) -> Tensor:
    """Reshape `values` `(C,)` to `(C, 1, ...)`, with the dtype and device of `like` `(N, C, ...)`.

    Raises:
        ConfigError: the number of classes differs.
    """
    if len(values) != like.shape[1]:
        raise ConfigError(
            f"class_counts is for {len(values)} classes, but the model has {like.shape[1]} logits: "
            "give one number per class"
        )
    return values.to(like).view(-1, *[1] * (like.dim() - 2))
