"""Calibration of predicted probabilities: temperature scaling, and a pool of several predictions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gdw.errors import DataError

MAX_FITTED_ENTRIES = 4_000_000
"""The largest number `N · C` of entries that the few exponents are fitted on."""

_FLOOR = 1e-12
_LARGEST_EXPONENT = 20.0
_SHARPEST, _FLATTEST = 0.05, 20.0


def fit_temperature(probabilities: Tensor, targets: Tensor) -> float:
    """Fit the temperature, from 0.05 to 20, that makes the targets most likely.

    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017 (arXiv 1706.04599), section 4.2.

    Args:
        probabilities: `(N, C)`, predictions for examples that the model was not trained on.
        targets: `(N, C)`, their class probabilities (one-hot for class labels).
    """
    log_p, q = _log(probabilities), targets.double()

    def slope(sharpness: float) -> float:
        expected = (log_p * (sharpness * log_p).softmax(1)).sum(1)
        return float((q.sum(1) * expected - (q * log_p).sum(1)).sum())

    # The loss is convex in one over the temperature, so its slope changes sign once.
    low, high = 1 / _FLATTEST, 1 / _SHARPEST
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return 2 / (low + high)


def apply_temperature(probabilities: Tensor, temperature: float) -> Tensor:
    """`softmax(log p / temperature)`, `(N, C)` float64."""
    return (_log(probabilities) / temperature).softmax(1)


def log_linear_pool(
    predictions: Sequence[Tensor],
    given: Tensor,
    *,
    transition: Tensor,
    prior: Tensor,
    class_weight: Tensor,
) -> tuple[Tensor, Tensor]:
    """Pool predictions with the exponents that make the given labels most likely.

    The pool is `p ∝ ρ Π_s (p_s / ρ)^a_s` with `a ≥ 0`. The likelihood of a given label is `Σ_k p_k w_k T[k,
    given] / Σ_k p_k w_k`. No model may have been trained on the label of the example that it predicts. Then
    the fit does not reward overconfidence, and it needs no clean examples. Exponents that sum to less than
    one make the pool less confident than its members, as temperature scaling would. The pool multiplies
    likelihood ratios `p_s / ρ`, so that the common class frequencies ρ count once. Log-linear pools: Genest
    and Zidek, Statistical Science 1(1), 1986. Products of experts: Hinton, Neural Computation 14(8), 2002.

    Args:
        predictions: S tensors of class probabilities `(N, C)`.
        given: `(N,)` labels from 0 to C-1, int64.
        transition: `T`, `(C, C)`, the probability of given label k for class j at `[j, k]`.
        prior: `ρ`, `(C,)`, the class frequencies that the predictions assume.
        class_weight: `w`, `(C,)`, the class frequencies of the examples divided by `ρ`.

    Returns:
        The pool `(N, C)`, rows summing to one, and the exponents `(S,)`, at most 20; both float64.

    Raises:
        DataError: predictions are not finite.
    """
    rho = prior.double().clamp(min=_FLOOR).log()
    ratios = [_log(p) - rho for p in predictions]
    if not all(bool(ratio.isfinite().all()) for ratio in ratios):
        raise DataError(
            "expected finite class probabilities to pool, found some that are not finite"
        )
    exponents = _fitted(ratios, given, transition.double(), rho + class_weight.double().log())
    pooled = rho.expand_as(ratios[0]).clone()
    for a, ratio in zip(exponents.tolist(), ratios, strict=True):
        pooled.add_(ratio, alpha=a)
    return pooled.softmax(1), exponents


def _fitted(ratios: Sequence[Tensor], given: Tensor, transition: Tensor, offset: Tensor) -> Tensor:
    size, classes = ratios[0].shape
    rows = torch.arange(size)
    if size * classes > MAX_FITTED_ENTRIES:
        # Drawn, because the order of rows may follow the classes; always the same rows.
        draw = torch.Generator().manual_seed(0)
        rows = torch.randperm(size, generator=draw)[: max(1, MAX_FITTED_ENTRIES // classes)]
    some = torch.stack([ratio[rows] for ratio in ratios])
    noise = transition[:, given[rows]].T.clamp(min=_FLOOR).log()
    # For labels without noise that the models separate, larger exponents are always more likely: a bound
    # keeps the exponents, and so the search, finite.
    even = 1 / (len(some) * _LARGEST_EXPONENT)
    start = torch.full((len(some),), math.log(even / (1 - even)), dtype=torch.float64)
    free = start.requires_grad_()
    optimizer = torch.optim.LBFGS([free], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        with torch.enable_grad():
            pooled = torch.einsum("s,snc->nc", _LARGEST_EXPONENT * free.sigmoid(), some) + offset
            value = (pooled.logsumexp(1) - (pooled + noise).logsumexp(1)).mean()
        value.backward()
        return value

    optimizer.step(loss)
    return _LARGEST_EXPONENT * free.detach().sigmoid()


def _log(probabilities: Tensor) -> Tensor:
    return probabilities.double().clamp(min=_FLOOR).log()
