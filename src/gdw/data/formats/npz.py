"""NumPy archives with features `X` and labels `y`."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdw.data.rows import ArrayRows
from gdw.errors import DataError
from gdw.files.wording import listed, shown

_ROWS_AT_ONCE = 65_536


def open_npz(path: Path) -> ArrayRows:
    """Rows of `X` `(N, F)`, `(N, H, W)` or `(N, H, W, 3)`, `y` `(N,)` and any other array of shape `(N,)`."""
    if not zipfile.is_zipfile(path):
        raise DataError(f"{shown(path)} is damaged, or no NumPy archive as numpy.savez writes it")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise DataError(
                f"{shown(path)} holds Python objects, which are not loaded as they can run code: "
                "save plain arrays of numbers or strings"
            ) from None
        raise DataError(f"{shown(path)} is damaged, or no NumPy archive: {error}") from None
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise DataError(f"{shown(path)} is damaged, or no NumPy archive: {error}") from None
    if "X" not in arrays:
        raise DataError(
            f"{shown(path)} has no array 'X' (features); it holds {listed(arrays) or 'nothing'}"
        )
    X = arrays.pop("X")
    # Other arrays than the labels may be about anything: only those with a value a row are columns.
    kept = {name: a for name, a in arrays.items() if name == "y" or a.shape == X.shape[:1]}
    rows = ArrayRows({"X": X, **kept}, path)
    check_arrays(rows, shown(path))
    return rows


def check_arrays(rows: ArrayRows, origin: str) -> None:
    """Raise `DataError` unless `X` has a shape and numbers that can be trained on, and all lengths agree."""
    X = rows.arrays["X"]
    if X.dtype.kind not in "biuf":
        raise DataError(f"'X' of {origin} should hold numbers, found the type {X.dtype}")
    if X.ndim not in (2, 3) and not (X.ndim == 4 and X.shape[3] == 3):
        channels_first = X.ndim == 4 and X.shape[1] == 3
        fix = "; move the channels last: X.transpose(0, 2, 3, 1)" if channels_first else ""
        raise DataError(
            f"'X' of {origin} should have the shape (N, features), (N, height, width) or "
            f"(N, height, width, 3), found {X.shape}{fix}"
        )
    for name, array in rows.arrays.items():
        if array.ndim != 1 and name != "X":
            raise DataError(f"{name!r} of {origin} should have the shape (N,), found {array.shape}")
        if len(array) != len(X):
            raise DataError(
                f"{name!r} of {origin} has {len(array)} rows, but 'X' has {len(X)}: they must agree"
            )
    _require_finite(X, rows)


def _require_finite(X: NDArray[Any], rows: ArrayRows) -> None:
    if X.dtype.kind != "f":
        return
    for start in range(0, len(X), _ROWS_AT_ONCE):
        bad = np.argwhere(~np.isfinite(X[start : start + _ROWS_AT_ONCE]))
        if len(bad):
            place = (bad[0] + [start, *([0] * (X.ndim - 1))]).tolist()
            column = f", column {place[1] + 1}" if X.ndim == 2 else ""
            raise DataError(
                f"{rows.where(place[0])}{column}: X{place} is {X[tuple(place)]}, not a finite number: "
                "fill it in or remove the row"
            )
