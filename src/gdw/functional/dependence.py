"""Whether wrong labels follow the true class, or the example itself."""

from __future__ import annotations

import torch
from torch import Tensor

MAX_FITTED_ENTRIES = 4_000_000
"""The largest number `N · C` of entries that the two exponents are fitted on."""

_FLOOR = 1e-12
_PRICE = 0.02


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
    free = torch.tensor([1.0, 0.1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([free], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        with torch.enable_grad():
            pooled = torch.einsum("s,snc->nc", free.clamp(min=0), views)
            value = -pooled.log_softmax(1).gather(1, labels).mean() + _PRICE * free[1].square()
        value.backward()
        return value

    optimizer.step(loss)
    c, d = free.detach().clamp(min=0).tolist()
    c = min(c, 1.0)
    return float(c / (c + d)) if c + d > 0 else 1.0


def _some(size: int, classes: int) -> Tensor:
    if size * classes <= MAX_FITTED_ENTRIES:
        return torch.arange(size)
    # Drawn, because the order of rows may follow the classes; always the same rows.
    draw = torch.Generator().manual_seed(0)
    return torch.randperm(size, generator=draw)[: max(1, MAX_FITTED_ENTRIES // classes)]
