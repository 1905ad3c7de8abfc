"""Batch orders that are pure functions of (seed, position), so that a run resumes where it stopped.

`batch_size` is always that of the *global* batch. With several processes each takes a contiguous share of
it (sizes differ by at most one), so that the processes together see exactly the batch of a single process.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from gdw.data.seeding import generator
from gdw.errors import ConfigError


class EpochBatches(Sampler[list[int]]):
    """One epoch: every index at most once, in an order fixed by `(seed, epoch)`.

    `start` is the number of global batches already taken, so `start=k` continues exactly where a run
    stopped after `k` batches. With `drop_last` the incomplete last batch is left out; a data set smaller
    than `batch_size` still gives one batch of everything. A last batch with fewer examples than there are
    processes is left out in any case, as some process would have nothing to do.

    Raises `ConfigError` for sizes, ranks or positions that make no sense.
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        *,
        seed: int,
        epoch: int,
        start: int = 0,
        rank: int = 0,
        world_size: int = 1,
        drop_last: bool = True,
    ) -> None:
        self._size = _global_batch(n, batch_size, start, rank, world_size)
        self._n, self._seed, self._epoch, self._start = n, seed, epoch, start
        self._rank, self._world_size = rank, world_size
        full, rest = divmod(n, self._size)
        self._count = full + (not drop_last and rest >= world_size)

    def __len__(self) -> int:
        """Number of batches left from `start` on."""
        return max(0, self._count - self._start)

    def __iter__(self) -> Iterator[list[int]]:
        order = generator(self._seed, "epoch", self._epoch).permutation(self._n)
        for step in range(self._start, self._count):
            batch = order[step * self._size : (step + 1) * self._size]
            yield _share(batch, self._rank, self._world_size)


class CyclingBatches(Sampler[list[int]]):
    """Endless batches of constant size: the stream of one permutation of the indices after another.

    Batch `t` is the slice `[t * batch_size, (t + 1) * batch_size)` of that stream, so each cycle of `n` draws
    holds every index exactly once, also when `batch_size` does not divide `n` (a batch may then end in the
    next cycle). With fewer than `batch_size` examples each batch is all of them.

    `start` is the number of global batches already taken. Raises `ConfigError` as `EpochBatches` does.
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        *,
        seed: int,
        start: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self._size = _global_batch(n, batch_size, start, rank, world_size)
        self._n, self._seed, self._start = n, seed, start
        self._rank, self._world_size = rank, world_size

    def __iter__(self) -> Iterator[list[int]]:
        cycle, position = divmod(self._start * self._size, self._n)
        order = self._order(cycle)
        while True:
            batch = order[position : position + self._size]
            position += self._size
            if position >= self._n:
                cycle, position = cycle + 1, position - self._n
                order = self._order(cycle)
                batch = np.concatenate([batch, order[:position]])
            yield _share(batch, self._rank, self._world_size)

    def _order(self, cycle: int) -> NDArray[np.int64]:
        return generator(self._seed, "cycle", cycle).permutation(self._n)


def _global_batch(n: int, batch_size: int, start: int, rank: int, world_size: int) -> int:
    """The size of a full global batch, after checking that every process gets a share of it."""
    if batch_size < 1:
        raise ConfigError(f"batch_size must be at least 1, found {batch_size}")
    if start < 0:
        raise ConfigError(
            f"start counts the batches already taken: expected 0 or more, found {start}"
        )
    if not 0 <= rank < world_size:
        raise ConfigError(f"rank must be from 0 to world_size - 1 = {world_size - 1}, found {rank}")
    size = min(n, batch_size)
    if size < world_size:
        raise ConfigError(
            f"a batch of {size} examples cannot be shared by {world_size} processes: "
            "use fewer processes, a larger batch_size or more data"
        )
    return size


def _share(batch: NDArray[np.int64], rank: int, world_size: int) -> list[int]:
    first, last = rank * len(batch) // world_size, (rank + 1) * len(batch) // world_size
    share: list[int] = batch[first:last].tolist()
    return share
