"""The class-level gradient against autograd, closed forms and a loop."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gdw import functional as GF
from gdw.errors import ConfigError, DataError
from gdw.functional.losses import count_examples, resolve_loss
from tests import textbook


def logits_of(n: int, c: int, *rest: int, scale: float = 3.0, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(n, c, *rest, dtype=torch.float64, generator=generator)


def by_autograd(logits: Tensor, targets: Tensor, **options: float) -> Tensor:
    leaf = logits.clone().requires_grad_()
    F.cross_entropy(leaf, targets, reduction="sum", **options).backward()
    assert leaf.grad is not None
    return leaf.grad


@pytest.mark.parametrize("c", [2, 3, 10, 1000])
def test_index_targets_equal_the_textbook_loop_and_autograd(c: int) -> None:
    z, y = logits_of(4, c), torch.tensor([0, 1, c - 1, 0])
    d1 = GF.class_gradient(z, y)
    torch.testing.assert_close(d1, by_autograd(z, y), rtol=0, atol=1e-14)
    if c <= 10:
        torch.testing.assert_close(d1, textbook.class_gradient(z, y), rtol=0, atol=1e-14)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("rest", [(), (5,), (3, 2)])
@pytest.mark.parametrize("soft", [False, True])
def test_equals_autograd_for_soft_smoothed_and_dense_targets(
    soft: bool, rest: tuple[int, ...], smoothing: float
) -> None:
    z = logits_of(6, 4, *rest)
    y = logits_of(6, 4, *rest, seed=1).softmax(1) if soft else torch.randint(4, (6, *rest))
    d1 = GF.class_gradient(z, y, label_smoothing=smoothing)
    torch.testing.assert_close(d1, by_autograd(z, y, label_smoothing=smoothing), rtol=0, atol=1e-14)
    assert d1.sum(1).abs().max() < 1e-14


def test_ignored_positions_have_no_loss_no_gradient_and_are_not_counted() -> None:
    z = logits_of(2, 3, 4)
    y = torch.tensor([[0, -100, 2, 1], [-100, -100, 1, 0]])
    losses = GF.cross_entropy(z, y)
    d1 = GF.class_gradient(z, y)
    assert torch.equal(d1.abs().sum(1) == 0, y == -100)
    assert torch.equal(losses == 0, y == -100)
    assert count_examples(losses, y) == 5
    leaf = z.clone().requires_grad_()
    F.cross_entropy(leaf, y).backward()
    torch.testing.assert_close(d1 / count_examples(losses, y), leaf.grad, rtol=0, atol=1e-14)


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 30), st.integers(1, 8), st.floats(0.01, 200), st.integers(0, 10_000))
def test_sums_to_zero_whatever_the_scale(c: int, n: int, scale: float, seed: int) -> None:
    z = logits_of(n, c, scale=scale, seed=seed)
    d1 = GF.class_gradient(z, torch.arange(n) % c)
    assert d1.sum(1).abs().max() < 1e-13
    assert GF.sums_to_zero(d1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    z, y = logits_of(4, 5).to(dtype), torch.tensor([0, 1, 2, 3])
    d1 = GF.class_gradient(z, y)
    assert d1.dtype == torch.float32
    torch.testing.assert_close(d1, GF.class_gradient(z.float(), y))
    assert GF.cross_entropy(z, y).dtype == torch.float32


def test_cross_entropy_passes_gradcheck() -> None:
    z, y = logits_of(3, 4).requires_grad_(), torch.tensor([0, 3, 1])
    assert torch.autograd.gradcheck(lambda t: GF.cross_entropy(t, y, label_smoothing=0.1), (z,))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("kind", ["indices", "ignored", "dense", "soft"])
def test_loss_and_gradient_of_one_softmax_equal_those_of_two(kind: str, smoothing: float) -> None:
    z, y = logits_of(5, 3), torch.tensor([0, 2, 1, 1, 0])
    if kind == "ignored":
        y[1] = GF.IGNORE_INDEX
        z[1, 0] = -torch.inf  # what is ignored may be anything
    elif kind == "dense":
        z, y = logits_of(10, 3).reshape(5, 2, 3).transpose(1, 2), torch.randint(3, (5, 2))
    elif kind == "soft":
        y = torch.rand(5, 3, dtype=torch.float64).softmax(1)
    before = z.clone()
    losses, d1 = GF.cross_entropy_with_gradient(z, y, label_smoothing=smoothing)
    kept = losses == losses if kind != "ignored" else y != GF.IGNORE_INDEX
    expected = GF.cross_entropy(z, y, label_smoothing=smoothing)
    torch.testing.assert_close(losses[kept], expected[kept], rtol=1e-13, atol=1e-14)
    expected = GF.class_gradient(z, y, label_smoothing=smoothing)
    torch.testing.assert_close(d1, expected, rtol=1e-13, atol=1e-14)
    assert torch.equal(z, before)


def test_any_loss_by_autograd_equals_its_closed_form() -> None:
    z, y = logits_of(5, 3), torch.rand(5, 3, dtype=torch.float64)
    losses, d1 = resolve_loss("binary_cross_entropy").with_gradient(z, y)
    torch.testing.assert_close(d1, z.sigmoid() - y, rtol=0, atol=1e-14)
    assert losses.shape == (5,)
    assert not d1.requires_grad
    assert not losses.requires_grad
    assert not GF.sums_to_zero(d1)


def test_the_logits_and_their_graph_are_left_alone() -> None:
    z = logits_of(4, 3).requires_grad_()
    before = z.detach().clone()
    d1 = GF.class_gradient(z, torch.tensor([0, 1, 2, 0]))
    assert torch.equal(z.detach(), before)
    assert not d1.requires_grad
    assert z.grad is None


def test_wrong_shapes_say_what_was_expected() -> None:
    with pytest.raises(DataError, match=r"must have shape \(4,\).*got \(3,\)"):
        GF.class_gradient(logits_of(4, 3), torch.zeros(3, dtype=torch.long))
    with pytest.raises(DataError, match="class probabilities must have shape"):
        GF.class_gradient(logits_of(4, 3), torch.zeros(4, 2))
    with pytest.raises(DataError, match="needs two logits"):
        GF.class_gradient(torch.zeros(4), torch.zeros(4))
    with pytest.raises(DataError, match="reduction='none'"):
        resolve_loss(F.cross_entropy).with_gradient(logits_of(2, 3), torch.tensor([0, 1]))


def test_unknown_loss_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'cross_entropy'"):
        resolve_loss("crossentropy")
    with pytest.raises(ConfigError, match="label_smoothing goes with"):
        resolve_loss("binary_cross_entropy", label_smoothing=0.1)
