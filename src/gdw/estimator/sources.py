"""Data frames, texts and images in memory as a `Source`, for the encoders of `gdw.data`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gdw.data.columns import feature_types
from gdw.data.rows import TableRows
from gdw.data.source import Source, from_arrays

if TYPE_CHECKING:
    import pandas as pd

ORIGIN = "X"


def column_names(frame: pd.DataFrame) -> tuple[str, ...]:
    """What the columns are called in messages: by name, or by position where names repeat."""
    names = tuple(str(name) for name in frame.columns)
    return names if len(set(names)) == len(names) else tuple(map(str, range(len(names))))


def frame_source(frame: pd.DataFrame, names: Sequence[str]) -> Source:
    """A table of the columns of `frame`, called `names`.

    Raises `DataError` for a column that no feature can be made of.
    """
    import pyarrow as pa

    columns = {name: _arrow(frame.iloc[:, i]) for i, name in enumerate(names)}
    rows = TableRows(pa.table(columns), Path(ORIGIN))
    types = feature_types(rows, rows.columns, ORIGIN)
    return Source(
        "table", ORIGIN, (), None, np.arange(len(frame)), rows.columns, rows, column_types=types
    )


def text_source(texts: Sequence[str | None]) -> Source:
    """One text column; a missing text is empty."""
    import pyarrow as pa

    rows = TableRows(pa.table({"text": pa.array(list(texts), pa.string())}), Path(ORIGIN))
    return Source("text", ORIGIN, (), None, np.arange(len(rows)), ("text",), rows)


def image_source(images: Any) -> Source:
    """Images `(N, H, W)` or `(N, H, W, 3)`; `DataError` for other shapes, and what are no finite numbers."""
    return from_arrays(images, origin=ORIGIN)


def _arrow(column: pd.Series[Any]) -> Any:
    """The column for Arrow. What pandas calls a category is one, whatever its values are."""
    import pandas as pd
    import pyarrow as pa

    if isinstance(column.dtype, pd.CategoricalDtype):
        return _texts(column)
    if column.dtype.kind == "M":
        # finer times than the reader of tables can take
        column = column.dt.as_unit("us")
    try:
        return pa.array(column, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        # several types in one column: names
        return _texts(column)


def _texts(column: pd.Series[Any]) -> Any:
    import pyarrow as pa

    missing = column.isna().to_numpy()
    values = zip(column.tolist(), missing, strict=True)
    return pa.array([None if absent else str(value) for value, absent in values], pa.string())
