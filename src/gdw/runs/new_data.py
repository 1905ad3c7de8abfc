"""Data that a finished run predicts, from whatever the user gives: a path, a data frame, an array."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gdw.data.checks import odd_cells_note
from gdw.data.data_frames import frame_rows
from gdw.data.image_checks import checked
from gdw.data.loading import ColumnOptions, recognise_inputs
from gdw.data.rows import TableRows
from gdw.data.source import Source, from_arrays
from gdw.errors import DataError, composed
from gdw.runs.run import Run

if TYPE_CHECKING:
    import pandas as pd

NewData: TypeAlias = "Source | str | os.PathLike[str] | pd.DataFrame | NDArray[Any]"
"""A `Source`, a path, a data frame of pandas, Polars or Arrow; or an array, if the run learned from one."""

FRAME, ARRAY = "the data frame", "the array"


def source_of(run: Run, data: Any) -> Source:
    """`data` in the form that `run` was trained on, without labels.

    Raises:
        DataError: `data` is nothing of this kind, or has another form than the training data.
    """
    if isinstance(data, Source):
        return data
    if isinstance(data, (str, os.PathLike)):
        return run.read(os.fspath(data))
    frame = as_frame(data)
    if frame is not None and run.schema.kind != "array":
        return _from_frame(run, frame)
    if isinstance(data, np.ndarray) and run.schema.kind == "array":
        return from_arrays(data, origin=ARRAY)
    raise DataError(
        f"expected {'an array' if run.schema.kind == 'array' else 'a data frame'}, a path or a Source "
        f"(Run.read) of {run.schema.kind} data, on which the run was trained, found {type(data).__name__}"
    )


def as_frame(data: Any) -> pd.DataFrame | None:
    """A data frame of pandas, Polars or Arrow, or a data set of Hugging Face, as one of pandas; else None."""
    import pandas as pd

    convert: Callable[[], Any] | None = getattr(data, "to_pandas", None)
    frame = data if convert is None or isinstance(data, Source) else convert()
    return frame if isinstance(frame, pd.DataFrame) else None


def _from_frame(run: Run, frame: pd.DataFrame) -> Source:
    schema = run.schema
    kind: Any = schema.kind
    rows = frame_rows(frame, list(map(str, frame.columns)), FRAME)
    if not len(rows):
        raise DataError(f"{FRAME} has no rows: expected at least one example")
    columns = _image_column(schema.feature_columns[0], rows) if schema.kind == "image" else None
    columns = columns or tuple(map(composed, schema.feature_columns))
    for name in columns:
        rows.require(name, FRAME)
    source = Source(kind, FRAME, (), None, np.arange(len(rows)), columns, rows)
    if schema.kind != "table":
        return checked(source, skip=run.data_config.skip_broken)
    types: Any = schema.column_types
    return replace(source.typed(types), notes=odd_cells_note(rows, types))


def _image_column(name: str, rows: TableRows) -> tuple[str, ...]:
    """The column of images: that of training, or the only one."""
    if composed(name) in rows.columns:
        return (composed(name),)
    inputs = recognise_inputs(rows, ColumnOptions(None, None, None, None, ()), FRAME)
    return inputs.columns if inputs.kind == "image" else ()
