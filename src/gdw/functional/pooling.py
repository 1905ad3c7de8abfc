"""Log-linear pools of predictions, fitted to labels: of the true class, and of the given label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gdw.errors import DataError

MAX_FITTED_ENTRIES = 4_000_000
"""The largest number `N · C` of entries that the two exponents are fitted on."""

_FLOOR = 1e-12
# What exponents and biases pay: see `fit_pool` and `share_of_class`.
_PENALTY, _PRICE = 4.0, 0.02


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
        targets: `(M, C)`, their true class probabilities (one-hot for class labels); a row of zeros does not
            count.
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
    start = rho.clamp(min=_FLOOR).log()

    def loss(a: Tensor, b: Tensor) -> Tensor:
        pooled = torch.einsum("s,snc->nc", a.clamp(min=0), ratios) + start + b
        unlikely = -(q * pooled.log_softmax(1)).sum()
        return unlikely + _PENALTY * ((a - even).square().sum() + b.square().sum())

    a, b = _minimised(loss, [even] * len(ratios), [0.0] * ratios.shape[2])
    return Pool(a.clamp(min=0), b, rho)


def share_of_class(by_class: Tensor, by_example: Tensor, given: Tensor) -> float:
    """How far the given labels follow the true class, from 0 to 1.

    Two models predict the given label: `m(y|x) = Σ_k p(k|x) T[k, y]`, in which only the class decides, and
    `r(y|x)`, trained on the given labels. If the class decides, r adds nothing to m. If a rule or a habit of
    an annotator decides, r predicts labels that m holds for chance. The pool `m^c r^d` is fitted to the given
    labels; the share is `c / (c + d)`, with c at most 1. A given label then tells about the class what
    `T[k, y]` to the power of this share says, because `r(y|x)` is the same for every class k. The fit pays
    `d² / 50` per example, so that the class is believed where both models say the same.

    Args:
        by_class: m, `(N, C)`.
        by_example: r, `(N, C)`. No model may have been trained on the label that it predicts.
        given: `(N,)`, the given labels.
    """
    rows = _some(*by_class.shape)
    views = torch.stack([p[rows].double().clamp(min=_FLOOR).log() for p in (by_class, by_example)])
    labels = given[rows].unsqueeze(1)

    def loss(free: Tensor) -> Tensor:
        pooled = torch.einsum("s,snc->nc", free.clamp(min=0), views)
        return -pooled.log_softmax(1).gather(1, labels).mean() + _PRICE * free[1].square()

    (free,) = _minimised(loss, [1.0, 0.1])
    c, d = free.clamp(min=0).tolist()
    c = min(c, 1.0)
    return float(c / (c + d)) if c + d > 0 else 1.0


def _some(size: int, classes: int) -> Tensor:
    if size * classes <= MAX_FITTED_ENTRIES:
        return torch.arange(size)
    # Drawn, because the order of rows may follow the classes; always the same rows.
    draw = torch.Generator().manual_seed(0)
    return torch.randperm(size, generator=draw)[: max(1, MAX_FITTED_ENTRIES // classes)]


def _ratio(p: Tensor, prior: Tensor) -> Tensor:
    return p.double().clamp(min=_FLOOR).log() - prior.clamp(min=_FLOOR).log()


def _minimised(loss: Callable[..., Tensor], *start: Sequence[float]) -> list[Tensor]:
    """The vectors at which `loss` is least, float64, found by L-BFGS from `start` on."""
    free = [torch.tensor(values, dtype=torch.float64, requires_grad=True) for values in start]
    optimizer = torch.optim.LBFGS(free, max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        with torch.enable_grad():
            value = loss(*free)
        value.backward()
        return value

    optimizer.step(closure)
    return [values.detach() for values in free]
