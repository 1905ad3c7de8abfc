"""JSON Lines whose lines have keys of their own: each key becomes a column, and memory grows with the square.

For almost all files, three samples rule this out.
"""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gdw.data.formats.records import count
from gdw.data.text_files import Content
from gdw.files import memory

_SAMPLE = 1 << 14
_BYTES_PER_CELL = 8
_REMEDY = "its lines have different keys, and each key is a column; use the same keys in all lines"


def require_same_keys(path: Path, content: Content, begin: int) -> None:
    """Raise `DataError` if the columns of a file need far more than the file; `begin`: its first byte."""
    if _expected_size(content, begin) < memory.HARMLESS / 2:
        return
    rows = count(content, b"\n") + 1
    keys: set[tuple[str, ...]] = set()
    for line in io.BytesIO(content[begin:]):
        try:
            keys.update(_leaves(json.loads(line)))
        except ValueError:
            return  # The reader says what is wrong, or reads objects of several lines.
        memory.require_unpacked(
            path, rows * len(keys) * _BYTES_PER_CELL, _REMEDY, limit=sys.maxsize
        )


def _expected_size(content: Content, begin: int) -> float:
    """The memory that the columns need if it grows with the file as it grows with the samples."""
    if len(content) < 4 * _SAMPLE:
        return 0
    places = (begin, len(content) // 2, len(content) - _SAMPLE)
    samples = [_lines_after(content, place) for place in places]
    one, all_ = _size_in_memory(samples[1]), _size_in_memory(b"".join(samples))
    if not one or not all_:
        return 0
    joined = sum(map(len, samples))
    growth = math.log(all_ / one) / math.log(joined / len(samples[1]))
    return float(all_ * (len(content) / joined) ** growth)


def _lines_after(content: Content, place: int) -> bytes:
    """Whole lines after a place, about half of `_SAMPLE`; nothing if the lines are long."""
    start = content.find(b"\n", place, place + _SAMPLE) + 1
    end = content.find(b"\n", start + _SAMPLE // 2, start + _SAMPLE) + 1
    return content[start:end] if start and end else b""


def _size_in_memory(lines: bytes) -> int:
    """The memory of lines that begin and end with an object; 0 if they do not."""
    import pyarrow as pa
    from pyarrow import json as arrow_json

    try:
        reading = arrow_json.ReadOptions(use_threads=False)
        return int(arrow_json.read_json(pa.BufferReader(lines), reading).nbytes) if lines else 0
    except pa.ArrowInvalid:
        return 0


def _leaves(value: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, (*above, key))
    else:
        yield above
