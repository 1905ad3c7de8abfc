"""Data frames, texts and images in memory as a `Source`, for the encoders of `gdw.data`."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from gdw.data.checks import column_notes, odd_cells_note, row_number_note
from gdw.data.column_contents import holds_images
from gdw.data.columns import ColumnType, feature_types
from gdw.data.loading import ColumnOptions, recognise_inputs
from gdw.data.rows import Kind, Rows, TableRows
from gdw.data.source import Source, from_arrays
from gdw.errors import DataError, composed
from gdw.estimator.containers import is_picture

if TYPE_CHECKING:
    import pandas as pd

ORIGIN = "X"
_TEXT, _REMEDY = (
    "give it alone as text (X['...']), or ",
    "encode it yourself (numbers: X.to_numpy())",
)
# What Pillow has beyond this becomes RGB before it is written as TIFF.
_MODES = ("1", "L", "LA", "RGB", "RGBA", "CMYK", "I", "F", "I;16", "I;16B", "I;16L")


def column_names(frame: pd.DataFrame) -> tuple[str, ...]:
    """What the columns are called in messages: by name, or by position where names repeat."""
    names = tuple(composed(str(name)) for name in frame.columns)
    return names if len(set(names)) == len(names) else tuple(map(str, range(len(names))))


def frame_source(frame: pd.DataFrame, codes: NDArray[np.int64], names: Sequence[str]) -> Source:
    """What to learn from a data frame, recognised as for a file: a column of texts or images, or a table.

    The labels, `codes` into `names`, are for the notes: a column may tell them.

    Raises:
        DataError: there is nothing to learn from, or no feature can be made of a column.
    """
    rows = _frame_rows(frame, column_names(frame))
    options = ColumnOptions(None, None, None, None, (), _REMEDY, _TEXT, _drop)
    inputs = recognise_inputs(rows, options, ORIGIN)
    source = _whole(rows, inputs.kind, inputs.columns)
    if inputs.kind != "table":
        return replace(source, notes=inputs.notes)
    types = feature_types(rows, inputs.columns, ORIGIN)
    notes = (
        inputs.notes
        + column_notes(rows, types)
        + row_number_note(source.with_labels(codes, names), types, _drop)
    )
    return replace(source, column_types=types, notes=notes)


def _drop(names: Sequence[str]) -> str:
    return f"X.drop(columns={[*names]!r})"


def frame_like(
    frame: pd.DataFrame,
    names: Sequence[str],
    kind: Kind,
    columns: Sequence[str],
    types: dict[str, ColumnType],
) -> Source:
    """The same columns of another data frame, whose columns are called `names`.

    Args:
        frame: has as many columns as there are names.
        names: of all columns.
        kind: of the inputs.
        columns: of the inputs.
        types: for a table, the type of each of `columns`.
    """
    used = [position for position, name in enumerate(names) if name in set(columns)]
    rows = _frame_rows(frame.iloc[:, used], [names[position] for position in used])
    source = _whole(rows, kind, columns)
    if kind != "table":
        return source
    return replace(source, column_types=types, notes=odd_cells_note(rows, types))


def text_source(texts: Sequence[str | None]) -> Source:
    """One text column; a missing text is empty."""
    import pyarrow as pa

    try:
        values = pa.array(list(texts), pa.large_string())
    except UnicodeEncodeError as error:
        row = next(i for i, text in enumerate(texts) if text is error.object)
        raise DataError(
            f"X[{row}] holds {error.object[error.start : error.end]!r}, half of a character: write the text "
            "anew with errors='replace'"
        ) from None
    rows = _FrameRows(pa.table({"text": values}), Path(ORIGIN))
    return _whole(rows, "text", ("text",))


def picture_source(pictures: Sequence[Any]) -> Source:
    """Images of Pillow, files of images, uint8 arrays `(H, W)` or `(H, W, 3)`, mappings of `datasets`."""
    return _whole(_PictureRows(pictures), "image", ("image",))


def image_source(images: Any) -> Source:
    """Images `(N, H, W)` or `(N, H, W, 3)`; `DataError` for other shapes, and what are no finite numbers."""
    return from_arrays(images, origin=ORIGIN)


def are_image_files(texts: Sequence[Any]) -> bool:
    """Whether texts are names of files of images."""
    import pyarrow as pa

    names = [text for text in texts if isinstance(text, str) and text.isprintable()]
    return bool(names) and holds_images(pa.chunked_array([pa.array(names, pa.large_string())]))


class _FrameRows(TableRows):
    """The rows of a table in memory, which are counted from 0."""

    def where(self, row: int) -> str:
        return f"row {row} of {ORIGIN}"


class _PictureRows(Rows):
    """Images in memory, or the names of their files. Images are written as TIFF when they are read."""

    kind = "image"
    columns = ("image",)
    folder = Path()

    def __init__(self, pictures: Sequence[Any]) -> None:
        self._pictures = pictures

    def __len__(self) -> int:
        return len(self._pictures)

    def arrow(self, column: str, rows: NDArray[np.int64] | None = None) -> Any:
        import pyarrow as pa

        chosen = np.arange(len(self)) if rows is None else rows
        return pa.chunked_array([pa.array(self.values(column, chosen))])

    def values(self, column: str, rows: NDArray[np.int64]) -> list[Any]:  # noqa: ARG002
        return [_file_or_bytes(self._pictures[row], row) for row in rows.tolist()]

    def where(self, row: int) -> str:
        return f"row {row} of {ORIGIN}"


def _file_or_bytes(picture: Any, row: int) -> Any:
    """What `gdw.data.images.decode` takes."""
    return _plain(_from_pixels(picture, row) if isinstance(picture, np.ndarray) else picture)


def _from_pixels(pixels: NDArray[Any], row: int) -> Any:
    from PIL import Image

    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise DataError(
            f"X[{row}]: expected an image of shape (H, W), (H, W, 3) or (H, W, 4) and type uint8, as the "
            f"images differ in size, found the shape {pixels.shape} and the type {pixels.dtype}"
        )
    return Image.fromarray(pixels[..., 0] if pixels.ndim == 3 and channels == 1 else pixels)


def _written(picture: Any) -> bytes:
    """An image of Pillow as an uncompressed TIFF file, turned as its EXIF data say."""
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(picture)
    if upright.mode not in _MODES:
        upright = upright.convert("RGBA" if "transparency" in upright.info else "RGB")
    buffer = io.BytesIO()
    upright.save(buffer, "TIFF", exif=b"")
    return buffer.getvalue()


def _whole(rows: Rows, kind: Kind, columns: Sequence[str]) -> Source:
    return Source(kind, ORIGIN, (), None, np.arange(len(rows)), tuple(columns), rows)


def _frame_rows(frame: pd.DataFrame, names: Sequence[str]) -> TableRows:
    import pyarrow as pa

    columns = {name: _arrow(frame.iloc[:, i], name) for i, name in enumerate(names)}
    return _FrameRows(pa.table(columns), Path(ORIGIN))


def _arrow(column: pd.Series[Any], name: str) -> Any:
    """The column for Arrow. What pandas calls a category is one, whatever its values are."""
    import pandas as pd
    import pyarrow as pa

    if isinstance(column.dtype, pd.CategoricalDtype):
        return _texts(column).dictionary_encode()
    if isinstance(column.dtype, pd.SparseDtype):
        column = pd.Series(np.asarray(column))
    if column.dtype.kind == "M":
        # finer times than the reader of tables can take
        column = column.dt.as_unit("us")
    if column.dtype == object:
        column = column.map(_plain)
    try:
        return pa.array(column, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        # several types in one column: names
        return _texts(column, name)


def _plain(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, UUID):
        return str(value)
    return _written(value) if is_picture(value) else value


def _texts(column: pd.Series[Any], name: str = "") -> Any:
    import pyarrow as pa

    unfit = (dict, complex)
    nested = next((value for value in column if np.ndim(value) or isinstance(value, unfit)), None)
    if nested is not None:
        raise DataError(
            f"column {name!r} of {ORIGIN} holds {type(nested).__name__} values, which cannot be a feature "
            "of a table: drop it, or give it alone"
        )
    texts = column.astype(object).map(str).where(column.notna(), None)
    return pa.array(texts.tolist(), pa.string())
