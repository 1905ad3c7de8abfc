"""Which seeds the workers of the loaders get: never the same twice within a run, or in another."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from gdw.hypergradient.inputs import Batch
from gdw.train import feed
from gdw.train.feed import BatchStreams, DataSets
from tests.train.small import config, data


class Pairs(Dataset[tuple[Tensor, Tensor]]):
    def __init__(self) -> None:
        self.inputs, self.targets = data(24)

    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.inputs[index], self.targets[index]


def streams(*, seed: int = 3, rank: int = 0) -> BatchStreams:
    processes: Any = SimpleNamespace(rank=rank, size=2)
    sets = DataSets(train=Pairs(), meta=Pairs(), test=None)
    settings = config(method="gdw", seed=seed)
    place: Any = {"device": torch.device("cpu"), "dtype": torch.float32}
    return BatchStreams(sets, settings, processes, **place)


@pytest.fixture
def seeds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seeds of the loaders made, in order."""
    made: list[int] = []
    original = feed.batches

    def batches(*arguments: Any, seed: int, **options: Any) -> Iterator[Batch]:
        made.append(seed)
        return original(*arguments, seed=seed, **options)

    monkeypatch.setattr(feed, "batches", batches)
    return made


def start(own: BatchStreams, epoch: int) -> None:
    """The first batch of an epoch, and at the first of all that of the meta stream."""
    next(iter(own.train(epoch, start=0)))
    if epoch == 0:
        assert len(list(islice(own.meta(0), 1))) == 1


def test_no_two_loaders_share_a_seed(seeds: list[int]) -> None:
    for seed in (3, 4, 5):
        for epoch in (0, 1, 2):
            start(streams(seed=seed), epoch)
    start(streams(rank=1), 0)
    assert len(seeds) == 3 * 4 + 2
    assert len(set(seeds)) == len(seeds)


def test_a_run_repeats_its_seeds(seeds: list[int]) -> None:
    for _ in range(2):
        start(streams(), 0)
        start(streams(), 1)
    assert seeds[:3] == seeds[3:]


def test_a_loader_within_an_epoch_does_not_repeat_the_draws_of_its_beginning(
    seeds: list[int],
) -> None:
    next(iter(streams().train(1, start=0)))
    next(iter(streams().train(1, start=1)))
    assert seeds[0] != seeds[1]
