"""The rows to verify as the page shows them: a picture, a text or cells, and what stands beside it."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gdw.data.arrays import ArrayRows
from gdw.data.images import decode
from gdw.data.rows import Rows
from gdw.data.verification import Candidate, Queue
from gdw.data.verification.contents import UNREADABLE, digests
from gdw.errors import DataError, shown
from gdw.verify.blindness import telling_columns, tells_label

if TYPE_CHECKING:
    from PIL import Image

USUAL, LARGE, NEAR = 1600, 4096, 160
"""The longest side, in pixels, of the picture of a row, of its enlargement, and of a neighbour."""

_EXACT = 256
_LONGEST_TEXT, _LONGEST_CELL, _LONGEST_SNIPPET = 50_000, 2_000, 200
_MOST_CELLS, _MOST_NEIGHBOURS = 300, 9
_LEAST_PIXELS = 49


class Examples:
    """The contents of R rows.

    Args:
        rows: the data.
        queue: the verification file.
        candidates: the R rows.
    """

    def __init__(self, rows: Rows, queue: Queue, candidates: Sequence[Candidate]) -> None:
        self._rows, self._queue, self._candidates = rows, queue, candidates
        self._label = rows.resolve_label(queue.label)
        self.picture = lru_cache(maxsize=24)(self._picture)

    def content(self, n: int, *, blind: bool) -> dict[str, Any]:
        """Row `n` for the page, without its label if `blind`: `problem` says why it cannot be shown."""
        row = self._candidates[n]
        shown_of = {"image": self._image, "text": self._text}.get(self._queue.kind, self._numbers)
        shown_row = shown_of(row, blind)
        problem = self.problem(n)
        return {
            "kind": self._queue.kind,
            "place": f"row {row.index}" if blind and tells_label(row.where) else row.where,
            "problem": problem,
            **({} if problem else shown_row),
            "context": self._context(row, blind),
            "neighbours": [self._neighbour(k, y) for k, y in row.neighbours[:_MOST_NEIGHBOURS]],
        }

    def problem(self, n: int) -> str | None:
        """Why row `n` cannot be judged: its image cannot be read, or it is not as it was."""
        row = self._candidates[n]
        now = digests(self._rows, self._queue.kind, self._queue.columns, _one(row.index))[0]
        if now != row.digest:
            name = shown(self._queue.path.name)
            return f"this row changed since {name} was made: leave it out, or restore the data"
        return "this image cannot be read" if now == UNREADABLE else None

    def _image(self, row: Candidate, blind: bool) -> dict[str, Any]:  # noqa: ARG002
        return {"picture": True}

    def _text(self, row: Candidate, blind: bool) -> dict[str, Any]:  # noqa: ARG002
        value = self._rows.values(self._queue.columns[0], _one(row.index))[0]
        return {"text": _cut("" if value is None else str(value), _LONGEST_TEXT)}

    def _numbers(self, row: Candidate, blind: bool) -> dict[str, Any]:
        """The cells of a table, or an array as a picture or as cells."""
        if isinstance(self._rows, ArrayRows):
            values = self._rows.arrays[self._queue.columns[0]][row.index]
            if values.ndim > 1:
                return {"picture": True}
            return {"cells": _numbered(values)} if _as_square(values) is None else {"picture": True}
        hidden = self._telling if blind else set()
        columns = [name for name in self._queue.columns if name not in hidden]
        return {"cells": _pairs(self._cells(columns, row.index))}

    def _context(self, row: Candidate, blind: bool) -> list[tuple[str, str]]:
        if isinstance(self._rows, ArrayRows):
            values = self._rows.arrays[self._queue.columns[0]][row.index]
            shown_as_picture = values.ndim == 1 and _as_square(values) is not None
            return _numbered(values) if shown_as_picture else []
        hidden = self._telling if blind else set()
        columns = [name for name in self._others if name not in hidden]
        return _pairs(self._cells(columns, row.index))

    def _cells(self, columns: Sequence[str], index: int) -> list[tuple[str, Any]]:
        number = _one(index)
        return [(name, self._rows.values(name, number)[0]) for name in columns]

    @cached_property
    def _others(self) -> list[str]:
        """The columns beside the inputs and the label."""
        return [c for c in self._rows.columns if c not in (*self._queue.columns, self._label)]

    @cached_property
    def _telling(self) -> set[str]:
        if self._queue.kind == "array":
            return set()
        inputs = self._queue.columns if self._queue.kind == "table" else ()
        return telling_columns(self._rows, self._candidates, inputs=inputs, others=self._others)

    def _neighbour(self, index: int, label: str) -> dict[str, Any]:
        found: dict[str, Any] = {"label": label}
        if not 0 <= index < len(self._rows):
            return {**found, "text": "(no longer in the data)"}
        if self._queue.kind == "image" or isinstance(self._rows, ArrayRows):
            return {**found, "picture": True}
        cells = self._cells(self._queue.columns, index)
        if self._queue.kind == "text":
            return {**found, "text": _cut(_written(cells[0][1]), _LONGEST_SNIPPET)}
        words = ", ".join(f"{name} {_written(value)}" for name, value in cells)
        return {**found, "text": _cut(words, _LONGEST_SNIPPET)}

    def _picture(self, n: int, neighbour: int | None, side: int) -> tuple[bytes, str]:
        """The picture of row `n`, or of one of its neighbours, encoded, and its media type.

        Raises:
            DataError: there is none, or it cannot be read.
        """
        row = self._candidates[n]
        index = row.index if neighbour is None else row.neighbours[neighbour][0]
        if isinstance(self._rows, ArrayRows):
            return _encoded(_of_array(self._rows.arrays[self._queue.columns[0]][index]), side)
        if self._queue.kind != "image":
            raise DataError("this row has no picture")
        value = self._rows.values(self._queue.columns[0], _one(index))[0]
        return _encoded(decode(value, Path(self._rows.folder), at_least=side), side)


def _one(index: int) -> NDArray[np.int64]:
    return np.array([index], dtype=np.int64)


def _numbered(values: NDArray[Any]) -> list[tuple[str, str]]:
    return _pairs([(f"x{k}", value) for k, value in enumerate(values.tolist())])


def _as_square(values: NDArray[Any]) -> NDArray[Any] | None:
    """The numbers as the pixels of a square picture, if they look like some; else None."""
    side = round(float(np.sqrt(values.size)))
    square = side * side == values.size >= _LEAST_PIXELS
    return values.reshape(side, side) if square and float(values.min()) >= 0 else None


def _of_array(values: NDArray[Any]) -> Image.Image:
    from PIL import Image

    from gdw.report.previews import as_bytes

    pixels = _as_square(values) if values.ndim == 1 else values
    if pixels is None:
        raise DataError("this row has no picture")
    return Image.fromarray(as_bytes(pixels)).convert("RGB")


def _encoded(picture: Image.Image, side: int) -> tuple[bytes, str]:
    """The picture as PNG if it is small, so that no pixel changes, else as JPEG."""
    if max(picture.size) > side:
        picture.thumbnail((side, side))
    file = io.BytesIO()
    if max(picture.size) <= _EXACT:
        picture.save(file, "PNG")
        return file.getvalue(), "image/png"
    picture.save(file, "JPEG", quality=90)
    return file.getvalue(), "image/jpeg"


def _pairs(cells: Sequence[tuple[str, Any]]) -> list[tuple[str, str]]:
    pairs = [(_cut(name, _LONGEST_SNIPPET), _written(value)) for name, value in cells]
    rest = len(pairs) - _MOST_CELLS
    return [*pairs[:_MOST_CELLS], ("", f"and {rest:,} more columns")] if rest > 0 else pairs


def _written(value: Any) -> str:
    if value is None or value == "" or (isinstance(value, float) and np.isnan(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, bytes):
        return f"({len(value):,} bytes)"
    if isinstance(value, (list, dict)):
        return _cut(json.dumps(value, default=str, ensure_ascii=False), _LONGEST_CELL)
    return _cut(str(value), _LONGEST_CELL)


def _cut(text: str, limit: int) -> str:
    rest = len(text) - limit
    return text if rest <= 0 else f"{text[:limit]}… ({rest:,} more characters)"
