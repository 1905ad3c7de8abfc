"""Two sets of inputs served as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gdw.data import Examples, Inputs
from gdw.data.examples import JoinedInputs as Joined
from gdw.errors import DataError


class Chunk:
    """Inputs that refuse what is not theirs."""

    def __init__(self, values: Tensor) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, indices: Sequence[int]) -> Tensor:
        assert all(0 <= i < len(self) for i in indices)
        return self.values[torch.as_tensor(np.asarray(indices))]


@given(st.integers(0, 5), st.integers(1, 5), st.lists(st.integers(-1000, 1000)))
def test_any_indices_are_those_of_the_concatenation(n: int, m: int, numbers: list[int]) -> None:
    whole = torch.arange(2.0 * (n + m)).reshape(-1, 2)
    joined = Joined(Chunk(whole[:n]), Chunk(whole[n:]))
    assert len(joined) == n + m
    indices = [number % (2 * (n + m)) - (n + m) for number in numbers]
    assert torch.equal(joined[indices], whole[indices] if indices else whole[:0])


def test_examples_over_joined_inputs_keep_each_target_with_its_input() -> None:
    images = torch.arange(6 * 3 * 4, dtype=torch.uint8).reshape(6, 3, 2, 2)
    joined = Joined(images[:4], Chunk(images[4:]))
    assert isinstance(joined, Inputs)
    examples = Examples(joined, torch.arange(6))
    inputs, targets = examples.__getitems__([5, 0, 4, 3])
    assert inputs.dtype == torch.uint8
    assert torch.equal(inputs, images[targets])
    assert torch.equal(examples[-1][0], images[5])


@pytest.mark.parametrize("second", [torch.zeros(2, 4), torch.zeros(2, 3, dtype=torch.float64)])
def test_inputs_of_another_shape_or_dtype_cannot_be_joined(second: Tensor) -> None:
    with pytest.raises(DataError, match="cannot join examples of shape"):
        Joined(torch.zeros(2, 3), second)
