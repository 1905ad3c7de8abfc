"""The types of columns: how they are recognised, and how values are converted to pandas.

The cells of delimited text have no types. They stay text until they are read as features, so that a label
`NA` or a code `007` is never lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from gdw.data.cells import Cells, clean_cells, read_cells, with_points, without_missing_words
from gdw.data.column_contents import (
    IDENTIFIER_SHARE,
    half_numbers,
    hold_codes,
    is_text,
    without_markers,
    without_odd_cells,
)
from gdw.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from gdw.data.rows import Rows

ColumnType = Literal["number", "category", "date", "missing"]
"""The type of a feature column of a table; "missing" is a column without a single value."""

# A small table may have different values by chance. In a larger one, the share is typical of an identifier.
_IDENTIFIER_ROWS = 50
_SAMPLE = 1000
_SHOWN_TYPE = 60


class ConversionError(ValueError):
    """A value that cannot be converted to the type of its column; `position` counts from 0."""

    def __init__(self, position: int, value: object) -> None:
        super().__init__(f"{value!r} at {position}")
        self.position = position
        self.value = value


def column_type(values: Any, *, untyped: bool, decimal_comma: bool = False) -> ColumnType | None:
    """The type of a column, or None if it cannot be a feature (lists, bytes, ...).

    Args:
        values: a `pyarrow.ChunkedArray`.
        untyped: whether the values are cells of delimited text. Such a column is a number if every cell that
            is not missing is a number, apart from a few, see `gdw.data.column_contents`.
        decimal_comma: whether `3,14` is a number in cells of delimited text.
    """
    import pyarrow as pa

    if untyped:
        return read_cells(values, decimal_comma=decimal_comma).type
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if values.null_count == len(values) or (is_text(kind) and _all_missing(values)):
        return "missing"
    of: dict[ColumnType, tuple[Any, ...]] = {
        "number": (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal),
        "category": (pa.types.is_boolean, is_text),
        "date": (pa.types.is_timestamp, pa.types.is_date),
    }
    return next((name for name, checks in of.items() if any(check(kind) for check in checks)), None)


def is_text_of_numbers(values: Any, cells: Callable[[], Cells]) -> bool:
    """Whether texts of a file with types hold numbers (with a few odd cells) and are not codes.

    A few whole numbers that repeat, whole numbers that hardly repeat, and numbers with leading zeros are
    codes, as they were written as text.

    Args:
        values: a `pyarrow.ChunkedArray`.
        cells: reads them as cells of delimited text.
    """
    import pyarrow as pa

    if pa.types.is_dictionary(values.type) or not is_text(values.type):
        return False
    start = clean_cells(values.slice(0, _SAMPLE).unique()).drop_null()
    if len(start) == 0 or not half_numbers(start) or cells().type != "number":
        return False
    return not hold_codes(clean_cells(values), ids=is_identifier(values, untyped=True))


def without_features(rows: Rows, columns: Sequence[str]) -> dict[str, str]:
    """The columns that cannot be features of a table (lists, bytes, ...), in words with their types."""
    if rows.untyped:
        return {}
    values = {name: rows.arrow(name) for name in columns}
    return {
        name: f"{name!r} ({str(held.type)[:_SHOWN_TYPE]})"
        for name, held in values.items()
        if column_type(held, untyped=False) is None
    }


def feature_types(rows: Rows, columns: Sequence[str], origin: str) -> dict[str, ColumnType]:
    """The type of each feature column; `DataError` for one that cannot be a feature of a table."""
    types: dict[str, ColumnType] = {}
    for name in columns:
        values = rows.arrow(name)
        type_ = rows.cells(name).type if rows.untyped else column_type(values, untyped=False)
        if type_ == "category" and rows.holds_text_of_numbers(name):
            type_ = "number"
        if type_ is None:
            raise DataError(
                f"column {name!r} of {origin} holds {values.type} values, which cannot be a feature of a "
                "table: drop it, or name the columns to use"
            )
        types[name] = type_
    return types


def to_pandas(
    values: Any,
    type_: ColumnType,
    *,
    untyped: bool,
    odd_missing: bool = False,
    decimal_comma: bool = False,
) -> pd.Series[Any]:
    """The values of a column, converted to `type_`; missing values become those of pandas.

    Numbers are int64 if all are whole and none is missing, else float64. Categories are strings or bools.

    Args:
        values: a `pyarrow.ChunkedArray` of length N.
        type_: the type to convert to.
        untyped: whether the values are cells of delimited text.
        odd_missing: whether a cell of delimited text that is not a number is missing in a column of numbers.
            By default, only the usual marks of missing values are (`-`, `#N/A`, `unknown`, ...).
        decimal_comma: whether `3,14` is a number in cells of delimited text.

    Returns:
        A series of shape `(N,)`.

    Raises:
        ConversionError: a value does not fit, or is infinite. The error holds the first such value.
    """
    import pandas as pd
    import pyarrow as pa

    values = _without_dictionary(values)
    untyped = untyped or (type_ == "number" and is_text(values.type))
    if untyped:
        values = clean_cells(values)
    series: pd.Series[Any]
    if type_ == "number":
        values = with_points(values) if untyped and decimal_comma else values
        numbers = without_odd_cells(values) if odd_missing else values
        series = _finite(_to_numbers(numbers, untyped=untyped).to_pandas())
    elif type_ == "missing":
        # Nothing is learned from a column that is empty in the first file, whatever another file has there.
        series = pd.Series(np.full(len(values), np.nan))
    elif type_ == "date":
        series = _cast(values, pa.timestamp("us")).to_pandas()
    else:
        series = _categories(values, untyped=untyped)
    return series


def _categories(values: Any, *, untyped: bool) -> pd.Series[Any]:
    """Booleans as they are, others as strings; None for a missing value."""
    import pandas as pd
    import pyarrow as pa

    if pa.types.is_boolean(values.type):
        booleans: pd.Series[Any] = values.to_pandas()
        return booleans
    values = without_missing_words(values) if is_text(values.type) and not untyped else values
    return pd.Series([None if v is None else str(v) for v in values.to_pylist()], dtype="object")


def is_identifier(values: Any, *, untyped: bool) -> bool:
    """Whether almost every text of a `pyarrow.ChunkedArray` occurs once, in enough rows to mean something.

    With one feature for each such text, a model would memorise rows and learn nothing about new ones.
    """
    values = _without_dictionary(values)
    present = (clean_cells(values) if untyped else values).drop_null()
    distinct = len(present.unique())
    return len(present) >= _IDENTIFIER_ROWS and distinct > IDENTIFIER_SHARE * len(present)


def _all_missing(values: Any) -> bool:
    """Whether all texts of a column mean a missing value; a start is looked at first."""
    starts = (values.slice(0, _SAMPLE), values)
    return not any(len(clean_cells(_without_dictionary(v).unique()).drop_null()) for v in starts)


def _without_dictionary(values: Any) -> Any:
    import pyarrow as pa

    return values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values


def _finite(numbers: Any) -> pd.Series[Any]:
    """Whole numbers as they are, others as float64. NaN is a missing value, but an infinity is an error."""
    import pandas as pd

    if numbers.dtype.kind not in "iu":
        numbers = numbers.astype("float64")
        infinite = np.flatnonzero(np.isinf(numbers.to_numpy()))
        if len(infinite):
            raise ConversionError(int(infinite[0]), float(numbers.iloc[infinite[0]]))
    finite: pd.Series[Any] = pd.Series(numbers)
    return finite


def _to_numbers(values: Any, *, untyped: bool) -> Any:
    """Whole numbers if all of them are whole, so that they print as they were written; else floats."""
    import pyarrow as pa

    if pa.types.is_integer(values.type):
        return values
    if pa.types.is_null(values.type):
        return values.cast(pa.float64())
    try:
        numbers = values.cast(pa.float64())
    except pa.ArrowInvalid:
        values = without_markers(values) if untyped else values
        numbers = _cast(values, pa.float64())
    try:
        return values.cast(pa.int64()) if is_text(values.type) else numbers
    except pa.ArrowInvalid:
        return numbers


def _cast(values: Any, type_: Any) -> Any:
    """`values` as another `pyarrow` type; `ConversionError` holds the first value that cannot be cast."""
    import pyarrow as pa

    unfit = (pa.ArrowInvalid, pa.ArrowNotImplementedError)
    try:
        return values.cast(type_)
    except unfit:
        for position, value in enumerate(values):
            try:
                value.cast(type_)
            except unfit:
                raise ConversionError(position, _as_python(value)) from None
        raise


def _as_python(value: Any) -> object:
    """The value of a `pyarrow.Scalar`; the number that is stored if it is a date beyond Python's."""
    try:
        return value.as_py()
    except (OverflowError, ValueError):
        return value.value
