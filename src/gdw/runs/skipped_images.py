"""The list of the images that a run left out because they cannot be read."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from gdw.data.images import path_of
from gdw.data.source import Source
from gdw.data.text_files import escaped
from gdw.errors import shown
from gdw.files.documents import write_text_atomically

SKIPPED = "skipped_images.csv"

_COLUMNS = ("data", "row", "image", "reason")


class SkippedImagesWarning(UserWarning):
    """Images that cannot be read were left out of an evaluation."""


def write_skipped(parts: Iterable[Source], folder: Path) -> None:
    """Write `skipped_images.csv` into `folder`: one line for each image that was left out.

    The columns are the file or folder of the data, the row in it (from 0), the path of the image if there is
    one, and why it cannot be read.

    Args:
        parts: the data of the run. Parts of one file say the same, and count once.
        folder: the run folder.
    """
    lines = [
        (part.origin, row, escaped(_path(part, row)), escaped(reason))
        for part in {part.origin: part for part in parts}.values()
        for row, reason in part.skipped
    ]
    content = io.StringIO()
    csv.writer(content, lineterminator="\n").writerows([_COLUMNS, *lines])
    write_text_atomically(folder / SKIPPED, content.getvalue())


def count_skipped(data: str, folder: Path) -> int:
    """How many images of `data`, a file or folder as the run names it, the list in `folder` has."""
    path = folder / SKIPPED
    if not path.is_file():
        return 0
    with path.open(encoding="utf-8", newline="") as file:
        return sum(line.get("data") == shown(data) for line in csv.DictReader(file))


def _path(part: Source, row: int) -> str:
    (value,) = part.rows.values(part.feature_columns[0], np.array([row]))
    return path_of(value)
