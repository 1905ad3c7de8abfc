"""Small models of every kind that the hypergradient must get right unmodified, with batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdw.functional.losses import resolve_loss
from gdw.hypergradient import Problem

F64 = torch.float64


class Tied(nn.Module):
    """An embedding whose matrix is also the output layer; input is a mapping, output has .logits."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(4, 6)
        self.head = nn.Linear(6, 4, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids: Tensor, scale: Tensor) -> Any:
        @dataclass
        class Output:
            logits: Tensor

        return Output(self.head(torch.tanh(self.embed(ids).mean(1))) * scale)


class Attention(nn.Module):
    """One encoder layer with scaled-dot-product attention."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(6, 6) for _ in range(3))
        self.norm, self.head = nn.LayerNorm(6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (f(x).view(len(x), 5, 2, 3).transpose(1, 2) for f in (self.q, self.k, self.v))
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(len(x), 5, 6)
        return self.head(self.norm(x + mixed).mean(1))


def batch_norm_mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3))


def conv() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, groups=2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )


def with_dropout() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.Dropout(0.5), nn.Tanh(), nn.Linear(8, 3))


def partly_frozen() -> nn.Module:
    model = batch_norm_mlp()
    model[0].weight.requires_grad_(False)
    return model


class MovingCentre(nn.Module):
    """Centres inputs by a moving average that it updates first: it depends on the buffer it moves."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(5))
        self.layer, self.head = nn.Linear(5, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        self.centre = 0.5 * self.centre + 0.5 * x.mean(0)
        return self.head(torch.tanh(self.layer(x - self.centre)))


def dense() -> nn.Module:
    return nn.Sequential(nn.Conv1d(2, 4, 3, padding=1), nn.Tanh(), nn.Conv1d(4, 3, 1))


def _floats(*shape: int) -> Callable[[int], Tensor]:
    return lambda n: torch.randn(n, *shape, dtype=F64)


def _mapping(n: int) -> dict[str, Tensor]:
    return {"ids": torch.randint(4, (n, 3)), "scale": torch.rand(n, 1, dtype=F64) + 1}


CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[int], Any], int, tuple[int, ...]]] = {
    "batch_norm": (batch_norm_mlp, _floats(5), 3, ()),
    "conv": (conv, _floats(2, 6, 6), 3, ()),
    "dropout": (with_dropout, _floats(5), 3, ()),
    "frozen": (partly_frozen, _floats(5), 3, ()),
    "tied": (Tied, _mapping, 4, ()),
    "attention": (Attention, _floats(5, 6), 3, ()),
    "moving_centre": (MovingCentre, _floats(5), 3, ()),
    "dense": (dense, _floats(2, 7), 3, (7,)),
}


@dataclass
class Case:
    """A problem in float64 with a training and a meta batch."""

    problem: Problem
    batch: tuple[Any, Tensor]
    meta: tuple[Any, Tensor]
    classes: int

    @property
    def model(self) -> nn.Module:
        return self.problem.model


def make(name: str, *, n: int = 6, m: int = 5, seed: int = 0, lr: float = 0.3) -> Case:
    """The case of that name; the same every time. Its optimizer has two groups of learning rates."""
    build, inputs, classes, rest = CASES[name]
    torch.manual_seed(seed)
    model = build().double()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(
        [{"params": trained[:1], "lr": lr / 3}, {"params": trained[1:]}], lr=lr
    )
    batches = [(inputs(k), torch.randint(classes, (k, *rest))) for k in (n, m)]
    problem = Problem.of(model, optimizer, resolve_loss("cross_entropy"), closed_form=True)
    return Case(problem, batches[0], batches[1], classes)
