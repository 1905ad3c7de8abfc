"""Labels that may mean something else: marks of missing labels, and rows of several labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdw.errors import DataError, counted
from gdw.functional.wrong_targets import SEVERAL

# Numbers that stand for "no label" in many data sets, beside the classes 0, 1, 2, ...
_NUMBERS = (-1, -9, -99, -100, -999, 99, 255, 999, 65535)
_TEXTS = ("nan", "NaN", "<NA>")


def placeholder_note(labels: NDArray[Any]) -> tuple[str, ...]:
    """A note if one of the classes in `labels` `(N,)` looks like a mark of missing labels."""
    mark = _placeholder(labels)
    if mark is None:
        return ()
    count = int(np.count_nonzero(labels == mark))
    return (
        f"y: {mark!r} ({counted(count, 'row')}) is trained as a class like the others; leave these rows out "
        "if it means that the label is missing",
    )


def _placeholder(labels: NDArray[Any]) -> int | float | str | None:
    """The class in `labels` `(N,)` that looks like a mark of missing labels; None if there is none."""
    if labels.dtype.kind in "iuf":
        classes = np.unique(labels)
        marks = np.isin(classes, _NUMBERS)
        rest = classes[~marks]
        is_one = marks.sum() == 1 and len(rest) > 1 and np.array_equal(rest, np.arange(len(rest)))
        return classes[marks].tolist()[0] if is_one else None
    names = set(labels.tolist()) if labels.dtype.kind in "OU" else ()
    return next((name for name in names if name in _TEXTS or not name.strip()), None)


def several_labels(labels: NDArray[Any], name: str) -> DataError:
    """The error for `labels` with more than one column."""
    if labels.dtype.kind in "biuf" and (labels.sum(1) > 1.5).any():
        fix = SEVERAL
    elif labels.dtype.kind in "biuf":
        fix = "if each row is one-hot or holds probabilities, give the number of the class, y.argmax(axis=1)"
    else:
        fix = f"give one column of labels; {SEVERAL}"
    return DataError(
        f"{name} should be a 1d array, got an array of shape {labels.shape} instead: {fix}"
    )


def uneven_labels(values: Sequence[Any], name: str) -> DataError:
    """The error for rows that hold different numbers of labels."""
    row = next(i for i, value in enumerate(values) if np.ndim(value) and len(value) != 1)
    return DataError(
        f"{name}: expected one label per row, found {len(values[row])} in row {row}: {SEVERAL}"
    )
