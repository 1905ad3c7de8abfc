"""The few types of table columns that matter here, and their way into pandas.

Delimited text has no types: its cells stay text until they are read as features, so that a label `NA` or a
code `007` is never lost. Only as features are empty cells, `?`, `NA` and the like missing values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

ColumnType = Literal["number", "category", "date", "missing"]

MISSING_CELLS = ("", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "none")


class ConversionError(ValueError):
    """A value that cannot be read as the wanted column type; `position` counts from 0."""

    def __init__(self, position: int, value: object) -> None:
        super().__init__(f"{value!r} at {position}")
        self.position = position
        self.value = value


def column_type(values: Any, *, untyped: bool) -> ColumnType | None:
    """The type of a `pyarrow.ChunkedArray`, or None if it cannot be a feature (lists, bytes, ...).

    `untyped` columns are text as read from a delimited file, which is a number if every cell that is not
    missing is one.
    """
    import pyarrow as pa

    if untyped:
        distinct = cells(values.unique()).drop_null()
        if len(distinct) == 0:
            return "missing"
        return "number" if _is_number(distinct) else "category"
    kind = values.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if values.null_count == len(values):
        return "missing"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number"
    if pa.types.is_boolean(kind) or _is_text(kind):
        return "category"
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return "date"
    return None


def to_pandas(values: Any, wanted: ColumnType, *, untyped: bool) -> pd.Series[Any]:
    """`(N,)` values of a `pyarrow.ChunkedArray` as the wanted type; missing values become pandas' own.

    Numbers are int64 if they are whole and none is missing, else float64; categories are strings or bools.
    Raises `ConversionError` naming the first value that does not fit, infinities included.
    """
    import pandas as pd
    import pyarrow as pa

    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if untyped:
        values = cells(values)
    if wanted == "number":
        return _finite(_to_numbers(values).to_pandas())
    if wanted == "missing":
        # A column without a single value in the first file tells nothing, whatever another file has there.
        nothing: pd.Series[Any] = pd.Series(np.full(len(values), np.nan))
        return nothing
    if wanted == "date":
        try:
            dates: pd.Series[Any] = values.cast(pa.timestamp("us")).to_pandas()
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            raise ConversionError(*_first_unfit(values, pa.timestamp("us"))) from None
        return dates
    if pa.types.is_boolean(values.type):
        booleans: pd.Series[Any] = values.to_pandas()
        return booleans
    return pd.Series([None if v is None else str(v) for v in values.to_pylist()], dtype="object")


def _finite(numbers: Any) -> pd.Series[Any]:
    """Whole numbers as they are, others as float64; NaN is a missing value, but an infinity is an error."""
    import pandas as pd

    if numbers.dtype.kind not in "iu":
        numbers = numbers.astype("float64")
        infinite = np.flatnonzero(np.isinf(numbers.to_numpy()))
        if len(infinite):
            raise ConversionError(int(infinite[0]), float(numbers.iloc[infinite[0]]))
    finite: pd.Series[Any] = pd.Series(numbers)
    return finite


def cells(values: Any) -> Any:
    """Text cells of `pyarrow` without the spaces around them, null where they stand for a missing value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim_whitespace(values)
    missing = pc.is_in(trimmed, value_set=pa.array(MISSING_CELLS, trimmed.type))
    return pc.if_else(missing, pa.scalar(None, trimmed.type), trimmed)


def _to_numbers(values: Any) -> Any:
    """Whole numbers if all are, so that they print as they were written, else floats."""
    import pyarrow as pa

    if pa.types.is_integer(values.type):
        return values
    if pa.types.is_null(values.type):
        return values.cast(pa.float64())
    try:
        numbers = values.cast(pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise ConversionError(*_first_unfit(values, pa.float64())) from None
    try:
        return values.cast(pa.int64()) if _is_text(values.type) else numbers
    except pa.ArrowInvalid:
        return numbers


def _is_number(values: Any) -> bool:
    import pyarrow as pa

    try:
        values.cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def _first_unfit(values: Any, wanted: Any) -> tuple[int, object]:
    """Position and value of the first cell that cannot be cast: only an error needs it, so it may be slow."""
    import pyarrow as pa

    for position, value in enumerate(values):
        try:
            value.cast(wanted)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return position, value.as_py()
    raise AssertionError("every value can be cast by itself")


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )
