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
_MOST = 20.0


def log_linear_pool(
    opinions: Sequence[Tensor],
    given: Tensor,
    *,
    transition: Tensor,
    prior: Tensor,
    class_weight: Tensor,
) -> tuple[Tensor, Tensor]:
    """`p ∝ ρ Π_s (p_s / ρ)^a_s` with the weights `a ≥ 0` that make the given labels likeliest.

    The likelihood of a given label is `Σ_k p_k w_k T[k, given] / Σ_k p_k w_k`. Where no model has seen the
    label of the example that it speaks about, more trust is not rewarded by itself, so no clean example is
    spent. Weights that sum to less than one make the pool less sure than its members, as temperature
    scaling would. What is pooled are likelihood ratios `p_s / ρ`, so that the class frequencies ρ under
    which all opinions hold count once. Log-linear pools: Genest and Zidek, Statistical Science 1(1), 1986;
    products of experts: Hinton, Neural Computation 14(8), 2002.

    Args:
        opinions: S tensors of class probabilities `(N, C)`.
        given: `(N,)` labels from 0 to C-1, int64.
        transition: `T`, `(C, C)`, the probability of given label k for class j at `[j, k]`.
        prior: `ρ`, `(C,)`, the class frequencies that the opinions hold for.
        class_weight: `w`, `(C,)`, from those to the class frequencies of the examples.

    Returns:
        The pool `(N, C)`, rows summing to one, and the weights `(S,)`, at most 20; both float64.

    Raises:
        DataError: opinions that are not finite.
    """
    rho = prior.double().clamp(min=_FLOOR).log()
    ratios = [p.double().clamp(min=_FLOOR).log() - rho for p in opinions]
    if not all(bool(ratio.isfinite().all()) for ratio in ratios):
        raise DataError("expected finite class probabilities to pool, found some that are not")
    weights = _fitted(ratios, given, transition.double(), rho + class_weight.double().log())
    pooled = rho.expand_as(ratios[0]).clone()
    for a, ratio in zip(weights.tolist(), ratios, strict=True):
        pooled.add_(ratio, alpha=a)
    return pooled.softmax(1), weights


def _fitted(ratios: Sequence[Tensor], given: Tensor, transition: Tensor, offset: Tensor) -> Tensor:
    size, classes = ratios[0].shape
    rows = torch.arange(size)
    if size * classes > LARGEST:
        # Drawn, since the order of rows may repeat itself with the classes; always the same ones.
        draw = torch.Generator().manual_seed(0)
        rows = torch.randperm(size, generator=draw)[: max(1, LARGEST // classes)]
    some = torch.stack([ratio[rows] for ratio in ratios])
    noise = transition[:, given[rows]].T.clamp(min=_FLOOR).log()
    # Labels without noise that the models tell apart have no likeliest weights, only ever larger ones: a
    # bound keeps them, and with them the search, finite.
    even = 1 / (len(some) * _MOST)
    start = torch.full((len(some),), math.log(even / (1 - even)), dtype=torch.float64)
    free = start.requires_grad_()
    optimizer = torch.optim.LBFGS([free], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        with torch.enable_grad():
            pooled = torch.einsum("s,snc->nc", _MOST * free.sigmoid(), some) + offset
            value = (pooled.logsumexp(1) - (pooled + noise).logsumexp(1)).mean()
        value.backward()
        return value

    optimizer.step(loss)
    return _MOST * free.detach().sigmoid()
