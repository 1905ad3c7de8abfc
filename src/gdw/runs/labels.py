"""Which column holds the labels of a file that a model is measured on."""

from __future__ import annotations

from gdw.data.rows import open_rows
from gdw.errors import DataError
from gdw.files.wording import listed
from gdw.runs.config import DataConfig


def held_out_label(config: DataConfig, path: str, *, option: str) -> str:
    """The label column of the test or training data; in a file without it, that of the clean examples.

    Raises:
        DataError: the file at `path` has neither; the message names `option`, which says the column.
    """
    rows = open_rows(path)
    usual = config.test_label or config.label
    for name in (usual, config.meta_label):
        if name is not None and rows.resolve_label(name) in rows.columns:
            return name
    raise DataError(
        f"{path} has no label column {usual!r}: name its own with {option}. "
        f"Its columns: {listed(rows.columns)}"
    )
