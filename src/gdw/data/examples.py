"""Encoded inputs and their targets as a PyTorch data set that hands out whole batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot
from torch.utils._pytree import tree_map
from torch.utils.data import DataLoader, Dataset

from gdw.errors import DataError

_T = TypeVar("_T")


@runtime_checkable
class Inputs(Protocol):
    """Encoded inputs, read a whole batch at a time.

    `inputs[indices]` is `(B, ...)`: float32 for tables, texts and arrays, uint8 `(B, 3, H, W)` for images.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, indices: Sequence[int] | NDArray[np.int64], /) -> Tensor: ...


def identity(batch: _T) -> _T:
    """The `collate_fn` for `Examples`, whose batches need no collating."""
    return batch


class Examples(Dataset[tuple[Tensor, Tensor]]):
    """Inputs `(N, ...)` with targets: class indices `(N,)` or class probabilities `(N, C)`.

    `__getitems__` gives a whole batch at once, which is far quicker than stacking single examples; it
    needs a loader with `collate_fn=identity`, such as the one that `loader` makes.

    Raises `DataError` when inputs and targets differ in length.
    """

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

    def select(self, rows: NDArray[np.int64] | Tensor) -> Examples:
        """The examples at `rows`, int64 `(n,)`, in that order. Inputs are not copied."""
        chosen = torch.as_tensor(rows, dtype=torch.int64)
        return Examples(SelectedInputs(self.inputs, chosen.numpy()), self.targets[chosen])

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
    """Some rows of other inputs, without a copy."""

    def __init__(self, inputs: Inputs | Tensor, rows: NDArray[np.int64]) -> None:
        self._inputs, self._rows = inputs, rows
        self.on_demand = getattr(inputs, "on_demand", False)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, indices: Sequence[int] | NDArray[np.int64], /) -> Tensor:
        return self._inputs[self._rows[np.asarray(indices, dtype=np.int64)]]


class JoinedInputs:
    """The inputs of several parts as one, without a copy.

    Raises:
        DataError: the first examples of two parts are tensors of different shapes or dtypes.
    """

    def __init__(self, *parts: Inputs | Tensor) -> None:
        self._parts = parts
        self._ends = np.cumsum([len(part) for part in parts])
        self.on_demand = any(getattr(part, "on_demand", False) for part in parts)
        firsts = [part[np.zeros(1, dtype=np.int64)] for part in parts if len(part)]
        for other in firsts[1:]:
            _require_alike(firsts[0], other)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, indices: Sequence[int] | NDArray[np.int64], /) -> Any:
        """`(B, ...)` in the order of `indices`, which count from the end when negative.

        A tensor, or a tuple or mapping of tensors if the parts return those.
        """
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
        return tree_map(lambda *tensors: torch.cat(tensors)[order], *pieces)


def same_form(targets: Sequence[Tensor]) -> list[Tensor]:
    """`targets` as they are if all are classes `(n,)`; otherwise all as probabilities `(n, C)`."""
    width = max((t.shape[1] for t in targets if t.dim() == 2), default=0)
    if not width:
        return list(targets)
    return [t if t.dim() == 2 else one_hot(t.long(), width).float() for t in targets]


def _require_alike(one: Any, other: Any) -> None:
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return
    if one.shape != other.shape or one.dtype != other.dtype:
        raise DataError(
            f"cannot join examples of shape {tuple(one.shape[1:])} ({one.dtype}) with those of "
            f"shape {tuple(other.shape[1:])} ({other.dtype}): encode both alike"
        )
