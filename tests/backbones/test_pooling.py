"""Pooling over tokens against plain loops, and networks of static vectors."""

import pytest
import torch
from torch import nn

from gdw.backbones.pooling import Pooling
from gdw.backbones.text_networks import StaticVectors, TextNetwork
from gdw.errors import ConfigError

LENGTHS = (4, 1, 3)


def by_loops(mode, vectors, lengths):
    rows = []
    for row, length in zip(vectors, lengths, strict=True):
        tokens = [row[k] for k in range(length)]
        if mode == "cls":
            rows.append(tokens[0])
        elif mode == "lasttoken":
            rows.append(tokens[-1])
        elif mode == "max":
            rows.append(torch.stack(tokens).max(0).values)
        elif mode == "weightedmean":
            weights = range(1, length + 1)
            rows.append(sum(w * t for w, t in zip(weights, tokens, strict=True)) / sum(weights))
        else:
            root = length**0.5 if mode == "mean_sqrt_len_tokens" else length
            rows.append(sum(tokens) / root)
    return torch.stack(rows)


@pytest.fixture
def vectors():
    return torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


MASK = torch.arange(4) < torch.tensor(LENGTHS).unsqueeze(1)
MODES = ["mean", "cls", "max", "lasttoken", "mean_sqrt_len_tokens", "weightedmean"]


@pytest.mark.parametrize("mode", MODES)
def test_pooling_and_its_gradient_are_those_of_plain_loops(mode, vectors):
    ours, theirs = vectors.clone().requires_grad_(), vectors.clone().requires_grad_()
    found, expected = Pooling(mode)(ours, MASK), by_loops(mode, theirs, LENGTHS)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    weights = torch.randn(3, 5, dtype=torch.float64)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mode", ["mean", "mean_sqrt_len_tokens", "weightedmean"])
def test_pooling_passes_gradcheck(mode, vectors):
    assert torch.autograd.gradcheck(lambda v: Pooling(mode)(v, MASK), vectors.requires_grad_())


def test_several_modes_are_put_together(vectors):
    found = Pooling("cls", "max")(vectors, MASK)
    assert torch.equal(found[:, 5:], Pooling("max")(vectors, MASK))
    with pytest.raises(
        ConfigError, match=r"expected one of the poolings mean, .*found \['median'\]"
    ):
        Pooling("median")


@pytest.mark.parametrize("mode", MODES)
def test_a_text_without_tokens_is_finite(mode, vectors):
    assert Pooling(mode)(vectors, torch.zeros(3, 4, dtype=torch.bool)).isfinite().all()


def test_static_vectors_are_the_mean_over_the_tokens():
    network = StaticVectors(6, 3).double()
    found = network(torch.tensor([[1, 2, 2], [4, -1, -1]]))
    vectors = network.embedding.weight
    torch.testing.assert_close(found[0], (vectors[1] + 2 * vectors[2]) / 3)
    torch.testing.assert_close(found[1], vectors[4])


def test_the_transformer_gets_its_own_padding_and_the_mask():
    class Fake(nn.Module):
        def forward(self, input_ids, attention_mask):
            assert input_ids.tolist() == [[3, 5], [4, 7]]
            assert attention_mask.tolist() == [[1, 1], [1, 0]]
            return input_ids.unsqueeze(2).double()

    assert TextNetwork(Fake(), pad=7)(torch.tensor([[3, 5], [4, -1]])).tolist() == [[4], [4]]
