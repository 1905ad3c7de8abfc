"""The rows of the training file or folder, for the examples of a finished run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gdw.audit.evidence import Evidence
from gdw.data.rows import Rows, open_rows
from gdw.data.source import Source
from gdw.data.text_files import ReadOptions
from gdw.errors import DataError, shown


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """The training file or folder of a run, checked to hold the same examples as in training.

    Attributes:
        path: the file or folder.
        rows: its R raw rows.
        label: its label column.
        codes: int64 `(R,)`, the label of each row, as a code into the run's label names.
        numbers: int64 `(N,)`, the row of each training example.
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
    labels_merged: bool = False,
    spoiled: bool,
    options: ReadOptions = ReadOptions(),  # noqa: B008 - frozen
) -> TrainingRows:
    """Open the training data of a run again, and compare its labels with those in training.

    Args:
        path: the file or folder.
        evidence: of the run.
        label: the label column.
        label_names: the names of the classes.
        names_declared: as `gdw.data.Source.names_declared`.
        labels_merged: as `gdw.data.Source.labels_merged`.
        spoiled: the run changed the labels for an experiment, so they are not compared.
        options: how the run read the file.

    Raises:
        DataError: the data cannot be read, or their rows or labels changed since training.
    """
    rows = open_rows(path, options)
    column = rows.resolve_label(label)
    every = np.arange(len(rows))
    source = Source("table", shown(path), (), None, every, (), rows, labels_merged=labels_merged)
    codes = source.codes(column, label_names, names_declared=names_declared)
    numbers = evidence.numbers
    if len(numbers) and int(numbers.max()) >= len(rows):
        raise _changed(path, f"row {int(numbers.max())} is missing")
    differ = np.flatnonzero(codes[numbers] != evidence.given)
    if len(differ) and not spoiled:
        row = int(numbers[differ[0]])
        raise _changed(path, f"{rows.where(row)} is {label_names[codes[row]]!r} now")
    return TrainingRows(Path(path), rows, column, codes, numbers)


def _changed(path: str | Path, change: str) -> DataError:
    return DataError(
        f"{shown(path)} changed since the run was trained on it ({change}): restore it, or train again"
    )
