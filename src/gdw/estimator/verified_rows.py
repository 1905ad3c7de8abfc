"""Checking `trusted`, the mask of rows with verified labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdw.data.clean import truth
from gdw.errors import DataError, counted
from gdw.estimator.containers import as_array, is_pandas, unwrapped


def check_trusted(trusted: Any, length: int) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    """The mask `(N,)` of verified rows, and a note if values are missing, which count as false.

    Raises:
        DataError: `trusted` is not a mask of that length.
    """
    expected = f"trusted: expected {length} times true or false, one for each row of X, found"
    if isinstance(trusted, str):
        raise DataError(f"{expected} the text {trusted!r}: give the column itself, X[{trusted!r}]")
    values = _mask_values(unwrapped(trusted, "trusted"))
    if values.shape != (length,):
        raise DataError(f"{expected} {_described(values)}")
    missing = 0
    if values.dtype.kind != "b":
        import pandas as pd

        absent = np.asarray(pd.isna(values))
        missing = int(np.count_nonzero(absent))
        values = _truths(values, absent)
    if not missing:
        return values, ()
    were = counted(missing, "value is", "values are")
    return values, (f"trusted: {were} missing of {length:,}; these rows count as not verified",)


def _mask_values(trusted: Any) -> NDArray[Any]:
    objects = trusted.astype(object) if is_pandas(trusted) else trusted
    values = as_array(objects)
    return values[:, 0] if values.shape[1:] == (1,) else values


def _described(values: NDArray[Any]) -> str:
    if values.ndim == 1 and values.dtype.kind in "iu" and len(np.unique(values)) == len(values):
        return (
            f"{len(values)} whole numbers that all differ: if they are row numbers, give "
            "numpy.isin(numpy.arange(len(X)), trusted)"
        )
    return f"shape {values.shape}"


def _truths(values: NDArray[Any], absent: NDArray[np.bool_]) -> NDArray[np.bool_]:
    mask = np.zeros(len(values), dtype=bool)
    for row in np.flatnonzero(~absent).tolist():
        verified = truth(values[row])
        if verified is None:
            raise DataError(
                f"trusted: expected {len(values)} times true or false (yes/no, 1/0), found "
                f"{values.tolist()[row]!r} of type {values.dtype} in row {row}"
            )
        mask[row] = verified
    return mask
