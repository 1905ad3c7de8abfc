"""Three stores of raw rows behind one small contract: Arrow tables, listings of image files, NumPy arrays.

A store is never copied or filtered: a `Source` keeps the row numbers that it is about.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gdw.errors import DataError
from gdw.files.wording import listed, shown


class Rows(Protocol):
    """Raw rows of one file or folder."""

    columns: tuple[str, ...]
    folder: Path  # where relative image paths start
    untyped: bool  # every cell is text, as read from a delimited file

    def __len__(self) -> int: ...

    def arrow(self, column: str, rows: NDArray[np.int64] | None = None) -> Any:
        """`pyarrow.ChunkedArray` of the column's values in the given rows (default: all)."""

    def values(self, column: str, rows: NDArray[np.int64]) -> list[Any]:
        """The column's values as Python objects."""

    def class_names(self, column: str) -> tuple[str, ...] | None:
        """The class names that the file itself declares for a column of class numbers."""

    def where(self, row: int) -> str:
        """The place of a row in words, for error messages."""


class TableRows:
    """A `pyarrow.Table`, or the memory-mapped one of a `datasets.Dataset`."""

    def __init__(
        self,
        table: Any,
        path: Path,
        *,
        untyped: bool = False,
        class_names: dict[str, tuple[str, ...]] | None = None,
    ) -> None:
        names = table.column_names
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise DataError(
                f"{shown(path)} has more than one column named {listed(doubled)}: rename them"
            )
        self.columns: tuple[str, ...] = tuple(names)
        self.folder = path.parent
        self.untyped = untyped
        self._name = shown(path.name)
        self._table = table
        self._class_names = class_names or {}

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def arrow(self, column: str, rows: NDArray[np.int64] | None = None) -> Any:
        values = self._table.column(column)
        return values if rows is None else _take(values, rows)

    def values(self, column: str, rows: NDArray[np.int64]) -> list[Any]:
        values: list[Any] = self.arrow(column, rows).to_pylist()
        return values

    def class_names(self, column: str) -> tuple[str, ...] | None:
        return self._class_names.get(column)

    def where(self, row: int) -> str:
        return f"row {row + 1} of {self._name}"


class FolderRows:
    """Image files below `folder`; the label of an image is the name of its class folder."""

    columns: tuple[str, ...] = ("image", "label")
    untyped = False

    def __init__(self, folder: Path, paths: Sequence[Path], labels: Sequence[str | None]) -> None:
        self.folder = folder
        self._paths = paths
        self._labels = labels

    def __len__(self) -> int:
        return len(self._paths)

    def arrow(self, column: str, rows: NDArray[np.int64] | None = None) -> Any:
        import pyarrow as pa

        chosen = range(len(self)) if rows is None else rows.tolist()
        if column == "label":
            return pa.chunked_array([pa.array([self._labels[row] for row in chosen], pa.string())])
        return pa.chunked_array([pa.array([shown(self._paths[row]) for row in chosen])])

    def values(self, column: str, rows: NDArray[np.int64]) -> list[Any]:
        values: Sequence[Any] = self._labels if column == "label" else self._paths
        return [values[row] for row in rows.tolist()]

    def class_names(self, column: str) -> tuple[str, ...] | None:  # noqa: ARG002
        return None

    def where(self, row: int) -> str:
        return shown(self.folder / self._paths[row])


class ArrayRows:
    """Named NumPy arrays of equal length, such as the `X` and `y` of an `.npz` file."""

    untyped = False

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

    def class_names(self, column: str) -> tuple[str, ...] | None:  # noqa: ARG002
        return None

    def where(self, row: int) -> str:
        return f"row {row + 1} of {self._name}"


def _take(values: Any, rows: NDArray[np.int64]) -> Any:
    """The `rows` of a `pyarrow.ChunkedArray`, chunk by chunk.

    Older versions of Arrow join all chunks first, which copies the column and overflows at 2 GB of bytes.
    """
    import pyarrow as pa

    order = np.argsort(rows, kind="stable")
    ascending = rows[order]
    ends = np.cumsum([0, *(len(chunk) for chunk in values.chunks)])
    cuts = np.searchsorted(ascending, ends)
    pieces = [
        chunk.take(pa.array(ascending[first:last] - start))
        for chunk, start, first, last in zip(
            values.chunks, ends[:-1], cuts[:-1], cuts[1:], strict=True
        )
        if first < last
    ]
    taken = pa.chunked_array(pieces, values.type)
    if np.array_equal(ascending, rows):
        return taken
    return taken.take(pa.array(np.argsort(order)))
