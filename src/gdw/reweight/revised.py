"""Methods that train with another loss than the cross-entropy of the given labels."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gdw.errors import ConfigError
from gdw.functional import autograd_class_gradient, class_probabilities
from gdw.hypergradient import TrainingPass
from gdw.hypergradient.batch import Forward
from gdw.reweight.prepared import Prepared


class Revised(Prepared):
    """A method that is a loss: its gradient at the logits goes in place of the plain one, weights are one.

    Targets may be classes or class probabilities; where a class index is to be ignored, loss and gradient
    are zero. `StepResult.loss` stays the plain loss of the given labels, alike for every method.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        forward: Forward | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(model, optimizer, forward=forward, label_smoothing=label_smoothing)
        self._label_smoothing = label_smoothing

    @abstractmethod
    def _loss(self, logits: Tensor, q: Tensor, indices: Tensor | None) -> Tensor:
        """The loss of each example, `(N, ...)`.

        `logits` `(N, C, ...)` are a leaf to differentiate at; `q` `(N, C, ...)` is the target
        distribution, smoothed if asked, all zero where there is no label.
        """

    def _revise(self, run: TrainingPass, targets: Tensor, indices: Tensor | None) -> TrainingPass:
        q = class_probabilities(run.logits.detach(), targets, label_smoothing=self._label_smoothing)
        # Under a caller's autocast a product of matrices would lose the precision of the logits.
        with torch.autocast(run.logits.device.type, enabled=False):
            losses, gradient = autograd_class_gradient(
                lambda z, target: self._loss(z, target, indices), run.logits, q
            )
        return replace(run, losses=losses, class_gradient=gradient)


def soft_cross_entropy(logits: Tensor, q: Tensor) -> Tensor:
    """`−Σ_k q_k log p_k` of each example, `(N, ...)`, for targets `q` `(N, C, ...)`."""
    return -(q * logits.log_softmax(1)).sum(1)


def per_class(values: Tensor, like: Tensor) -> Tensor:
    """`values` `(C,)` in the shape `(C, 1, ...)`, type and place that go with `like` `(N, C, ...)`.

    `ConfigError` if they are for another number of classes.
    """
    if len(values) != like.shape[1]:
        raise ConfigError(
            f"class_counts is for {len(values)} classes, but the model has {like.shape[1]} logits: "
            "give one number a class"
        )
    return values.to(like).view(-1, *[1] * (like.dim() - 2))
