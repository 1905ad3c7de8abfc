"""Data frames, texts and images in memory as a `Source`, for the encoders of `gdw.data`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gdw.data.cells import noting_empty_texts
from gdw.data.checks import column_notes, odd_cells_note, row_number_note
from gdw.data.column_contents import holds_images
from gdw.data.columns import ColumnType, feature_types
from gdw.data.data_frames import frame_rows, plain
from gdw.data.loading import ColumnOptions, recognise_inputs
from gdw.data.rows import Kind, Rows, TableRows
from gdw.data.source import Source, from_arrays
from gdw.errors import DataError, composed

if TYPE_CHECKING:
    import pandas as pd

ORIGIN = "X"
_LOOKED_AT = 100
_TEXT, _REMEDY = (
    "give it alone as text (X['...']), or ",
    "encode it yourself (numbers: X.to_numpy())",
)


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
    rows = frame_rows(frame, column_names(frame), ORIGIN)
    options = ColumnOptions(None, None, None, None, (), _REMEDY, _TEXT, _drop)
    inputs = recognise_inputs(rows, options, ORIGIN)
    source = _whole(rows, inputs.kind, inputs.columns)
    if inputs.kind != "table":
        source = replace(source, notes=inputs.notes)
        return noting_empty_texts(source) if inputs.kind == "text" else source
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
    rows = frame_rows(frame.iloc[:, used], [names[position] for position in used], ORIGIN)
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
    rows = TableRows(pa.table({"text": values}), Path(ORIGIN))
    return noting_empty_texts(_whole(rows, "text", ("text",)))


def picture_source(pictures: Sequence[Any]) -> Source:
    """Images of Pillow, files or their bytes, uint8 arrays `(H, W[, 3])`, mappings of `datasets`."""
    return _whole(_PictureRows(pictures), "image", ("image",))


def image_source(images: Any) -> Source:
    """Images `(N, H, W)` or `(N, H, W, 3)`; `DataError` for other shapes, and what are no finite numbers."""
    return from_arrays(images, origin=ORIGIN)


def are_image_files(texts: Sequence[Any]) -> bool:
    """Whether `texts` are names of files of images, or the bytes of such files."""
    import pyarrow as pa

    contents = [content for content in texts if isinstance(content, bytes)][:_LOOKED_AT]
    if contents:
        return holds_images(pa.chunked_array([pa.array(contents, pa.large_binary())]))
    names = [text for text in texts if isinstance(text, str) and text.isprintable()]
    return bool(names) and holds_images(pa.chunked_array([pa.array(names, pa.large_string())]))


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
    return plain(_from_pixels(picture, row) if isinstance(picture, np.ndarray) else picture)


def _from_pixels(pixels: NDArray[Any], row: int) -> Any:
    from PIL import Image

    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise DataError(
            f"X[{row}]: expected an image of shape (H, W), (H, W, 3) or (H, W, 4) and type uint8, as the "
            f"images differ in size, found the shape {pixels.shape} and the type {pixels.dtype}"
        )
    return Image.fromarray(pixels[..., 0] if pixels.ndim == 3 and channels == 1 else pixels)


def _whole(rows: Rows, kind: Kind, columns: Sequence[str]) -> Source:
    return Source(kind, ORIGIN, (), None, np.arange(len(rows)), tuple(columns), rows)
