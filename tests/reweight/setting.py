"""A small bilevel setting that every method's tests share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gdw.reweight import Reweighter, build

F64 = torch.float64


def batch_norm_network() -> nn.Module:
    """5 inputs, 3 classes, float64, the same every time; global random state as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3)
        ).double()


def batches(count: int, n: int = 8, seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    """`count` batches of n examples with 5 features and 3 classes."""
    generator = torch.Generator().manual_seed(seed)
    return [
        (
            torch.randn(n, 5, dtype=F64, generator=generator),
            torch.randint(3, (n,), generator=generator),
        )
        for _ in range(count)
    ]


@dataclass
class Setting:
    """A model, its optimizer and a reweighter."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    reweighter: Reweighter

    @classmethod
    def of(cls, method: str, model: nn.Module | None = None, **options: Any) -> Setting:
        model = model or batch_norm_network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9, weight_decay=1e-3)
        with torch.random.fork_rng():
            torch.manual_seed(1)
            return cls(model, optimizer, build(method, model, optimizer, **options))

    def train(self, train: list[Any], meta: list[Any]) -> None:
        """One optimizer step a pair of batches."""
        for batch, meta_batch in zip(train, meta, strict=True):
            self.reweighter.backward(batch, meta_batch)
            self.optimizer.step()
            self.optimizer.zero_grad()

    def gradient(self) -> list[Tensor]:
        return [p.grad.clone() for p in self.model.parameters() if p.grad is not None]

    def parameters(self) -> list[Tensor]:
        return [p.detach().clone() for p in self.model.parameters()]


def assert_close(a: list[Tensor], b: list[Tensor], *, rtol: float = 0, atol: float = 0) -> None:
    """Every tensor of two lists, equal to the bit by default."""
    assert len(a) == len(b) > 0
    for x, y in zip(a, b, strict=True):
        torch.testing.assert_close(x, y, rtol=rtol, atol=atol)
