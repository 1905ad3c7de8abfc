"""The verified rows of which the training of a run did not know the verified labels, as a random sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gdw.certify.sample import FEWEST
from gdw.data.verification import Candidate, Verification
from gdw.data.verification.queue import FROM_A_PART, checksum_of_rows
from gdw.suggestion.draws import numbers_of_draws, sample_of

if TYPE_CHECKING:
    from gdw.runs.auditing import RunAudit
    from gdw.suggestion.drawn_rows import DrawnRows

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

_BY_CHANCE = 0.01
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class LaterRows:
    """M verified rows, drawn at random from P training examples of a run that were trained on as they are.

    The training had no use for their verified labels, so everything that it found is as good for them as for
    the other P: a decision on the P rows may be tested by them.

    Attributes:
        population: int64 `(P,)`, the training examples: positions in the evidence of the run.
        rows: int64 `(M,)`, positions in `population`.
        numbers: int64 `(M,)`, the rows of the data.
        labels: int64 `(M,)`, their verified classes.
        probability: float64 `(M,)`, how likely each was to be drawn.
        draw: float64 `(M,)`, in which draw it came, in their order.
    """

    population: Ints
    rows: Ints
    numbers: Ints
    labels: Ints
    probability: NDArray[np.float64]
    draw: NDArray[np.float64]

    def all_of(self, drawn: DrawnRows) -> bool:
        """Whether these are all rows of `drawn` that are a sample of all rows of the data."""
        return bool(np.isin(drawn.at_random, self.numbers).all())

    def alone(self, drawn: DrawnRows) -> DrawnRows:
        """`drawn` with these rows alone."""
        return replace(
            drawn,
            numbers=self.numbers,
            labels=self.labels,
            probability=self.probability,
            draw=self.draw,
        )


def later_rows(audit: RunAudit, drawn: DrawnRows) -> LaterRows | None:
    """The rows of a verification file that were drawn from rows on which the run had no verified label.

    Each draw takes rows that no earlier one has. So the rows after a place between two draws are a sample of
    the training examples that are not before it. The place is chosen so that all rows after it are training
    examples, and as many as possible are verified and drawn at random.

    Args:
        audit: of the run.
        drawn: the verified rows of the file.

    Returns:
        None with fewer than 10 such rows.
    """
    file = drawn.verification
    if file is None or not np.array_equal(drawn.numbers, file.index):  # or rows have moved
        return None
    rows = _FileRows.of(audit, file)
    best = max(rows.places(drawn.of_training), key=lambda place: int(rows.sample(place).sum()))
    used = rows.sample(best)
    if used.sum() < FEWEST:
        return None
    left = ~np.isin(audit.evidence.numbers, rows.index[:best])
    population = np.flatnonzero(left)
    numbers = rows.index[used]
    label_of = drawn.known
    likely = [rows.candidates[i].selection_probability for i in np.flatnonzero(used).tolist()]
    return LaterRows(
        population=population,
        rows=np.searchsorted(population, audit.evidence.positions(numbers)),
        numbers=numbers,
        labels=np.array([label_of[row] for row in numbers.tolist()], dtype=np.int64),
        probability=np.array(likely, dtype=np.float64),
        draw=rows.draw[used],
    )


@dataclass(frozen=True, eq=False)
class _FileRows:
    """The R rows of a verification file, in its order, and the training examples of a run.

    Attributes:
        candidates: the rows.
        draw: float64 `(R,)`, the draw of each.
        index: int64 `(R,)`, their numbers in the data.
        trained: bool `(R,)`, whether the run was trained on each.
        verified: bool `(R,)`, whether each is verified.
        numbers: int64 `(N,)`, the rows of the data that are training examples.
        total: the number of rows of the data.
    """

    candidates: Sequence[Candidate]
    draw: NDArray[np.float64]
    index: Ints
    trained: Mask
    verified: Mask
    numbers: Ints
    total: int

    @classmethod
    def of(cls, audit: RunAudit, file: Verification) -> _FileRows:
        """Those of a verification file of the data of the run."""
        candidates = file.queue.candidates
        index = np.array([row.index for row in candidates], dtype=np.int64)
        return cls(
            candidates=candidates,
            draw=numbers_of_draws(candidates),
            index=index,
            trained=audit.evidence.positions(index) >= 0,
            verified=np.isin(index, file.index),
            numbers=audit.evidence.numbers,
            total=len(audit.require_rows().rows),
        )

    def places(self, of_training: bool) -> list[int]:
        """Where the later rows may begin; `of_training` if the run was trained with the file.

        That is after the last row that was not trained on, or after rows that were chosen for their doubt.
        """
        first = self._first() if of_training or self._known else 0
        chosen = np.unique(self.draw[first:][~self._of_all[first:]])
        return [first, *(self._ends[number] for number in chosen.tolist())]

    def sample(self, place: int) -> Mask:
        """`(R,)`, which verified rows from this place on are a random sample."""
        sample = np.zeros(len(self.index), dtype=bool)
        sample[place:] = sample_of(self.candidates[place:], self._of_all[place:])
        return sample & self.verified & self.trained

    def _first(self) -> int:
        """The place after the last row that was not trained on.

        It may be within a draw if the draw is in random order. Else it is at the end of the draw.
        """
        if self.trained.all():
            return 0
        last = int(np.flatnonzero(~self.trained)[-1])
        within = np.flatnonzero(self.draw == self.draw[last])
        rows = [self.candidates[i] for i in within.tolist()]
        likely = [row.selection_probability or 0.0 for row in rows]
        in_order = all(row.reason == "random" for row in rows) and np.ptp(likely) <= _ROUNDING
        return last + 1 if in_order else self._ends[self.draw[last]]

    @cached_property
    def _ends(self) -> dict[float, int]:
        """For each draw the place after it."""
        return {number: i + 1 for i, number in enumerate(self.draw.tolist())}

    @property
    def _known(self) -> bool:
        """Whether more rows of the file were not trained on than chance explains.

        The run may have got their labels in another form: from a copy of the file, or from a column.
        """
        from scipy.stats import hypergeom

        not_trained = self.total - len(self.numbers)
        found = int((~self.trained).sum())
        likely = hypergeom.sf(found - 1, self.total, not_trained, len(self.index))
        return bool(likely < _BY_CHANCE)

    @cached_property
    def _of_all(self) -> Mask:
        """`(R,)`, which rows were drawn at random from all training examples that earlier draws had left."""
        whole = {
            number: self.candidates[place].draw != FROM_A_PART or self._of_all_trained(place)
            for number, place in zip(*np.unique(self.draw, return_index=True), strict=True)
        }
        at_random = [row.selection_probability is not None for row in self.candidates]
        of_whole = [whole[number] for number in self.draw.tolist()]
        of_all: Mask = np.array(at_random, dtype=bool) & np.array(of_whole, dtype=bool)
        return of_all

    def _of_all_trained(self, place: int) -> bool:
        """Whether the draw that begins here was from all training examples that earlier draws had left."""
        known = np.union1d(
            self.numbers, self.index
        )  # some of them may have been training examples then
        rest = np.setdiff1d(known, self.index[:place])
        return self.candidates[place].drawn_from == checksum_of_rows(rest)
