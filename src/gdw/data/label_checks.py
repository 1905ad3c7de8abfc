"""Checks of the labels to train on: whether they are classes."""

from __future__ import annotations

import re

import numpy as np

from gdw.data.source import Source
from gdw.errors import DataError

# Labels of fewer rows may all differ by chance.
_ROWS = 20
# Numbers with decimals are measured if there are more than this, or each occurs in so few rows on average.
# Half points up to ten are 21 numbers.
_DECIMALS = 24
_ROWS_PER_DECIMAL = 4
_ROWS_PER_CLASS = 2
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_WHOLE = re.compile(r"[+-]?\d+")


def require_classes(source: Source, column: str) -> None:
    """Check that the labels of `source`, from `column`, are classes.

    Raises:
        DataError: the labels look like measured numbers, or hardly any label occurs twice.
    """
    assert source.labels is not None, "the source was read with its label column"
    rows, names = len(source), source.label_names
    if rows < _ROWS or source.names_declared:
        return
    classes = len(np.unique(source.labels))
    example = names[int(source.labels[0])]
    measured = classes > _DECIMALS or classes * _ROWS_PER_DECIMAL > rows
    if measured and _are_decimals(names):
        described = "measured numbers"
    elif classes * _ROWS_PER_CLASS > rows:
        described = "values that hardly repeat"
    else:
        return
    raise DataError(
        f"the label column {column!r} of {source.origin} holds {described} ({classes:,} different ones in "
        f"{rows:,} rows, such as {example!r}), but a label is one of a few classes: name another column "
        "(--label, label=), or put the numbers into ranges; to take each value as a class, add "
        "--label-as-classes (label_as_classes=)"
    )


def _are_decimals(names: tuple[str, ...]) -> bool:
    """Whether all names are numbers, and not all of them whole."""
    return all(map(_NUMBER.fullmatch, names)) and not all(map(_WHOLE.fullmatch, names))
