"""Images go to convolutions channels-last, and nobody can tell by the results."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gdw.hypergradient.inputs import MemoryFormat
from gdw.reweight import build

LAST = torch.channels_last


class Watched(nn.Module):
    """A small convolutional network that notes the format of every batch it gets."""

    def __init__(self, flatten: nn.Module | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()
        )
        self.flatten = flatten or nn.Flatten()
        # Dropout of images would draw in the order of memory: other numbers from the same seed.
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(8 * 6 * 6, 4)
        self.formats: list[bool] = []

    def forward(self, x: Tensor) -> Tensor:
        self.formats.append(x.is_contiguous(memory_format=LAST))
        logits: Tensor = self.head(self.drop(self.flatten(self.body(x))))
        return logits


class ByView(nn.Module):
    """What models do that take the order of numbers in memory for granted, after a random number."""

    def forward(self, x: Tensor) -> Tensor:
        return (x + 0.1 * torch.rand(())).view(len(x), -1)


def _batches(dtype: torch.dtype = torch.float32) -> Any:
    draw = torch.Generator().manual_seed(1)
    images = torch.randn(2, 10, 3, 6, 6, generator=draw).to(dtype)
    return [(x, torch.arange(10) % 4) for x in images]


def _step(model: nn.Module, *, channels_last: bool | None = None, **options: Any) -> Any:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.manual_seed(3)  # for the weighting network, and then for dropout
    reweighter = build("gdw", model, optimizer, preset="paper", **options)
    reweighter.channels_last = channels_last
    batch, meta = _batches(next(model.parameters()).dtype)
    result = reweighter.backward(batch, meta)
    return result, [p.grad for p in model.parameters()], torch.rand(())


@pytest.mark.parametrize("engine", ["finite_difference", "forward", "reference", "head"])
def test_the_format_changes_no_result(engine: str) -> None:
    model = Watched()
    other = copy.deepcopy(model)
    own, gradient, drawn = _step(model, hypergradient=engine)
    asked, expected, drawn_too = _step(other, channels_last=False, hypergradient=engine)
    assert model.formats[0]
    assert not any(other.formats)
    torch.testing.assert_close(own.logits, asked.logits, rtol=1e-4, atol=1e-5)
    # Rounding decides which kinks a finite difference in float32 crosses.
    near = 0.1 if engine == "finite_difference" else 1e-3
    for mine, theirs in [
        (own.hypergradient, asked.hypergradient),
        *zip(gradient, expected, strict=True),
    ]:
        assert torch.linalg.vector_norm(mine - theirs) <= near * torch.linalg.vector_norm(theirs)
    assert torch.equal(drawn, drawn_too)


def test_every_pass_of_a_step_has_the_format() -> None:
    model = Watched()
    _step(model)
    assert model.formats == [True] * 3


def test_a_model_that_refuses_gets_its_inputs_as_they_come_from_the_first_step() -> None:
    model, plain = Watched(ByView()), Watched(ByView())
    own, gradient, drawn = _step(model)
    asked, expected, drawn_too = _step(plain, channels_last=False)
    assert model.formats == [True, False, False, False]
    assert torch.equal(own.logits, asked.logits)
    assert all(torch.equal(a, b) for a, b in zip(gradient, expected, strict=True))
    # Neither BatchNorm's statistics nor the random numbers were used twice.
    assert torch.equal(drawn, drawn_too)
    kept = plain.state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())


def test_an_error_of_the_models_own_is_raised() -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("no such luck")

    with pytest.raises(RuntimeError, match="no such luck"):
        _step(Watched(Broken()))


def test_asked_for_it_is_not_given_up() -> None:
    with pytest.raises(RuntimeError, match="view"):
        _step(Watched(ByView()), channels_last=True)


def test_an_error_without_a_change_of_format_is_no_reason_to_try_again() -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("no such luck")

    wide = Watched(Broken()).double()
    with pytest.raises(RuntimeError, match="no such luck"):
        _step(wide)
    assert wide.formats == [False]


@pytest.mark.parametrize("how", ["in place", "wrapped"])
def test_a_compiled_model_chooses_for_itself(how: str) -> None:
    model = Watched()
    if how == "in place":
        model.compile(backend="eager")
        compiled: nn.Module = model
    else:
        compiled = torch.compile(model, backend="eager")  # type: ignore[assignment]
    images = torch.randn(4, 3, 6, 6)
    assert MemoryFormat().apply(compiled, images) is images
    asked = MemoryFormat()
    asked.channels_last = True
    assert asked.apply(compiled, images.double()).is_contiguous(memory_format=LAST)


def test_inputs_in_64_bits_and_models_without_convolutions_are_left_alone() -> None:
    wide = Watched().double()
    _step(wide)
    assert not any(wide.formats)
    flat = Watched()
    flat.body, flat.head = nn.Identity(), nn.Linear(3 * 6 * 6, 4)
    _step(flat)
    assert not any(flat.formats)


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32, torch.bfloat16, torch.float64])
def test_on_a_gpu_bytes_are_converted_too(kind: torch.dtype) -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    model = nn.Conv2d(3, 4, 3)
    with FakeTensorMode():
        images = torch.empty(2, 3, 5, 6, dtype=kind, device="cuda")
        found = MemoryFormat().apply(model, images)
        is_last = found.is_contiguous(memory_format=LAST)
    assert is_last == (kind != torch.float64)
    assert MemoryFormat().apply(model, torch.empty(2, 3, 5, 6, dtype=torch.uint8)).is_contiguous()
