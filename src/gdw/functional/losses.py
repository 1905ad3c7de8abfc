"""Losses of examples, and their gradient at the logits, one entry per class: `D1 = ∂ℓ/∂z`.

Shapes: logits `(N, C, ...)` with the classes in dimension 1; a dense output (segmentation, tokens) has
further dimensions after it, and each of its positions counts as an example. Targets are either class
indices `(N, ...)`, integers, or class probabilities `(N, C, ...)`, floating point.

Source: Chen et al., "Generalized DataWeighting via Class-Level Gradient Manipulation", NeurIPS 2021,
section 3 (arXiv 2111.00056).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdw.errors import ConfigError, GDWError, nearest
from gdw.functional.binary import binary_cross_entropy
from gdw.functional.weights import sums_to_zero
from gdw.functional.wrong_loss import failed_loss, wrong_form, wrong_losses
from gdw.functional.wrong_targets import (
    DistributionCheck,
    unknown_class,
    wrong_device,
    wrong_shape,
)

IGNORE_INDEX = -100
"""Targets with this index have no loss and no gradient and are not counted (as in `F.cross_entropy`)."""

PerExample = Callable[[Tensor, Tensor], Tensor]
_WithGradient = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def cross_entropy(logits: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Softmax cross-entropy of each example, not averaged.

    Args:
        logits: `(N, C, ...)`, floating point; half precision is computed in float32.
        targets: `(N, ...)` integer class indices, or `(N, C, ...)` class probabilities.
        label_smoothing: the share of the target that is spread evenly over all classes.

    Returns:
        `(N, ...)` losses; zero where the target is `IGNORE_INDEX`.

    Raises:
        DataError: the shapes do not fit, or (on the CPU) an index lies outside `0..C-1`.
    """
    _check_targets(logits, targets)
    wide = _at_least_float32(logits)
    target = targets.long() if _is_index(targets) else targets.to(wide.dtype)
    return F.cross_entropy(
        wide, target, reduction="none", ignore_index=IGNORE_INDEX, label_smoothing=label_smoothing
    )


def class_probabilities(logits: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """The target distribution `q` that the loss compares the softmax with, `(N, C, ...)`.

    One-hot for index targets (all zero where ignored), smoothed if asked; dtype of the computation.
    """
    wide = _at_least_float32(logits)
    if _is_index(targets):
        counted = targets != IGNORE_INDEX
        q = torch.zeros_like(wide)
        q.scatter_(1, targets.long().clamp(min=0).unsqueeze(1), counted.unsqueeze(1).to(wide.dtype))
    else:
        q = targets.to(wide.dtype)
    if label_smoothing:
        q = q * (1 - label_smoothing) + q.sum(1, keepdim=True) * (label_smoothing / q.shape[1])
    return q


def class_gradient(logits: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Class-level gradient of softmax cross-entropy, `D1 = p · Σq − q`, in closed form.

    For one-hot targets this is the `p − y` of the paper (section 3.1). It sums to zero over the classes.

    Args:
        logits: `(N, C, ...)`; no gradient flows back from the result.
        targets: `(N, ...)` integer class indices, or `(N, C, ...)` class probabilities.
        label_smoothing: as in `cross_entropy`.

    Returns:
        `(N, C, ...)`, float32 or wider; zero where the target is `IGNORE_INDEX`.

    Raises:
        DataError: the shapes do not fit, or (on the CPU) an index lies outside `0..C-1`.
    """
    _check_targets(logits, targets)
    with torch.no_grad():
        wide = _at_least_float32(logits.detach())
        q = class_probabilities(wide, targets, label_smoothing=label_smoothing)
        return wide.softmax(1).mul_(q.sum(1, keepdim=True)).sub_(q)


def cross_entropy_with_gradient(
    logits: Tensor, targets: Tensor, *, label_smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Compute `cross_entropy` and `class_gradient` from one softmax: `(N, ...)` and `(N, C, ...)`, detached.

    With many classes each `(N, C)` tensor costs as much as a layer, so this makes few of them. Arguments and
    errors: see the two functions.
    """
    all_counted = _check_targets(logits, targets)
    with torch.no_grad():
        wide = _at_least_float32(logits.detach())
        log_p = wide.log_softmax(1)
        if not _is_index(targets) or label_smoothing:
            q = class_probabilities(wide, targets, label_smoothing=label_smoothing)
            losses = (q * log_p).sum(1).neg_()
            return losses, log_p.exp_().mul_(q.sum(1, keepdim=True)).sub_(q)
        label = targets.long().unsqueeze(1)
        if not all_counted:
            ignored = (targets == IGNORE_INDEX).unsqueeze(1)
            label = label.masked_fill(ignored, 0)
        losses, gradient = log_p.gather(1, label).neg_().squeeze(1), log_p.exp_()
        gradient.scatter_add_(1, label, torch.full_like(label, -1, dtype=wide.dtype))
        if all_counted:
            return losses, gradient
        return losses.masked_fill_(ignored.squeeze(1), 0), gradient.masked_fill_(ignored, 0)


def autograd_class_gradient(
    loss: PerExample, logits: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor]:
    """Losses and class-level gradients of any per-example loss, by autograd at the logits.

    Args:
        loss: maps `(logits, targets)` to the loss of each example, `(N, ...)`; example i's loss may
            depend on example i's logits alone.
        logits: `(N, C, ...)`.
        targets: whatever `loss` takes.

    Returns:
        The losses `(N, ...)` and `D1` `(N, C, ...)`, both detached.

    Raises:
        DataError: `loss` failed, or did not return one value per example.
    """
    with torch.enable_grad():
        leaf = _at_least_float32(logits.detach()).requires_grad_()
        try:
            losses = loss(leaf, targets)
        except (IndexError, RuntimeError, TypeError, ValueError) as error:
            if isinstance(error, (GDWError, torch.OutOfMemoryError)):
                raise
            raise failed_loss(logits, targets, error) from error
        if losses.shape != (logits.shape[0], *logits.shape[2:]):
            raise wrong_losses(losses, logits)
        (gradient,) = torch.autograd.grad(losses.sum(), leaf)
    return losses.detach(), gradient


@dataclass(frozen=True)
class Loss:
    """A per-example loss, `(logits (N, C, ...), targets) -> (N, ...)`.

    Attributes:
        per_example: the differentiable loss of each example.
        closed_form: maps `(logits, targets)` to losses and `D1`, detached; None: autograd at the logits.
        zero_sum: whether `D1` sums to zero over the classes; None: checked on the gradient itself.
        ignore_index: the class index by which the user marks targets without a label. The loss itself gets
            `IGNORE_INDEX` for it.
    """

    per_example: PerExample
    closed_form: _WithGradient | None = None
    zero_sum: bool | None = None
    ignore_index: int = IGNORE_INDEX

    def with_gradient(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The losses `(N, ...)` and `D1` `(N, C, ...)`, both detached from the graph."""
        if self.closed_form is None:
            return autograd_class_gradient(self.per_example, logits, targets)
        return self.closed_form(logits, targets)

    def has_zero_sum(self, gradient: Tensor) -> bool:
        """Whether the zero-mean constraint applies to this loss, given a sample of its `D1`."""
        return sums_to_zero(gradient) if self.zero_sum is None else self.zero_sum


def resolve_loss(
    loss: str | PerExample, *, label_smoothing: float = 0.0, ignore_index: int | None = None
) -> Loss:
    """Make a `Loss` from its name (`"cross_entropy"`, `"binary_cross_entropy"`) or from a function.

    `ignore_index` marks targets without a label; by default it is that of a module such as
    `nn.CrossEntropyLoss(ignore_index=255, reduction="none")`, or else `IGNORE_INDEX`.

    Raises:
        ConfigError: the name is unknown, label smoothing is set for a loss that has none, or a loss of
            PyTorch returns no loss of each example.
    """
    if loss == "cross_entropy":
        meta, training = DistributionCheck(), DistributionCheck()
        return Loss(
            lambda z, y: cross_entropy(z, meta(z, y), label_smoothing=label_smoothing),
            lambda z, y: cross_entropy_with_gradient(
                z, training(z, y), label_smoothing=label_smoothing
            ),
            zero_sum=True,
            ignore_index=IGNORE_INDEX if ignore_index is None else ignore_index,
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
    problem = wrong_form(loss)
    if problem:
        raise ConfigError(problem)
    own = getattr(loss, "ignore_index", IGNORE_INDEX)
    index = own if ignore_index is None else ignore_index
    is_softmax = isinstance(loss, nn.CrossEntropyLoss)
    if own == IGNORE_INDEX and not is_softmax:
        return Loss(loss, ignore_index=index)
    check = DistributionCheck()

    def translated(logits: Tensor, targets: Tensor) -> Tensor:
        if _is_index(targets):
            targets = targets.masked_fill(targets == IGNORE_INDEX, own)
        elif is_softmax:
            check(logits, targets)
        return loss(logits, targets)

    return Loss(translated, ignore_index=index)


def count_examples(losses: Tensor, targets: Tensor) -> Tensor:
    """Count the examples (positions) that have a label: a float scalar tensor, at least 1.

    Args:
        losses: `(N, ...)`.
        targets: as for the loss.
    """
    if targets.shape == losses.shape and not targets.is_floating_point():
        return (targets != IGNORE_INDEX).sum().clamp(min=1).to(losses.dtype)
    return losses.new_full((), losses.numel())


def _at_least_float32(logits: Tensor) -> Tensor:
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def _is_index(targets: Tensor) -> bool:
    return not targets.is_floating_point()


def _check_targets(logits: Tensor, targets: Tensor) -> bool:
    """Check that targets fit the logits. Return whether all are known to be counted: none is ignored."""
    index_shape = (logits.shape[0], *logits.shape[2:])
    expected = index_shape if _is_index(targets) else logits.shape
    if logits.dim() < 2 or logits.shape[1] == 1 or targets.shape != expected:
        raise wrong_shape(logits, targets)
    if targets.device != logits.device:
        raise wrong_device(logits, targets)
    # On an accelerator the comparison would wait for the device, which checks by itself.
    if _is_index(targets) and targets.device.type == "cpu" and targets.numel():
        classes = logits.shape[1]
        least, most = torch.aminmax(targets)
        if least >= 0 and most < classes:
            return True
        wrong = ((targets < 0) & (targets != IGNORE_INDEX)) | (targets >= classes)
        if wrong.any():
            raise unknown_class(int(targets[wrong][0]), classes)
    return False
