"""Encoded inputs and their targets as a PyTorch data set that hands out whole batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
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

    def loader(
        self, batches: Iterable[list[int]], **options: Any
    ) -> DataLoader[tuple[Tensor, Tensor]]:
        """A `DataLoader` over `batches`, such as `EpochBatches`; `options` go to the `DataLoader`."""
        return DataLoader(self, batch_sampler=batches, collate_fn=identity, **options)
