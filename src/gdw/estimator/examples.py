"""Some of the examples: by rows, by a mask of trusted ones, joined, and with each class among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdw.data.examples import Examples, Inputs
from gdw.data.examples import JoinedInputs as Joined
from gdw.errors import DataError


class Selection:
    """`Inputs` of some rows of other inputs, without a copy."""

    def __init__(self, inputs: Inputs | Tensor, rows: NDArray[np.int64]) -> None:
        self._inputs, self._rows = inputs, rows
        self.on_demand = getattr(inputs, "on_demand", False)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, indices: Sequence[int] | NDArray[np.int64], /) -> Tensor:
        return self._inputs[self._rows[np.asarray(indices, dtype=np.int64)]]


def chosen(inputs: Inputs | Tensor, codes: NDArray[np.int64], rows: NDArray[np.int64]) -> Examples:
    """The examples at `rows` of `inputs` and their class `codes`."""
    return Examples(Selection(inputs, rows), torch.from_numpy(codes[rows]))


def joined(first: Examples, second: Examples) -> Examples:
    """The examples of `first`, then those of `second`."""
    return Examples(Joined(first.inputs, second.inputs), torch.cat([first.targets, second.targets]))


def read_trusted(trusted: Any, length: int) -> NDArray[np.bool_]:
    """The mask `(N,)` of verified rows.

    Raises `DataError` unless it is one, with some rows true and some false.
    """
    mask = np.asarray(trusted)
    if mask.shape != (length,) or not np.isin(mask, (0, 1)).all():
        found = f"shape {mask.shape}" if mask.shape != (length,) else f"values of type {mask.dtype}"
        raise DataError(
            f"trusted: expected {length} times true or false, one a row of X, found {found}"
        )
    mask = mask.astype(bool)
    if mask.all() or not mask.any():
        found = "every row" if mask.all() else "no row"
        raise DataError(
            f"trusted: {found} of X is trusted: expected some clean rows and some to train on"
        )
    return mask


def require_each_class(codes: NDArray[np.int64], classes: NDArray[Any], name: str) -> None:
    """Raise `DataError` for a class without an example among the clean ones, whose `codes` these are."""
    bare = np.flatnonzero(np.bincount(codes, minlength=len(classes)) == 0)
    if len(bare):
        word = "1 class has" if len(bare) == 1 else f"{len(bare)} classes have"
        first = ", ".join(repr(value) for value in classes[bare[:10]].tolist())
        raise DataError(
            f"{name}: {word} no clean example: {first}{', ...' if len(bare) > 10 else ''}. "
            "Add at least one verified example of each"
        )
