"""Finding images that cannot be read before hours of training, not in the middle of them."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

from gdw.data.images import verify
from gdw.data.source import Source
from gdw.errors import DataError

_ROWS_AT_ONCE = 1024
_IMAGES_A_TASK = 32


def check_images(source: Source, *, threads: int | None = None) -> None:
    """Read every image of `source` in `threads` threads (default: one a processor).

    Raises `DataError` naming the first that cannot be read and how many there are. Does nothing for other
    kinds of data.
    """
    if source.kind != "image":
        return
    first, count = "", 0
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        for start in range(0, len(source), _ROWS_AT_ONCE):
            rows = source.row_numbers[start : start + _ROWS_AT_ONCE]
            values = source.rows.values(source.feature_columns[0], rows)
            # One task per image would spend more on the queue than on a small image.
            tasks = [values[i : i + _IMAGES_A_TASK] for i in range(0, len(values), _IMAGES_A_TASK)]
            faults = pool.map(_faults, tasks, [source.rows.folder] * len(tasks))
            for position, fault in enumerate(chain.from_iterable(faults), start):
                if fault is not None:
                    first = first or f"{source.where(position)}: {fault}"
                    count += 1
    if count:
        more = "" if count == 1 else f" ({count} images in all cannot be read)"
        raise DataError(f"{first}{more}: repair or remove it")


def _faults(values: list[Any], folder: Path) -> list[str | None]:
    return [_fault(value, folder) for value in values]


def _fault(value: Any, folder: Path) -> str | None:
    try:
        verify(value, folder)
    except DataError as error:
        return str(error)
    return None
