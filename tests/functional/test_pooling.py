"""Pools of predictions: exponents and bias by likelihood, against a slow search and closed forms."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gdw.errors import DataError
from gdw.functional.pooling import Pool, fit_pool

F64 = torch.float64
EVEN = torch.full((3,), 1 / 3, dtype=F64)


def _world(size: int = 3000) -> tuple[Tensor, Tensor]:
    """Exact posteriors of the true class, and classes drawn from them, one-hot."""
    draw = torch.Generator().manual_seed(0)
    p = torch.randn(size, 3, dtype=F64, generator=draw).mul(2).softmax(1)
    true = p.multinomial(1, generator=draw).squeeze(1)
    return p, torch.nn.functional.one_hot(true, 3).to(F64)


def _slowly(predictions: list[Tensor], prior: Tensor, pool: Pool) -> Tensor:
    """As the docstring says it, entry by entry."""
    rows = torch.empty_like(predictions[0])
    for i in range(len(rows)):
        for k in range(rows.shape[1]):
            value = prior[k] * pool.bias[k].exp()
            for a, p in zip(pool.exponents.tolist(), predictions, strict=True):
                value = value * (p[i, k] / prior[k]) ** a
            rows[i, k] = value
        rows[i] /= rows[i].sum()
    return rows


def test_the_pool_is_its_formula() -> None:
    p, _ = _world(6)
    q, prior = p.flip(0), torch.tensor([0.5, 0.3, 0.2], dtype=F64)
    pool = Pool(torch.tensor([0.7, 0.4], dtype=F64), torch.tensor([0.1, 0.0, -0.3]).double(), prior)
    torch.testing.assert_close(pool([p, q]), _slowly([p, q], prior, pool))


def test_what_knows_is_believed_and_noise_is_not() -> None:
    p, q = _world()
    other = torch.rand(len(p), 3, dtype=F64, generator=torch.Generator().manual_seed(1)).softmax(1)
    pool = fit_pool([p, other], q, prior=EVEN)
    assert pool.exponents[0] == pytest.approx(1, abs=0.1)
    assert pool.exponents[1] < 0.3
    assert (pool([p, other]) - p).abs().mean() < 0.02


@pytest.mark.parametrize("power", [0.5, 2.0])
def test_one_that_is_too_sure_or_too_modest_is_calibrated(power: float) -> None:
    p, q = _world()
    pool = fit_pool([(p**power) / (p**power).sum(1, keepdim=True)], q, prior=EVEN)
    assert float(pool.exponents[0]) == pytest.approx(1 / power, rel=0.1)


def test_the_bias_restores_the_frequencies_of_the_classes() -> None:
    p, q = _world()
    tilted = p * torch.tensor([4.0, 1.0, 1.0], dtype=F64)
    tilted = tilted / tilted.sum(1, keepdim=True)
    pool = fit_pool([tilted], q, prior=EVEN)
    assert (tilted.mean(0) - q.mean(0)).abs().max() > 0.15
    torch.testing.assert_close(pool([tilted]).mean(0), q.mean(0), rtol=0, atol=0.01)


def test_no_pool_near_it_makes_the_classes_likelier() -> None:
    p, q = _world(300)
    draw = torch.Generator().manual_seed(2)
    views = [(p.log() + torch.randn(300, 3, dtype=F64, generator=draw)).softmax(1) for _ in "ab"]
    prior = torch.tensor([0.5, 0.3, 0.2], dtype=F64)
    pool = fit_pool(views, q, prior=prior)

    def worth(a: Tensor, b: Tensor) -> float:
        likelihood = (q * Pool(a, b, prior)(views).log()).sum()
        return float(likelihood - 4 * ((a - 0.5).square().sum() + b.square().sum()))

    best = worth(pool.exponents, pool.bias)
    for k in range(2):
        for step in (-0.02, 0.02):
            moved = pool.exponents.clone()
            moved[k] += step
            assert worth(moved, pool.bias) < best
    for k in range(3):
        for step in (-0.02, 0.02):
            tilted = pool.bias.clone()
            tilted[k] += step
            assert worth(pool.exponents, tilted) < best


def test_an_opinion_that_misleads_gets_no_exponent_rather_than_a_negative_one() -> None:
    p, q = _world(900)
    pool = fit_pool([p, p.roll(1, dims=1)], q, prior=EVEN)
    assert pool.exponents[1] == pytest.approx(0, abs=0.03)
    assert (pool.exponents >= 0).all()


def test_the_class_frequencies_of_the_opinions_count_once() -> None:
    """Two independent views of each example, both under a prior that is far from even."""
    draw = torch.Generator().manual_seed(3)
    rho = torch.tensor([0.8, 0.1, 0.1], dtype=F64)
    true = rho.expand(6000, 3).multinomial(1, generator=draw).squeeze(1)
    centres = 1.5 * torch.eye(3, dtype=F64)
    views = [centres[true] + torch.randn(6000, 3, dtype=F64, generator=draw) for _ in "ab"]
    evidence = [-torch.cdist(x, centres).square() / 2 for x in views]
    opinions = [(rho.log() + e).softmax(1) for e in evidence]
    pool = fit_pool(opinions, torch.nn.functional.one_hot(true, 3), prior=rho)
    assert pool.exponents.tolist() == pytest.approx([1, 1], abs=0.15)
    exact = (rho.log() + evidence[0] + evidence[1]).softmax(1)
    assert (pool(opinions) - exact).abs().mean() < 0.01


def test_examples_without_a_class_do_not_count() -> None:
    draw = torch.Generator().manual_seed(4)
    p = torch.rand(40, 3, dtype=F64, generator=draw).softmax(1)
    q = torch.nn.functional.one_hot(torch.arange(40) % 3, 3).to(F64)
    some = torch.cat([q[:25], torch.zeros_like(q[25:])])
    expected = fit_pool([p[:25], p[:25] ** 2], q[:25], prior=EVEN)
    found = fit_pool([p, p**2], some, prior=EVEN)
    torch.testing.assert_close(found.exponents, expected.exponents)
    torch.testing.assert_close(found.bias, expected.bias)
    none = fit_pool([p, p**2], torch.zeros_like(q), prior=EVEN)
    assert none.exponents.tolist() == [0.5, 0.5]
    assert not none.bias.any()


@pytest.mark.parametrize("size", [1, 4, 300])
def test_opinions_without_a_doubt_keep_exponents_finite(size: int) -> None:
    true = torch.arange(size) % 3
    p = torch.nn.functional.one_hot(true, 3).to(F64)
    pool = fit_pool([p, p], p, prior=EVEN)
    assert pool.exponents.isfinite().all()
    assert torch.equal(pool([p, p]).argmax(1), true)
    assert pool.exponents.sum() == pytest.approx(1, abs=0.3)


def test_opinions_that_are_not_finite_are_refused() -> None:
    p = torch.full((4, 3), torch.nan)
    with pytest.raises(DataError, match="finite"):
        fit_pool([p], torch.eye(4, 3), prior=EVEN)
