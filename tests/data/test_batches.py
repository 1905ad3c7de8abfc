"""Batch orders: permutations, shares of processes, resumption."""

from __future__ import annotations

import random
from itertools import chain, islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gdw.data.examples import CyclingBatches, EpochBatches
from gdw.errors import ConfigError

sizes = st.integers(1, 60)
seeds = st.integers(0, 2**32)


@given(n=sizes, batch_size=sizes, seed=seeds, epoch=st.integers(0, 5))
def test_an_epoch_holds_every_index_once(n: int, batch_size: int, seed: int, epoch: int) -> None:
    batches = list(EpochBatches(n, batch_size, seed=seed, epoch=epoch, drop_last=False))
    assert sorted(chain(*batches)) == list(range(n))
    full = list(EpochBatches(n, batch_size, seed=seed, epoch=epoch))
    assert full == batches[: max(1, n // batch_size)]
    assert all(len(batch) == min(n, batch_size) for batch in full)


@given(
    n=st.integers(4, 60),
    batch_size=st.integers(4, 60),
    seed=seeds,
    world=st.integers(1, 4),
    drop_last=st.booleans(),
)
def test_processes_together_see_the_batches_of_one(
    n: int, batch_size: int, seed: int, world: int, drop_last: bool
) -> None:
    options = {"seed": seed, "epoch": 1, "drop_last": drop_last}
    one = list(EpochBatches(n, batch_size, **options))
    shares = [
        list(EpochBatches(n, batch_size, rank=r, world_size=world, **options)) for r in range(world)
    ]
    together = [list(chain(*parts)) for parts in zip(*shares, strict=True)]
    assert together == [batch for batch in one if len(batch) >= world]
    assert all(batch for share in shares for batch in share)
    cycling = CyclingBatches(n, batch_size, seed=seed)
    parts = [
        CyclingBatches(n, batch_size, seed=seed, rank=r, world_size=world) for r in range(world)
    ]
    streams = zip(*(islice(part, 9) for part in parts), strict=True)
    assert [list(chain(*part)) for part in streams] == list(islice(cycling, 9))


@given(n=sizes, batch_size=sizes, seed=seeds, start=st.integers(0, 30))
def test_resuming_continues_the_same_batches(
    n: int, batch_size: int, seed: int, start: int
) -> None:
    whole = EpochBatches(n, batch_size, seed=seed, epoch=3)
    rest = EpochBatches(n, batch_size, seed=seed, epoch=3, start=start)
    assert list(rest) == list(whole)[start:]
    assert len(rest) == len(list(rest))
    cycling = list(islice(CyclingBatches(n, batch_size, seed=seed), start + 7))
    assert list(islice(CyclingBatches(n, batch_size, seed=seed, start=start), 7)) == cycling[start:]


@given(n=sizes, batch_size=sizes, seed=seeds)
def test_each_cycle_of_draws_holds_every_index_once(n: int, batch_size: int, seed: int) -> None:
    batches = islice(CyclingBatches(n, batch_size, seed=seed), 3 * n)
    draws = list(islice(chain.from_iterable(batches), 3 * n))
    for cycle in range(3):
        assert sorted(draws[cycle * n : (cycle + 1) * n]) == list(range(n))


def test_orders_differ_between_epochs_cycles_seeds_and_kinds() -> None:
    def epoch(seed: int, number: int) -> list[int]:
        return next(iter(EpochBatches(50, 50, seed=seed, epoch=number)))

    cycles = list(islice(CyclingBatches(50, 50, seed=0), 3))
    orders = [epoch(0, 0), epoch(0, 1), epoch(1, 0), *cycles]
    assert len({tuple(order) for order in orders}) == len(orders)


def test_global_random_state_is_untouched() -> None:
    before = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state())  # noqa: NPY002
    list(EpochBatches(10, 2, seed=0, epoch=0))
    list(islice(CyclingBatches(10, 3, seed=0), 10))
    after = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state())  # noqa: NPY002
    assert before[:2] == after[:2]
    assert torch.equal(before[2], after[2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, found 0"),
        ({"n": 3, "world_size": 4}, "a batch of 3 examples cannot be shared by 4 processes"),
        ({"rank": 2, "world_size": 2}, "rank must be from 0 to world_size - 1 = 1, found 2"),
        ({"start": -1}, "expected 0 or more, found -1"),
    ],
)
@pytest.mark.parametrize("kind", [EpochBatches, CyclingBatches])
def test_impossible_sizes(kind: type, options: dict[str, int], message: str) -> None:
    settings = {"n": 10, "batch_size": 4, "seed": 0, **options}
    if kind is EpochBatches:
        settings["epoch"] = 0
    with pytest.raises(ConfigError, match=message):
        kind(settings.pop("n"), settings.pop("batch_size"), **settings)


def test_negative_seed() -> None:
    with pytest.raises(ConfigError, match="a seed must be 0 or more, found -1"):
        list(EpochBatches(4, 2, seed=-1, epoch=0))
