"""Labelled examples as they are on disk: rows, not tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gdw.data.arrays import ArrayRows, check_arrays
from gdw.data.columns import ColumnType, ConversionError, to_pandas
from gdw.data.images import decode
from gdw.data.labels import UNLABELLED, read_labels, recode
from gdw.data.rows import Kind, Rows
from gdw.errors import ConfigError, DataError, composed
from gdw.files.representation import ShortRepr

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

    from gdw.data.grey_range import GreyRange


@dataclass(frozen=True, eq=False, repr=False)
class Source(ShortRepr):
    """N rows of a file or folder, selected in some order. Make one with `gdw.data.load` or `from_arrays`.

    A source is immutable, and selecting rows copies no data. Where a method takes `indices`, these are int64
    `(B,)` positions in this source.

    Attributes:
        kind: the kind of the inputs: "image", "text", "table" or "array".
        origin: the path of the file or folder, for messages.
        label_names: the class names.
        labels: int64 `(N,)`, codes into `label_names`; None if no labels were read.
        row_numbers: int64 `(N,)`, the number of each row in the file, from 0.
        feature_columns: the columns of the inputs.
        rows: the raw rows of the whole file.
        column_types: for a table, the type of each feature column.
        names_declared: whether the file declares which class number has which name (`ClassLabel`).
        labels_merged: whether labels that differ only in case, white space or invisible characters are one.
        notes: one line each for the user, on how the columns were chosen.
        skipped: for each image that was left out because it cannot be read, its row number and the reason.
        unused: the columns that were not chosen, each with the reason.
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
    labels_merged: bool = False
    notes: tuple[str, ...] = field(default=(), repr=False)
    skipped: tuple[tuple[int, str], ...] = field(default=(), repr=False)
    unused: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for array in (self.labels, self.row_numbers):
            if array is not None:
                array.flags.writeable = False

    def __len__(self) -> int:
        return len(self.row_numbers)

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns of the file, features or not."""
        return self.rows.columns

    @property
    def known_labels(self) -> NDArray[np.int64]:
        """The `labels`; `ConfigError` if the source was read without its label column."""
        if self.labels is None:
            raise ConfigError(f"{self.origin} was loaded without labels: name its label column")
        return self.labels

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
        """The same rows with other labels.

        Args:
            labels: `(N,)`, codes into `label_names`.
            label_names: the class names; default: the present names.
            names_declared: whether a file declares the order of `label_names`.

        Raises:
            DataError: the length is wrong, or a code has no name.
        """
        codes = np.array(labels, dtype=np.int64)
        names = self.label_names if label_names is None else tuple(label_names)
        if codes.shape != (len(self),):
            raise DataError(f"expected {len(self)} labels, found shape {codes.shape}")
        if len(codes) and not (codes.min() >= 0 and codes.max() < len(names)):
            raise DataError(
                f"expected labels from 0 to {len(names) - 1}, found {codes.min()} to {codes.max()}"
            )
        declared = self.names_declared if label_names is None else names_declared
        return replace(self, labels=codes, label_names=names, names_declared=declared)

    def without_features(self, *columns: str) -> Source:
        """The same rows; `columns` are no longer features."""
        left_out = set(map(composed, columns))
        features = tuple(name for name in self.feature_columns if name not in left_out)
        return replace(self, feature_columns=features)

    def typed(self, types: Mapping[str, ColumnType]) -> Source:
        """The same rows with the columns `types` as features, in this order and converted to these types.

        This gives a second file (clean, test or new examples) the columns of the first file, because a number
        in one file may look like text in the other. `frame` raises `DataError` for a value that does not fit.

        Raises:
            DataError: a column is missing.
        """
        known = set(self.columns)
        for name in (name for name in types if name not in known):
            self.rows.require(composed(name), self.origin)
        return replace(self, feature_columns=tuple(types), column_types=dict(types))

    def where(self, i: int) -> str:
        """The place of example `i` in words: "row 17 of train.csv" (from 0), or the path of an image."""
        return self.rows.where(int(self.row_numbers[i]))

    def images(
        self, indices: NDArray[np.int64], *, grey: GreyRange | None = None, at_least: int = 0
    ) -> list[Image.Image]:
        """The pictures in RGB, see `gdw.data.images.decode`; `DataError` names one that cannot be read."""
        self._expect("image")
        values = self.rows.values(self.feature_columns[0], self.row_numbers[indices])
        pictures = []
        for position, value in enumerate(values):
            try:
                pictures.append(decode(value, self.rows.folder, grey=grey, at_least=at_least))
            except DataError as error:
                where = self.where(int(np.asarray(indices)[position]))
                raise DataError(f"{where}: {error}") from None
        return pictures

    def texts(self, indices: NDArray[np.int64]) -> list[str]:
        """The texts; a missing text is empty."""
        self._expect("text")
        values = self.rows.values(self.feature_columns[0], self.row_numbers[indices])
        return ["" if value is None else str(value) for value in values]

    def frame(self, indices: NDArray[np.int64] | None = None) -> pd.DataFrame:
        """The feature columns: numbers, dates, bools or strings. A missing value is NA or None, as in pandas.

        Raises:
            DataError: a cell does not fit the type of its column. The message names the first such cell.
        """
        import pandas as pd

        frame: pd.DataFrame = pd.DataFrame(dict(self.series(indices)))
        return frame

    def series(self, indices: NDArray[np.int64] | None = None) -> Iterator[tuple[str, Any]]:
        """The columns of `frame`, one by one: a frame of many columns takes long to make."""
        self._expect("table")
        rows = self.row_numbers if indices is None else self.row_numbers[indices]
        for name in self.feature_columns:
            type_, odd = self.column_types[name], self._odd_missing(name)
            try:
                values = self.rows.arrow(name, rows)
                yield name, to_pandas(values, type_, **self.rows.reading, odd_missing=odd)
            except ConversionError as error:
                place, found = self.rows.where(int(rows[error.position])), repr(error.value)
                message = f"{place}: column {name!r} should hold a {type_}, found {found}"
                raise DataError(message) from None

    def array(self, indices: NDArray[np.int64] | None = None) -> NDArray[Any]:
        """Numeric features `(B, F)`, or images `(B, H, W)` or `(B, H, W, 3)`, in the dtype of the file."""
        self._expect("array")
        assert isinstance(self.rows, ArrayRows)
        values = self.rows.arrays[self.feature_columns[0]]
        rows = self.row_numbers if indices is None else self.row_numbers[indices]
        chosen: NDArray[Any] = values[rows]
        return chosen

    def column(self, name: str) -> list[Any]:
        """The `(N,)` values of any column, as in the file (cells of `.csv` and `.tsv` are strings).

        Raises:
            DataError: there is no such column.
        """
        self.rows.require(composed(name), self.origin)
        return self.rows.values(name, self.row_numbers)

    def label_column(
        self,
        column: str,
        label_names: Sequence[str] | None = None,
        *,
        names_declared: bool = False,
    ) -> Source:
        """The same rows with the labels of another column.

        Args:
            column: the name of the column.
            label_names: the class names; default: the distinct labels in the column.
            names_declared: the `Source.names_declared` of the file that `label_names` come from. It is also
                that of this source if `label_names` are its own.

        Raises:
            DataError: the column is missing, a row has no label, or a label is not in `label_names`.
        """
        self.rows.require(composed(column), self.origin)
        values = self.rows.arrow(column, self.row_numbers)
        try:
            read = read_labels(values, self.rows.class_names(column))
        except DataError as error:
            raise DataError(f"column {column!r} of {self.origin} {error}") from None
        missing = np.flatnonzero(read.codes == UNLABELLED)
        if len(missing):
            row = int(self.row_numbers[missing[0]])
            raise DataError(self.rows.unlabelled(row, column, len(missing) - 1))
        if label_names is None:
            return self.with_labels(read.codes, read.names, names_declared=read.declared)
        if tuple(label_names) == self.label_names:
            names_declared = names_declared or self.names_declared
        codes = recode(
            read,
            label_names,
            where=self.where,
            names_declared=names_declared,
            merged=self.labels_merged,
        )
        return self.with_labels(codes, label_names, names_declared=names_declared)

    def codes(
        self, column: str, label_names: Sequence[str], *, names_declared: bool = False
    ) -> NDArray[np.int64]:
        """The labels of another column as int64 `(N,)` codes into `label_names`; see `label_column`."""
        return self.label_column(column, label_names, names_declared=names_declared).known_labels

    def _odd_missing(self, name: str) -> bool:
        """Whether a column holds numbers but for a few cells, so that these are missing values."""
        is_number = self.column_types[name] == "number"
        if not is_number or not (self.rows.untyped or self.rows.holds_text_of_numbers(name)):
            return False
        odd = self.rows.cells(name).odd
        return odd is not None and odd.few

    def _expect(self, kind: Kind) -> None:
        if self.kind != kind:
            raise DataError(f"{self.origin} is read as {self.kind} data, not as {kind} data")


def chunks(length: int, size: int) -> list[NDArray[np.int64]]:
    """The indices below `length` in arrays of at most `size`, to limit the memory of one step."""
    return [np.arange(start, min(start + size, length)) for start in range(0, length, size)]


def from_arrays(
    X: NDArray[Any],
    y: ArrayLike | None = None,
    *,
    label_names: Sequence[str] | None = None,
    origin: str = "arrays",
) -> Source:
    """A source from arrays in memory.

    >>> import numpy as np
    >>> source = from_arrays(np.eye(3), ["cat", "dog", "cat"])
    >>> source.label_names, source.labels
    (('cat', 'dog'), array([0, 1, 0]))

    Args:
        X: numeric features `(N, F)`, or images `(N, H, W)` or `(N, H, W, 3)`.
        y: labels `(N,)` of any type.
        label_names: the class names; default: the sorted distinct labels.
        origin: a name for the arrays in messages.

    Raises:
        DataError: the shapes, types or values cannot be trained on.
    """
    arrays = {"X": np.asarray(X), **({} if y is None else {"y": np.asarray(y)})}
    rows = ArrayRows(arrays, Path(origin))
    check_arrays(rows, origin)
    source = Source("array", origin, (), None, np.arange(len(rows)), ("X",), rows)
    return source if y is None else source.label_column("y", label_names)
