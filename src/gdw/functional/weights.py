"""Class-level weights and how they act on the class-level gradient.

All tensors have the shape of the logits, `(N, C, ...)`, with the classes in dimension 1.

Source: Chen et al., NeurIPS 2021 (arXiv 2111.00056), sections 3.2 and 3.3; `positive_part_weights` is
Ren et al., "Learning to Reweight Examples for Robust Deep Learning", ICML 2018 (arXiv 1803.09050).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from gdw.errors import DataError

_LARGE = 2**20
_HUGE = 2**24


def is_large(values: Tensor) -> bool:
    """Whether a tensor `(N, C, ...)` is so large that results of its size are made in parts."""
    return are_many(values.numel())


def are_many(entries: int) -> bool:
    """Whether results with so many entries are made in parts."""
    return entries >= _LARGE


def are_huge(entries: int) -> bool:
    """Whether tensors with so many entries take the memory of others that are not needed any more."""
    return entries >= _HUGE


def by_rows(compute: Callable[..., Tensor], *tensors: Tensor, into: Tensor | None = None) -> Tensor:
    """`compute(*tensors)`, where each row `(C, ...)` of the result depends on the same rows alone.

    Large tensors are given to it in parts, so that what it makes on the way stays small.

    >>> by_rows(torch.sub, torch.ones(2, 3), torch.ones(2, 3)).sum()
    tensor(0.)

    Args:
        compute: returns a tensor of the shape and dtype of the first one.
        tensors: `(N, C, ...)`.
        into: one of them, whose memory the result may take if they are large.
    """
    first = tensors[0]
    if not is_large(first):
        return compute(*tensors)
    result = into
    if result is None:
        result = torch.empty_like(first, memory_format=torch.contiguous_format)
    rows = max(1, _LARGE // 4 * len(first) // first.numel())
    for part, *parts in zip(result.split(rows), *(t.split(rows) for t in tensors), strict=True):
        part.copy_(compute(*parts))
    return result


def zero_mean(weights: Tensor, class_gradient: Tensor, *, cap: float = 0.999) -> Tensor:
    """Set the label's weight so that the weighted gradient still sums to zero over the classes.

    The paper sets `ω_t ← Σ_{j≠t} ω_j p_j / (1 − p_t)` for the labelled class t. The label is the one
    class that the loss pulls up (`D1_t < 0`), the others are pushed down (`D1_j = p_j ≥ 0`), so the same
    rule in terms of `D1` alone reads: every class pulled up gets the mean weight of the classes pushed
    down, averaged by their gradient. In that form it also serves soft targets and label smoothing.

    Args:
        weights: `(N, C, ...)`.
        class_gradient: `D1`, `(N, C, ...)`, summing to zero over the classes.
        cap: the largest `p_t` that the denominator uses (the paper's guard against 0/0). Up to the cap the
            sum is zero except for rounding; above it the sum is at most `1 - cap` of the weights. `1.0`
            keeps the sum at zero everywhere.

    Returns:
        `(N, C, ...)`, a new tensor.
    """
    pulled_up = class_gradient < 0
    down = class_gradient.clamp(min=0)
    floor = max(1 - cap, torch.finfo(class_gradient.dtype).tiny)
    mean = (weights * down).sum(1, keepdim=True) / down.sum(1, keepdim=True).clamp(min=floor)
    return torch.where(pulled_up, mean, weights)


def second_stage_weights(
    weights: Tensor,
    hypergradient: Tensor,
    *,
    outer_lr: float,
    clip: float,
    min_weight: float = 1e-6,
    max_weight: float = 1e6,
    norm: Tensor | None = None,
) -> Tensor:
    """One clipped gradient step on the weights: `ω − clip(η_ω · G / Σ|G|, ±clip)`, then bounded.

    Args:
        weights: first-stage weights `(N, C, ...)`.
        hypergradient: `G = ∂L_meta/∂ω`, `(N, C, ...)`.
        outer_lr: `η_ω`.
        clip: the largest change of one weight.
        min_weight: lower bound of the result.
        max_weight: upper bound of the result.
        norm: `Σ|G|` as a scalar tensor; by default that of `hypergradient`. Give the global one when
            the batch is spread over processes.

    Returns:
        `(N, C, ...)`. Where `Σ|G|` is zero the weights only get their bounds.
    """
    total = torch.linalg.vector_norm(hypergradient, ord=1) if norm is None else norm
    step = hypergradient * (outer_lr / torch.where(total > 0, total, torch.ones_like(total)))
    # In place where the tensor is ours: N x C is large when classes are many.
    return torch.sub(weights, step.clamp_(-clip, clip)).clamp_(min_weight, max_weight)


def positive_part_weights(hypergradient: Tensor, *, norm: Tensor | None = None) -> Tensor:
    """L2RW's instance weights: `max(0, −Σ_j G_ij)`, normalised to sum to one over the batch.

    Args:
        hypergradient: `G` at zero weights, `(N, C, ...)`.
        norm: the sum of the positive parts over the global batch, scalar; by default this batch's.

    Returns:
        `(N, ...)`, non-negative; all zero when no example helps.
    """
    positive = (-hypergradient.sum(1)).clamp(min=0)
    total = positive.sum() if norm is None else norm
    return positive / torch.where(total > 0, total, torch.ones_like(total))


def implied_weights(revised: Tensor, plain: Tensor, *, bound: float = 1.0) -> Tensor:
    """Compute the class-level weights that turn one class-level gradient into another: `revised / plain`.

    Training towards a soft label q instead of the given label y is such a weighting in closed form,
    `(p − q) / (p − y)`. A weight is one where the label is believed, zero where it is ignored, and negative
    where the example pulls in the opposite direction.

    Args:
        revised: the new gradient, `(N, C, ...)`.
        plain: the gradient of the given label, `(N, C, ...)`.
        bound: the largest magnitude of the result; where `plain` is zero the ratio means nothing.

    Returns:
        `(N, C, ...)`; one where both are zero.
    """
    ratio = torch.where(plain == revised, torch.ones_like(plain), revised / plain)
    return ratio.nan_to_num(bound, bound, -bound).clamp(-bound, bound)


def broadcast_instance_weights(weights: Tensor, like: Tensor) -> Tensor:
    """Instance weights `(N, ...)` as class-level weights `(N, C, ...)`: the same for every class.

    `like` has the shape of the logits. Raises `DataError` when the shapes do not fit.
    """
    expected = (like.shape[0], *like.shape[2:])
    if weights.shape != expected:
        raise DataError(
            f"instance weights must have shape {tuple(expected)} for logits of shape "
            f"{tuple(like.shape)}, got {tuple(weights.shape)}"
        )
    return weights.unsqueeze(1).expand_as(like)


def unit_weights(like: Tensor) -> Tensor:
    """Weights of one, of the shape of `like` `(N, C, ...)` and without memory of their own."""
    return like.new_ones(()).expand_as(like)


def weighted_rows(class_gradient: Tensor, weights: Tensor, indices: Tensor) -> Tensor:
    """`D1` `(N, C, ...)` times the weight of each example: `weights` `(M,)` at `indices`, else one.

    Indices beyond the end of the weights, and examples beyond that of the indices `(n,)`, have weight one.
    """
    chosen = weights[indices.clamp(max=len(weights) - 1)].where(indices < len(weights), 1.0)
    factors = F.pad(chosen, (0, len(class_gradient) - len(indices)), value=1.0)
    return class_gradient * factors.view(-1, *[1] * (class_gradient.dim() - 1))


def weighted_class_gradient(
    weights: Tensor, class_gradient: Tensor, count: Tensor | float, *, overwrite: bool = False
) -> Tensor:
    """`(ω ⊙ D1) / n`: the gradient at the logits that a weighted mean loss sends down, `(N, C, ...)`.

    `count` is n, the number of examples of the (global) batch. With `overwrite` the result takes the memory
    of `class_gradient`.
    """
    product = class_gradient.mul_(weights) if overwrite else weights * class_gradient
    return product.div_(count)


def weighted_backward(
    logits: Tensor,
    weights: Tensor,
    class_gradient: Tensor,
    count: Tensor | float,
    *,
    overwrite: bool = False,
) -> None:
    """Accumulate `(1/n) Σ_i (ω_i ⊙ D1_i) D2_i` into the `.grad` of the leaves behind the logits.

    This is the training gradient of the paper's section 3.1; it frees the graph of `logits`
    `(N, C, ...)`, as `loss.backward()` would. With `overwrite`, `class_gradient` is lost.
    """
    gradient = weighted_class_gradient(weights, class_gradient, count, overwrite=overwrite)
    logits.backward(gradient.to(logits.dtype))


def sums_to_zero(class_gradient: Tensor, *, tolerance: float = 1e-4) -> bool:
    """Whether every example's class-level gradient sums to zero over the classes.

    True for losses that do not change when all logits are shifted together (softmax losses), false for
    per-class losses such as sigmoid binary cross-entropy. `class_gradient`: `(N, C, ...)`.
    """
    total = class_gradient.sum(1).abs()
    size = class_gradient.abs().sum(1)
    # For a confident prediction only rounding errors remain: the entries are differences from one.
    rounding = 10 * torch.finfo(class_gradient.dtype).eps
    return bool((total <= tolerance * size + rounding).all())
