"""Encoded examples as a PyTorch data set of whole batches, and the order of these batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot
from torch.utils._pytree import tree_map
from torch.utils.data import DataLoader, Dataset, Sampler

from gdw.errors import ConfigError, DataError
from gdw.files.representation import ShortRepr
from gdw.seeding import generator

_T = TypeVar("_T")


@runtime_checkable
class Inputs(Protocol):
    """Encoded inputs of N examples, which are read one batch at a time.

    `inputs[indices]` is `(B, ...)`: float32 for tables, texts and arrays, uint8 `(B, 3, H, W)` for images.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, indices: Sequence[int] | NDArray[np.int64], /) -> Tensor: ...


def identity(batch: _T) -> _T:
    """The `collate_fn` for `Examples`: its batches need no collating."""
    return batch


class Examples(ShortRepr, Dataset[tuple[Tensor, Tensor]]):
    """N inputs and their targets.

    `__getitems__` returns a whole batch at once, which is fast. It needs a `DataLoader` with
    `collate_fn=identity`, such as the one that `loader` makes.

    >>> examples = Examples(torch.eye(3), torch.tensor([0, 1, 0]))
    >>> len(examples.joined(examples.select(np.array([2]))))
    4

    Args:
        inputs: `(N, ...)`.
        targets: class indices `(N,)`, or class probabilities `(N, C)`.

    Raises:
        DataError: inputs and targets differ in length.
    """

    verified: int | None = None  # how many of clean examples, the first ones; None for all

    def __init__(self, inputs: Inputs | Tensor, targets: Tensor) -> None:
        if len(inputs) != len(targets):
            raise DataError(
                f"{len(inputs)} inputs but {len(targets)} targets: there must be one target for each input"
            )
        self.inputs = inputs
        self.targets = targets

    def __len__(self) -> int:
        return len(self.targets)

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        if isinstance(self.inputs, Tensor):
            return self.inputs[chosen], self.targets[chosen]
        return self.inputs[indices], self.targets[chosen]

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        inputs, targets = self.__getitems__([index])
        return inputs[0], targets[0]

    def select(self, rows: NDArray[np.int64] | Tensor, name: str = "") -> Examples:
        """The examples at `rows`, int64 `(n,)`, in order, not copied; `name` is theirs in error messages."""
        chosen = torch.as_tensor(rows, dtype=torch.int64)
        return Examples(SelectedInputs(self.inputs, chosen.numpy(), name), self.targets[chosen])

    def joined(self, *others: Examples) -> Examples:
        """These examples, followed by those of `others`. Inputs are not copied.

        If some targets are classes and some are probabilities, all become probabilities.

        Raises:
            DataError: the inputs have different shapes or dtypes.
        """
        parts = (self, *others)
        targets = same_form([part.targets for part in parts])
        return Examples(JoinedInputs(*(part.inputs for part in parts)), torch.cat(targets))

    def loader(
        self, batches: Iterable[list[int]], **options: Any
    ) -> DataLoader[tuple[Tensor, Tensor]]:
        """A `DataLoader` over `batches`, such as `EpochBatches`; `options` go to the `DataLoader`."""
        return DataLoader(self, batch_sampler=batches, collate_fn=identity, **options)


class SelectedInputs:
    """Some rows of other inputs, without a copy. `name` is that of the others, for error messages."""

    def __init__(self, inputs: Inputs | Tensor, rows: NDArray[np.int64], name: str = "") -> None:
        self._inputs, self._rows, self._name = inputs, rows, name
        self.on_demand = getattr(inputs, "on_demand", False)
        self.ragged = getattr(inputs, "ragged", False)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, indices: Sequence[int] | NDArray[np.int64], /) -> Tensor:
        return self._inputs[self._rows[np.asarray(indices, dtype=np.int64)]]

    def origin(self, row: int) -> tuple[str, int]:
        """The name of the inputs that row `row` is from, and its number there."""
        return self._name, int(self._rows[row])


