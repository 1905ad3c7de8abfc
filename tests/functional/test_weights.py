"""Class-level weights: constraint, second stage, and the weighted gradient, against loops and identities."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gdw import functional as GF
from gdw.errors import DataError
from tests import textbook

F64 = torch.float64


def case(
    n: int = 6, c: int = 4, scale: float = 2.0, seed: int = 0, low: float = 0.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Class gradients `(n, c)`, weights `(n, c)` and index targets `(n,)`."""
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(n, c, dtype=F64, generator=generator)
    targets = torch.randint(c, (n,), generator=generator)
    weights = low + (2 - low) * torch.rand(n, c, dtype=F64, generator=generator)
    return GF.class_gradient(logits, targets), weights, targets


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 20), st.integers(1, 9), st.floats(0.1, 3), st.integers(0, 9999))
def test_zero_mean_equals_the_papers_formula_and_sums_to_zero(
    c: int, n: int, scale: float, seed: int
) -> None:
    d1, weights, targets = case(n, c, scale, seed, low=-1.0)
    fixed = GF.zero_mean(weights, d1)
    torch.testing.assert_close(
        fixed, textbook.zero_mean(weights, d1, targets), rtol=1e-9, atol=1e-12
    )
    believed = d1.gather(1, targets.unsqueeze(1)).squeeze(1) + 1 <= 0.999
    assert ((fixed * d1).sum(1).abs()[believed] < 1e-12).all()
    others = torch.ones_like(d1, dtype=torch.bool).scatter_(1, targets.unsqueeze(1), False)
    assert torch.equal(fixed[others], weights[others])


@settings(max_examples=40, deadline=None)
@given(st.floats(1, 300), st.integers(0, 9999))
def test_without_the_cap_the_sum_is_zero_however_sure_the_model_is(scale: float, seed: int) -> None:
    d1, weights, _ = case(scale=scale, seed=seed)
    assert (GF.zero_mean(weights, d1, cap=1.0) * d1).sum(1).abs().max() < 1e-12


def test_the_cap_is_that_of_the_paper() -> None:
    # p_t = 0.9995: the denominator is 1 - 0.999, so the mean weight of 2 counts half.
    d1 = torch.tensor([[-0.0005, 0.0003, 0.0002]], dtype=F64)
    fixed = GF.zero_mean(torch.full_like(d1, 2.0), d1)
    torch.testing.assert_close(fixed[0, 0], torch.tensor(1.0, dtype=F64), rtol=1e-9, atol=0)
    # p_t = 0.9985, below the cap: the whole mean.
    fixed = GF.zero_mean(torch.full_like(d1, 2.0), 3 * d1)
    torch.testing.assert_close(fixed[0, 0], torch.tensor(2.0, dtype=F64), rtol=1e-9, atol=0)


def test_beyond_the_cap_what_is_left_is_small_and_nothing_explodes() -> None:
    logits = torch.tensor([[30.0, 0.0, 0.0], [800.0, 0.0, 0.0]], dtype=F64)
    d1 = GF.class_gradient(logits, torch.tensor([0, 0]))
    fixed = GF.zero_mean(torch.full_like(d1, 2.0), d1)
    assert fixed.isfinite().all()
    assert (fixed * d1).sum(1).abs().max() < 2 * 1e-3


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_zero_mean_for_soft_smoothed_and_dense_targets(smoothing: float) -> None:
    torch.manual_seed(0)
    logits, q = torch.randn(5, 4, 3, dtype=F64), torch.randn(5, 4, 3, dtype=F64).softmax(1)
    d1 = GF.class_gradient(logits, q, label_smoothing=smoothing)
    fixed = GF.zero_mean(torch.rand_like(d1), d1)
    assert (fixed * d1).sum(1).abs().max() < 1e-12


def test_zero_mean_leaves_an_instance_weight_as_it_is() -> None:
    d1, _, _ = case()
    weights = torch.rand(6, 1, dtype=F64).expand(6, 4)
    torch.testing.assert_close(GF.zero_mean(weights, d1), weights.clone(), rtol=1e-12, atol=0)


def test_second_stage_equals_the_loop() -> None:
    _, weights, _ = case()
    g = torch.randn(6, 4, dtype=F64)
    got = GF.second_stage_weights(weights, g, outer_lr=3.0, clip=0.2)
    torch.testing.assert_close(got, textbook.second_stage(weights, g, 3.0, 0.2), rtol=0, atol=1e-12)
    assert (got - weights).abs().max() > 0.19  # some entries are clipped, others are not
    assert (got - weights).abs().min() < 0.05


def test_second_stage_bounds_norm_and_zero_gradient() -> None:
    weights = torch.tensor([[0.1, 1.0]], dtype=F64)
    g = torch.tensor([[1.0, -1.0]], dtype=F64)
    floor = GF.second_stage_weights(weights, g, outer_lr=100, clip=0.2)
    torch.testing.assert_close(floor, torch.tensor([[1e-6, 1.2]], dtype=F64))
    negative = GF.second_stage_weights(weights, g, outer_lr=100, clip=2, min_weight=-1)
    torch.testing.assert_close(negative, torch.tensor([[-1.0, 3.0]], dtype=F64))
    norm = GF.second_stage_weights(weights, g, outer_lr=1, clip=1, norm=torch.tensor(20.0))
    torch.testing.assert_close(norm, torch.tensor([[0.05, 1.05]], dtype=F64))
    ceiling = GF.second_stage_weights(weights, g, outer_lr=9, clip=2, max_weight=1.5)
    assert ceiling.max() == 1.5
    still = GF.second_stage_weights(weights, torch.zeros_like(g), outer_lr=100, clip=0.2)
    assert torch.equal(still, weights)


def test_positive_part_weights_sum_to_one_or_are_all_zero() -> None:
    g = torch.tensor([[1.0, 2.0], [-3.0, 1.0], [-4.0, -2.0]], dtype=F64)
    got = GF.positive_part_weights(g)
    torch.testing.assert_close(got, torch.tensor([0.0, 0.25, 0.75], dtype=F64))
    assert torch.equal(GF.positive_part_weights(g.abs()), torch.zeros(3, dtype=F64))


def model_and_batch() -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4)).double()
    return model, torch.randn(6, 3, dtype=F64), torch.randint(4, (6,))


def test_weighted_backward_equals_the_sum_over_whole_jacobians() -> None:
    model, x, y = model_and_batch()
    weights = torch.rand(6, 4, dtype=F64)
    logits = model(x)
    d1 = GF.class_gradient(logits, y)
    GF.weighted_backward(logits, weights, d1, 6.0)
    expected = textbook.weighted_gradient(textbook.jacobian_of_logits(model, x), d1, weights)
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.grad, expected[name], rtol=1e-10, atol=1e-14)


def test_instance_weights_give_the_gradient_of_the_weighted_mean_loss() -> None:
    model, x, y = model_and_batch()
    w = torch.rand(6, dtype=F64)
    logits = model(x)
    GF.weighted_backward(
        logits, GF.broadcast_instance_weights(w, logits), GF.class_gradient(logits, y), 6.0
    )
    got = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    (w * F.cross_entropy(model(x), y, reduction="none")).mean().backward()
    for a, p in zip(got, model.parameters(), strict=True):
        torch.testing.assert_close(a, p.grad, rtol=1e-12, atol=1e-14)


def test_broadcast_of_a_wrong_shape_says_so() -> None:
    with pytest.raises(DataError, match=r"must have shape \(6,\).*got \(5,\)"):
        GF.broadcast_instance_weights(torch.zeros(5), torch.zeros(6, 4))
