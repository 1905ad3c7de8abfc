"""The check that numbers survive as float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdw.errors import DataError


def require_float32(
    values: NDArray[Any], columns: Sequence[object], where: Callable[[int], str]
) -> None:
    """Raise `DataError` naming the first of `values (N, F)` that is infinite or above 3.4e38.

    NaN passes: in a table it stands for a missing value.
    """
    limit = float(np.finfo(np.float32).max)
    too_large = np.abs(values) > limit
    if too_large.any():
        row, column = np.argwhere(too_large)[0]
        raise DataError(
            f"{where(int(row))}: column {columns[column]!r} holds {values[row, column]}; expected a "
            "finite number below 3.4e38: correct it or remove the row"
        )
