"""Labelled examples as they are on disk: rows, not tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gdw.data.columns import ColumnType, ConversionError, column_type, to_pandas
from gdw.data.images import decode
from gdw.data.labels import UNLABELLED, read_labels, recode
from gdw.data.rows import ArrayRows, Rows
from gdw.errors import DataError, nearest
from gdw.files.wording import listed

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

Kind = Literal["image", "text", "table", "array"]


@dataclass(frozen=True, eq=False)
class Source:
    """An immutable selection of the rows of a file or folder, made by `gdw.data.load` or `from_arrays`.

    `labels` is int64 `(N,)` with codes into `label_names`, or None when no labels were asked for;
    `row_numbers` is int64 `(N,)`, the 0-based positions in the original file. `notes` say in a line each
    what a user should know of how the columns were chosen. Selecting copies no data.
    `names_declared` says that the file itself declares which name belongs to which class number (a Hugging
    Face `ClassLabel`); other names are in the order of their sorting, which no number refers to.
    Where a method takes `indices`, these are int64 `(B,)` positions in this source.
    """

    kind: Kind
    origin: str
    label_names: tuple[str, ...]
    labels: NDArray[np.int64] | None
    row_numbers: NDArray[np.int64]
    feature_columns: tuple[str, ...]
    rows: Rows = field(repr=False)
    column_types: Mapping[str, ColumnType] = field(default_factory=dict, repr=False)
    names_declared: bool = False
    notes: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        for array in (self.labels, self.row_numbers):
            if array is not None:
                array.flags.writeable = False

    def __len__(self) -> int:
        return len(self.row_numbers)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column of the file, features or not."""
        return self.rows.columns

    def select(self, indices: NDArray[np.int64]) -> Source:
        """The rows at `indices`, in that order."""
        labels = None if self.labels is None else self.labels[indices]
        return replace(self, labels=labels, row_numbers=self.row_numbers[indices])

    def with_labels(
        self,
        labels: ArrayLike,
        label_names: Sequence[str] | None = None,
        *,
        names_declared: bool = False,
    ) -> Source:
        """The same rows with other labels `(N,)`, codes into `label_names` (default: the present names).

        `names_declared` is about `label_names` where given.

        Raises `DataError` when the length is wrong or a code has no name.
        """
        codes = np.array(labels, dtype=np.int64)
        names = self.label_names if label_names is None else tuple(label_names)
        if codes.shape != (len(self),):
            raise DataError(f"expected {len(self)} labels, one a row, found shape {codes.shape}")
        if len(codes) and not (codes.min() >= 0 and codes.max() < len(names)):
            raise DataError(
                f"expected labels from 0 to {len(names) - 1}, found {codes.min()} to {codes.max()}"
            )
        declared = self.names_declared if label_names is None else names_declared
        return replace(self, labels=codes, label_names=names, names_declared=declared)

    def without_features(self, *columns: str) -> Source:
        """The same rows, with these columns not among the features."""
        kept = tuple(name for name in self.feature_columns if name not in columns)
        return replace(self, feature_columns=kept)

    def typed(self, types: Mapping[str, ColumnType]) -> Source:
        """The same rows with the features named by `types`, read as these types, in that order.

        This gives a second file (clean, test or new examples) the columns of the first, whose numbers may
        look like text there or the other way about. Raises `DataError` when a column is missing; `frame`
        raises it for a value that does not fit.
        """
        for name in types:
            self._require(name)
        return replace(self, feature_columns=tuple(types), column_types=dict(types))

    def where(self, i: int) -> str:
        """The place of example `i` in words: "row 18 of train.csv" (data rows, from 1) or an image's path."""
        return self.rows.where(int(self.row_numbers[i]))

    def images(self, indices: NDArray[np.int64]) -> list[Image.Image]:
        """RGB pictures. Raises `DataError` naming the first that cannot be read."""
        self._expect("image")
        values = self.rows.values(self.feature_columns[0], self.row_numbers[indices])
        pictures = []
        for position, value in enumerate(values):
            try:
                pictures.append(decode(value, self.rows.folder))
            except DataError as error:
                place = self.where(int(np.asarray(indices)[position]))
                raise DataError(f"{place}: {error}") from None
        return pictures

    def texts(self, indices: NDArray[np.int64]) -> list[str]:
        """Texts; a missing one is empty."""
        self._expect("text")
        values = self.rows.values(self.feature_columns[0], self.row_numbers[indices])
        return ["" if value is None else str(value) for value in values]

    def frame(self, indices: NDArray[np.int64] | None = None) -> pd.DataFrame:
        """The feature columns: numbers, dates, bools or strings; what is missing is pandas' NA or None.

        Raises `DataError` naming the first cell that is not of its column's type.
        """
        self._expect("table")
        import pandas as pd

        rows = self.row_numbers if indices is None else self.row_numbers[indices]
        series: dict[str, pd.Series[Any]] = {}
        for name in self.feature_columns:
            values = self.rows.arrow(name, rows)
            wanted = self.column_types[name]
            try:
                series[name] = to_pandas(values, wanted, untyped=self.rows.untyped)
            except ConversionError as error:
                place = self.rows.where(int(rows[error.position]))
                raise DataError(
                    f"{place}: column {name!r} should hold a {wanted}, found {error.value!r}"
                ) from None
        frame: pd.DataFrame = pd.DataFrame(series)
        return frame

    def array(self, indices: NDArray[np.int64] | None = None) -> NDArray[Any]:
        """Numeric features `(B, F)`, or images `(B, H, W)` or `(B, H, W, 3)`, in the dtype of the file."""
        self._expect("array")
        assert isinstance(self.rows, ArrayRows)
        values = self.rows.arrays[self.feature_columns[0]]
        chosen: NDArray[Any] = values[
            self.row_numbers if indices is None else self.row_numbers[indices]
        ]
        return chosen

    def column(self, name: str) -> list[Any]:
        """The `(N,)` values of any column, as in the file (cells of `.csv` and `.tsv` are strings).

        Raises `DataError` when there is no such column.
        """
        self._require(name)
        return self.rows.values(name, self.row_numbers)

    def label_column(
        self,
        column: str,
        label_names: Sequence[str] | None = None,
        *,
        names_declared: bool = False,
    ) -> Source:
        """The same rows labelled by another column; its classes are `label_names`, or those it holds.

        With `names_declared` (`Source.names_declared` of where the names come from) the number k in the
        column means the k-th name; the present names of this source keep what was declared of them.

        Raises `DataError` for a missing column, a row without a label, or a label that is not in
        `label_names` (naming the nearest that is).
        """
        self._require(column)
        values = self.rows.arrow(column, self.row_numbers)
        try:
            read = read_labels(values, self.rows.class_names(column))
        except DataError as error:
            raise DataError(f"column {column!r} of {self.origin} {error}") from None
        missing = np.flatnonzero(read.codes == UNLABELLED)
        if len(missing):
            more = "" if len(missing) == 1 else f", and {len(missing) - 1} more rows have none"
            raise DataError(
                f"{self.where(int(missing[0]))} has no label in column {column!r}{more}: "
                "label these rows or remove them"
            )
        if label_names is None:
            return self.with_labels(read.codes, read.names, names_declared=read.declared)
        if tuple(label_names) == self.label_names:
            names_declared = names_declared or self.names_declared
        codes = recode(read, label_names, where=self.where, names_declared=names_declared)
        return self.with_labels(codes, label_names, names_declared=names_declared)

    def codes(
        self, column: str, label_names: Sequence[str], *, names_declared: bool = False
    ) -> NDArray[np.int64]:
        """Another label column as int64 `(N,)` codes into `label_names`, as in `label_column`."""
        labels = self.label_column(column, label_names, names_declared=names_declared).labels
        assert labels is not None
        return labels

    def _require(self, column: str) -> None:
        if column not in self.columns:
            raise DataError(
                f"{self.origin} has no column {column!r}.{nearest(column, self.columns)} "
                f"Its columns: {listed(self.columns)}"
            )

    def _expect(self, kind: Kind) -> None:
        if self.kind != kind:
            raise DataError(f"{self.origin} is read as {self.kind} data, not as {kind} data")


