"""What is in a row, as a short checksum: an answer belongs to what the person has seen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdw.data.arrays import ArrayRows
from gdw.data.images import content
from gdw.data.rows import Kind, Rows
from gdw.errors import DataError

UNREADABLE = ""
"""In the place of the checksum of an image that cannot be read."""

_LENGTH = 32


def digests(
    rows: Rows, kind: Kind, columns: Sequence[str], numbers: NDArray[np.int64]
) -> list[str]:
    """A checksum of what is in each row: the bytes of the image, the text, the cells, or the numbers.

    Args:
        rows: the rows of the data.
        kind: of the inputs.
        columns: of the inputs.
        numbers: int64 `(R,)`, the rows.

    Returns:
        R checksums; `UNREADABLE` for an image that cannot be read.
    """
    parts = _contents(rows, kind, columns, numbers)
    return [
        UNREADABLE if part is None else hashlib.sha256(part).hexdigest()[:_LENGTH] for part in parts
    ]


def _contents(
    rows: Rows, kind: Kind, columns: Sequence[str], numbers: NDArray[np.int64]
) -> Iterator[bytes | None]:
    if kind == "image":
        yield from (_file(value, rows.folder) for value in rows.values(columns[0], numbers))
    elif kind == "array":
        assert isinstance(rows, ArrayRows)
        values = rows.arrays[columns[0]]
        head = f"{values.dtype.str} {values.shape[1:]}".encode()
        yield from (head + values[row].tobytes() for row in numbers.tolist())
    else:
        cells = [rows.values(column, numbers) for column in columns]
        yield from (json.dumps(row, default=str).encode() for row in zip(*cells, strict=True))


def _file(value: Any, folder: Path) -> bytes | None:
    try:
        return content(value, folder)
    except (DataError, OSError, ValueError):
        return None
