"""Examples: whole batches, tensors or encoded inputs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from gdw.data import EpochBatches, Examples, Inputs
from gdw.errors import DataError


class Doubled:
    """Inputs that are computed a batch at a time."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.reads: list[list[int]] = []

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, indices: Sequence[int]) -> Tensor:
        self.reads.append(list(indices))
        return torch.tensor([[2.0 * i] for i in indices])


def test_a_loader_gives_whole_batches_in_order() -> None:
    inputs = Doubled(10)
    assert isinstance(inputs, Inputs)
    examples = Examples(inputs, torch.arange(10))
    batches = EpochBatches(10, 4, seed=0, epoch=0)
    for expected, (x, y) in zip(batches, examples.loader(batches), strict=True):
        assert y.tolist() == expected
        assert torch.equal(x, 2.0 * y[:, None])
    assert inputs.reads == list(batches)


def test_tensors_and_single_examples() -> None:
    x, y = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), torch.eye(6)
    examples = Examples(x, y)
    assert len(examples) == 6
    inputs, targets = examples.__getitems__([4, 1])
    assert torch.equal(inputs, x[[4, 1]])
    assert torch.equal(targets, y[[4, 1]])
    one, target = examples[5]
    assert torch.equal(one, x[5])
    assert torch.equal(target, y[5])


def test_lengths_must_agree() -> None:
    with pytest.raises(DataError, match="3 inputs but 2 targets"):
        Examples(torch.zeros(3, 1), torch.zeros(2))
