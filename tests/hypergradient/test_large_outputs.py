"""Outputs with many classes are computed in parts: the same numbers, in the memory of plain training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gdw
from gdw.bench.memory import peak_bytes
from gdw.functional import weights
from gdw.hypergradient import head_only
from gdw.reweight.step_result import StepResult

F64 = torch.float64
WORDS = 60


class Tokens(nn.Module):
    """Logits `(N·T, C)` of tokens `(N, T)`."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.embed, self.norm = nn.Embedding(WORDS, width), nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(torch.tanh(self.norm(self.embed(tokens)))).flatten(0, 1)


def batches(n: int, t: int, classes: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    train, meta = (
        (
            torch.randint(WORDS, (n, t), generator=generator),
            torch.randint(classes, (n * t,), generator=generator),
        )
        for _ in range(2)
    )
    train[1][2] = meta[1][1] = -100
    return train, meta


def step(method: str, width: int, **options: Any) -> tuple[StepResult, list[Tensor]]:
    torch.manual_seed(0)
    model = Tokens(7, width).double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    reweighter = gdw.reweight.build(method, model, optimizer, **options)
    result = reweighter.backward(*batches(4, 3, 7))
    return result, [p.grad for p in model.parameters() if p.grad is not None]


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes every tensor a large one, in parts of a few rows."""

    def switch() -> None:
        monkeypatch.setattr(weights, "_LARGE", 40)
        monkeypatch.setattr(head_only, "_PART", 5)

    return switch


@pytest.mark.parametrize("width", [3, 90])  # the head by its weights, and by the examples
@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("gdw", {}),
        ("gdw", {"retain_graph": True}),
        ("gdw", {"preset": "short"}),
        ("gdw", {"hypergradient": "head"}),
        ("gdw", {"hypergradient": "head", "preset": "short", "min_weight": -1.0}),
        ("mwn", {"hypergradient": "head"}),
        ("l2rw", {"hypergradient": "head"}),
        ("l2rw", {}),
    ],
    ids=str,
)
def test_parts_give_the_same_numbers(
    method: str, options: dict[str, Any], width: int, in_parts: Callable[[], None]
) -> None:
    whole, gradients = step(method, width, **options)
    in_parts()
    parts, others = step(method, width, **options)
    for name in ("loss", "meta_loss", "logits", "hypergradient", "weights"):
        torch.testing.assert_close(
            getattr(parts, name), getattr(whole, name), rtol=1e-7, atol=1e-12
        )
    for a, b in zip(others, gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"hypergradient": "head"}], ids=str)
def test_weights_in_the_memory_of_the_hypergradient_are_the_same(
    options: dict[str, Any], in_parts: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    in_parts()
    kept, gradients = step("gdw", 5, **options)
    monkeypatch.setattr(weights, "_HUGE", 40)
    found, others = step("gdw", 5, **options)
    assert kept.hypergradient is not None
    assert found.hypergradient is None
    for name in ("loss", "meta_loss", "logits", "first_stage_weights", "weights"):
        assert torch.equal(getattr(found, name), getattr(kept, name)), name
    assert all(torch.equal(a, b) for a, b in zip(others, gradients, strict=True))


def test_a_head_of_tokens_has_the_closed_form() -> None:
    values = []
    for engine in ("head", "reference"):
        torch.manual_seed(0)
        model = Tokens(7, 5).double()
        if engine == "reference":
            for part in (model.embed, model.norm):
                part.requires_grad_(False)
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.3)
        reweighter = gdw.GDW(model, optimizer, hypergradient=engine)
        values.append(reweighter.backward(*batches(4, 3, 7)).hypergradient)
        head = reweighter._problem.head
        assert head is None or head.closed_form
    torch.testing.assert_close(*values, rtol=1e-9, atol=1e-15)


def test_rows_of_a_result_in_parts() -> None:
    a, b = torch.randn(5, 3, 2), torch.randn(5, 3, 2)
    assert torch.equal(weights.by_rows(torch.sub, a, b), a - b)
    big = torch.randn(3000, 500)
    assert torch.equal(weights.by_rows(torch.add, big.T, big.T), 2 * big.T)


@pytest.mark.parametrize(
    ("options", "most"),
    [({"hypergradient": "head"}, 1.15), ({}, 1.45), ({"preset": "short"}, 1.45)],
)
def test_memory_is_close_to_that_of_plain_training(
    options: dict[str, Any], most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "_HUGE", 2**20)
    train, meta = batches(16, 32, 4000)
    peaks = []
    for is_plain in (True, False):
        torch.manual_seed(0)
        model = Tokens(4000, 32)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        reweighter = gdw.GDW(model, optimizer, **options)

        def plain(model: nn.Module = model) -> None:
            F.cross_entropy(model(train[0]), train[1]).backward()

        def act(reweighter: gdw.GDW = reweighter) -> None:
            reweighter.backward(train, meta)

        taken = plain if is_plain else act
        for _ in range(2):
            taken()
            optimizer.zero_grad()
        peaks.append(peak_bytes(taken))
    assert peaks[1] < most * peaks[0]
