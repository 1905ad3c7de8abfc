"""Head mode with `torch.compile`: the same to the bit as without, where the code is the same."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gdw.errors import ModelError
from gdw.reweight import GDW
from tests.hypergradient.cases import F64
from tests.hypergradient.test_head import Scaled


def of_model(model: nn.Module) -> Any:
    return torch.compile(model, backend="eager", fullgraph=True)


def in_place(model: nn.Module) -> Any:
    model.compile(backend="eager", fullgraph=True)
    return model


def used_before(model: nn.Module) -> Any:
    """Compiled code from before the reweighter was made calls no hook of it."""
    compiled, state = of_model(model), copy.deepcopy(model.state_dict())
    compiled(torch.randn(7, 5, dtype=F64))
    model.load_state_dict(state)
    return compiled


def first_layer(model: Any) -> Any:
    """The head is not compiled here."""
    model._modules["0"] = of_model(model._modules["0"])
    return model


def network() -> nn.Module:
    return nn.Sequential(
        nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Dropout(0.3), nn.Tanh(), nn.Linear(6, 3)
    )


BATCHES = 3


def steps(build: Callable[[], nn.Module], how: Callable[[nn.Module], Any]) -> list[Tensor]:
    """G of each step, and parameters and buffers after it."""
    torch.manual_seed(0)
    model = build().double()
    data = [
        (torch.randn(n, 5, dtype=F64), torch.randint(3, (n,)))
        for _ in range(BATCHES)
        for n in (7, 6)
    ]
    compiled = how(model)
    torch.manual_seed(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    reweighter = GDW(compiled, optimizer, hypergradient="head")
    found = []
    for batch, meta in zip(data[::2], data[1::2], strict=True):
        step = reweighter.backward(batch, meta)
        optimizer.step()
        optimizer.zero_grad()
        found += [step.hypergradient, *(t.clone() for t in model.state_dict().values())]
    return found


@pytest.mark.parametrize("how", [of_model, in_place, used_before, first_layer])
def test_a_compiled_model_takes_the_same_steps(how: Callable[[nn.Module], Any]) -> None:
    torch.compiler.reset()
    expected, found = steps(network, lambda model: model), steps(network, how)
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


def test_a_compiled_head_that_cannot_run_alone_is_refused() -> None:
    torch.compiler.reset()
    with pytest.raises(ModelError, match="compile only the parts before it"):
        steps(Scaled, of_model)


def test_the_hook_goes_with_the_reweighter() -> None:
    torch.compiler.reset()
    model = network()
    compiled: Any = torch.compile(model, backend="eager")
    batch = torch.randn(7, 5), torch.randint(3, (7,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    reweighter = GDW(compiled, optimizer, hypergradient="head", head="4")
    reweighter.backward(batch, batch)
    assert len(model[4]._forward_hooks) == 1
    del reweighter
    assert not model[4]._forward_hooks
    compiled(batch[0])
