"""The loss to train: its value per example, its class-level gradient, and whether that sums to zero."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from gdw.errors import ConfigError, nearest
from gdw.functional.class_gradient import (
    IGNORE_INDEX,
    autograd_class_gradient,
    cross_entropy,
    cross_entropy_with_gradient,
    sums_to_zero,
)

PerExample = Callable[[Tensor, Tensor], Tensor]
_WithGradient = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Loss:
    """A per-example loss, `(logits (N, C, ...), targets) -> (N, ...)`.

    Attributes:
        per_example: the differentiable loss of each example.
        closed_form: maps `(logits, targets)` to losses and `D1`, detached; None: autograd at the logits.
        zero_sum: whether `D1` sums to zero over the classes; None: checked on the gradient itself.
    """

    per_example: PerExample
    closed_form: _WithGradient | None = None
    zero_sum: bool | None = None

    def with_gradient(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The losses `(N, ...)` and `D1` `(N, C, ...)`, both detached from the graph."""
        if self.closed_form is None:
            return autograd_class_gradient(self.per_example, logits, targets)
        return self.closed_form(logits, targets)

    def has_zero_sum(self, gradient: Tensor) -> bool:
        """Whether the zero-mean constraint applies to this loss, given a sample of its `D1`."""
        return sums_to_zero(gradient) if self.zero_sum is None else self.zero_sum


def binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Sigmoid binary cross-entropy summed over the classes, `(N, ...)`: multi-label classification.

    `targets`: `(N, C, ...)`, floating point in [0, 1].
    """
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(1)


def resolve_loss(loss: str | PerExample, *, label_smoothing: float = 0.0) -> Loss:
    """Make a `Loss` from its name (`"cross_entropy"`, `"binary_cross_entropy"`) or from a function.

    Raises:
        ConfigError: the name is unknown, or label smoothing is set for a loss that has none.
    """
    if loss == "cross_entropy":
        return Loss(
            lambda z, y: cross_entropy(z, y, label_smoothing=label_smoothing),
            lambda z, y: cross_entropy_with_gradient(z, y, label_smoothing=label_smoothing),
            zero_sum=True,
        )
    if label_smoothing:
        raise ConfigError("label_smoothing goes with loss='cross_entropy' only")
    if loss == "binary_cross_entropy":
        return Loss(binary_cross_entropy, zero_sum=False)
    if isinstance(loss, str):
        known = ("cross_entropy", "binary_cross_entropy")
        raise ConfigError(
            f"unknown loss {loss!r}: expected one of {', '.join(known)}, or a function "
            f"(logits, targets) -> loss per example.{nearest(loss, known)}"
        )
    return Loss(loss)


def count_examples(losses: Tensor, targets: Tensor) -> Tensor:
    """Count the examples (positions) that have a label: a float scalar tensor, at least 1.

    Args:
        losses: `(N, ...)`.
        targets: as for the loss.
    """
    if targets.shape == losses.shape and not targets.is_floating_point():
        return (targets != IGNORE_INDEX).sum().clamp(min=1).to(losses.dtype)
    return losses.new_tensor(losses.numel())
