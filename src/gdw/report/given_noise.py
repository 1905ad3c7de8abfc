"""A noise matrix in the forms that users have, as one long table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gdw.errors import ConfigError, DataError, listed
from gdw.report.parts import found, with_names

if TYPE_CHECKING:
    import pandas as pd

_EXPECTED = (
    "expected a noise matrix: a run, its folder, a fitted classifier, the table of noise_matrix.csv, or "
    "shares P(given | true) of shape (C, C)"
)
_ROUNDING = 1e-6
_NAMES, _REST = ("true_label", "given_label"), ("low", "high", "count")


def as_long(data: Any, label_names: Sequence[str] | None) -> pd.DataFrame:
    """A noise matrix in any form as a table like `noise_matrix.csv`.

    Raises:
        DataError: `data` are no noise matrix, or are not shares from 0 to 1.
        ConfigError: the array is not `(C, C)`, or the number of names is not C.
    """
    columns = getattr(data, "columns", None)
    if columns is None:
        long = _from_matrix(_matrix(getattr(data, "probability", data)), data, label_names)
    elif {*_NAMES, "probability"} <= set(columns):
        long = with_names(data, _NAMES)
        # An entry may be missing in a table.
        _require_shares(long["probability"].dropna().to_numpy(dtype=np.float64))
        long = long.assign(**{part: np.nan for part in _REST if part not in long})
    else:
        long = _from_square(data, label_names)
    return long


def _from_square(data: Any, label_names: Sequence[str] | None) -> pd.DataFrame:
    """The table of a square data frame, whose index and columns are the classes."""
    columns = list(map(str, data.columns))
    if len(columns) != len(data):
        raise DataError(f"{_EXPECTED}, found {found(data)} with the columns {listed(columns)}")
    index = list(map(str, getattr(data, "index", range(len(data)))))
    is_named = index != list(map(str, range(len(data))))
    if is_named and index != columns:
        raise DataError(
            f"expected a square data frame with the same classes as index and columns, in one order, found "
            f"the index {listed(index)} and the columns {listed(columns)}"
        )
    return _from_matrix(_matrix(data), None, columns if label_names is None else label_names)


def _matrix(values: Any) -> NDArray[np.float64]:
    if values is None:
        raise DataError(f"{_EXPECTED}, found None")
    try:
        matrix: NDArray[np.float64] = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{_EXPECTED}, found {found(values)}") from None
    return matrix


def _from_matrix(
    matrix: NDArray[np.float64], data: Any, label_names: Sequence[str] | None
) -> pd.DataFrame:
    import pandas as pd

    if label_names is None:
        label_names = getattr(data, "label_names", None)
    names = np.array(_names(matrix, label_names), dtype=object)
    _require_shares(matrix)
    # Only a `NoiseMatrix` has intervals and numbers of examples.
    rest = {
        part: np.broadcast_to(getattr(data, part, np.nan), matrix.shape).ravel() for part in _REST
    }
    true, given = np.repeat(names, len(matrix)), np.tile(names, len(matrix))
    long: pd.DataFrame = pd.DataFrame(
        {"true_label": true, "given_label": given, "probability": matrix.ravel(), **rest}
    )
    return long


def _names(matrix: NDArray[Any], label_names: Sequence[str] | None) -> list[str]:
    """`label_names`, or numbers; `ConfigError` unless `matrix` is square with one name per class."""
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ConfigError(f"expected a noise matrix of shape (C, C), found {matrix.shape}")
    names = [str(k) for k in range(len(matrix))] if label_names is None else list(label_names)
    if len(names) != len(matrix):
        raise ConfigError(f"expected {len(matrix)} label names, one per class, found {len(names)}")
    return names


def _require_shares(values: NDArray[np.float64]) -> None:
    odd = values[~((values >= -_ROUNDING) & (values <= 1 + _ROUNDING))]
    if not len(odd):
        return
    is_count = np.isfinite(odd).all() and (odd > 1).all()
    fix = ": divide the counts of each true class (row) by their sum" if is_count else ""
    raise DataError(f"expected shares from 0 to 1 in a noise matrix, found {odd[0]:.6g}{fix}")
