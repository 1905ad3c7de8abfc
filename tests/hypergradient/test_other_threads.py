"""Another thread that draws from PyTorch's global generator while a pass repeats its random numbers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from gdw.errors import ModelError
from gdw.hypergradient import ENGINES, Problem
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
    with pytest.raises(
        ModelError, match=r"drew other random numbers .* another thread draws .* torch.Generator of"
    ):
        hypergradient("dropout", engine, passes)


@ENGINE
def test_a_model_without_random_layers_is_not_disturbed(engine: str) -> None:
    expected = hypergradient("batch_norm", engine, ())
    assert torch.equal(hypergradient("batch_norm", engine, tuple(range(1, 20))), expected)


class DrawsOnce(nn.Module):
    """Draws when it is first called only, as cuDNN's recurrent layers and lazy layers do."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.noise = nn.Linear(5, 3).double(), torch.zeros(())

    def forward(self, x: Tensor) -> Tensor:
        if not self.noise:
            self.noise = torch.rand(())
        logits: Tensor = self.layer(x) * self.noise
        return logits


def test_a_layer_that_draws_when_it_is_first_called() -> None:
    case = make("batch_norm")
    model = DrawsOnce()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    problem = Problem.of(model, optimizer, case.problem.loss)
    training_pass = problem.training_pass(case.batch)
    weights = torch.ones_like(training_pass.class_gradient)
    g = ENGINES["finite_difference"](problem, training_pass, weights, case.meta).values
    again = problem.training_pass(case.batch)
    assert torch.equal(g, ENGINES["finite_difference"](problem, again, weights, case.meta).values)
