"""Several opinions of one class made one: a log-linear pool whose weights given labels decide."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gdw.errors import DataError

LARGEST = 4_000_000
"""The most entries `N · C` that weights are fitted on: they are few, and a part of the rows is enough."""

_FLOOR = 1e-12


def log_linear_pool(
    opinions: Sequence[Tensor], given: Tensor, *, transition: Tensor, class_weight: Tensor
) -> tuple[Tensor, Tensor]:
    """`p ∝ Π_s p_s^a_s` with the weights `a ≥ 0` that make the given labels likeliest through the noise.

    The likelihood of a given label is `Σ_k p_k w_k T[k, given] / Σ_k p_k w_k`. Where no model has seen the
    label of the example that it speaks about, more trust is not rewarded by itself, so no clean example is
    spent. Weights that sum to less than one make the pool less sure than its members, as temperature
    scaling would. Log-linear pools: Genest and Zidek, Statistical Science 1(1), 1986; their weights as
    products of experts: Hinton, Neural Computation 14(8), 2002.

    Args:
        opinions: S tensors of class probabilities `(N, C)`.
        given: `(N,)` labels from 0 to C-1.
        transition: `T`, `(C, C)`, the probability of given label k for class j at `[j, k]`.
        class_weight: `w`, `(C,)`, from the class frequencies that the opinions hold for to those of the
            examples.

    Returns:
        The pool `(N, C)`, rows summing to one, and the weights `(S,)`; both float64.

    Raises:
        DataError: opinions that are not finite.
    """
    logs = [p.double().clamp(min=_FLOOR).log() for p in opinions]
    if not all(bool(log.isfinite().all()) for log in logs):
        raise DataError("expected finite class probabilities to pool, found some that are not")
    weights = _fitted(logs, given, transition.double(), class_weight.double())
    pooled = sum((a * log for a, log in zip(weights, logs, strict=True)), torch.zeros_like(logs[0]))
    return pooled.softmax(1), weights


def _fitted(logs: Sequence[Tensor], given: Tensor, transition: Tensor, weight: Tensor) -> Tensor:
    size, classes = logs[0].shape
    step = math.ceil(size * classes / LARGEST)
    some = torch.stack([log[::step] for log in logs])
    offset = weight.clamp(min=_FLOOR).log()
    noise = transition[:, given[::step]].T.clamp(min=_FLOOR).log()
    # Their logarithms are fitted: no weight turns negative.
    free = torch.full((len(logs),), -math.log(len(logs)), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([free], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        with torch.enable_grad():
            pooled = torch.einsum("s,snc->nc", free.exp(), some) + offset
            value = (pooled.logsumexp(1) - (pooled + noise).logsumexp(1)).mean()
        value.backward()
        return value

    optimizer.step(loss)
    return free.detach().exp()
