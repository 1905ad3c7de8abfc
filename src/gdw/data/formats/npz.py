"""NumPy archives with features `X` and labels `y`."""

from __future__ import annotations

import lzma
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gdw.data.arrays import ArrayRows, check_arrays
from gdw.data.formats.format import CopyPlan, Format
from gdw.data.text_files import ReadOptions
from gdw.errors import DataError, listed, one_line, shown
from gdw.files.memory import require_unpacked

# What `zipfile` and NumPy raise for damaged archives; MemoryError is for the size that a header declares.
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    tokenize.TokenError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


def open_npz(path: Path, options: ReadOptions) -> ArrayRows:  # noqa: ARG001
    """The rows of `X` `(N, F)`, `(N, H, W)` or `(N, H, W, 3)`, `y` `(N,)` and every other array `(N,)`."""
    arrays = _read_arrays(path)
    if "X" not in arrays:
        raise DataError(
            f"{shown(path)} has no array 'X' (features); it has {listed(arrays) or 'none'}"
        )
    X = arrays.pop("X")
    # Arrays other than the labels may hold anything: those with one value per row are columns.
    columns = {name: a for name, a in arrays.items() if name == "y" or a.shape == X.shape[:1]}
    rows = ArrayRows({"X": X, **columns}, path)
    other = [name for name in arrays if name not in columns]
    if other:
        rows.notes = (f"not used, because not of one value for each row: {listed(other)}",)
    check_arrays(rows, shown(path))
    return rows


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an archive by name, without files in it that are not arrays."""
    import numpy as np

    if not zipfile.is_zipfile(path):
        raise DataError(
            f"{shown(path)} is damaged, or not a NumPy archive as numpy.savez writes it"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(item.file_size for item in archive.infolist())
        require_unpacked(path, size, "save it with numpy.savez, which does not compress")
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except DataError:
        raise
    except _DAMAGED as error:
        raise _unreadable(path, error) from None
    return {name: array for name, array in arrays.items() if isinstance(array, np.ndarray)}


def _unreadable(path: Path, error: Exception) -> DataError:
    if isinstance(error, ValueError) and "allow_pickle" in str(error):
        return DataError(
            f"{shown(path)} holds Python objects, which are not loaded because they can run code: "
            "save plain arrays of numbers or strings"
        )
    return DataError(f"{shown(path)} is damaged, or not a NumPy archive: {one_line(error)}")


def copy_npz(plan: CopyPlan, target: Path) -> None:
    """Write the copy; arrays of another length are copied as they are."""
    import numpy as np

    arrays = _read_arrays(plan.source)
    with zipfile.ZipFile(plan.source) as archive:
        compressed = any(item.compress_type != zipfile.ZIP_STORED for item in archive.infolist())
    plan.require_all(len(arrays["X"]))
    if plan.relabel:
        labels = arrays[plan.label].copy()
        labels[list(plan.relabel)] = list(plan.relabel.values())
        arrays[plan.label] = labels
    kept: dict[str, Any] = {
        name: array[plan.keep] if array.shape[:1] == plan.keep.shape else array
        for name, array in arrays.items()
    }
    with target.open("wb") as file:
        (np.savez_compressed if compressed else np.savez)(file, **kept)


NPZ = Format((".npz",), open_npz, copy_npz)
