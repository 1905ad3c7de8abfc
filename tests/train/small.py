"""A problem that trains in milliseconds, with all that makes resuming hard: momentum, dropout, BatchNorm."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gdw.reweight import StepResult
from gdw.train import Callback, TrainConfig, Trainer
from gdw.train.progress import TRAINING, Progress, Stage

FEATURES, CLASSES = 6, 3


def data(
    n: int = 60, *, seed: int = 0, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Features `(n, 6)` and the class `(n,)` of each, which two of the features decide."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(n, FEATURES, generator=generator, dtype=dtype)
    return inputs, (inputs[:, 0] > 0).long() + (inputs[:, 1] > 0).long()


def network(*, seed: int = 0, plain: bool = False) -> nn.Sequential:
    """A two-layer network; `plain` leaves BatchNorm and dropout out."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        between = [] if plain else [nn.BatchNorm1d(8), nn.Dropout(0.3)]
        return nn.Sequential(nn.Linear(FEATURES, 8), *between, nn.Tanh(), nn.Linear(8, CLASSES))


def config(**options: Any) -> TrainConfig:
    """Four epochs of five batches on one CPU, saying nothing."""
    defaults: dict[str, Any] = {
        "method": "plain",
        "epochs": 4,
        "batch_size": 12,
        "meta_batch_size": 9,
        "accelerator": "cpu",
        "progress": "none",
        "seed": 3,
    }
    return TrainConfig(**{**defaults, **options})


def assert_same(one: nn.Module, other: nn.Module, **tolerance: float) -> None:
    """Every parameter and buffer equal: bit for bit unless a tolerance is given."""
    mine, theirs = one.state_dict(), other.state_dict()
    assert mine.keys() == theirs.keys()
    tolerance = tolerance or {"rtol": 0.0, "atol": 0.0}
    for name in mine:
        torch.testing.assert_close(
            mine[name], theirs[name], msg=lambda m, n=name: f"{n}: {m}", **tolerance
        )


TIMES = ("seconds", "examples_per_second")


def fit(model: nn.Module, settings: TrainConfig, **options: Any) -> Any:
    return Trainer(settings).fit(model, data(), data(20, seed=1), test=data(30, seed=2), **options)


def timeless(history: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in record.items() if k not in TIMES} for record in history]


class At(Callback):
    """Does something at one batch, counted from 1 over the whole fit."""

    def __init__(self, batch: int, act: Any) -> None:
        self.seen = 0
        self._batch, self._act = batch, act

    def on_batch(self, epoch: int, indices: Sequence[int], result: StepResult) -> None:
        self.seen += 1
        if self.seen == self._batch:
            self._act()


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def interrupt_fit(patch: pytest.MonkeyPatch, number: int) -> list[int]:
    """Send Ctrl-C in the first step of model `number`, from 1, of a preparation. Counts the models."""
    begun: list[int] = []
    begin = Progress.begin

    def counted(self: Progress, stage: Stage, summary: str | None = None) -> None:
        begin(self, stage, summary)
        if stage.what != TRAINING:
            begun.append(stage.steps)
            if len(begun) == number:
                self.batch = lambda *_: ctrl_c()  # type: ignore[method-assign]

    patch.setattr(Progress, "begin", counted)
    return begun