class JoinedInputs:
    """The inputs of several parts as one, without a copy.

    Raises:
        DataError: the first examples of two parts are tensors of different shapes or dtypes.
    """

    def __init__(self, *parts: Inputs | Tensor) -> None:
        self._parts = parts
        self._ends = np.cumsum([len(part) for part in parts])
        self.on_demand = any(getattr(part, "on_demand", False) for part in parts)
        self.ragged = any(getattr(part, "ragged", False) for part in parts)
        firsts = [part[np.zeros(1, dtype=np.int64)] for part in parts if len(part)]
        for other in () if self.ragged else firsts[1:]:
            _require_alike(firsts[0], other)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def origin(self, row: int) -> tuple[str, int]:
        """The name of the inputs that row `row` is from, and its number there."""
        k = int(np.searchsorted(self._ends, row, side="right"))
        part, inside = self._parts[k], row - int(self._ends[k]) + len(self._parts[k])
        return part.origin(inside) if hasattr(part, "origin") else ("", inside)

    def __getitem__(self, indices: Sequence[int] | NDArray[np.int64], /) -> Any:
        """`(B, ...)` by `indices`, negative from the end: a tensor, or a tuple or mapping of tensors."""
        chosen = np.asarray(indices, dtype=np.int64)
        chosen = np.where(chosen < 0, chosen + len(self), chosen)
        part_of = np.searchsorted(self._ends, chosen, side="right")
        pieces, places = [], []
        for k in np.unique(part_of).tolist() or [0]:
            here = np.flatnonzero(part_of == k)
            start = self._ends[k] - len(self._parts[k])
            pieces.append(self._parts[k][chosen[here] - start])
            places.append(here)
        if len(pieces) == 1:
            return pieces[0]
        order = torch.from_numpy(np.argsort(np.concatenate(places)))
        if self.ragged or type(pieces[0]) is dict:
            from gdw.functional.ragged import same_length

            filling = -1 if isinstance(pieces[0], Tensor) else 0
            return tree_map(lambda *t: torch.cat(same_length(t, filling=filling))[order], *pieces)
        return tree_map(lambda *tensors: torch.cat(tensors)[order], *pieces)


def same_form(targets: Sequence[Tensor]) -> list[Tensor]:
    """`targets` as they are if all are classes `(n,)`; otherwise all as probabilities `(n, C)`."""
    width = max((t.shape[1] for t in targets if t.dim() == 2), default=0)
    if not width:
        return list(targets)
    return [t if t.dim() == 2 else one_hot(t.long(), width).float() for t in targets]


def _require_alike(one: Any, other: Any) -> None:
    tensors = isinstance(one, Tensor) and isinstance(other, Tensor)
    if tensors and (one.shape != other.shape or one.dtype != other.dtype):
        raise DataError(
            f"cannot join examples of shape {tuple(one.shape[1:])} ({one.dtype}) with those of "
            f"shape {tuple(other.shape[1:])} ({other.dtype}): encode both alike"
        )


class EpochBatches(Sampler[list[int]]):
    """The batches of one epoch: each index at most once, in an order that is a function of `(seed, epoch)`.

    Because the order depends on nothing else, a run continues exactly where it stopped. If `n` is smaller
    than `batch_size`, there is one batch of all examples. An incomplete last batch with fewer examples than
    processes is always left out, because some process would get no example.

    >>> list(EpochBatches(5, 2, seed=0, epoch=1))
    [[0, 1], [3, 4]]

    Args:
        n: the number of examples.
        batch_size: the number of examples in a global batch, of all processes together. Each process takes a
            contiguous share of it; the sizes of the shares differ by at most one.
        seed: of the order.
        epoch: the number of the epoch.
        start: the number of global batches that are already taken.
        rank: the number of this process, from 0.
        world_size: the number of processes.
        drop_last: leave out an incomplete last batch.

    Raises:
        ConfigError: a size, rank or position is out of range.
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
        """The number of batches that are left after `start`."""
        return max(0, self._count - self._start)

    def __iter__(self) -> Iterator[list[int]]:
        order = generator(self._seed, "epoch", self._epoch).permutation(self._n)
        for step in range(self._start, self._count):
            batch = order[step * self._size : (step + 1) * self._size]
            yield _share(batch, self._rank, self._world_size)


class CyclingBatches(Sampler[list[int]]):
    """Endless batches of constant size, cut from one random permutation of the indices after another.

    Each cycle of `n` draws has every index exactly once. A batch may end in the next cycle, and has all
    examples if `n` is smaller than `batch_size`. Args and errors are those of `EpochBatches`.
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
    """The size of a complete global batch, of which every process gets at least one example."""
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
    return list(batch[first:last].tolist())
