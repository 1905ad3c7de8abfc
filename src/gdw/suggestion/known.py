"""Which rows of some data are verified already, and as what: they are counted, and not suggested again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gdw.data.clean import trusted_rows
from gdw.data.source import Source
from gdw.data.verification import Verification
from gdw.data.verification.verified_rows import require_same
from gdw.errors import shown


@dataclass(eq=False)
class Known:
    """What a person knows of N examples and C classes.

    Attributes:
        taken: bool `(N,)`, the examples that are not to be suggested.
        counted: int64 `(C,)`, how many of each class are verified, or will be.
        labels: int64 `(N,)`, the verified label; -1 for none.
        probability: float64 `(N,)`, how likely a verified example was to be chosen; NaN if unknown.
        others: the number of verified examples that are none of these N.
        absent: int64, the rows of the data that are none of the N examples, because a run has other uses for
            them than to be trained on.
        notes: one line each for the user.
    """

    taken: NDArray[np.bool_]
    counted: NDArray[np.int64]
    labels: NDArray[np.int64]
    probability: NDArray[np.float64]
    others: int = 0
    absent: NDArray[np.int64] = field(default_factory=lambda: np.array([], dtype=np.int64))
    notes: list[str] = field(default_factory=list)

    @classmethod
    def nothing(cls, examples: int, classes: int) -> Known:
        """Nothing is verified yet."""
        return cls(
            np.zeros(examples, dtype=bool),
            np.zeros(classes, dtype=np.int64),
            np.full(examples, -1, dtype=np.int64),
            np.full(examples, np.nan),
        )

    @property
    def verified(self) -> NDArray[np.int64]:
        """The positions of the verified examples."""
        return np.flatnonzero(self.labels >= 0)

    def add_file(self, source: Source, verification: Verification, *, stays: bool) -> None:
        """Add the rows of a verification file of these data.

        Args:
            source: the examples.
            verification: the file. Rows that are open or skipped count only if it `stays`.
            stays: whether the file stays in use, so that its open rows will be answered too.

        Raises:
            DataError: the rows are not as they were when the file was made.
        """
        outcomes = verification.outcomes
        kept = [found for found in outcomes if stays or found.state not in ("open", "skip")]
        candidates = [found.candidate for found in kept]
        require_same(source.rows, verification.queue, candidates, of=source.origin)
        codes = {name: code for code, name in enumerate(source.label_names)}
        place = {number: i for i, number in enumerate(source.row_numbers.tolist())}
        for found in kept:
            row, name = found.candidate, found.label
            if name is None and found.state in ("open", "skip"):
                name = row.likely[0][0] if row.likely else row.given_label
            i, code = place.get(row.index), -1 if name is None else codes.get(name, -1)
            if i is None or self.labels[i] >= 0:
                continue
            self.taken[i] = True
            if code >= 0:
                self.counted[code] += 1
            if found.state == "label":
                self.labels[i] = code
                self.probability[i] = row.selection_probability or np.nan

    def add_column(self, source: Source, column: str, label: str | None) -> None:
        """Add the rows that a column says are verified, with the labels of the column `label`."""
        rows = np.flatnonzero(trusted_rows(source, column))
        chosen = source.select(rows)
        if label is not None:
            chosen = chosen.label_column(label, source.label_names)
        self.taken[rows] = True
        self.labels[rows] = chosen.known_labels
        self._count(chosen.known_labels)

    def add_others(self, labels: NDArray[np.int64]) -> None:
        """Add verified examples that are none of the N."""
        self.others += len(labels)
        self._count(labels)

    def _count(self, labels: NDArray[np.int64]) -> None:
        self.counted += np.bincount(labels, minlength=len(self.counted))


def verified_words(files: Iterable[Verification]) -> list[str]:
    """How much of each verification file is answered."""
    return [f"{shown(file.queue.path)}: {file.described()}" for file in files]
