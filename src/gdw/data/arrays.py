"""Rows that are NumPy arrays: the features `X`, and one array per other column."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gdw.data.rows import Kind, Rows
from gdw.errors import DataError, shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ROWS_AT_ONCE = 65_536


class ArrayRows(Rows):
    """The rows of NumPy arrays of equal length, by name, such as the `X` and `y` of an archive."""

    kind: Kind | None = "array"

    def __init__(self, arrays: dict[str, NDArray[Any]], path: Path) -> None:
        self.columns = tuple(arrays)
        self.folder = path.parent
        self.arrays = arrays
        self._name = shown(path.name)

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def arrow(self, column: str, rows: NDArray[np.int64] | None = None) -> Any:
        import pyarrow as pa

        values = self.arrays[column]
        return pa.chunked_array([pa.array(values if rows is None else values[rows])])

    def values(self, column: str, rows: NDArray[np.int64]) -> list[Any]:
        values: list[Any] = self.arrays[column][rows].tolist()
        return values

    def where(self, row: int) -> str:
        return f"row {row} of {self._name}"

    def resolve_label(self, name: str) -> str:
        # "label" is the default of every command, and `y` is the usual name in an archive.
        return "y" if name == "label" and "label" not in self.columns else name


def check_arrays(rows: ArrayRows, origin: str) -> None:
    """Check that `X` has a supported shape and finite numbers, and that all arrays have the same length.

    Raises:
        DataError: they do not; the message names the array and `origin`.
    """
    X = rows.arrays["X"]
    _check_features(X, origin)
    for name, array in rows.arrays.items():
        if array.ndim != 1 and name != "X":
            raise DataError(f"{name!r} of {origin} should have the shape (N,), found {array.shape}")
        if len(array) != len(X):
            raise DataError(
                f"{name!r} of {origin} has {len(array)} rows, but 'X' has {len(X)}: they must agree"
            )
    _require_finite(X, rows)


def _check_features(X: NDArray[Any], origin: str) -> None:
    if X.dtype.kind not in "biuf":
        raise DataError(f"'X' of {origin} should hold numbers, found the type {X.dtype}")
    if X.ndim not in (2, 3) and not (X.ndim == 4 and X.shape[3] == 3):
        channels_first = X.ndim == 4 and X.shape[1] == 3
        fix = "; move the channels last: X.transpose(0, 2, 3, 1)" if channels_first else ""
        raise DataError(
            f"'X' of {origin} should have the shape (N, features), (N, height, width) or "
            f"(N, height, width, 3), found {X.shape}{fix}"
        )


def _require_finite(X: NDArray[Any], rows: ArrayRows) -> None:
    import numpy as np

    if X.dtype.kind != "f":
        return
    for start in range(0, len(X), _ROWS_AT_ONCE):
        finite = np.isfinite(X[start : start + _ROWS_AT_ONCE])
        if not finite.all():
            bad = np.argwhere(~finite)
            place = (bad[0] + [start, *([0] * (X.ndim - 1))]).tolist()
            column = f", column {place[1]}" if X.ndim == 2 else ""
            raise DataError(
                f"{rows.where(place[0])}{column}: X{place} is {X[tuple(place)]}, not a finite number: "
                "fill it in or remove the row"
            )
