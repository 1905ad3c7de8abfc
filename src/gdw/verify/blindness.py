"""What would tell the given label although it is hidden."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from gdw.data.rows import Rows
from gdw.data.verification import Candidate

_SAMPLE = 300
_OFTEN = 0.5
_PURE = 0.9
_SHORT = 3
_ROW = re.compile(r"row \d+ of ", re.DOTALL)


def tells_label(place: str) -> bool:
    """Whether the place of a row may tell its label, as the path of an image in a class folder does."""
    return _ROW.match(place) is None


def telling_columns(
    rows: Rows, candidates: Sequence[Candidate], *, inputs: Sequence[str], others: Sequence[str]
) -> set[str]:
    """The columns that hold the given labels, under their names or as codes, in many of the rows.

    Args:
        rows: the data.
        candidates: the rows to verify.
        inputs: columns of the inputs. Only their values are compared with the labels: to say much about the
            class is what inputs are for.
        others: columns that are shown beside the inputs.
    """
    sample = candidates[:_SAMPLE]
    numbers = np.array([row.index for row in sample], dtype=np.int64)
    labels = [row.given_label.strip().casefold() for row in sample]
    found = set()
    for column in (*inputs, *others):
        cells = [str(value).strip().casefold() for value in rows.values(column, numbers)]
        named = np.mean([cell == label for cell, label in zip(cells, labels, strict=True)])
        if named > _OFTEN or (column in others and _holds(cells, labels)):
            found.add(column)
    return found


def _holds(cells: Sequence[str], labels: Sequence[str]) -> bool:
    """Whether the labels are parts of most cells, as in paths, or the cells are codes of the labels."""
    inside = [len(y) >= _SHORT and y in cell for cell, y in zip(cells, labels, strict=True)]
    return float(np.mean(inside)) > _OFTEN or _are_codes(cells, labels)


def _are_codes(cells: Sequence[Any], labels: Sequence[str]) -> bool:
    by_cell: dict[Any, Counter[str]] = defaultdict(Counter)
    for cell, label in zip(cells, labels, strict=True):
        by_cell[cell][label] += 1
    most_frequent = max(Counter(labels).values())
    right = sum(max(counts.values()) for counts in by_cell.values())
    few = len(by_cell) <= len(labels) / 3
    return few and right >= _PURE * len(labels) > most_frequent
