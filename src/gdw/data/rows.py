"""The raw rows of a file or folder: their interface, Arrow tables, and opening a path."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gdw.data.text_files import ReadOptions
from gdw.errors import DataError, composed, listed, nearest, shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gdw.data.cells import Cells
    from gdw.data.formats import Format

Kind = Literal["image", "text", "table", "array"]
"""The kind of the inputs: pictures, one text per example, columns of a table, or a numeric array."""


class Rows(ABC):
    """The raw rows of one file or folder. They are never copied or filtered: a `Source` holds row numbers.

    Attributes:
        columns: the names of the columns, in the Unicode form NFC. Every method takes other forms too.
        folder: the folder at which relative image paths start.
        kind: the kind of the inputs, where the format determines it. The inputs are then the first column.
            None: the kind is recognised from the columns.
        untyped: whether every cell is text, as in a delimited file.
        decimal_comma: whether `3,14` is a number, as in files whose cells are not separated by commas.
        notes: one line each for the user, on what of the file or folder is not used.
        options: how the file was read.
    """

    columns: tuple[str, ...]
    folder: Path
    kind: Kind | None = None
    untyped: bool = False
    decimal_comma: bool = False
    notes: tuple[str, ...] = ()
    options: ReadOptions = ReadOptions()

    @abstractmethod
    def __len__(self) -> int:
        """The number of rows."""

    @abstractmethod
    def arrow(self, column: str, rows: NDArray[np.int64] | None = None) -> Any:
        """The values of a column in the given rows (default: all), as a `pyarrow.ChunkedArray`."""

    @abstractmethod
    def values(self, column: str, rows: NDArray[np.int64]) -> list[Any]:
        """The values of a column in the given rows, as Python objects."""

    @abstractmethod
    def where(self, row: int) -> str:
        """The place of a row in words: "row 17 of train.csv", counted from 0 without the header."""

    def unlabelled(self, row: int, column: str, others: int) -> str:
        """The message for a row, and `others` after it, without a label."""
        more = f", and {others} more rows have none" if others else ""
        return f"{self.where(row)} has no label in column {column!r}{more}: label these rows or remove them"

    def cells(self, column: str) -> Cells:
        """The type of a column of delimited text, and its odd cells. It is found once and then kept."""
        from gdw.data.cells import read_cells

        known: dict[str, Cells] = self.__dict__.setdefault("_cells", {})
        if column not in known:
            known[column] = read_cells(self.arrow(column), decimal_comma=self.decimal_comma)
        return known[column]

    def holds_text_of_numbers(self, column: str) -> bool:
        """Whether a column of texts, in a file with types, is read as numbers; found once and then kept."""
        from gdw.data.columns import is_text_of_numbers

        known: dict[str, bool] = self.__dict__.setdefault("_texts_of_numbers", {})
        if column not in known:
            known[column] = not self.untyped and is_text_of_numbers(
                self.arrow(column), lambda: self.cells(column)
            )
        return known[column]

    @property
    def reading(self) -> dict[str, bool]:
        """How `gdw.data.columns` reads the values."""
        return {"untyped": self.untyped, "decimal_comma": self.decimal_comma}

    def class_names(self, column: str) -> tuple[str, ...] | None:  # noqa: ARG002
        """The class names that the file declares for a column of class numbers; None if it declares none."""
        return None

    def require(self, column: str, origin: str) -> None:
        """Raise `DataError`, with the most similar name, unless there is this column."""
        if column not in self.columns:
            raise DataError(
                f"{origin} has no column {column!r}.{nearest(column, self.columns)} "
                f"Its columns: {listed(self.columns)}{self._advice()}"
            )

    def _advice(self) -> str:
        return ""  # only for files whose first line may be no header

    def resolve_names(self, names: Sequence[str], origin: str) -> list[str]:
        """The columns that a list of names means; names with commas may have been taken apart at the commas.

        Raises:
            DataError: there is no such column. The message names the most similar one.
        """
        names = list(map(composed, names))
        known = set(self.columns)
        whole = {tuple(map(str.strip, name.split(","))): name for name in self.columns}
        longest = max(map(len, whole), default=1)
        resolved: list[str] = []
        position = 0
        while position < len(names):
            name, parts = names[position], 1
            while name not in known and parts <= longest:
                joined = ",".join(names[position : position + parts]).split(",")
                name = whole.get(tuple(map(str.strip, joined)), name)
                parts += name not in known
            if name not in known:
                self.require(name, origin)
            resolved.append(name)
            position += parts
        return resolved

    def resolve_label(self, name: str) -> str:
        """The column that holds the labels when the user calls the label column `name`."""
        return composed(name)

    def written_name(self, column: str) -> str:
        """The name of a column as it is in the file, which may not be in the Unicode form NFC."""
        return column


class TableRows(Rows):
    """The rows of a `pyarrow.Table`, or of the memory-mapped table of a `datasets.Dataset`."""

    def __init__(
        self,
        table: Any,
        path: Path,
        *,
        untyped: bool = False,
        class_names: dict[str, tuple[str, ...]] | None = None,
    ) -> None:
        self.untyped, self._table = untyped, table
        self._written: dict[str, str] = {composed(name): name for name in table.column_names}
        names = list(map(composed, table.column_names))
        repeated = sorted(name for name, count in Counter(names).items() if count > 1)
        if repeated:
            twice = f"more than one column named {listed(repeated)}"
            raise DataError(f"{shown(path)} has {twice}: rename them{self._advice()}")
        self.columns, self.folder = tuple(names), path.parent
        self._name = shown(path.name)
        self._class_names = class_names or {}

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def arrow(self, column: str, rows: NDArray[np.int64] | None = None) -> Any:
        values = self._table.column(self.written_name(column))
        return values if rows is None else _take(values, rows)

    def values(self, column: str, rows: NDArray[np.int64]) -> list[Any]:
        values: list[Any] = self.arrow(column, rows).to_pylist()
        return values

    def _advice(self) -> str:
        from gdw.data.formats.first_lines import header_advice

        return header_advice(self._table) if self.untyped else ""

    def class_names(self, column: str) -> tuple[str, ...] | None:
        return self._class_names.get(self.written_name(column))

    def written_name(self, column: str) -> str:
        return self._written.get(composed(column), column)

    def where(self, row: int) -> str:
        return f"row {row} of {self._name}"


def open_rows(path: str | Path, options: ReadOptions = ReadOptions()) -> Rows:  # noqa: B008 - frozen
    """Open a file by its suffix, or a folder of images.

    Args:
        path: the file or folder.
        options: how a text file is read.

    Returns:
        The rows, with `options`.

    Raises:
        DataError: there is no file or folder at `path`, the suffix is not supported, or the file is damaged
            or has no rows.
    """
    place = Path(path)
    try:
        require_existing(place)
        file_format = format_of(place)
        if not place.is_dir() and place.stat().st_size == 0:
            raise DataError(f"{shown(place)} is an empty file: expected at least one example")
        rows = file_format.open(place, options)
        rows.options = options
    except OSError as error:
        raise DataError(f"cannot read {shown(place)}: {error.strerror or error}") from None
    except MemoryError:
        raise DataError(
            f"{shown(place)} does not fit into memory: use fewer rows, or a machine with more memory"
        ) from None
    if len(rows) == 0:
        raise DataError(f"{shown(place)} has no rows: expected at least one example")
    return rows


def format_of(path: Path) -> Format:
    """The format of a file, by its suffix, or of a folder of images or an image.

    Raises:
        DataError: no format has this suffix.
    """
    from gdw.data.formats import FOLDER, FORMATS
    from gdw.data.images import IMAGE_SUFFIXES

    if path.is_dir():
        return FOLDER
    suffix = path.suffix.lower()
    for file_format in FORMATS:
        if suffix in file_format.suffixes:
            return file_format
    if suffix in IMAGE_SUFFIXES:
        return FOLDER
    ending = f"the suffix {suffix!r}" if suffix else "no suffix"
    raise DataError(
        f"cannot recognise the format of {shown(path)}, which has {ending}: "
        f"expected {', '.join(suffixes())} or a folder of images"
    )


def suffixes() -> tuple[str, ...]:
    """The suffixes of all file formats, in the order of `gdw.data.formats.FORMATS`."""
    from gdw.data.formats import FORMATS

    return tuple(suffix for file_format in FORMATS for suffix in file_format.suffixes)


def suffixes_in_words() -> str:
    """The suffixes of all file formats, for a sentence.

    >>> suffixes_in_words()
    '.csv, .tsv, ... or ...'
    """
    *most, last = suffixes()
    return f"{', '.join(most)} or {last}"


def require_existing(path: Path) -> None:
    """Raise a `DataError` that names the nearest file if there is nothing at `path`."""
    if path.exists():
        return
    if not path.parent.is_dir():
        raise DataError(f"there is no folder {shown(path.parent)}: check the path {shown(path)}")
    near = difflib.get_close_matches(path.name, [p.name for p in path.parent.iterdir()], n=1)
    hint = f" Did you mean {shown(path.parent / near[0])!r}?" if near else ""
    raise DataError(f"there is no file or folder {shown(path)!r}.{hint}")


def _take(values: Any, rows: NDArray[np.int64]) -> Any:
    """The `rows` of a `pyarrow.ChunkedArray`, taken chunk by chunk.

    Older versions of Arrow join all chunks first, which copies the column and overflows at 2 GB of bytes.
    """
    import numpy as np
    import pyarrow as pa

    if len(rows) == len(values) and np.array_equal(rows, np.arange(len(rows))):
        return values
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
