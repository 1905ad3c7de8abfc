"""Another thread that draws from PyTorch's global generator while a pass repeats its random numbers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from gdw.errors import ModelError
from gdw.hypergradient import ENGINES
from tests.hypergradient.cases import make

ENGINE = pytest.mark.parametrize("engine", ["finite_difference", "forward", "reference"])


@contextmanager
def drawing(model: nn.Module, passes: tuple[int, ...]) -> Iterator[None]:
    """Inside, another thread draws in the middle of these forward passes of `model`, counted from 1."""
    number = 0

    def draw(*_: object) -> None:
        nonlocal number
        number += 1
        if number in passes:
            thread = threading.Thread(target=torch.rand, args=(number,))
            thread.start()
            thread.join()

    handle = model[0].register_forward_hook(draw)  # type: ignore[operator,index]
    try:
        yield
    finally:
        handle.remove()


def hypergradient(name: str, engine: str, passes: tuple[int, ...]) -> Tensor:
    case = make(name)
    torch.manual_seed(5)
    with drawing(case.model, passes):
        training_pass = case.problem.training_pass(case.batch)
        weights = torch.ones_like(training_pass.class_gradient)
        return ENGINES[engine](case.problem, training_pass, weights, case.meta).values


REPLAY = {"reference": 2, "finite_difference": 3, "forward": 3}
"""The pass that repeats the training pass."""


@ENGINE
def test_a_disturbed_repetition_is_repeated(engine: str) -> None:
    expected = hypergradient("dropout", engine, ())
    assert torch.equal(hypergradient("dropout", engine, (REPLAY[engine],)), expected)


@ENGINE
@pytest.mark.parametrize("passes", [(1,), tuple(range(1, 20))])
def test_what_cannot_be_repeated_is_one_line(engine: str, passes: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match=r"another thread drew .* torch.Generator of its own"):
        hypergradient("dropout", engine, passes)


@ENGINE
def test_a_model_without_random_layers_is_not_disturbed(engine: str) -> None:
    expected = hypergradient("batch_norm", engine, ())
    assert torch.equal(hypergradient("batch_norm", engine, tuple(range(1, 20))), expected)
