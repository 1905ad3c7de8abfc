"""The rows of some data that a person is to look at, in order."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gdw.data.rows import Kind
from gdw.data.text_files import ReadOptions
from gdw.files.representation import ShortRepr

FOR_CERTIFICATE = "certificate"
"""The reason of rows that were drawn at random, but more likely the more their labels are in doubt."""

FROM_A_PART = 0
"""The draw of rows that were not drawn from all rows of the data."""


def checksum_of_rows(numbers: NDArray[np.int64]) -> str:
    """A short name for a set of rows of some data, given by their numbers in any order.

    >>> checksum_of_rows(np.array([2, 0])) == checksum_of_rows(np.array([0, 2]))
    True
    """
    rows = np.unique(numbers).astype("<i8")
    return hashlib.sha256(rows.tobytes()).hexdigest()[:16]


@dataclass(frozen=True)
class Candidate:
    """A row to verify.

    Attributes:
        index: the row of the data, from 0.
        where: its place in words.
        given_label: its label in the data.
        likely: its most likely classes, each with its probability, or with None.
        selection_probability: how likely it was to be chosen, above 0 and up to 1; None if unknown.
        reason: why it was chosen, such as "random", "balanced", "doubtful" or `FOR_CERTIFICATE`.
        digest: a checksum of what is in the row.
        neighbours: other rows that are like it, each with its label, for comparison.
        draw: the number of the draw that chose it, from 1, if that was from all rows of the data that are not
            earlier in the file; 0 if it was from a part of them; None if unknown.
        drawn_from: `checksum_of_rows` of the rows that it was drawn from, if `draw` is 0; empty if unknown.
    """

    index: int
    where: str
    given_label: str
    likely: tuple[tuple[str, float | None], ...] = ()
    selection_probability: float | None = None
    reason: str = ""
    digest: str = ""
    neighbours: tuple[tuple[int, str], ...] = ()
    draw: int | None = None
    drawn_from: str = ""


@dataclass(frozen=True, eq=False, repr=False)
class Queue(ShortRepr):
    """A verification file.

    Attributes:
        path: the file.
        data: where the data are, or were when the file was made.
        kind: of their inputs.
        label: their label column.
        label_names: the names of the classes.
        columns: the columns of the inputs.
        rows_in_data: the number of rows of the data.
        candidates: the rows to verify, in order.
        read_options: how the file of the data is read.
        strategy, seed: how the rows were chosen.
        names_declared, labels_merged: as in `gdw.data.Source`.
    """

    path: Path
    data: str
    kind: Kind
    label: str
    label_names: tuple[str, ...]
    columns: tuple[str, ...]
    rows_in_data: int
    candidates: tuple[Candidate, ...] = field(repr=False)
    read_options: ReadOptions = ReadOptions()  # noqa: RUF009 - frozen
    strategy: str = ""
    seed: int | None = None
    names_declared: bool = False
    labels_merged: bool = False

    def __len__(self) -> int:
        return len(self.candidates)

    @property
    def place(self) -> Path:
        """The path of the data: as it is in the file, from the folder of the file or from this one."""
        beside = self.path.parent / self.data
        return beside if beside.exists() or not Path(self.data).exists() else Path(self.data)
