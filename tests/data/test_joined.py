"""Examples that are selected from others, and examples that are joined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gdw.data import Examples, Inputs
from gdw.data.examples import JoinedInputs, same_form
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
    joined = JoinedInputs(Chunk(whole[:n]), Chunk(whole[n:]))
    assert len(joined) == n + m
    indices = [number % (2 * (n + m)) - (n + m) for number in numbers]
    assert torch.equal(joined[indices], whole[indices] if indices else whole[:0])


def test_examples_over_joined_inputs_keep_each_target_with_its_input() -> None:
    images = torch.arange(6 * 3 * 4, dtype=torch.uint8).reshape(6, 3, 2, 2)
    joined = JoinedInputs(images[:4], Chunk(images[4:]))
    assert isinstance(joined, Inputs)
    examples = Examples(joined, torch.arange(6))
    inputs, targets = examples.__getitems__([5, 0, 4, 3])
    assert inputs.dtype == torch.uint8
    assert torch.equal(inputs, images[targets])
    assert torch.equal(examples[-1][0], images[5])


@pytest.mark.parametrize("second", [torch.zeros(2, 4), torch.zeros(2, 3, dtype=torch.float64)])
def test_inputs_of_another_shape_or_dtype_cannot_be_joined(second: Tensor) -> None:
    with pytest.raises(DataError, match="cannot join examples of shape"):
        JoinedInputs(torch.zeros(2, 3), second)


def test_three_parts_of_which_one_is_empty_are_joined_in_order() -> None:
    whole = torch.arange(14.0).reshape(7, 2)
    joined = JoinedInputs(whole[:3], whole[3:3], Chunk(whole[3:4]), Chunk(whole[4:]))
    assert len(joined) == 7
    order = [6, 0, 3, 4, -1, 2]
    assert torch.equal(joined[order], whole[order])


def test_selected_examples_are_in_the_order_of_the_rows() -> None:
    whole = torch.arange(10.0).reshape(5, 2)
    examples = Examples(Chunk(whole), torch.arange(5))
    selected = examples.select(np.array([4, 0, 4]))
    assert len(selected) == 3
    assert isinstance(selected.inputs, Inputs)
    assert selected.targets.tolist() == [4, 0, 4]
    assert torch.equal(selected.__getitems__([2, 1])[0], whole[[4, 0]])
    twice = selected.select(torch.tensor([1]))
    assert torch.equal(twice[0][0], whole[0])
    assert len(examples.select(np.array([], dtype=np.int64))) == 0


def test_classes_joined_with_probabilities_become_probabilities() -> None:
    classes = Examples(torch.zeros(2, 3), torch.tensor([2, 0]))
    likely = torch.tensor([[0.2, 0.3, 0.5]])
    joined = classes.joined(Examples(torch.ones(1, 3), likely), classes)
    expected = [[0, 0, 1], [1, 0, 0], [0.2, 0.3, 0.5], [0, 0, 1], [1, 0, 0]]
    assert torch.equal(joined.targets, torch.tensor(expected))
    assert joined.targets.dtype == torch.float32
    assert joined.__getitems__([4, 2])[0].tolist() == [[0, 0, 0], [1, 1, 1]]


def test_targets_of_one_form_stay_as_they_are() -> None:
    for targets in (
        [torch.tensor([1, 0]), torch.tensor([2])],
        [torch.eye(2), torch.full((1, 2), 0.5)],
    ):
        same = same_form(targets)
        assert all(one is other for one, other in zip(same, targets, strict=True))


class Several:
    """Inputs whose batches are a tuple or a mapping of tensors."""

    def __init__(self, values: Tensor, wrap: Callable[[Tensor], Any]) -> None:
        self.values, self.wrap = values, wrap

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, indices: Sequence[int]) -> Any:
        return self.wrap(self.values[torch.as_tensor(np.asarray(indices))])


def test_tuples_and_mappings_of_tensors_are_joined_too() -> None:
    whole = torch.arange(5.0)
    order = [4, 0, 3, 1]
    pairs = JoinedInputs(*(Several(part, lambda v: (v, -v)) for part in (whole[:2], whole[2:])))
    first, second = pairs[order]
    assert torch.equal(first, whole[order])
    assert torch.equal(second, -whole[order])
    named = JoinedInputs(*(Several(part, lambda v: {"ids": v}) for part in (whole[:2], whole[2:])))
    assert torch.equal(named[order]["ids"], whole[order])


def test_a_part_that_is_read_on_demand_makes_the_whole_so() -> None:
    slow = Chunk(torch.zeros(2, 3))
    slow.on_demand = True  # type: ignore[attr-defined]
    assert JoinedInputs(torch.zeros(1, 3), slow).on_demand
    assert not JoinedInputs(torch.zeros(1, 3)).on_demand
    assert Examples(slow, torch.zeros(2)).select(np.array([0])).inputs.on_demand
