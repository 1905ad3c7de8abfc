"""Data frames in memory as the rows of a table."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np

from gdw.data.rows import TableRows
from gdw.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

# What Pillow has beyond this becomes RGB before it is written as TIFF.
_MODES = ("1", "L", "LA", "RGB", "RGBA", "CMYK", "I", "F", "I;16", "I;16B", "I;16L")


def frame_rows(frame: pd.DataFrame, names: Sequence[str], origin: str) -> TableRows:
    """The rows of a data frame of N rows, which are counted from 0.

    Args:
        frame: the index is not read.
        names: of its columns.
        origin: what the frame is called in messages.

    Raises:
        DataError: a column holds values of no use, such as dictionaries, or two names are the same.
    """
    import pyarrow as pa

    columns = [_arrow(frame.iloc[:, i], name, origin) for i, name in enumerate(names)]
    return TableRows(pa.Table.from_arrays(columns, list(names)), Path(origin))


def is_picture(value: Any) -> bool:
    """Whether `value` is an image of Pillow, or the path of one."""
    from PIL import Image

    return isinstance(value, (Image.Image, os.PathLike))


def plain(value: Any) -> Any:
    """A cell as Arrow takes it: a path as text, an image of Pillow as the bytes of a file."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, UUID):
        return str(value)
    return _written(value) if is_picture(value) else value


def _written(picture: Any) -> bytes:
    """An image of Pillow as an uncompressed TIFF file, turned as its EXIF data say."""
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(picture)
    if upright.mode not in _MODES:
        upright = upright.convert("RGBA" if "transparency" in upright.info else "RGB")
    buffer = io.BytesIO()
    upright.save(buffer, "TIFF", exif=b"")
    return buffer.getvalue()


def _arrow(column: pd.Series[Any], name: str, origin: str) -> Any:
    """The column for Arrow. What pandas calls a category is one, whatever its values are."""
    import pandas as pd
    import pyarrow as pa

    if isinstance(column.dtype, pd.CategoricalDtype):
        return _texts(column, name, origin).dictionary_encode()
    if isinstance(column.dtype, pd.SparseDtype):
        column = pd.Series(np.asarray(column))
    if column.dtype.kind == "M":
        # finer times than the reader of tables can take
        column = column.dt.as_unit("us")
    if column.dtype == object:
        column = column.map(plain)
    try:
        return pa.array(column, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        # several types in one column: names
        return _texts(column, name, origin)


def _texts(column: pd.Series[Any], name: str, origin: str) -> Any:
    import pyarrow as pa

    unfit = (dict, complex)
    nested = next((value for value in column if np.ndim(value) or isinstance(value, unfit)), None)
    if nested is not None:
        raise DataError(
            f"column {name!r} of {origin} holds {type(nested).__name__} values, which cannot be a feature "
            "of a table: drop it, or give it alone"
        )
    texts = column.astype(object).map(str).where(column.notna(), None)
    return pa.array(texts.tolist(), pa.string())
