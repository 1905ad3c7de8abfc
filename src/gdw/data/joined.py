"""Two sets of encoded inputs as one, without copying either."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdw.data.examples import Inputs
from gdw.errors import DataError


class Joined:
    """`Inputs` of `len(first) + len(second)` examples: those of `first`, then those of `second`.

    Both must give examples of one shape and dtype, as one encoder does; `DataError` otherwise.
    """

    def __init__(self, first: Inputs | Tensor, second: Inputs | Tensor) -> None:
        self._first, self._second = first, second
        self.on_demand = any(getattr(part, "on_demand", False) for part in (first, second))
        if len(first) and len(second):
            one, other = (part[np.zeros(1, dtype=np.int64)] for part in (first, second))
            if one.shape != other.shape or one.dtype != other.dtype:
                raise DataError(
                    f"cannot join examples of shape {tuple(one.shape[1:])} ({one.dtype}) with those of "
                    f"shape {tuple(other.shape[1:])} ({other.dtype}): encode both alike"
                )

    def __len__(self) -> int:
        return len(self._first) + len(self._second)

    def __getitem__(self, indices: Sequence[int] | NDArray[np.int64], /) -> Tensor:
        """`(B, ...)` in the order of `indices`, which count from the end when negative."""
        chosen = np.asarray(indices, dtype=np.int64)
        chosen = np.where(chosen < 0, chosen + len(self), chosen)
        late = chosen >= len(self._first)
        if not late.any():
            return self._first[chosen]
        if late.all():
            return self._second[chosen - len(self._first)]
        parts = self._first[chosen[~late]], self._second[chosen[late] - len(self._first)]
        # The parts stand one behind the other: each example's place among them.
        places = np.argsort(np.argsort(late, kind="stable"), kind="stable")
        return torch.cat(parts)[torch.from_numpy(places)]