def from_arrays(
    X: NDArray[Any],
    y: ArrayLike | None = None,
    *,
    label_names: Sequence[str] | None = None,
    origin: str = "arrays",
) -> Source:
    """A source from numeric features `(N, F)` or images `(N, H, W[, 3])` and labels `(N,)` of any type.

    Classes are `label_names`, or the sorted distinct labels. Raises `DataError` for shapes, types or values
    that cannot be trained on, as `gdw.data.load` does for an `.npz` file.
    """
    from gdw.data.formats.npz import check_arrays

    arrays = {"X": np.asarray(X)}
    if y is not None:
        arrays["y"] = np.asarray(y)
    rows = ArrayRows(arrays, Path(origin))
    check_arrays(rows, origin)
    source = Source("array", origin, (), None, np.arange(len(rows)), ("X",), rows)
    return source if y is None else source.label_column("y", label_names)


def feature_types(rows: Rows, columns: Sequence[str], origin: str) -> dict[str, ColumnType]:
    """The type of each feature column; `DataError` for one that cannot be a feature of a table."""
    types: dict[str, ColumnType] = {}
    for name in columns:
        values = rows.arrow(name)
        found = column_type(values, untyped=rows.untyped)
        if found is None:
            raise DataError(
                f"column {name!r} of {origin} holds {values.type} values, which cannot be a feature of a "
                "table: drop it, or name the columns to use"
            )
        types[name] = found
    return types
