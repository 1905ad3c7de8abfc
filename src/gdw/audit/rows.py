"""The rows of the user's file or folder behind the training examples of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gdw.audit.evidence import Evidence
from gdw.data.rows import Rows, open_rows
from gdw.data.source import Source
from gdw.errors import DataError
from gdw.files.wording import shown


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """A file or folder as it is now, known to hold what a run was trained on.

    Attributes:
        path: where it is.
        rows: its raw rows, R of them.
        label: its label column.
        codes: `(R,)` int64, the label of every row, as codes into the run's label names.
        numbers: `(N,)` int64, the row of each training example.
    """

    path: Path
    rows: Rows
    label: str
    codes: NDArray[np.int64]
    numbers: NDArray[np.int64]

    def where(self, i: int) -> str:
        """The place of training example `i` in words."""
        return self.rows.where(int(self.numbers[i]))


def training_rows(
    path: str | Path,
    evidence: Evidence,
    *,
    label: str,
    label_names: tuple[str, ...],
    names_declared: bool,
    spoiled: bool,
) -> TrainingRows:
    """Open the data of a run again. With `spoiled` its labels were changed for an experiment.

    Raises:
        DataError: nothing there, or other rows or labels than the run was trained on.
    """
    rows = open_rows(path)
    column = rows.resolve_label(label)
    everything = np.arange(len(rows))
    bare = Source("table", shown(path), (), None, everything, (), rows)
    codes = bare.label_column(column, label_names, names_declared=names_declared).labels
    numbers = np.arange(len(evidence)) if evidence.rows is None else evidence.rows
    assert codes is not None
    if len(numbers) and int(numbers.max()) >= len(rows):
        raise _changed(path, f"row {int(numbers.max()) + 1} is gone")
    differ = np.flatnonzero(codes[numbers] != evidence.given)
    if len(differ) and not spoiled:
        place = rows.where(int(numbers[differ[0]]))
        raise _changed(path, f"{place} is {label_names[codes[numbers[differ[0]]]]!r} now")
    return TrainingRows(Path(path), rows, column, codes, numbers.astype(np.int64))


def _changed(path: str | Path, how: str) -> DataError:
    return DataError(
        f"{shown(path)} is not what the run was trained on ({how}): restore it, or train again"
    )
