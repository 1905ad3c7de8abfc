"""From a path and the names of columns to a `Source`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gdw.data.formats import open_rows
from gdw.data.kinds import Wanted, detect
from gdw.data.rows import ArrayRows, Rows
from gdw.data.seeding import generator
from gdw.data.source import Source, feature_types
from gdw.data.split import stratified_subset
from gdw.errors import ConfigError
from gdw.files.wording import shown


def load(
    path: str | Path,
    *,
    label: str | None,
    image: str | None = None,
    text: str | None = None,
    features: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    label_names: Sequence[str] | None = None,
    names_declared: bool = False,
    limit: int | None = None,
    seed: int = 0,
) -> Source:
    """Open a `.csv`, `.tsv`, `.parquet`, `.jsonl` or `.npz` file, or a folder of class folders of images.

    `label` names the label column, or is None when no labels are wanted (prediction). In a folder the
    label column is called `label`; in an `.npz` file `y`, and `label` is understood too. `image`, `text` or
    `features` name the inputs; without them they are recognised, see `gdw.data.kinds.detect`. Columns in
    `drop` never become features; they need not exist.

    `label_names` are the classes of an earlier file, whose codes the labels then get; `names_declared` is
    its `Source.names_declared`, without which class numbers are not taken for names. `limit` keeps a random
    subset of that many rows, drawn from `seed`, in the order of the file; stratified by label, unless it is
    below the number of classes.

    Raises `DataError` for whatever is wrong with the file, `ConfigError` for options that contradict.
    """
    origin = shown(path)
    rows = open_rows(path)
    label = None if label is None else label_column(rows, label)
    found = detect(rows, Wanted(label, image, text, features, drop), origin)
    numbers = np.arange(len(rows))
    source = Source(found.kind, origin, (), None, numbers, found.columns, rows, notes=found.notes)
    if label is not None:
        source = source.label_column(label, label_names, names_declared=names_declared)
    if found.kind == "table":
        source = source.typed(feature_types(rows, found.columns, origin))
    return source if limit is None else _limited(source, limit, seed)


def label_column(rows: Rows, label: str) -> str:
    """What `rows` call the column that the user calls `label`."""
    if isinstance(rows, ArrayRows) and label == "label" and "label" not in rows.columns:
        return "y"
    return label


def _limited(source: Source, limit: int, seed: int) -> Source:
    if limit < 1:
        raise ConfigError(f"limit (--limit, limit=) must be at least 1, found {limit}")
    if limit >= len(source):
        return source
    if source.labels is not None and limit >= len(np.unique(source.labels)):
        return source.select(stratified_subset(source.labels, limit, seed))
    chosen = generator(seed, "limit").choice(len(source), limit, replace=False)
    return source.select(np.sort(chosen))
