"""Which rows of a data set a grid trains on and measures on: for results, or to develop a method."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gdw.data.source import Source
from gdw.data.split import limited

_HELD_OUT = 4
"""One in so many rows is measured on where a data set is too small for rows of its own."""


def chosen_rows(
    train: Source,
    test: Callable[[], Source],
    *,
    train_rows: int | None,
    test_rows: int | None,
    validation: bool,
) -> tuple[Source, Source]:
    """The rows to train on and those to measure on; both are stratified by label.

    With `validation` both are rows of `train`, so that a method can be developed without a look at the test
    set. They are rows that are not trained on otherwise, if there are enough of them; else the rows that are
    trained on otherwise are divided.

    Args:
        train: all rows of the training file.
        test: opens the test file; not called for `validation`.
        train_rows, test_rows: how many to draw; None: all.
        validation: whether a method is developed on the result.

    Returns:
        The rows to train on, and those to measure on. They are disjoint.
    """
    main = _drawn(train, train_rows, seed=0)
    if not validation:
        return main, _drawn(test(), test_rows, seed=0)
    pool, measured_rows = _without(train, main), test_rows or len(main) // _HELD_OUT
    if len(pool) < len(main) + measured_rows:
        pool, measured_rows = main, min(measured_rows, len(main) // _HELD_OUT)
    measured = _drawn(pool, measured_rows, seed=1)
    return _drawn(_without(pool, measured), len(main), seed=1), measured


def _drawn(source: Source, size: int | None, *, seed: int) -> Source:
    return source if size is None else limited(source, size, seed)


def _without(source: Source, other: Source) -> Source:
    """The rows of `source` that are not in `other`, another choice of rows of the same file."""
    return source.select(np.flatnonzero(~np.isin(source.row_numbers, other.row_numbers)))
