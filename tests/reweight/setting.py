"""A small bilevel setting that every method's tests share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gdw.hypergradient.inputs import join_batches
from gdw.reweight import Predict, Reweighter, StepResult, Subset, build

EXAMPLES, CLEAN = 997, 30

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
class Labels:
    """A `gdw.reweight.Preparation` without a trainer: labels by turns, and models that guess."""

    num_classes: int = 3
    epochs: int = 4
    batch_size: int = 8
    seed: int = 0

    @property
    def given(self) -> Tensor:
        return torch.arange(EXAMPLES) % self.num_classes

    @property
    def clean(self) -> Tensor:
        return torch.arange(CLEAN) % self.num_classes

    @property
    def verified(self) -> int:
        return len(self.clean)

    def fit(
        self,
        subsets: Sequence[Subset],
        *,
        epochs: int | None = None,
        seed: int = 0,
        what: str = "",
        offset: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Predict:
        def guess(subset: Subset) -> Tensor:
            generator = torch.Generator().manual_seed(seed)
            size = (max(EXAMPLES, CLEAN), self.num_classes)
            return (2 * torch.randn(size, generator=generator)).softmax(1)[subset.indices]

        return guess

    def say(self, what: str) -> None:
        """Nobody listens."""


def indices_of(inputs: Tensor) -> Tensor:
    """Which training examples these are: some function of their features."""
    return (inputs.flatten(1)[:, 0] * 1e6).long().abs() % EXAMPLES


@dataclass
class Setting:
    """A model, its optimizer and a reweighter."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    reweighter: Reweighter

    @classmethod
    def of(
        cls,
        method: str,
        model: nn.Module | None = None,
        *,
        labels: Labels | None = Labels(),  # noqa: B008
        **options: Any,
    ) -> Setting:
        """`labels`: what the method is prepared with; None to leave that out."""
        model = model or batch_norm_network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9, weight_decay=1e-3)
        with torch.random.fork_rng():
            torch.manual_seed(1)
            reweighter = build(method, model, optimizer, **options)
        if labels is not None:
            reweighter.prepare(labels)
        return cls(model, optimizer, reweighter)

    def seen(self, batch: Any, meta_batch: Any) -> Any:
        """The batch that the model gets: `Robust` appends clean examples."""
        targets = getattr(self.reweighter, "_targets", None)
        if targets is None:
            return batch
        rows = targets.clean_rows(len(batch[1]), len(meta_batch[1]))
        return join_batches(batch, meta_batch, rows)

    def step(self, batch: Any, meta_batch: Any = None) -> StepResult:
        """`backward`, with the indices of the examples."""
        return self.reweighter.backward(batch, meta_batch, indices=indices_of(batch[0]))

    def train(self, train: list[Any], meta: list[Any]) -> None:
        """One optimizer step a pair of batches."""
        for batch, meta_batch in zip(train, meta, strict=True):
            self.step(batch, meta_batch)
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
