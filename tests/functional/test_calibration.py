"""Pools of opinions: weights by likelihood, against a slow search and closed forms."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gdw.errors import DataError
from gdw.functional import posterior
from gdw.functional.posterior import log_linear_pool

F64 = torch.float64
EVEN = torch.full((3,), 1 / 3)
T = torch.tensor([[0.7, 0.2, 0.1], [0.0, 0.8, 0.2], [0.3, 0.0, 0.7]], dtype=F64)


def _world(size: int = 3000) -> tuple[Tensor, Tensor]:
    """Exact posteriors of the true class, and labels given through T."""
    draw = torch.Generator().manual_seed(0)
    p = torch.randn(size, 3, dtype=F64, generator=draw).mul(2).softmax(1)
    true = p.multinomial(1, generator=draw).squeeze(1)
    return p, T[true].multinomial(1, generator=draw).squeeze(1)


def _likelihood(p: Tensor, given: Tensor, weight: Tensor) -> float:
    """As the docstring says it, example by example."""
    total = 0.0
    for row, label in zip(p, given.tolist(), strict=True):
        seen = sum(float(row[k] * weight[k] * T[k, label]) for k in range(3))
        total += torch.tensor(seen / float((row * weight).sum())).log().item()
    return total / len(p)


def test_what_knows_is_believed_and_noise_is_not() -> None:
    p, given = _world()
    other = torch.rand(len(p), 3, dtype=F64, generator=torch.Generator().manual_seed(1)).softmax(1)
    pooled, weights = log_linear_pool(
        [p, other], given, transition=T, prior=EVEN, class_weight=torch.ones(3)
    )
    assert weights[0] == pytest.approx(1, abs=0.1)
    assert weights[1] < 0.2
    assert torch.allclose(pooled.sum(1), torch.ones(len(p), dtype=F64))
    assert (pooled - p).abs().mean() < 0.02


def test_one_that_is_too_sure_is_tempered() -> None:
    p, given = _world()
    (pooled, weights) = log_linear_pool(
        [p**2], given, transition=T, prior=EVEN, class_weight=torch.ones(3)
    )
    assert weights[0] == pytest.approx(1 / 2, abs=0.05)
    torch.testing.assert_close(pooled, (p**2).log().mul(weights[0]).softmax(1))


def test_no_weights_of_a_grid_make_the_labels_likelier() -> None:
    p, given = _world(300)
    draw = torch.Generator().manual_seed(2)
    views = [(p.log() + torch.randn(300, 3, dtype=F64, generator=draw)).softmax(1) for _ in "ab"]
    weight = torch.tensor([0.5, 1.0, 1.5], dtype=F64)
    pooled, weights = log_linear_pool(views, given, transition=T, prior=EVEN, class_weight=weight)
    best = _likelihood(pooled, given, weight)
    for a in torch.linspace(0.01, 1.2, 7).tolist():
        for b in torch.linspace(0.01, 1.2, 7).tolist():
            other = (a * views[0].log() + b * views[1].log()).softmax(1)
            assert _likelihood(other, given, weight) <= best + 1e-6, (a, b, weights)


def test_weights_of_many_rows_come_from_some(monkeypatch: pytest.MonkeyPatch) -> None:
    p, given = _world(9000)
    monkeypatch.setattr(posterior, "MAX_FITTED_ENTRIES", 9000)
    pooled, weights = log_linear_pool(
        [p], given, transition=T, prior=EVEN, class_weight=torch.ones(3)
    )
    assert weights[0] == pytest.approx(1, abs=0.1)
    torch.testing.assert_close(pooled, p.log().mul(weights[0]).softmax(1))
    _, again = log_linear_pool([p], given, transition=T, prior=EVEN, class_weight=torch.ones(3))
    assert torch.equal(weights, again)


def test_the_class_frequencies_of_the_opinions_count_once() -> None:
    """Two independent views of each example, both under a prior that is far from even."""
    draw = torch.Generator().manual_seed(3)
    rho = torch.tensor([0.8, 0.1, 0.1], dtype=F64)
    true = torch.arange(6000) % 3
    given = T[true].multinomial(1, generator=draw).squeeze(1)
    centres = 1.5 * torch.eye(3, dtype=F64)
    views = [centres[true] + torch.randn(6000, 3, dtype=F64, generator=draw) for _ in "ab"]
    evidence = [-torch.cdist(x, centres).square() / 2 for x in views]
    opinions = [(rho.log() + e).softmax(1) for e in evidence]
    # The examples themselves are even: from ρ to a third each.
    pooled, weights = log_linear_pool(
        opinions, given, transition=T, prior=rho, class_weight=1 / (3 * rho)
    )
    assert weights.tolist() == pytest.approx([1, 1], abs=0.15)
    exact = (rho.log() + evidence[0] + evidence[1]).softmax(1)
    assert (pooled - exact).abs().mean() < 0.01


@pytest.mark.parametrize("size", [4, 300])
@pytest.mark.parametrize("sure", [0.9, 1.0])
def test_weights_of_opinions_without_a_doubt_stay_finite(size: int, sure: float) -> None:
    true = torch.arange(size) % 3
    p = torch.full((size, 3), (1 - sure) / 2, dtype=F64)
    p[torch.arange(size), true] = sure
    eye = torch.eye(3, dtype=F64)
    pooled, weights = log_linear_pool(
        [p, p.flip(0), p], true, transition=eye, prior=EVEN, class_weight=torch.ones(3)
    )
    assert ((weights >= 0) & (weights <= 20)).all()
    assert torch.equal(pooled.argmax(1), true)


def test_opinions_that_are_not_finite_are_refused() -> None:
    p = torch.full((4, 3), torch.nan)
    with pytest.raises(DataError, match="finite"):
        log_linear_pool(
            [p], torch.zeros(4).long(), transition=T, prior=EVEN, class_weight=torch.ones(3)
        )
