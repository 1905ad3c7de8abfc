"""Several predictions of the true class as one, calibrated on examples whose class is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gdw.errors import DataError

_FLOOR = 1e-12
_PENALTY = 4.0


@dataclass(frozen=True)
class Pool:
    """A log-linear pool of S predictions: `p ∝ ρ exp(b) Π_s (p_s / ρ)^a_s`.

    Attributes:
        exponents: `a`, `(S,)` float64, at least 0.
        bias: `b`, `(C,)` float64.
        prior: `ρ`, `(C,)` float64.
    """

    exponents: Tensor
    bias: Tensor
    prior: Tensor

    def __call__(self, predictions: Sequence[Tensor]) -> Tensor:
        """Pool S tensors of class probabilities `(N, C)` into one, `(N, C)` float64."""
        pooled = (self.prior.clamp(min=_FLOOR).log() + self.bias).expand_as(predictions[0]).clone()
        for a, p in zip(self.exponents.tolist(), predictions, strict=True):
            pooled.add_(_ratio(p, self.prior), alpha=a)
        return pooled.softmax(1)


def fit_pool(predictions: Sequence[Tensor], targets: Tensor, *, prior: Tensor) -> Pool:
    """Fit the exponents and the bias that make the classes of M examples most likely.

    No model may have been trained on an example that it predicts here. Then the fit does not reward
    overconfidence. Exponents that sum to less than one make the pool less confident than its members, as
    temperature scaling does; the bias corrects the frequencies that they predict, without which label shift
    cannot be estimated (Alexandari, Kundaje and Shrikumar, ICML 2020, arXiv 1901.06852). A Gaussian prior
    keeps the exponents at 1/S and the bias at 0 as long as few examples speak against it. The pool multiplies
    likelihood ratios `p_s / ρ`, so that the common class frequencies ρ count once (Genest and Zidek,
    Statistical Science 1(1), 1986).

    Args:
        predictions: S tensors of class probabilities `(M, C)`.
        targets: `(M, C)`, their true class probabilities (one-hot for class labels).
        prior: `ρ`, `(C,)`, the class frequencies of these examples.

    Raises:
        DataError: predictions are not finite.
    """
    rho, q = prior.double(), targets.double()
    ratios = torch.stack([_ratio(p, rho) for p in predictions])
    if not bool(ratios.isfinite().all()):
        raise DataError(
            "expected finite class probabilities to pool, found some that are not finite"
        )
    even = 1 / len(ratios)
    a = torch.full((len(ratios),), even, dtype=torch.float64, requires_grad=True)
    b = torch.zeros(ratios.shape[2], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([a, b], max_iter=60, line_search_fn="strong_wolfe")
    start = rho.clamp(min=_FLOOR).log()

    def loss() -> Tensor:
        optimizer.zero_grad()
        with torch.enable_grad():
            pooled = torch.einsum("s,snc->nc", a.clamp(min=0), ratios) + start + b
            unlikely = -(q * pooled.log_softmax(1)).sum()
            value = unlikely + _PENALTY * ((a - even).square().sum() + b.square().sum())
        value.backward()
        return value

    optimizer.step(loss)
    return Pool(a.detach().clamp(min=0), b.detach(), rho)


def _ratio(p: Tensor, prior: Tensor) -> Tensor:
    return p.double().clamp(min=_FLOOR).log() - prior.clamp(min=_FLOOR).log()
